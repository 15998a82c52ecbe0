"""Text that nobody here wrote leaves no byte of its escapes on the terminal: the payloads of model, file names and the user himself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nemochat.paths import find_paths
from tests.hostile import ALL, NAME, PAYLOADS, leaks, plant
from tests.images.pictures import draw_circle
from tests.terminal.conftest import Open
from tests.terminal.tty import Terminal


@pytest.mark.parametrize("pieces", ["whole", "characters"])
def test_the_models_text(terminal: Open, pieces: str) -> None:
    text = f"{ALL.replace(PAYLOADS['tokens'], '')} finished"
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


SCREENS = (
    ("/persona", "Choose a persona", "Evil"),
    ("/theme", "Colour theme", "PAYLOAD"),
    ("/search heron", "any persona", "PAYLOAD"),
    ("/mcp", "MCP servers", "small"),
)
"""What opens a screen, what is on it alone, and what it shows of the home."""


def test_every_screen_of_a_home_that_others_wrote(terminal: Open, tmp_path: Path) -> None:
    folders = {f"NEMOCHAT_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}
    plant(find_paths(folders), tmp_path / "place")
    (tmp_path / "config" / "config.toml").write_text(f'[interface]\n"no{NAME}" = 1\n')
    tty = terminal(replies=("Yes, finished.",), rows=50)
    tty.wait_for("The server “odd” needs")  # a notice; those of tools, settings and themes are beside it
    for command, title, shown in SCREENS:
        tty.send(f"{command}\r")
        _wait_for_screen(tty, title, shown)
        tty.send("\x1b")
        _wait_for_screen(tty, "Ask something", without=title)
    tty.send("/open\r")
    tty.wait_for("#]52;c")  # its tag, in the list
    tty.send("\r")
    tty.wait_for("seenPAYLOAD")  # its messages
    tty.send("\x1b")
    tty.wait_for(lambda text: "Enter searches all" not in text)
    tty.paste("/rename " + ALL.replace("\x1b", "").replace("\x07", ""))
    tty.send("\r")
    tty.send("/export out.md\r")
    tty.wait_for("out.md")
    _assert_clean(tty.written)
    # The shape of the mouse pointer (22) is all that nemochat ever tells a terminal in this way.
    assert set(re.findall(rb"\x1b[\]P^_X](\d*)", tty.written)) == {b"22"}
    assert leaks((tmp_path / "out.md").read_bytes()) == []


def _wait_for_screen(tty: Terminal, *shown: str, without: str = "\0") -> None:
    tty.wait_for(lambda text: without not in text and all(each in text for each in shown))


def _assert_clean(written: bytes) -> None:
    assert leaks(written) == []
