"""The prompt alone, in a bare host: tokens that are one unit, completion, recall, paste and the hint line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.events import Paste
from textual.message import Message
from textual.widgets import Static

from nemochat.chat.drops import Drop, find_drops
from nemochat.chat.recall import PromptHistory
from nemochat.desk.commands import Kind
from nemochat.desk.completion import Completion, complete
from nemochat.tui.widgets.completion_list import CompletionList
from nemochat.tui.widgets.hint_line import PromptState
from nemochat.tui.widgets.prompt import Prompt
from nemochat.tui.widgets.prompt_area import PromptArea
from tests.idle import until
from tests.images.pictures import draw_circle

Press = Callable[..., Awaitable[None]]
LABEL = "[image 1: cat.png 640x480, 64 tokens]"


class Host(App[None]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.heard: list[Message | Drop] = []
        self.attaches = False

    def compose(self) -> ComposeResult:
        history = PromptHistory(self.folder / "prompts.jsonl")
        yield Prompt(find_drops=self.find, take_drop=self.take, complete=self.complete_, history=history)

    def find(self, text: str) -> Drop:
        return find_drops(text, self.folder, self.folder)

    def complete_(self, text: str) -> Completion | None:
        return complete(text, {"model": ["demo", "other"]}, self.folder, self.folder)

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        self.heard.append(event)

    def on_prompt_token_removed(self, event: Prompt.TokenRemoved) -> None:
        self.heard.append(event)

    def take(self, drop: Drop) -> None:
        self.heard.append(drop)
        if self.attaches:
            for file in drop.files:
                self.query_one(Prompt).area.insert_token(file.path.name, f"[image: {file.path.name}, reading]")

    def on_prompt_notice(self, event: Prompt.Notice) -> None:
        self.heard.append(event)

    def on_prompt_escape(self, event: Prompt.Escape) -> None:
        self.heard.append(event)


class Driver:
    def __init__(self, host: Host, press: Press) -> None:
        self.host = host
        self._press = press

    @property
    def prompt(self) -> Prompt:
        return self.host.query_one(Prompt)

    @property
    def area(self) -> PromptArea:
        return self.host.query_one(PromptArea)

    @property
    def names(self) -> list[str]:
        return [type(message).__name__ for message in self.host.heard]


@asynccontextmanager
async def prompt(folder: Path, size: tuple[int, int] = (100, 24)) -> AsyncGenerator[tuple[Driver, Press], None]:
    host = Host(folder)
    async with host.run_test(size=size) as pilot:

        async def press(*keys: str) -> None:
            await pilot.press(*keys)
            await pilot.pause()

        driver = Driver(host, press)
        driver.prompt.area.focus()
        await pilot.pause()
        yield driver, press


async def test_enter_hands_out_the_text_and_what_is_put_back_stands_before_what_came_since(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        await press(*"hello", "enter")
        (event,) = driver.host.heard
        assert isinstance(event, Prompt.Submitted)
        assert (event.text, event.tokens) == ("hello", [])
        await press(*"more")
        driver.prompt.area.put_back("hello", [("k", LABEL)])
        assert driver.prompt.plain_text == "hello\nmore"
        assert driver.prompt.tokens == ["k"]


async def test_a_path_is_found_although_a_token_says_something_new_while_it_comes(tmp_path: Path) -> None:
    """Fails when the words of a token count as typing that was looked at: then the end of a drop that comes key by key is never seen."""
    draw_circle(tmp_path / "cat.png", (220, 40, 40))
    async with prompt(tmp_path) as (driver, press):
        driver.host.attaches = True
        driver.prompt.area.insert_token("k", "[image 1: other.png, reading]")
        await press()
        driver.area.insert(str(tmp_path / "cat.png"))
        driver.prompt.area.replace_token("k", "[image 1: other.png 240x240, 16 tokens]")  # before anybody has seen the letters
        await until(lambda: "cat.png" in driver.prompt.tokens)
        assert driver.prompt.tokens == ["k", "cat.png"]
        assert driver.prompt.plain_text == ""


async def test_letters_right_behind_enter_belong_to_the_next_message(tmp_path: Path) -> None:
    """Enter as a binding is run only when the key has gone up to the app, behind letters of the same burst."""
    async with prompt(tmp_path) as (driver, press):
        for key in ("o", "n", "e", "enter", "t", "w", "o"):
            driver.area.post_message(events.Key(key, key if len(key) == 1 else "\r"))
        await press()
        (event,) = driver.host.heard
        assert isinstance(event, Prompt.Submitted)
        assert event.text == "one"
        assert driver.prompt.plain_text == "two"


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter", "alt+enter"])
async def test_a_new_line_is_not_the_end(tmp_path: Path, key: str) -> None:
    async with prompt(tmp_path) as (driver, press):
        await press("a", key, "b")
        assert driver.area.text == "a\nb"
        assert driver.host.heard == []


async def test_a_token_is_handed_out_by_key_and_not_as_text(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.area.insert_token("k", LABEL)
        await press(*"what", "enter")
        (event,) = driver.host.heard
        assert isinstance(event, Prompt.Submitted)
        assert (event.text, event.tokens) == ("what", ["k"])


@pytest.mark.parametrize(
    "keys",
    [("backspace", "backspace"), ("home", "delete"), ("home", "right", "backspace"), ("ctrl+u",), ("ctrl+w", "ctrl+w")],
    ids=["behind", "before", "jumped over", "line", "word"],
)
async def test_a_token_is_deleted_whole(tmp_path: Path, keys: tuple[str, ...]) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.area.insert_token("k", LABEL)
        await press(*keys)
        assert driver.area.text.strip() == ""
        assert driver.names == ["TokenRemoved"]
        assert driver.prompt.tokens == []


async def test_the_cursor_jumps_over_a_token(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.area.insert_token("k", LABEL)
        await press("home", "right")
        assert driver.area.cursor_location == (0, len(LABEL))
        await press("left")
        assert driver.area.cursor_location == (0, 0)


async def test_a_tokens_words_change_without_touching_the_text(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.area.insert_token("k", "[image 1: cat.png, reading]")
        await press(*"hi")
        driver.prompt.area.replace_token("k", LABEL)
        await press("!")
        assert driver.area.text == f"{LABEL} hi!"
        assert driver.host.heard == []


async def test_text_that_looks_like_a_token_is_text(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, _):
        driver.prompt.area.insert_pasted(LABEL)
        assert driver.prompt.tokens == []
        assert driver.prompt.plain_text == LABEL


async def test_a_paste_of_paths_is_a_drop_and_leaves_the_rest_as_text(tmp_path: Path) -> None:
    draw_circle(tmp_path / "a b.png", (220, 40, 40))
    async with prompt(tmp_path) as (driver, _):
        driver.area.post_message(Paste(f"what is in '{tmp_path}/a b.png'?"))
        await driver._press()
        (event,) = driver.host.heard
        assert isinstance(event, Drop)
        assert [file.path.name for file in event.files] == ["a b.png"]
        assert driver.prompt.plain_text.startswith("what is in")


async def test_pasted_escapes_and_line_ends_are_made_safe(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, _):
        driver.area.post_message(Paste("a\x1b]52;c;x\x07b\r\nc"))
        await driver._press()
        assert driver.area.text == "a]52;c;xb\nc"


async def test_a_huge_paste_is_cut_and_says_so(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, _):
        driver.area.post_message(Paste("x" * 200_100))
        await driver._press()
        assert driver.names == ["Notice"]
        assert len(driver.area.text) == 200_000


async def test_the_list_completes_a_command_and_enter_then_sends_it(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        await press("slash", "t", "h", "e")
        assert driver.host.query_one(CompletionList).is_open
        await press("tab")
        assert driver.area.text.strip() == "/theme"
        await press("enter")
        assert driver.names == ["Submitted"]


async def test_escape_closes_the_list_before_it_means_anything_else(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        await press("slash", "t", "escape")
        assert not driver.host.query_one(CompletionList).is_open
        assert driver.host.heard == []
        await press("escape")
        assert driver.names == ["Escape"]


async def test_recall_keeps_the_tokens_and_brings_back_what_was_typed(tmp_path: Path) -> None:
    PromptHistory(tmp_path / "prompts.jsonl").add("earlier")
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.area.insert_token("k", LABEL)
        await press(*"now", "up")
        assert (driver.prompt.plain_text, driver.prompt.tokens) == ("earlier", ["k"])
        await press("down")
        assert (driver.prompt.plain_text, driver.prompt.tokens) == ("now", ["k"])


@pytest.mark.parametrize(("width", "wanted"), [(60, "Enter sends"), (80, "Enter sends · Ctrl+J new line"), (120, "F1 help")])
async def test_the_hint_gives_way_on_narrow_screens(tmp_path: Path, width: int, wanted: str) -> None:
    async with prompt(tmp_path, (width, 24)) as (driver, press):
        driver.prompt.state = PromptState.SENDS
        await press("a")
        driver.prompt.token_count, driver.prompt.room = 12, 3400
        await press()
        hint = str(driver.host.query_one("#hint", Static).render())
        assert hint.endswith(wanted)
        assert str(driver.host.query_one("#count", Static).render()) == "12 tokens · 3,400 free"


async def test_a_text_that_does_not_fit_says_by_how_much(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.token_count, driver.prompt.room = 5000, -120
        await press()
        assert str(driver.host.query_one("#count", Static).render()) == "too long by 120 tokens"


@pytest.mark.parametrize(
    ("room", "said"), [(-1, "1 token too few for the reply"), (-512, "512 tokens too few for the reply"), (-513, "too long by 1 token")]
)
async def test_a_text_that_fits_without_room_for_the_reply_says_so(tmp_path: Path, room: int, said: str) -> None:
    """Fails when the prompt is called too long though only what is kept for the reply does not fit."""
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.token_count, driver.prompt.room, driver.prompt.reserve = 3000, room, 512
        await press()
        assert str(driver.host.query_one("#count", Static).render()) == said


async def test_enter_right_behind_a_typed_path_sends_the_picture_with_it(tmp_path: Path) -> None:
    draw_circle(tmp_path / "cat.png", (220, 40, 40))
    async with prompt(tmp_path) as (driver, press):
        driver.host.attaches = True
        driver.area.insert(f"what is {tmp_path}/cat.png")
        await press("enter")
        assert driver.names == ["Submitted"]
        event = driver.host.heard[0]
        assert isinstance(event, Prompt.Submitted)
        assert event.text == "what is"
        assert event.drop is not None
        assert [file.path for file in event.drop.files] == [tmp_path / "cat.png"]


async def test_the_enter_that_comes_with_a_dropped_path_sends_nothing(tmp_path: Path) -> None:
    draw_circle(tmp_path / "cat.png", (220, 40, 40))
    async with prompt(tmp_path) as (driver, press):
        driver.host.attaches = True
        driver.prompt.area.insert_token("k", LABEL)
        driver.area.insert(f"{tmp_path}/cat.png")
        await press("enter")
        assert driver.names == ["Drop"]
        assert driver.prompt.tokens == ["k", "cat.png"]


async def looked(driver: Driver, press: Press) -> bool:
    """Whether the prompt is about to look for paths, or has just done so."""
    await press()
    return driver.prompt._timer is not None


async def test_what_the_program_puts_there_is_no_drop(tmp_path: Path) -> None:
    """Else "only its path", asked about a text file, brings the same question again, and a restored draft loses its paths."""
    (tmp_path / "notes.txt").write_text("notes\n")
    path = f"{tmp_path}/notes.txt"
    PromptHistory(tmp_path / "prompts.jsonl").add(f"read {path}")
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.area.insert_pasted(path)
        assert not await looked(driver, press)
        driver.prompt.load_text(f"read {path}")
        assert not await looked(driver, press)
        driver.prompt.load_text("")
        await press("up")
        assert driver.area.text == f"read {path}"
        assert not await looked(driver, press)
        await press("!")
        assert await looked(driver, press)


async def test_ctrl_v_goes_the_way_of_a_paste(tmp_path: Path) -> None:
    draw_circle(tmp_path / "cat.png", (220, 40, 40))
    async with prompt(tmp_path) as (driver, press):
        driver.host.copy_to_clipboard(f"{tmp_path}/cat.png")
        await press("ctrl+v")
        assert driver.names == ["Drop"]
        driver.host.copy_to_clipboard("a\x1b[31mb")
        await press("ctrl+v")
        assert driver.area.text == "a[31mb"


async def test_what_stands_beside_a_dropped_picture_is_cut_as_well(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, _):
        driver.area.post_message(Paste("data:image/png;base64,iVBORw0KGgo= " + "y " * 150_000))
        await driver._press()
        assert driver.names == ["Drop", "Notice"]
        assert len(driver.area.text) == 200_000


@pytest.mark.parametrize("size", [(80, 24), (80, 12), (40, 16)])
async def test_the_line_being_written_and_the_hint_are_always_seen(tmp_path: Path, size: tuple[int, int]) -> None:
    for name in "abcdefghij":
        (tmp_path / f"{name}.txt").touch()
    async with prompt(tmp_path, size) as (driver, press):
        driver.prompt.queued = tuple("abcdefg")
        driver.prompt.area.insert_pasted("line\n" * 12)
        await press(*"see", "space", "full_stop", "slash")
        screen = driver.host.screen.region
        assert driver.host.query_one(CompletionList).is_open
        assert all(screen.contains_region(driver.host.query_one(name).region) for name in ("#frame", "#hint", "CompletionList"))
        assert driver.area.region.contains_point(driver.area.cursor_screen_offset)


async def test_a_row_of_the_list_is_one_line_however_narrow(tmp_path: Path) -> None:
    async with prompt(tmp_path, (40, 24)) as (driver, press):
        await press("slash")
        assert driver.host.query_one(CompletionList).virtual_size.height == driver.host.query_one(CompletionList).option_count


@pytest.mark.parametrize(
    ("width", "wanted"),
    [
        (100, "Enter queues: a reply is being written · Ctrl+J new line"),
        (66, "Enter queues: a reply is being written"),
        (40, "Enter queues"),
    ],
)
async def test_a_hint_gives_way_whole(tmp_path: Path, width: int, wanted: str) -> None:
    async with prompt(tmp_path, (width, 24)) as (driver, press):
        await press("a")
        driver.prompt.state, driver.prompt.token_count, driver.prompt.room = PromptState.QUEUES, 12, 2900
        await press()
        assert str(driver.host.query_one("#hint", Static).render()) == wanted


async def test_keys_beside_a_drawer_give_way_whole_however_late_it_opens(tmp_path: Path) -> None:
    """Fails when the keys that were told before keep the room that they had, and break off in the middle of a word."""
    async with prompt(tmp_path, (80, 24)) as (driver, press):
        driver.prompt.keys = ("Enter open", "r rename", "t tags", "a archive", "Esc back")
        await press()
        driver.prompt.covered = (40, 0)
        await press()
        assert str(driver.host.query_one("#hint", Static).render()) == "Enter open · r rename · Esc back"


async def test_an_empty_prompt_and_a_command_cost_nothing(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.token_count, driver.prompt.room = 0, 2900
        await press()
        assert str(driver.host.query_one("#count", Static).render()) == "2,900 free"
        driver.prompt._judge = lambda text: Kind.COMMAND if text.startswith("/") else Kind.MESSAGE
        await press(*"/new")
        assert str(driver.host.query_one("#count", Static).render()) == "2,900 free"


@pytest.mark.parametrize("name", ["plain.png", "with blank.png", "c[bold][x].png"])
async def test_a_whole_path_behind_a_command_needs_one_enter(tmp_path: Path, name: str) -> None:
    """The list would put quotes around it, which says nothing new."""
    (tmp_path / name).write_bytes(b"x")
    async with prompt(tmp_path) as (driver, press):
        driver.area.insert(f"/image {name}")
        await press("enter")
        (event,) = [heard for heard in driver.host.heard if isinstance(heard, Prompt.Submitted)]
        assert event.text == f"/image {name}"


async def test_the_line_that_was_chosen_in_the_list_is_the_one_that_enter_takes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(b"x")
    async with prompt(tmp_path) as (driver, press):
        await press(*"/image ", "down", "enter")
        assert driver.area.text == "/image two.png"


async def test_a_whole_folder_is_taken_with_enter_and_what_lies_in_it_only_when_it_is_chosen(tmp_path: Path) -> None:
    """Each Enter went one folder deeper, so that none could ever be imported."""
    (tmp_path / "My bag" / "inside").mkdir(parents=True)
    async with prompt(tmp_path) as (driver, press):
        await press(*"/import My", "enter")
        assert driver.area.text == '/import "My bag/'
        await press("enter")
        assert [event.text for event in driver.host.heard if isinstance(event, Prompt.Submitted)] == ['/import "My bag/']
        await press(*'/import "My bag/', "down", "enter")
        assert driver.area.text == '/import "My bag/inside/'
