"""What can be done with a message, each by its key, and by mouse in the menu. Tested is what the user sees."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nemochat.domain.segments import Segment
from nemochat.tui import clipboard
from nemochat.tui.screens.dialogs import Menu, Read, Write
from nemochat.tui.widgets.hint_line import PromptState
from nemochat.tui.widgets.message import MessageView
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Driver, running

WAYS = ("key", "menu", "mouse")
CODE = "Look:\n\n```python\nprint(1)\n```\n\nand\n\n```python\nprint(2)\n```\n"


@pytest.fixture(autouse=True)
def _no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies go to the terminal alone, whatever machine the tests run on."""
    monkeypatch.setattr(clipboard, "PROGRAMS", ())
    monkeypatch.delenv("TMUX", raising=False)


async def _do(driver: Driver, index: int, way: str, key: str, line: str) -> None:
    """Do something with a message: `key` is its key, `line` what the menu calls it."""
    await driver.focus_message(index)
    if way == "key":
        await driver.press(key)
        return
    if way == "menu":
        await driver.press("enter")
        await driver.dialog(Menu)
        await driver.press(key)
    else:
        view = driver.screen.transcript.focused_view()
        assert view is not None
        await driver.pilot.click(view, offset=(6, 1), button=3)
        await driver.dialog(Menu)
        await driver.click(line)
    await driver.until(lambda: not isinstance(driver.app.screen, Menu))
    await driver.pilot.pause()


def _prompt_text(segments: tuple[Segment, ...]) -> str:
    return "".join(getattr(segment, "text", "") for segment in segments)


@pytest.mark.parametrize("way", WAYS)
async def test_copy(tmp_path: Path, way: str) -> None:
    async with running(tmp_path, FakeEngine(reply("A **rose**."))) as driver:
        await driver.send("What is red?")
        await _do(driver, 1, way, "c", "Copy")
        await driver.told("Sent 11 characters to the terminal's clipboard")
        assert driver.app.clipboard == "A **rose**."
        await _do(driver, 0, way, "c", "Copy")
        await driver.told("Sent 12 characters")
        assert driver.app.clipboard == "What is red?"


@pytest.mark.parametrize("way", WAYS)
async def test_copy_the_code(tmp_path: Path, way: str) -> None:
    """The last block, without its fence; a message without code offers nothing of the kind."""
    async with running(tmp_path, FakeEngine(reply(CODE), reply("None."))) as driver:
        await driver.send("Code?")
        await _do(driver, 1, way, "y", "Copy the code")
        await driver.told("Sent")
        assert driver.app.clipboard.strip() == "print(2)"
        await driver.send("More?")
        await driver.focus_message(3)
        await driver.press("enter")
        await driver.dialog(Menu)
        assert "Copy the code" not in driver.shown


