"""kill -9 in the middle of replies: what the screen had shown as sent is in the library, and so is what had come of the reply."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from nemochat.library import Library
from tests.terminal.conftest import Open

ROUNDS = 12
WORDS = tuple(f"word{number}" for number in range(400))


def test_nothing_that_was_shown_as_sent_is_lost_in_a_dozen_kills(terminal: Open, tmp_path: Path) -> None:
    script = {"token_seconds": 0.02}
    for number in range(ROUNDS):
        tty = terminal("--resume", replies=(" ".join(WORDS),), script=script, columns=100, rows=30)
        question = f"question-{number}"
        tty.wait_for("ready")
        tty.send(f"{question}\r")
        # The first ones are killed as soon as the words are on the screen, the others somewhere in the reply.
        tty.wait_for(f"\n│ {question}")  # in a frame of its own it is still in the prompt
        seconds = (number % 4) * 0.4
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            tty.read(0.05)
        os.killpg(tty.process.pid, signal.SIGKILL)
        tty.process.wait()
        library, notices = Library.open(tmp_path / "data" / "library")
        with library:
            assert notices == []
            assert library.check() == []
            stored = library.load(library.conversations()[0].id).chat
        texts = [entry.message.text for entry in stored.entries]
        assert f"question-{number}" in [*texts, *(each.message.text for each in stored.waiting)]
        if seconds > 1:
            assert texts[-1].startswith("word0 word1"), "the reply was saved as it grew"
            assert stored.entries[-1].interrupted
