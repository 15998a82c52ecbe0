"""Keys, clicks and drops that come in one burst, faster than a screen can close: only the topmost screen answers, and only once."""

from __future__ import annotations

import asyncio
import math
import pkgutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from textual.events import Key, MouseDown, MouseUp, Paste
from textual.screen import Screen
from textual.widgets import Button, OptionList

from nemochat.desk.jobs import Rank
from nemochat.desk.port import Answer, Item
from nemochat.domain.personas import Lorebook, LoreEntry, Persona
from nemochat.personas.lore import Scan
from nemochat.tui.chat.screen import ChatScreen
from nemochat.tui.screens.dialogs import Choose, Menu, Read, Write
from nemochat.tui.screens.lore_form import LoreForm
from nemochat.tui.screens.lorebook import LorebookScreen
from nemochat.tui.screens.modal import Modal
from nemochat.tui.screens.persona_card import PersonaCard
from nemochat.tui.screens.persona_form import PersonaForm
from nemochat.tui.screens.picker import Picker
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import Driver, running

_BURSTS = ("enter enter", "escape escape", "enter escape enter")
_QUESTION = (Answer("yes", "Yes"), Answer("no", "No"))
_WAYS = {
    **{key: key for key in ("f3", "f4", "f5", "ctrl+f", "ctrl+o", "ctrl+t", "ctrl+p", "f1")},
    **{f"/{name}": name for name in ("rename", "system", "theme", "me", "export", "lore")},
    "question": lambda: Choose("Really?", "A sentence.", _QUESTION),
    "menu": lambda: Menu("A message", _QUESTION),
    "text": lambda: Read("A text", "words " * 900),
    "card": lambda: PersonaCard(Persona(name="Mira")),
    "form": lambda: PersonaForm(Persona(name="Mira")),
    "lore": lambda: LoreForm(LoreEntry(content="x")),
    "lorebook": lambda: LorebookScreen(Lorebook(name="x"), lambda book, text: Scan(), lambda book: None),
}


def _burst(driver: Driver, *keys: str) -> None:
    """All of them at once, without waiting for what any of them does."""
    for key in keys:
        name = "space" if key == " " else key
        driver.app.post_message(Key(name, {"enter": "\r", "escape": "\x1b", "space": " "}.get(name, key if len(key) == 1 else None)))


async def _open(driver: Driver, how: str | Callable[[], Screen[object]]) -> Screen[object]:
    """Show the screen that a command, a key or the program itself opens."""
    if callable(how):
        driver.app.push_screen(how())
    elif how[0] == "f" or "+" in how:
        _burst(driver, how)
    else:
        driver.screen.action_command(how)
    await driver.until(lambda: driver.app.screen is not driver.screen and driver.app.screen.is_mounted)
    return driver.app.screen


async def _can_go_on(driver: Driver) -> None:
    """The program lives, and Esc leads back to a chat in which one can write."""
    for _ in range(300):
        if driver.app.screen is not driver.screen:
            _burst(driver, "escape")
        await driver.pilot.pause(0.01)
        try:
            await asyncio.wait_for(driver.screen.desk.jobs.ended(Rank.USER), 0.05)  # what has closed its dialog may ask once more
        except TimeoutError:
            continue
        if driver.app.screen is driver.screen and not driver.app.has_keys_waiting:
            break
    await driver.until(lambda: driver.app.screen is driver.screen)
    driver.screen.prompt.load_text("")
    driver.screen.prompt.area.focus()
    await driver.press("z")
    assert driver.screen.prompt.plain_text == "z"
    driver.screen.prompt.load_text("")  # else an Enter of the next burst sends it
    assert [type(screen) for screen in driver.app.screen_stack[1:]] == [ChatScreen]


@pytest.mark.parametrize("how", _WAYS.values(), ids=_WAYS.keys())
async def test_a_burst_of_enter_and_escape_closes_no_screen_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str | Callable[[], Screen[object]]
) -> None:
    monkeypatch.chdir(tmp_path)  # where an export goes
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.send("a question")
        for burst in _BURSTS:
            await _open(driver, how)
            _burst(driver, *burst.split())
            await _can_go_on(driver)


