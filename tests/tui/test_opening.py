"""What is typed on the first frame, before the chat is there, is on the disk soon and comes to the chat once; so is what a quit finds."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual.events import Paste
from textual.widgets import Input, TextArea

from nemochat.chat.recall import DraftFile, KeptDraft, PromptHistory
from nemochat.desk import draft
from nemochat.desk.port import AskPersonaEdited, AskText, Workbench
from nemochat.domain.personas import Persona
from nemochat.tui.app import Early, NemochatApp
from nemochat.tui.screens.dialogs import Choose, Write
from nemochat.tui.screens.modal import Modal
from nemochat.tui.screens.persona_form import PersonaForm
from tests.desk.sitting import engine_of
from tests.tui.bench import Bench, Driver, running


def drafts(bench: Bench) -> list[str]:
    """The words of the drafts that are on the disk."""
    return [msgspec.json.decode(path.read_bytes())["text"] for path in bench.paths.drafts.glob("*.json")]


@asynccontextmanager
async def opening(folder: Path) -> AsyncGenerator[tuple[Driver, Bench, threading.Event], None]:
    """The program at its first frame, which waits there until the event is set."""
    bench, goes_on = Bench(folder, {"demo": engine_of()}), threading.Event()

    def make() -> Workbench:
        goes_on.wait(60)
        return bench

    app = NemochatApp(Early(bench.settings, folder / "themes", make, bench.paths.drafts))
    try:
        async with app.run_test() as pilot:
            yield Driver(app, pilot, bench), bench, goes_on
            goes_on.set()
        app.keep_what_was_typed()
    finally:
        goes_on.set()
        bench.library.close()
        bench.documents.close()


async def test_what_is_typed_is_on_the_disk_before_the_chat_is_there(tmp_path: Path) -> None:
    """A kill at that time took all of it."""
    async with opening(tmp_path) as (driver, bench, goes_on):
        await driver.pilot.press(*"hellp", "backspace", "o", "enter", *"and")
        driver.app.post_message(Paste(" then\x1b[2J" + "x" * 3000))
        kept = "hello\nand then[2J" + "x" * 3000
        await driver.until(lambda: drafts(bench) == [kept])
        (path,) = bench.paths.drafts.glob("*.json")
        assert path.stem.endswith("-early")
        goes_on.set()
        await driver.until(lambda: len(driver.app.screen_stack) > 1 and driver.app._chat is not None and driver.app._chat.is_mounted)
        await driver.until(lambda: driver.desk.chat.entries and not driver.app.has_keys_waiting)
        await driver.settle()
        await driver.until(lambda: [path.stem.endswith("-early") for path in bench.paths.drafts.glob("*.json")] == [False])
        assert driver.desk.chat.entries[0].message.text == "hello"
        assert drafts(bench) == [driver.screen.prompt.plain_text]
        assert driver.screen.prompt.plain_text.startswith("and then")


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_quit_leaves_what_was_typed_once(tmp_path: Path, is_there: bool) -> None:
    async with opening(tmp_path) as (driver, bench, goes_on):
        await driver.pilot.press(*"hello")
        if is_there:
            goes_on.set()
            await driver.until(lambda: driver.app._chat is not None and driver.app._chat.is_mounted and not driver.app.has_keys_waiting)
        driver.app.exit()
    assert drafts(bench) == ["hello"]


@pytest.mark.parametrize("what", ["text", "form"])
async def test_a_quit_keeps_what_was_written_in_a_dialog_among_the_earlier_prompts(tmp_path: Path, what: str) -> None:
    """Esc kept it, or asked; Ctrl+Q took it."""
    async with running(tmp_path, engine_of()) as driver:
        screen = Write("System text", "before", hint="") if what == "text" else PersonaForm(Persona(name="Mira", description="before"))
        driver.app.push_screen(screen)
        await driver.until(lambda: screen.is_mounted and screen.is_current)
        area = screen.query("TextArea")[0]
        assert isinstance(area, TextArea)
        area.load_text("a long text")
        await driver.pilot.pause()
        driver.screen.leave()
        await driver.until(lambda: driver.app._exit)
    kept = PromptHistory(driver.desk.bench.paths.prompt_history).older("")
    assert kept == ("a long text" if what == "text" else "Description:\na long text")


@pytest.mark.parametrize(("what", "kept"), [("text", "sooner"), ("line", "sooner"), ("form", "Name:\ner")])
async def test_what_is_being_written_in_a_dialog_is_on_the_disk_soon_and_only_as_long_as_it_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, kept: str
) -> None:
    """A kill took it: the draft's file had the prompt alone."""
    monkeypatch.setattr(draft, "SAVE_SECONDS", 0.02)

    def on_disk() -> list[tuple[str, str]]:
        written = [msgspec.json.decode(path.read_bytes()) for path in driver.bench.paths.drafts.glob("*.json")]
        return [(each["text"], each["dialogs"]) for each in written]

    async with running(tmp_path, engine_of()) as driver:
        await driver.type("half a thou")
        mira = Persona(name="Mira")
        ask = AskPersonaEdited(mira, mira) if what == "form" else AskText("A text", "soon", one_line=what == "line")
        driver.desk.do(lambda: driver.screen.presenter.ask(ask))
        await driver.dialog(Modal)
        await driver.until(lambda: isinstance(driver.app.focused, Input | TextArea))
        await driver.pilot.press(*"er")
        await driver.until(lambda: on_disk() == [("half a thou", kept)])
        await driver.pilot.press("escape")
        if what == "form":
            await driver.dialog(Choose)
            await driver.pilot.press("right", "right", "enter")
        await driver.until(lambda: on_disk() == [("half a thou", "")])


async def test_what_a_dialog_held_when_the_program_was_killed_is_an_earlier_prompt(tmp_path: Path) -> None:
    DraftFile(Bench(tmp_path, {"demo": engine_of()}).paths.drafts).save(KeptDraft("half a thou", dialogs="a long text"))
    async with running(tmp_path, engine_of()) as driver:
        await driver.told("Up in the empty prompt")
        assert driver.screen.prompt.plain_text == "half a thou"
        assert driver.desk.history.older("half a thou") == "a long text"