@pytest.mark.parametrize("way", WAYS)
async def test_edit_and_send_again(tmp_path: Path, way: str) -> None:
    engine = FakeEngine(reply("One."), reply("Two."), reply("Three."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        await driver.send("second")
        await _do(driver, 0, way, "e", "Edit and send again")
        await driver.until(lambda: driver.screen.prompt.state is PromptState.EDITS)
        assert driver.screen.prompt.plain_text == "first"
        await driver.send(" of all")
        assert driver.said == ["first of all", "Three."]
        assert "first of all" in driver.shown
        assert "second" not in _prompt_text(engine.requests[-1].segments)
        assert driver.screen.prompt.state is PromptState.SENDS


@pytest.mark.parametrize("way", WAYS)
async def test_edit_a_reply(tmp_path: Path, way: str) -> None:
    engine = FakeEngine(reply("One."), reply("Two."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        await _do(driver, 1, way, "e", "Edit")
        await driver.dialog(Write)
        await driver.press(*" Or 2.", "ctrl+s")
        await driver.back()
        assert driver.said == ["first", "One. Or 2."]
        assert "One. Or 2." in driver.shown
        await driver.send("second")
        assert "One. Or 2." in _prompt_text(engine.requests[-1].segments)


async def test_escape_leaves_a_reply_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        await _do(driver, 1, "key", "e", "Edit")
        await driver.dialog(Write)
        await driver.press(*" Or 2.", "escape")
        await driver.back()
        assert driver.said == ["first", "One."]


@pytest.mark.parametrize("way", WAYS)
async def test_another_reply(tmp_path: Path, way: str) -> None:
    engine = FakeEngine(reply("One."), reply("Two."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        await _do(driver, 1, way, "r", "Another reply")
        await driver.settle()
        assert driver.said == ["first", "Two."]
        assert "Two." in driver.shown
        assert "One." not in _prompt_text(engine.requests[-1].segments)


@pytest.mark.parametrize("way", WAYS)
async def test_let_it_go_on(tmp_path: Path, way: str) -> None:
    """In the reply's own place, also while it is being written."""
    engine = FakeEngine(reply("Once"), reply(" upon"))
    async with running(tmp_path, engine) as driver:
        await driver.send("story")
        engine.gate = asyncio.Semaphore(0)
        await _do(driver, 1, way, "n", "Continue it")
        await driver.until(lambda: len(engine.requests) == 2)
        await driver.pilot.pause()
        assert len(driver.screen.query(MessageView)) == 2
        engine.gate.release()
        await driver.settle()
        assert driver.said == ["story", "Once upon"]
        assert "Once upon" in driver.shown
        assert _prompt_text(engine.requests[-1].segments).endswith("Once")


@pytest.mark.parametrize("way", WAYS)
async def test_a_new_chat_from_here(tmp_path: Path, way: str) -> None:
    engine = FakeEngine(reply("One."), reply("Two."), reply("Three."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        await driver.send("second")
        await _do(driver, 1, way, "f", "New chat from here")
        await driver.until(lambda: driver.said == ["first", "One."])
        await driver.told("new chat")
        await driver.send("third")
        assert driver.said == ["first", "One.", "third", "Three."]
        assert "second" not in driver.shown


@pytest.mark.parametrize("way", WAYS)
async def test_pin(tmp_path: Path, way: str) -> None:
    """Pinned and unpinned again; the label says it."""
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        await _do(driver, 0, way, "p", "Pin")
        await driver.until(lambda: "pinned" in driver.shown)
        assert [entry.message.pinned for entry in driver.desk.chat.entries] == [True, False]
        await driver.settle()
        await _do(driver, 0, way, "p", "Unpin")
        await driver.until(lambda: "pinned" not in driver.shown)


@pytest.mark.parametrize("way", WAYS)
async def test_exclude(tmp_path: Path, way: str) -> None:
    """The model does not get it, the user still sees it, and it can be put back."""
    engine = FakeEngine(reply("Uno."), reply("Two."), reply("Three."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        await _do(driver, 1, way, "x", "Exclude")
        await driver.until(lambda: "excluded" in driver.shown)
        await driver.send("second")
        assert "Uno." in driver.shown
        assert "Uno." not in _prompt_text(engine.requests[-1].segments)
        await _do(driver, 1, way, "x", "Let the model see it again")
        await driver.settle()
        await driver.send("third")
        assert "Uno." in _prompt_text(engine.requests[-1].segments)


@pytest.mark.parametrize("way", WAYS)
async def test_delete(tmp_path: Path, way: str) -> None:
    engine = FakeEngine(reply("One."), reply("Two."), reply("Three."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        await driver.send("second")
        await _do(driver, 3, way, "d", "Delete")
        await driver.until(lambda: driver.said == ["first", "One.", "second"])
        await driver.until(lambda: "Two." not in driver.shown)


@pytest.mark.parametrize("way", WAYS)
async def test_details(tmp_path: Path, way: str) -> None:
    """Times, tokens, sampling and the exact prompt of a reply."""
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        await _do(driver, 1, way, "i", "Details")
        await driver.dialog(Read)
        for words in ("Time to first token", "temperature 0", "The exact prompt", "first"):
            assert words in driver.shown
        await driver.press("escape")
        await driver.back()


@pytest.mark.parametrize("way", WAYS)
async def test_what_would_change_the_chat_waits_for_the_reply(tmp_path: Path, way: str) -> None:
    """While a reply is written the chat is not changed under it, and the screen says so; copying is always possible."""
    engine = FakeEngine(reply("One."), reply("Two."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        engine.gate = asyncio.Semaphore(0)
        await driver.type("second")
        await driver.press("enter")
        await driver.until(lambda: len(engine.requests) == 2)
        await _do(driver, 1, way, "d", "Delete")
        await driver.told("A reply is being written")
        await _do(driver, 1, way, "c", "Copy")
        await driver.told("Sent")
        engine.gate.release()
        await driver.settle()
        assert driver.said == ["first", "One.", "second", "Two."]