@pytest.mark.parametrize("burst", _BURSTS)
async def test_a_burst_on_a_message_opens_its_menu_and_leaves_the_chat(tmp_path: Path, burst: str) -> None:
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.send("a question")
        driver.screen.transcript.focus_last()
        await driver.until(lambda: driver.screen.transcript.focused_view())
        _burst(driver, "enter", *burst.split())
        await driver.pilot.pause(0.2)  # the menu opens in the background, mostly when all keys have been seen
        await _can_go_on(driver)


@pytest.mark.parametrize("kind", [Button, OptionList])
async def test_a_burst_of_clicks_is_one_answer(tmp_path: Path, kind: type[Button] | type[OptionList]) -> None:
    answers: list[str | None] = []
    async with running(tmp_path, FakeEngine()) as driver:
        screen = Choose("Really?", "A sentence.", _QUESTION) if kind is Button else Menu("A message", _QUESTION)
        driver.app.push_screen(screen, answers.append)
        await driver.until(lambda: "Yes" in driver.shown)
        row = next(row for row, words in enumerate(driver.rows) if "Yes" in words)
        x, y = driver.rows[row].index("Yes"), row
        for _ in range(3):
            for event in (MouseDown, MouseUp):
                driver.app.post_message(event(None, x, y, 0, 0, 1, shift=False, meta=False, ctrl=False, screen_x=x, screen_y=y))
        await driver.until(lambda: answers)
        await _can_go_on(driver)
    assert answers == ["yes"]


