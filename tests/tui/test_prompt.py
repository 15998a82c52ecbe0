"""The prompt alone, in a bare host: tokens that are one unit, completion, recall, paste and the hint line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.events import Paste
from textual.message import Message
from textual.widgets import Static

from nemochat.chat.completion import Completion, complete
from nemochat.chat.drops import Drop, find_drops
from nemochat.chat.recall import PromptHistory
from nemochat.tui.widgets.completion_list import CompletionList
from nemochat.tui.widgets.prompt import Prompt, PromptState
from nemochat.tui.widgets.prompt_area import PromptArea
from tests.images.pictures import draw_circle

Press = Callable[..., Awaitable[None]]
LABEL = "[image 1: cat.png 640x480, 64 tokens]"


class Host(App[None]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.heard: list[Message] = []

    def compose(self) -> ComposeResult:
        yield Prompt(find_drops=self.find, complete=self.complete_, history=PromptHistory(self.folder / "prompts.jsonl"))

    def find(self, text: str) -> Drop:
        return find_drops(text, self.folder, self.folder)

    def complete_(self, text: str) -> Completion | None:
        return complete(text, {"model": ["demo", "other"]}, self.folder, self.folder)

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        self.heard.append(event)

    def on_prompt_token_removed(self, event: Prompt.TokenRemoved) -> None:
        self.heard.append(event)

    def on_prompt_dropped(self, event: Prompt.Dropped) -> None:
        self.heard.append(event)

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
        driver.prompt.focus_area()
        await pilot.pause()
        yield driver, press


async def test_enter_hands_out_the_text_and_keeps_it(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        await press(*"hello", "enter")
        (event,) = driver.host.heard
        assert isinstance(event, Prompt.Submitted)
        assert (event.text, event.tokens) == ("hello", [])
        assert driver.prompt.plain_text == "hello"


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter", "alt+enter"])
async def test_a_new_line_is_not_the_end(tmp_path: Path, key: str) -> None:
    async with prompt(tmp_path) as (driver, press):
        await press("a", key, "b")
        assert driver.area.text == "a\nb"
        assert driver.host.heard == []


async def test_a_token_is_handed_out_by_key_and_not_as_text(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.insert_token("k", LABEL)
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
        driver.prompt.insert_token("k", LABEL)
        await press(*keys)
        assert driver.area.text.strip() == ""
        assert driver.names == ["TokenRemoved"]
        assert driver.prompt.tokens == []


async def test_the_cursor_jumps_over_a_token(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.insert_token("k", LABEL)
        await press("home", "right")
        assert driver.area.cursor_location == (0, len(LABEL))
        await press("left")
        assert driver.area.cursor_location == (0, 0)


async def test_a_tokens_words_change_without_touching_the_text(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, press):
        driver.prompt.insert_token("k", "[image 1: cat.png, reading]")
        await press(*"hi")
        driver.prompt.replace_token("k", LABEL)
        await press("!")
        assert driver.area.text == f"{LABEL} hi!"
        assert driver.host.heard == []


async def test_text_that_looks_like_a_token_is_text(tmp_path: Path) -> None:
    async with prompt(tmp_path) as (driver, _):
        driver.prompt.insert_text(LABEL)
        assert driver.prompt.tokens == []
        assert driver.prompt.plain_text == LABEL


async def test_a_paste_of_paths_is_a_drop_and_leaves_the_rest_as_text(tmp_path: Path) -> None:
    draw_circle(tmp_path / "a b.png", (220, 40, 40))
    async with prompt(tmp_path) as (driver, _):
        driver.area.post_message(Paste(f"what is in '{tmp_path}/a b.png'?"))
        await driver._press()
        (event,) = driver.host.heard
        assert isinstance(event, Prompt.Dropped)
        assert [file.path.name for file in event.drop.files] == ["a b.png"]
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
        await press("slash", "t", "h")
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
        driver.prompt.insert_token("k", LABEL)
        await press(*"now", "up")
        assert (driver.prompt.plain_text, driver.prompt.tokens) == ("earlier", ["k"])
        await press("down")
        assert (driver.prompt.plain_text, driver.prompt.tokens) == ("now", ["k"])


@pytest.mark.parametrize(("width", "wanted"), [(60, "Enter sends"), (80, "Enter sends · Ctrl+J new line"), (120, "F1 help")])
async def test_the_hint_gives_way_on_narrow_screens(tmp_path: Path, width: int, wanted: str) -> None:
    async with prompt(tmp_path, (width, 24)) as (driver, press):
        driver.prompt.state = PromptState.SENDS
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
