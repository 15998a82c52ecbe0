"""The user's lines: with editing and history at a terminal, as they come from a pipe; one reader at a time."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from nemochat.cli.output import print_note
from nemochat.cli.stdin import is_piped, read_lines
from nemochat.domain.sanitize import sanitize
from nemochat.system import line_editing, terminal
from nemochat.system.threads import in_daemon

T = TypeVar("T")
_LONGEST_LINE = 1 << 20


class Lines:
    """Reads lines. history: earlier prompts, the oldest first.

    A read at the terminal cannot be taken back: it goes on when its reader is gone, and the next reader waits for it.
    """

    def __init__(self, history: Sequence[str]) -> None:
        self.is_terminal = not is_piped()
        self.edits = self.is_terminal and sys.stdout.isatty() and line_editing.IS_THERE
        """Whether a line is edited where it stands, so that it can begin with a text."""
        self._pastes = self.edits and os.environ.get("TERM") != "dumb"
        """Whether several lines that are pasted are one text. The terminal is told to mark them, which a simple one would show."""
        self.turn = asyncio.Lock()
        """Held by whoever asks something."""
        self._piped = None if self.is_terminal else read_lines()
        self._given_back: list[str] = []
        self._reading: asyncio.Task[Any] | None = None
        self._prompt = ""
        self._modes: Any = None
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        if self.edits:
            line_editing.begin(history, marks_pastes=self._pastes)

    async def read(self, prompt: str, text: str = "") -> str | None:
        """The next line without its end; None at the end of input. text: what the line begins with, where lines are edited."""
        if self._piped is not None:
            return self._given_back.pop() if self._given_back else await anext(self._decoded(self._piped), None)
        self._prompt = prompt
        try:
            line = await self.alone(in_daemon(lambda: self._typed_line(prompt, text)))
        finally:
            self._prompt = ""
        return line

    async def alone(self, work: Coroutine[Any, Any, T]) -> T:
        """What something brings that reads the terminal. It goes on if this is cancelled, and the next one waits for it."""
        if self._reading is not None and not self._reading.done():
            print_note("Press Enter to go on.")
            await asyncio.wait({self._reading})
        reading = self._reading = asyncio.create_task(work)
        return await asyncio.shield(reading)

    def keep_terminal(self) -> None:
        """Remember how the terminal is: an edited line that is left behind changes it."""
        if self.is_terminal:
            self._modes = terminal.modes()

    def restore_terminal(self) -> None:
        """As it was."""
        if self._pastes and self._reading is not None and not self._reading.done():
            with suppress(OSError):
                os.write(1, b"\x1b[?2004l")
        terminal.set_modes(self._modes)

    def give_back(self, line: str) -> None:
        """The next reader gets this line of a pipe: it was no answer."""
        self._given_back.append(line)

    @property
    def typed(self) -> str:
        """What stands in the line that is being edited."""
        return line_editing.typed() if self.edits and self._prompt else ""

    @property
    def shown(self) -> str:
        """The line that is being edited as it stands on the screen, with its prompt; "" where nothing is being read."""
        return f"{self._prompt}{self.typed}"

    @staticmethod
    async def _decoded(piped: Any) -> Any:
        async for line in piped:
            yield sanitize(line.decode("utf-8", errors="replace")).rstrip("\r\n")

    def _typed_line(self, prompt: str, text: str) -> str | None:
        """In a thread of its own."""
        if not self.edits:
            # A file object of its own: the interpreter closes sys.stdin at its end and would wait for a read that is under way.
            print_note(prompt, end="")
            with suppress(OSError), os.fdopen(os.dup(0), "rb", buffering=0) as keyboard:
                line = keyboard.readline(_LONGEST_LINE)
                return sanitize(line.decode("utf-8", errors="replace")).rstrip("\r\n") if line else None
            return None

        try:
            return sanitize(line_editing.edited(prompt, text))
        except EOFError:
            return None
