"""Quitting in the middle of things, in the real program: exit code 0, no word of a crash, the terminal as it was."""

from __future__ import annotations

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
