"""Quitting in the middle of things, in the real program: exit code 0, no word of a crash, the terminal as it was."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.terminal.conftest import Open

SLOW = {"token_seconds": 0.02, "replies": [{"text": "Some **words** of a reply.\n\n- a\n- list\n\n" * 60}]}


@pytest.mark.parametrize("after", [0.0, 0.15, 0.4, 0.8])
def test_quitting_soon_after_sending_ends_well(terminal: Open, after: float) -> None:
    tty = terminal(script=SLOW)
    tty.wait_for("ready")
    tty.send("a question\r")
    tty.read(after)
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()
    assert "ended in a way it should not" not in tty.text


def test_kill_9_takes_nothing_of_what_stands_in_a_dialog(terminal: Open, tmp_path: Path) -> None:
    tty = terminal(replies=("Yes.",))
    tty.wait_for("ready")
    tty.send("/system\r")
    tty.wait_for("Ctrl+S accepts")
    tty.send("You are a pirate")
    tty.wait_for(lambda _: any("You are a pirate" in path.read_text() for path in (tmp_path / "data" / "drafts").glob("*.json")))
    os.killpg(tty.process.pid, signal.SIGKILL)
    tty.process.wait()
    tty = terminal(replies=("Yes.",))
    tty.wait_for("ready")
    tty.send("\x1b[A")
    tty.wait_for("You are a pirate")
