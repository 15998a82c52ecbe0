"""kill -9 in the middle of replies: what the screen had shown as sent is in the library, and so is what had come of the reply."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from nemochat.domain.chat import Chat
from nemochat.library import Library
from tests.terminal.conftest import Open

ROUNDS = 12
WORDS = tuple(f"word{number}" for number in range(1000))


def _stored(folder: Path) -> Chat:
    library, notices = Library.open(folder / "data" / "library")
    with library:
        assert notices == []
        assert library.check() == []
        return library.load(library.conversations()[0].id).chat


def _has_grown(folder: Path, said: int, _: str) -> bool:
    """Whether the chat is longer than before this run, and ends with the beginning of a reply."""
    entries = _stored(folder).entries
    return len(entries) > said and entries[-1].message.text.startswith("word0 word1")


def test_nothing_that_was_shown_as_sent_is_lost_in_a_dozen_kills(terminal: Open, tmp_path: Path) -> None:
    said = 0
    for number in range(ROUNDS):
        tty = terminal("--resume", replies=(" ".join(WORDS),), script={"token_seconds": 0.02}, columns=100, rows=30)
        question = f"question-{number}"
        tty.wait_for("ready")
        tty.send(f"{question}\r")
        # The first ones are killed as soon as the words are on the screen, others somewhere in the reply, the last when some of it is kept.
        tty.wait_for(f"\n│ {question}")  # in a frame of its own it is still in the prompt
        keeps = number % 4 == 3
        if keeps:
            tty.wait_for(partial(_has_grown, tmp_path, said))
        deadline = time.monotonic() + number % 4 * 0.4
        while not keeps and time.monotonic() < deadline:
            tty.read(0.05)
        os.killpg(tty.process.pid, signal.SIGKILL)
        tty.process.wait()
        stored = _stored(tmp_path)
        messages = [*(each.message for each in stored.entries), *(each.message for each in stored.waiting)]
        assert question in [message.text for message in messages]
        assert not keeps or stored.entries[-1].interrupted
        said = len(stored.entries)
