"""Text that nobody here wrote leaves no byte of its escapes on the terminal: the payloads of model, file names and the user himself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.pictures import draw_circle
from tests.terminal.conftest import Open

PAYLOADS = {
    "clipboard": "\x1b]52;c;UEFZTE9BRA==\x07",
    "title": "\x1b]0;PAYLOAD\x07",
    "link": "\x1b]8;;http://payload.example\x1b\\x\x1b]8;;\x1b\\",
    "string": "\x1bP1$r PAYLOAD\x1b\\",
    "query": "\x1b[6n",
    "c1": "\x9b31mPAYLOAD\x9d0;PAYLOAD\x9c",
    "markup": "[@click=app.exit]PAYLOAD[/] [/foo] [bold",
}
FORBIDDEN = (b"\x1b]52;c;UEFZ", b"\x1b]0;PAYLOAD", b"\x1b]8;;http://payload", b"\x1bP1$r", b"\x1b[6n", b"\xc2\x9b31m", b"\xc2\x9d0;")


@pytest.mark.parametrize("pieces", ["whole", "characters"])
def test_the_models_text(terminal: Open, pieces: str) -> None:
    text = " ".join(PAYLOADS.values()) + " finished"
    tty = terminal(script={"replies": [{"text": text, "pieces": pieces}]})
    tty.wait_for("ready")
    before = tty.written
    tty.send("Go.\r")
    tty.wait_for("finished")
    _assert_clean(tty.written[len(before) :])


def test_the_users_text(terminal: Open) -> None:
    tty = terminal(replies=("Yes, finished.",))
    tty.wait_for("ready")
    before = tty.written
    # Terminals take ESC and BEL out of a paste themselves, because a paste could end itself otherwise; C1 and markup come through.
    tty.paste(" ".join(PAYLOADS.values()).replace("\x1b", "").replace("\x07", ""))
    tty.send("\r")
    tty.wait_for("Yes, finished.")
    _assert_clean(tty.written[len(before) :])


def test_file_names(terminal: Open, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw_circle(folder / "a\x1b]52;c;UEFZTE9BRA==\x07.png", (40, 80, 220))
    draw_circle(folder / "b\x9b31m[@click=app.exit].png", (40, 80, 220))
    draw_circle(folder / "c[bold][x].png", (40, 80, 220))
    tty = terminal(replies=("Yes, finished.",))
    tty.wait_for("ready")
    before = tty.written
    tty.send("/image pictures/")
    tty.wait_for("c[bold][x].png")  # in the list of what may come next
    tty.send("c\t\r")
    tty.wait_for("c(bold)(x).png 240x240, 16 tokens")
    tty.send("What is it?\r")
    tty.wait_for("Yes, finished.")
    _assert_clean(tty.written[len(before) :])


def _assert_clean(written: bytes) -> None:
    assert [payload for payload in FORBIDDEN if payload in written] == []
