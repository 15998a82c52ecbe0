"""The first ten minutes: what a new user sees, tries, and runs into."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.binding import Binding
from textual.widgets import Static
from textual.widgets._toast import Toast

from nemochat.desk import commands
from nemochat.desk.port import Complained, Item
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.images import is_flat, load, sample_picture
from nemochat.tui.app import NemochatApp
from nemochat.tui.panes.context import ContextPane
from nemochat.tui.screens.file_picker import FilePicker
from nemochat.tui.screens.picker import Picker, line_of
from nemochat.tui.widgets.completion_list import CompletionList
from nemochat.tui.widgets.hint_line import HintLine, placeholder
from nemochat.tui.widgets.portrait import blocks
from nemochat.tui.widgets.prompt_area import PromptArea
from nemochat.tui.widgets.welcome import Welcome
from tests.chat.fake_engine import FakeEngine, reply
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine_of
from tests.idle import until
from tests.images.pictures import encode, noise
from tests.tui.bench import Driver, running
from tests.tui.test_demo_tools import demo

SIZES = ((80, 24), (120, 40), (250, 70), (50, 20))


def hint(driver: Driver) -> str:
    return " ".join(str(each.content) for each in driver.screen.query_one(HintLine).query(Static))


# -- the welcome


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_empty_screen_says_what_the_built_in_model_is_good_for_and_what_to_try(size: tuple[int, int], tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(), size=size) as driver:
        shown = driver.shown
        tries = [f"F{6 + at}  {each}" for at, each in enumerate(commands.SAMPLE_QUESTIONS)]
        for words in ("flat coloured shapes", "F3", *tries, "/sample"):
            assert words in shown, shown
        assert ("▀" in shown) == (size[0] >= 60)
        assert "/ shows the commands" in shown  # nothing is cut off below


async def test_another_model_is_not_called_the_built_in_one(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(), FakeEngine()) as driver:
        await driver.desk.open_model("second")
        await driver.until(lambda: "flat coloured shapes" not in driver.shown)
        assert "F6" in driver.shown


@pytest.mark.parametrize("way", ["key", "tab", "click", "command"])
async def test_a_question_to_try_is_asked_with_the_sample_picture(way: str, tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Green."))) as driver:
        match way:
            case "key":
                await driver.press("f7")
            case "tab":
                await driver.press("tab", "tab", "enter")
            case "click":
                await driver.click(commands.SAMPLE_QUESTIONS[1])
            case _:
                await driver.send("/sample 2")
        await driver.until(lambda: driver.said == [commands.SAMPLE_QUESTIONS[1], "Green."])
        [picture] = driver.desk.chat.entries[0].message.images
        assert (picture.width, picture.height) == (240, 240)
        assert driver.screen.prompt.plain_text == ""
        assert driver.screen.prompt.tokens == []
        await driver.press("f6")
        await driver.settle()
        assert len(driver.said) == 2  # they belong to an empty chat


async def test_the_keys_to_try_leave_what_is_being_written_alone(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("my own question")
        await driver.press("f6", "f7")
        driver.screen.query_one(Welcome).post_message(Welcome.Asked(1))
        await driver.told("The prompt is not empty")
        assert driver.said == []
        assert driver.screen.prompt.plain_text == "my own question"


async def test_the_sample_picture_that_was_attached_is_the_one_that_is_asked_about(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("A circle."))) as driver:
        await driver.send("/sample")
        await driver.attached()
        assert len(driver.screen.prompt.tokens) == 1
        await driver.press("f6")
        await driver.until(lambda: driver.said[-1:] == ["A circle."])
        assert len(driver.desk.chat.entries[0].message.images) == 1
        assert driver.desk.draft.items == []
        assert driver.screen.prompt.tokens == []


async def test_the_keys_to_try_are_said_as_the_user_has_them(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        driver.app.set_keymap({"chat.try_1": "ctrl+b"})
        driver.screen._name_keys()
        await driver.until(lambda: "Ctrl+B" in driver.shown)


async def test_the_built_in_model_answers_the_questions_to_try_rightly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with demo(tmp_path, monkeypatch) as driver:
        await driver.press("f6")
        await driver.until(lambda: len(driver.said) == 2 and not driver.desk.turns.is_running)
        for words in ("red circle", "green triangle", "blue square", "beige"):
            assert words in driver.said[1], driver.said
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.said == [])
        await driver.press("f7")
        await driver.until(lambda: len(driver.said) == 2 and not driver.desk.turns.is_running)
        assert "green" in driver.said[1].lower(), driver.said


def test_a_drawing_is_told_from_a_photograph() -> None:
    assert is_flat(sample_picture())
    assert is_flat(sample_picture(17))
    assert is_flat(RgbImage.from_rgb(1, 1, b"abc"))
    assert not is_flat(load(encode(noise(200, 120), "PNG"), "noise"))
    ramp = RgbImage.from_rgb(128, 128, bytes(value for y in range(128) for x in range(128) for value in (2 * x, 2 * y, x + y)))
    assert not is_flat(ramp)


def test_the_small_sample_picture_is_the_large_one() -> None:
    small = blocks(sample_picture(16).rgb, 16)
    assert small.plain == "\n".join(["▀" * 16] * 8)
    colours = [{pixels[at : at + 3] for at in range(0, len(pixels), 3)} for pixels in (sample_picture(16).rgb, sample_picture().rgb)]
    assert colours[0] == colours[1]
    assert len(colours[0]) == 4


async def test_the_first_photograph_says_once_that_the_built_in_model_knows_none(tmp_path: Path) -> None:
    for name, picture in (("flat", None), ("one", noise(64, 64)), ("two", noise(64, 64, 8))):
        data = encode(picture, "PNG") if picture else encode(noise(1, 1), "PNG")
        (tmp_path / f"{name}.png").write_bytes(data)
    sitting = await Sitting(Bench(tmp_path / "home", {"demo": engine_of()})).begin()
    said: list[int] = []
    for name in ("flat", "one", "two"):
        sitting.desk.draft.add_source(str(tmp_path / f"{name}.png"))
        await sitting.until(lambda: all(item.tokens for item in sitting.desk.draft.items))
        said.append(sum("not photographs" in str(event) for event in sitting.port.told))
    assert said == [0, 1, 1]
    await sitting.close()


# -- focus and keys


async def test_tab_goes_from_the_prompt_to_the_last_message_and_round_the_parts(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(*(reply(f"reply {n}") for n in range(3)))) as driver:
        for n in range(3):
            await driver.send(f"question {n}")
        await driver.press("tab")
        view = driver.screen.transcript.focused_view()
        assert view is not None
        assert view.standing.index == 5
        await driver.press("up", "tab")
        assert type(driver.app.focused).__name__ == "PaneTitle"  # all messages are one stop
        seen = []
        for _ in range(12):
            await driver.press("tab")
            seen.append(type(driver.app.focused).__name__)
            if isinstance(driver.app.focused, PromptArea):
                break
        assert "ContextPane" in seen
        assert seen[-1] == "PromptArea"
        await driver.press("shift+tab", "shift+tab")
        assert driver.screen.transcript.focused_view() is None


async def test_tab_reaches_the_last_message_of_a_long_chat_that_was_scrolled_up(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        said = [Message(Role.USER if n % 2 == 0 else Role.ASSISTANT, (TextPart(f"words {n}"),)) for n in range(200)]
        driver.desk.change(driver.desk.chat.with_messages(said))
        await driver.until(lambda: "words 199" in driver.shown)
        driver.screen.transcript.action_first()
        await driver.until(lambda: "words 0" in driver.shown)
        driver.screen.prompt.area.focus()
        await driver.press("tab")
        await driver.until(lambda: (view := driver.screen.transcript.focused_view()) is not None and view.standing.index == 199)


async def test_the_hint_line_says_the_keys_of_what_has_the_focus(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("one"))) as driver:
        await driver.send("question")
        assert "Enter sends" in hint(driver)
        await driver.press("tab")
        await driver.until(lambda: "c copy" in hint(driver))
        assert "Enter sends" not in hint(driver)
        assert "Esc back" in hint(driver)
        await driver.press("tab")
        await driver.until(lambda: "Enter fold" in hint(driver))
        await driver.press("escape")
        await driver.until(lambda: "Enter sends" in hint(driver))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_the_list_of_chats_shows_its_keys_and_esc_leaves_it_at_once(size: tuple[int, int], tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("one")), size=size) as driver:
        await driver.send("question")
        await driver.press("ctrl+r")
        await driver.until(lambda: driver.screen.drawer.rows)
        for words in ("Enter open", "r rename", "t tags", "a archive", "d delete", "e export", "n new chat", "/ filter", "Esc back"):
            assert words in driver.shown
        await driver.press("slash", *"quest", "escape")
        assert not driver.screen.drawer.is_open
        assert isinstance(driver.app.focused, PromptArea)
        await driver.press("ctrl+r")
        await driver.until(lambda: "1 conversation" in driver.shown)  # the filter is gone too


async def test_every_key_is_written_one_way(tmp_path: Path) -> None:
    """A modifier in full, joined by a plus; no caret, no lower-case name, no arrow sign."""
    written = re.compile(r"((Ctrl|Shift|Alt)\+)*([A-Z][a-z]+( [A-Z][a-z]+)?|F\d+|[A-Z]|[^A-Z])")
    async with running(tmp_path, FakeEngine(reply("one"))) as driver:
        await driver.send("question")
        for keys in ([], ["tab"], ["ctrl+r"]):
            await driver.press(*keys)
            for active in driver.screen.active_bindings.values():
                if active.binding.id:
                    name = driver.app.get_key_display(active.binding)
                    assert written.fullmatch(name), name
        assert driver.app.get_key_display(Binding("ctrl+o", "x", "x")) == "Ctrl+O"
        assert driver.app.get_key_display(Binding("shift+up", "x", "x")) == "Shift+Up"
        await driver.press("escape", "f1")
        await driver.until(lambda: driver.app.screen is not driver.screen)
        assert "Ctrl+O" in driver.shown
        assert "^o" not in driver.shown


def test_no_sentence_writes_a_key_in_another_way() -> None:
    """What the interface says, read from its sources: arrows are words, Ctrl has a plus and a capital."""
    odd = re.compile(r"\"[^\"]*(?:[↑↓]{2}|Ctrl\+[↑↓a-z]|PgUp|PgDn|\^[A-Za-z] |Ctrl-)[^\"]*\"")
    tui = Path(__file__).parents[2] / "nemochat"
    found = [f"{path.name}: {words}" for path in tui.rglob("*.py") for words in odd.findall(path.read_text(encoding="utf-8"))]
    assert found == []


# -- notices


@pytest.mark.parametrize("opens", ["list", "panes"])
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_notices_cover_neither_the_context_pane_nor_the_list_of_commands(size: tuple[int, int], opens: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"demo": FakeEngine()})
    app = NemochatApp(bench)
    async with app.run_test(size=size, notifications=True) as pilot:
        driver = Driver(app, pilot, bench)
        await driver.until(lambda: len(app.screen_stack) > 1 and driver.desk.model.is_loaded)
        await driver.settle()
        for n in range(3):
            app.notify("Over SSH, paths dropped from your own computer are not visible here.", title=f"There is no file {n}", timeout=60)
        if opens == "list":
            await driver.press(*"/s")
            await driver.until(lambda: driver.screen.query_one(CompletionList).region.area)
        else:
            driver.screen.side.open_pane("context")
        await driver.until(lambda: len(list(app.screen.query(Toast))) == 3)
        for _ in range(4):
            await pilot.pause()
        toasts = [app.screen.find_widget(toast).visible_region for toast in app.screen.query(Toast)]
        pane = driver.screen.query_one(ContextPane)
        hidden = [driver.screen.query_one(CompletionList).region]
        if size[0] - driver.screen.side.region.width >= 24:  # there is room beside the drawer
            hidden.append(pane.region)
        assert any(toast.area for toast in toasts)
        assert not any(toast.overlaps(each) for toast in toasts for each in hidden if each.area)
    bench.library.close()
    bench.documents.close()


# -- paths that lead nowhere here


LOST = (
    "/Users/me/Desktop/cat.png",
    "'/Users/me/My cat.png'",
    "/Users/me/My\\ cat.jpeg",
    "~/nowhere/cat.webp",
    "file:///Users/me/a%20b.png",
    r"Q:\Users\me\cat.png",
    "/Users/me/a.png /Users/me/b.pdf",
    "/Users/me/a.png\n/Users/me/b.png",
)


@pytest.mark.parametrize("pastes", [True, False], ids=["pasted", "typed"])
@pytest.mark.parametrize("path", LOST)
async def test_a_path_that_is_not_here_stays_in_the_prompt_as_what_it_is(path: str, pastes: bool, tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Text, then."))) as driver:
        if pastes:
            driver.screen.prompt.paste(path)
            await driver.told("There is no such file on this machine")
        else:
            await driver.type(path)
        await driver.until(lambda: "Not on this machine" in hint(driver))
        assert "Enter runs" not in hint(driver)
        await driver.press("enter")
        await driver.told("There is no such file on this machine")
        assert driver.said == []
        assert driver.screen.prompt.plain_text == path
        await driver.type(" what is in it?")
        await driver.until(lambda: "Enter sends" in hint(driver))
        await driver.press("enter")
        await driver.until(lambda: driver.said[-1:] == ["Text, then."])
        assert driver.said[0].endswith("what is in it?")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("/new", commands.Kind.COMMAND),
        ("/modle", commands.Kind.COMMAND),
        ("  /new ", commands.Kind.MESSAGE),
        ("/usr/bin", commands.Kind.MESSAGE),
        ("/etc is a folder\nand more", commands.Kind.MESSAGE),
        ("//Users/me/cat.png", commands.Kind.MESSAGE),
        ("/Users/me/cat.png", commands.Kind.LOST),
        ("what is in /Users/me/cat.png?", commands.Kind.MESSAGE),
        ("", commands.Kind.MESSAGE),
        ("x" * 100_000, commands.Kind.MESSAGE),
    ],
    ids=lambda value: str(value)[:24],
)
def test_the_hint_says_what_enter_does(text: str, kind: commands.Kind) -> None:
    assert commands.kind_of(text) is kind


# -- commands and lists


def test_clear_and_new_are_one_command() -> None:
    assert commands.find_command("clear") is commands.find_command("new")
    assert "clear" not in {command.name for command in commands.COMMANDS}


async def test_the_list_of_models_adds_one_and_opens_it(tmp_path: Path) -> None:
    model = tmp_path / "mine.gguf"
    model.write_bytes(b"GGUF")
    async with running(tmp_path / "home", FakeEngine()) as driver:
        await driver.press("f3")
        await driver.dialog(Picker)
        assert "Add a model…" in driver.shown
        await driver.press("up", "enter")
        picker = await driver.dialog(FilePicker)
        picker.dismiss(model)
        await driver.until(lambda: driver.desk.model.name == "mine")
        await driver.press("f3")
        await driver.dialog(Picker)
        assert "mine" in driver.shown


async def test_a_model_that_cannot_be_added_is_one_sentence_and_the_old_one_stays(tmp_path: Path) -> None:
    sitting = await Sitting(Bench(tmp_path, {"demo": engine_of()}), "\0add", tmp_path / "not there.gguf").begin()
    await sitting.send("/model")
    await sitting.until(lambda: any(isinstance(event, Complained) for event in sitting.port.told))
    assert sitting.desk.model.name == "demo"
    assert sitting.desk.model.is_loaded
    await sitting.close()


@pytest.mark.parametrize("label", ["short", "a name longer than its column " * 3, "日本語の名前" * 8, "e\u0301" * 40])
def test_descriptions_stand_in_one_column_whatever_the_name(label: str) -> None:
    line = line_of(Item("v", label, "what it is"), (0,), 20)
    assert cell_len(line.plain[: line.plain.index("what it is")]) == 22


async def test_the_list_of_commands_stands_in_columns(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(), size=(120, 40)) as driver:
        await driver.press("slash")
        await driver.until(lambda: driver.screen.query_one(CompletionList).is_open)
        options = driver.screen.query_one(CompletionList).options
        starts = set()
        for option, command in zip(options, commands.COMMANDS, strict=False):
            starts.add(cell_len(str(option.prompt)[: str(option.prompt).index(command.help)]))
        assert len(starts) == 1


async def test_the_file_dialog_has_the_frame_of_the_others_and_no_emoji(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.press("ctrl+o")
        await driver.dialog(FilePicker)
        await driver.until(lambda: "Attach a picture" in driver.shown)
        assert "╭" in driver.shown
        assert not any(ord(letter) >= 0x1F000 for letter in driver.shown)
        await driver.press("escape")
        await driver.back()


@pytest.mark.parametrize(
    ("width", "words"),
    [(100, "drop a picture, or type / for commands"), (44, "Ask something, or type / for commands"), (20, "Ask something")],
)
def test_an_empty_prompt_says_what_it_has_room_for(width: int, words: str) -> None:
    assert placeholder(width).endswith(words)
    assert len(placeholder(width)) <= width


async def test_what_is_said_on_a_narrow_and_on_a_wide_terminal_is_whole(tmp_path: Path) -> None:
    """At 50 columns the sentence in the prompt and the keys of a list ended in the middle; at 250 a line was too long to be read."""
    async with running(tmp_path, FakeEngine(reply("word " * 100)), size=(50, 20)) as driver:
        assert driver.screen.query_one(PromptArea).placeholder == "Ask something, or type / for commands"
        await driver.press("f3")
        await until(lambda: "Enter chooses · Esc cancels" in driver.shown)
        await driver.press("escape")
        await driver.pilot.resize_terminal(250, 30)
        await driver.type("Hello")
        await driver.press("enter")
        await driver.settle()
        await until(lambda: str(driver.screen.query_one(PromptArea).placeholder).endswith("drop a picture, or type / for commands"))
        assert max(len(line.split("  ")[0]) for line in driver.shown.splitlines() if "word word" in line) <= 124
