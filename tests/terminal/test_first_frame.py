"""What is typed, dropped and answered before the chat is there: all of it arrives, in its order, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.pictures import draw_circle
from tests.terminal.conftest import Open

PLACEHOLDER = "Ask something"


@pytest.mark.parametrize("typed_at", ["start", "first frame"])
def test_a_question_typed_before_the_chat_is_there_is_sent_and_the_next_letters_stay_in_the_prompt(terminal: Open, typed_at: str) -> None:
    tty = terminal(replies=("So it is.",), NEMOCHAT_INTERFACE_PICTURES="auto")
    if typed_at == "first frame":
        tty.wait_for(PLACEHOLDER)
    tty.send("hello out there\rand then")
    tty.wait_for("So it is.")
    text = tty.wait_for("│ and then")
    assert text.count("hello out there") == 1
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()


@pytest.mark.parametrize("answer", ["\x1b[?1;2c", "\x1b[?64;1;2;4;6;9;15;16;17;18;21;22;28;29c", "\x1b[?62", "\x1b"])
def test_an_answer_of_the_terminal_is_never_text(terminal: Open, answer: str) -> None:
    """It comes in two pieces, between letters, and longer than Textual looks for."""
    tty = terminal(replies=("So it is.",), NEMOCHAT_INTERFACE_PICTURES="auto")
    tty.wait_for(PLACEHOLDER)
    assert b"\x1b[c" in tty.written
    rest = "" if answer.endswith("c") else "[?1;2c" if answer == "\x1b" else ";4c"
    tty.send(f"he{answer}")
    tty.read(0.05)
    tty.send(f"{rest}llo\r")
    tty.wait_for("So it is.")
    assert "hello" in tty.text
    assert not any(word in tty.text for word in ("[?", ";2c", "?62", "^"))


def test_no_question_is_asked_where_the_settings_or_the_environment_tell(terminal: Open) -> None:
    tty = terminal(replies=("So it is.",), NEMOCHAT_INTERFACE_PICTURES="halfblocks")
    tty.wait_for("ready")
    assert b"\x1b[c" not in tty.written


def test_a_picture_dropped_at_once_is_attached(terminal: Open, tmp_path: Path) -> None:
    draw_circle(tmp_path / "a circle.png", (220, 40, 40))
    tty = terminal(replies=("A circle.",))
    tty.send(f"'{tmp_path / 'a circle.png'}' ")
    tty.wait_for("a circle.png 240x240")
    tty.send("What is it?\r")
    tty.wait_for("A circle.")


def test_ctrl_q_before_the_chat_is_there_quits(terminal: Open) -> None:
    tty = terminal(replies=("Yes.",))
    tty.wait_for(PLACEHOLDER)
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert tty.is_restored()


def test_what_is_wrong_with_the_environment_is_one_sentence_and_the_terminal_is_as_it_was(terminal: Open) -> None:
    tty = terminal(replies=("Yes.",), NEMOCHAT_ENGINE_THREADS="many")
    assert tty.wait_for_end() != 0
    assert tty.is_restored()
    assert "NEMOCHAT_ENGINE_THREADS" in tty.text
    assert "Traceback" not in tty.text