async def test_a_burst_in_a_form_opens_one_form_above_it(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        form = PersonaForm(Persona(name="Mira"))
        driver.app.push_screen(form)
        await driver.until(lambda: form.is_mounted)
        next(field for field in form.fields if field.key == "greetings").take_focus()
        await driver.pilot.pause()
        _burst(driver, "enter", "enter")
        await driver.until(lambda: driver.app.screen is not form and driver.app.screen.is_mounted)
        await driver.pilot.pause(0.05)
        assert len(driver.app.screen_stack) == 4


async def test_a_command_of_the_palette_runs_once_after_two_presses_of_enter(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await _open(driver, "ctrl+p")
        shown = driver.screen.side.is_shown
        await driver.press(*"Side panes")
        await driver.until(lambda: driver.app.screen.query_one(OptionList).option_count == 1)
        await driver.press("down")
        _burst(driver, "enter", "enter", "enter")
        await driver.back()
        await driver.until(lambda: driver.screen.side.is_shown is not shown)
        await driver.pilot.pause(0.05)
        assert driver.screen.side.is_shown is not shown


_DEAF = {
    "question": lambda: Choose("Really?", "A sentence.", _QUESTION),
    "text": lambda: Read("A text", "words " * 900),
    "list": lambda: Menu("A message", _QUESTION),
}


@pytest.mark.parametrize("screen", _DEAF.values(), ids=_DEAF.keys())
async def test_what_is_dropped_while_a_question_is_open_stands_in_the_prompt(tmp_path: Path, screen: Callable[[], Screen[object]]) -> None:
    """Two drops in a row both count, whatever lies above the prompt."""
    for name in ("red", "blue"):
        draw_circle(tmp_path / f"{name}.png", (220, 40, 40) if name == "red" else (40, 40, 220))
    async with running(tmp_path, FakeEngine()) as driver:
        await _open(driver, screen)
        for name in ("red", "blue"):
            driver.app.post_message(Paste(str(tmp_path / f"{name}.png")))
        await driver.attached()
        assert driver.draft == ["red.png", "blue.png"]
        _burst(driver, "escape")
        await driver.back()
        assert len(driver.screen.prompt.tokens) == 2


def _has_left(driver: Driver, screen: Screen[object]) -> bool:
    return driver.app.screen is not screen


async def test_two_text_files_dropped_in_a_row_are_both_asked_about(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"the text of {name}")
    async with running(tmp_path, FakeEngine()) as driver:
        for name in ("one", "two"):
            driver.app.post_message(Paste(str(tmp_path / f"{name}.txt")))
        for _ in range(2):
            await driver.until(lambda: isinstance(driver.app.screen, Choose) and driver.app.screen.is_mounted)
            screen = driver.app.screen
            await driver.press("right", "enter")
            await driver.until(partial(_has_left, driver, screen))
        await driver.until(lambda: "the text of one" in driver.screen.prompt.plain_text)
        assert "the text of two" in driver.screen.prompt.plain_text


@pytest.mark.parametrize("screen", [lambda: Write("A line", one_line=True), lambda: Picker("A list", [Item("a", "a.png")])])
async def test_a_paste_into_a_line_of_a_dialog_stays_there(tmp_path: Path, screen: Callable[[], Screen[object]]) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await _open(driver, screen)
        await driver.pilot.pause()
        driver.app.post_message(Paste("a.png"))
        await driver.until(lambda: "a.png" in driver.shown)
        assert driver.screen.prompt.plain_text == ""


async def test_what_is_dropped_while_a_message_has_the_focus_stands_in_the_prompt(tmp_path: Path) -> None:
    draw_circle(tmp_path / "red.png", (220, 40, 40))
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.send("a question")
        await driver.focus_message(0)
        driver.app.post_message(Paste(str(tmp_path / "red.png")))
        await driver.attached()
        assert driver.draft == ["red.png"]


async def test_an_edit_in_one_burst_with_what_was_typed_loses_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.send("a question")
        driver.screen.transcript.focus_last()
        await driver.until(lambda: driver.screen.transcript.focused_view())
        await driver.press("k")
        driver.screen.prompt.load_text("half a thought")
        _burst(driver, "e")
        await driver.until(lambda: isinstance(top := driver.app.screen, Modal) and top.takes_keys_from < math.inf)
        assert "not empty" in driver.shown
        _burst(driver, "right", "enter")
        await driver.until(lambda: driver.screen.prompt.plain_text == "a question")
        assert driver.desk.history.older("") == "half a thought"


@pytest.mark.parametrize("how", [*_DEAF.values(), "f1"], ids=[*_DEAF, "help"])
async def test_what_is_typed_where_no_text_is_taken_stands_in_the_prompt(tmp_path: Path, how: str | Callable[[], Screen[object]]) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        if callable(how):
            driver.app.push_screen(how())
        else:
            _burst(driver, how)
        _burst(driver, *"hello", "space", *"you")
        await driver.until(lambda: driver.screen.prompt.plain_text == "hello you")
        await driver.until(lambda: driver.app.screen is not driver.screen and driver.app.screen.is_mounted)
        await _can_go_on(driver)


async def test_what_is_typed_on_a_message_and_means_nothing_there_stands_in_the_prompt(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Yes."), reply("No."))) as driver:
        await driver.send("a question")
        await driver.focus_message(0)
        _burst(driver, *"hello", "enter")
        await driver.until(lambda: driver.said == ["a question", "Yes.", "hello", "No."])


async def test_a_key_that_cannot_be_used_on_this_message_is_no_text(tmp_path: Path) -> None:
    """`n` lets a reply go on; on the user's own message it does nothing."""
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.send("a question")
        await driver.focus_message(0)
        await driver.press("n")
        assert driver.screen.prompt.plain_text == ""


async def test_the_keys_of_one_burst_act_on_the_message_to_which_those_before_have_led(tmp_path: Path) -> None:
    """`k` and `e` edited the message that had the focus before `k`; what was typed behind them went into its dialog, and was lost."""
    async with running(tmp_path, FakeEngine(reply("Yes."), reply("No."))) as driver:
        await driver.send("a question")
        await driver.focus_message(1)
        _burst(driver, "k", "e", *" more", "enter")
        await driver.until(lambda: driver.said == ["a question more", "No."])


async def test_keys_from_before_a_question_could_be_seen_are_for_the_prompt(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        answers: list[str | None] = []
        driver.app.push_screen(Choose("Really?", "A sentence.", _QUESTION), answers.append)
        _burst(driver, *"hi", "enter", *"and more")
        await driver.until(lambda: driver.said == ["hi", "Yes."])
        await driver.until(lambda: driver.screen.prompt.plain_text == "and more")
        assert (answers, isinstance(driver.app.screen, Choose)) == ([], True)
        await driver.press("enter")
        await driver.until(lambda: answers == ["yes"])


async def test_a_new_chat_begins_where_its_key_stands_in_the_burst(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(*(reply(f"{n}.") for n in range(3)))) as driver:
        await driver.send("one")
        first = driver.desk.conversation
        _burst(driver, "ctrl+n", *"two", "enter")
        await driver.until(lambda: driver.said == ["two", "1."])
        second = driver.desk.conversation
        await driver.settle()
        _burst(driver, *"three", "enter", "ctrl+n")
        await driver.until(lambda: "three" in [entry.message.text for entry in second.chat.entries])
        assert [entry.message.text for entry in first.chat.entries] == ["one", "0."]


@pytest.mark.parametrize("how", [("f3",), (*"/model", "enter")], ids=["key", "command"])
async def test_a_command_and_what_is_typed_into_its_dialog_may_come_in_one_burst(tmp_path: Path, how: tuple[str, ...]) -> None:
    async with running(tmp_path, FakeEngine(), FakeEngine()) as driver:
        _burst(driver, *how, *"seco", "enter")
        await driver.until(lambda: driver.desk.model.name == "second")
        assert (driver.screen.prompt.plain_text, driver.said) == ("", [])


_SLOW = {
    "f5": "nemochat.personas.store.PersonaStore.list",
    "f3": "nemochat.models.servers.Servers.all",
    "ctrl+f": "nemochat.library.store.Library.personas",
    "/get": "nemochat.models.pull.Puller.unfinished",
    "/me": "nemochat.personas.store.PersonaStore.profiles",
}
"""What is read in a thread before a dialog is there, by what opens it."""


@pytest.mark.parametrize("how", _SLOW)
async def test_what_is_typed_behind_what_asks_waits_for_the_question_however_slow_the_disk_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Fails as it did: it was sent to the model while a thread still read what the dialog shows."""
    async with running(tmp_path, FakeEngine()) as driver:
        read = pkgutil.resolve_name(_SLOW[how])

        def slow(*arguments: object, **options: object) -> object:
            time.sleep(0.3)
            return read(*arguments, **options)

        monkeypatch.setattr(_SLOW[how], slow)
        _burst(driver, *((*how, "enter") if how.startswith("/") else (how,)), *"zzz")
        await driver.until(lambda: driver.app.screen is not driver.screen and driver.app.screen.is_mounted)
        await driver.until(lambda: not driver.app.has_keys_waiting)
        assert (driver.screen.prompt.plain_text, driver.said) == ("", [])


async def test_a_key_that_never_ends_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        pass

    async with running(tmp_path, FakeEngine()) as driver:
        monkeypatch.setattr("nemochat.tui.app._KEY_SECONDS", 0.02)
        monkeypatch.setattr(driver.app, "_follow", never)
        _burst(driver, "f2", "a", "home", "b")
        await driver.until(lambda: driver.screen.prompt.plain_text == "ba")


async def test_a_long_text_that_is_left_with_escape_is_among_the_earlier_prompts(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.send("a question")
        await driver.focus_message(1)
        await driver.press("e")
        await driver.dialog(Write)
        await driver.press(*" and more", "escape")
        await driver.back()
        await driver.told("What you wrote is kept")
        assert driver.desk.history.older("") == "Yes. and more"
        assert driver.said == ["a question", "Yes."]
