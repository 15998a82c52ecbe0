"""What the prompt of the real screen does with an editor, with earlier prompts, with completion, and when the program is left."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.system import terminal
from nemochat.tui.app import NemochatApp
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import running


@contextlib.contextmanager
def _left(app: NemochatApp) -> Iterator[None]:
    """A terminal that can be left and come back to; there is none in a test."""
    yield


def _editor(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make a shell script the user's editor; the file is its first argument."""
    file = folder / "my editor.sh"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", f"'{file}' --wait")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(NemochatApp, "suspend", _left)


async def test_the_editor_gets_the_prompt_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor's own arguments and a blank in its path are kept; a picture's token stays."""
    _editor(tmp_path, monkeypatch, 'test "$1" = --wait || exit 1\nsed -i "s/rough/fine/" "$2"\nprintf "\\nsecond line\\n" >> "$2"')
    draw_circle(tmp_path / "red.png", (220, 40, 40))
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.paste(str(tmp_path / "red.png"))
        await driver.type("a rough draft")
        await driver.press("ctrl+g")
        await driver.until(lambda: "second line" in driver.screen.prompt.plain_text)
        assert driver.draft == ["red.png"]
        await driver.press("enter")
        await driver.settle()
        message = driver.desk.chat.entries[0].message
        assert message.text == "a fine draft\nsecond line"
        assert [part.name for part in message.images] == ["red.png"]


@pytest.mark.parametrize(("script", "says"), [("exit 3", "ended with code 3"), ("rm -r /nowhere-at-all 2>/dev/null; exit 0", "")])
async def test_an_editor_that_fails_or_changes_nothing_leaves_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    _editor(tmp_path, monkeypatch, script)
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("my words")
        await driver.press("ctrl+g")
        if says:
            await driver.told(says)
        assert driver.screen.prompt.plain_text == "my words"


async def test_ctrl_z_undoes_where_there_is_no_shell_to_go_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did nothing on Windows: Textual suspends no program there."""
    monkeypatch.setattr(terminal, "CAN_SUSPEND", False)
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("half a sentence")
        await driver.press("ctrl+z")
        await driver.until(lambda: driver.screen.prompt.plain_text != "half a sentence")


async def test_an_editor_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _editor(tmp_path, monkeypatch, "")
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("my words")
        await driver.press("ctrl+g")
        await driver.told("The editor /no/such/editor cannot be started")
        assert driver.screen.prompt.plain_text == "my words"


async def test_a_terminal_that_cannot_be_left_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", os.devnull)
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("my words")
        await driver.press("ctrl+g")
        await driver.told("cannot be left for an editor")
        assert driver.screen.prompt.plain_text == "my words"


async def test_earlier_prompts_are_there_at_the_next_start_and_what_was_typed_comes_back(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("first\nof two lines")
        await driver.send("/copy")
        await driver.send("second")
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("unsent")
        seen = []
        for key in ("up", "up", "up", "up", "up", "down"):
            await driver.press(key)
            seen.append(driver.screen.prompt.plain_text)
        assert seen[:2] == ["second", "/copy"]
        assert "first\nof two lines" in seen
        for _ in range(6):
            await driver.press("down")
        assert driver.screen.prompt.plain_text == "unsent"


async def test_completion_by_key_and_by_mouse(tmp_path: Path) -> None:
    """The list of commands belongs to the keys while it is open; a click takes its line."""
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.press("/", "e", "x")
        assert "Write this chat to a .md" in driver.shown
        assert "Hide the last message" in driver.shown
        await driver.press("tab")
        assert driver.screen.prompt.plain_text in ("/export", "/exclude")
        driver.screen.prompt.load_text("")
        await driver.press("/", "e", "x")
        await driver.click("Hide the last message")
        assert driver.screen.prompt.plain_text == "/exclude"
        assert driver.app.focused is driver.screen.prompt.area


async def test_control_q_and_quit_leave_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.press("ctrl+q")
        assert driver.app.return_code == 0
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("/quit")
        await driver.press("enter")
        await driver.until(lambda: driver.app.return_code == 0)
