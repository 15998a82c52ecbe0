"""Keys that a terminal sends before the question about a tool is on the screen, or all at once, are no answer to it."""

from __future__ import annotations

from pathlib import Path

from tests.terminal.conftest import Open

TOOL = '''
from pathlib import Path


def keep(text: str) -> str:
    """Keep a text."""
    Path({path!r}).write_text(text)
    return "kept"
'''
CALL = '<toolcall> {"name": "keep", "arguments": {"text": "hi"}} </toolcall>'
RIGHT = "\x1b[C"


def test_right_and_enter_in_one_write_give_no_permission(terminal: Open, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    folder = tmp_path / "config" / "tools"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(TOOL.format(path=str(kept)))
    (tmp_path / "config" / "config.toml").write_text('[tools]\noffered = ["keep"]\n')
    tty = terminal(replies=(CALL, "So be it."))
    tty.wait_for("ready")
    tty.send("Keep it.\r" + f"{RIGHT}\r" * 3)
    tty.wait_for("The model wants to run keep")
    # As soon as the first byte of the dialog is here, and in one write: neither the frame before nor the one after shows Enter on Yes.
    tty.send(f"{RIGHT}\r" * 3)
    while tty.read(1.0):
        continue
    assert "The model wants to run keep" in tty.text
    tty.send(f"{RIGHT}\r")
    while tty.read(0.5):
        continue
    assert "The model wants to run keep" in tty.text
    assert not kept.exists()
    tty.send("\r")  # Right moved the focus to Yes, which has been seen since
    tty.wait_for("So be it.")
    assert kept.read_text() == "hi"
