"""From launch to quit in a real terminal, with the real engine and the built-in demo model."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from nemochat.domain.messages import Role
from nemochat.library import Library
from tests.images.pictures import draw_circle
from tests.terminal.conftest import Open
from tests.terminal.tty import nemochat

READY = "ready"


def test_a_dropped_picture_is_asked_about_and_answered_rightly(terminal: Open, tmp_path: Path) -> None:
    picture = tmp_path / "my circle.png"
    draw_circle(picture, (220, 40, 40))
    tty = terminal()
    tty.wait_for(READY)
    tty.paste(f"'{picture}' ")
    tty.wait_for(lambda text: re.search(r"\[image 1: my circle.png 240x240, 64 tokens\]", text) is not None)
    tty.send("What colour is the circle?\r")
    tty.wait_for("The circle is red.")
    tty.wait_for("TTFT")
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()


def test_a_conversation_from_before_the_first_frame_to_the_export(terminal: Open, tmp_path: Path) -> None:
    picture = tmp_path / "circle.png"
    draw_circle(picture, (220, 40, 40))
    tty = terminal()
    tty.send("What colour is ")
    tty.wait_for(READY)
    tty.send("the circle?")
    tty.paste(f"'{picture}' ")
    tty.wait_for("[image 1: circle.png 240x240, 64 tokens]")
    tty.send("\r")
    tty.wait_for(lambda text: text.count("to first token") == 1 and "· ready" in text)
    tty.send("/pin\r")
    tty.wait_for("pinned")
    for number in (2, 3):
        tty.send("Hello!\r")
        tty.wait_for(lambda text, number=number: text.count("to first token") == number and "· ready" in text)  # type: ignore[misc]
    tty.send("/undo\r")
    tty.wait_for("Undone.")
    tty.send("/new\rHello!\r")
    tty.wait_for(lambda text: text.count("│ You") == text.count("to first token") == 1 and "circle" not in text and "· ready" in text)
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    again = terminal("--resume")
    again.wait_for("How can")
    again.send("\x11")
    assert again.wait_for_end() == 0
    done = subprocess.run(nemochat("library", "export", "all.zip"), cwd=tmp_path, env=again.environment, check=True, capture_output=True)
    assert b"all.zip" in done.stdout
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        chats = [json.loads(archive.read(name)) for name in archive.namelist() if name.startswith("conversations/")]
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
    said = sorted([each["text"] for each in chat["messages"]] for chat in chats)
    first, second = said[1][3], said[1][5]
    assert said == [["Hello!", said[0][1]], ["What colour is the circle?", "The circle is red.", "Hello!", first, "Hello!", second]]
    assert all("How can" in each for each in (first, second, said[0][1]))
    assert not any(message["rest"].get("pinned") for chat in chats for message in chat["messages"])
    assert pictures


def test_typing_and_sending_need_not_wait_for_the_model(terminal: Open) -> None:
    tty = terminal(replies=("I am here.",), script={"load_seconds": 1.5})
    tty.wait_for("Ask something")
    tty.send("Are you there?\r")
    text = tty.wait_for("Are you there?")
    assert "I am here." not in text
    tty.wait_for("I am here.")


def test_what_is_typed_right_behind_enter_is_the_next_message(terminal: Open) -> None:
    tty = terminal(replies=("Yes.",))
    tty.wait_for(READY)
    tty.send("one\rtwo")  # in one write, without bracketed paste
    tty.wait_for("Yes.")
    tty.wait_for(lambda text: re.search(r"│ one  ", text) is not None)
    tty.wait_for(lambda text: re.search(r"│ two +│", text) is not None)


def test_escape_stops_a_reply_and_keeps_what_came(terminal: Open) -> None:
    tty = terminal(replies=("word " * 400,), script={"token_seconds": 0.02})
    tty.wait_for(READY)
    tty.send("Go on.\r")
    tty.wait_for("word word word")
    tty.send("\x1b")
    text = tty.wait_for("stopped")
    assert "word word" in text


def test_control_c_twice_quits_and_once_does_not(terminal: Open) -> None:
    tty = terminal(replies=("Yes.",))
    tty.wait_for(READY)
    tty.send("\x03")
    tty.wait_for("again to quit")
    assert tty.process.poll() is None
    tty.send("\x03")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()


def test_quitting_in_the_middle_of_a_reply_leaves_no_process_and_a_clean_terminal(terminal: Open) -> None:
    tty = terminal(replies=("word " * 400,), script={"token_seconds": 0.05})
    tty.wait_for(READY)
    tty.send("Go on.\r")
    tty.wait_for("word")
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_24_a_signal_to_end_leaves_the_terminal_as_it_was_and_loses_nothing(
    terminal: Open, tmp_path: Path, number: signal.Signals
) -> None:
    tty = terminal(replies=("word " * 400,), script={"token_seconds": 0.02})
    tty.wait_for(READY)
    tty.send("one\rtwo\rhalf a thou")
    tty.wait_for("half a thou")
    tty.wait_for("word word")
    tty.process.send_signal(number)
    assert tty.wait_for_end() == 128 + number
    assert tty.is_restored()
    assert kept(tmp_path) == (["one", "two"], ["half a thou"])


def test_a_terminal_that_is_closed_under_a_reply_ends_the_program_and_loses_nothing(terminal: Open, tmp_path: Path) -> None:
    tty = terminal(replies=("word " * 400,), script={"token_seconds": 0.02})
    tty.wait_for(READY)
    tty.send("one\rtwo\rhalf a thou")
    tty.wait_for("half a thou")
    tty.wait_for("word word")
    assert tty.hang_up() == 128 + signal.SIGHUP
    assert kept(tmp_path) == (["one", "two"], ["half a thou"])


@pytest.mark.parametrize("load_seconds", [0.0, 3.0])
def test_15_and_17_quitting_in_the_same_breath_as_enter_loses_nothing(terminal: Open, tmp_path: Path, load_seconds: float) -> None:
    tty = terminal(replies=("Yes.",), script={"load_seconds": load_seconds})
    tty.wait_for("Ask something")
    tty.send("one\rtwo\rthree\rhalf a thou\x11")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()
    assert kept(tmp_path) == (["one", "two", "three"], ["half a thou"])


def kept(tmp_path: Path) -> tuple[list[str], list[str]]:
    """What the user said in the only chat, answered or waiting, and the drafts."""
    library, _ = Library.open(tmp_path / "data" / "library")
    with library:
        (row,) = library.conversations()
        chat = library.load(row.id).chat
    said = [entry.message.text for entry in chat.entries if entry.message.role is Role.USER]
    drafts = [json.loads(path.read_text())["text"] for path in (tmp_path / "data").glob("draft*/*.json")]
    return [*said, *(each.message.text for each in chat.waiting)], drafts


def test_suspend_and_come_back(terminal: Open) -> None:
    tty = terminal(replies=("Yes.",))
    tty.wait_for(READY)
    tty.send("\x1a")
    # Without a shell nobody takes the terminal over; what counts is that the program stops and goes on.
    tty.wait_for(lambda _: _state(tty.process.pid) == "T")
    left = len(tty.written)
    tty.process.send_signal(signal.SIGCONT)
    tty.wait_for(lambda _: b"\x1b[?1049h" in tty.written[left:])  # until then the terminal is the shell's, in line mode
    tty.send("Hello\r")
    tty.wait_for("Yes.")


def test_resizing_during_a_stream_loses_nothing(terminal: Open) -> None:
    tty = terminal(replies=("alpha " * 60 + "omega",), script={"token_seconds": 0.02})
    tty.wait_for(READY)
    tty.send("Go on.\r")
    tty.wait_for("alpha")
    tty.resize(80, 24)
    tty.resize(60, 20)
    tty.resize(100, 30)
    text = tty.wait_for("omega")
    assert text.count("alpha") >= 50


def test_no_colour_where_none_is_wanted(terminal: Open) -> None:
    tty = terminal(replies=("Yes.",), NO_COLOR="1")
    tty.wait_for(READY)
    colours = set(re.findall(rb"38;2;(\d+);(\d+);(\d+)", tty.written))
    assert all(red == green == blue for red, green, blue in colours)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
