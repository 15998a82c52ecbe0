"""What the terminal is asked once the program reads its input, and its answer, which never is taken for keys."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING, cast

from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

if TYPE_CHECKING:
    from textual.app import App

QUESTION = "\x1b[c"
"""What are you (DA1)? Every terminal knows it; those that show Sixel graphics say so in their answer."""
_ANSWER = re.compile(r"\x1b\[\?([\d;]*)c")
_BEGINNING = re.compile(r"\x1b(\[(\?[\d;]*)?)?\Z")
_SIXEL = "4"
_OPEN_SECONDS = 10.0
"""How long an answer is waited for."""
_PIECE_SECONDS = 0.1
"""How long the rest of one is waited for."""


@dataclass
class TerminalAnswered(Message):
    """The answer to `QUESTION`."""

    has_sixel: bool


class _AnswerParser(XTermParser):
    """Takes the answer out of what is typed. Textual's own parser gives sequences that it does not know on as keys."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._is_first = True
        self._held, self._held_at = "", 0.0
        self._asks_until = time.monotonic() + _OPEN_SECONDS

    def feed(self, data: str) -> Iterable[Message]:
        """Messages for what the terminal sent. An answer may come in pieces."""
        if self._is_first:
            # This was typed before the program had the terminal, which made a line feed of Enter.
            data, self._is_first = data.replace("\n", "\r"), False
        data, self._held = self._held + data, ""
        if time.monotonic() < self._asks_until:
            if found := _ANSWER.search(data):
                self._asks_until = 0.0
                yield TerminalAnswered(_SIXEL in found[1].split(";")[1:])
                data = data[: found.start()] + data[found.end() :]
                if not data:
                    return
            elif begun := _BEGINNING.search(data):
                data, self._held, self._held_at = data[: begun.start()], begun[0], time.monotonic()
                if not data:
                    return
        yield from super().feed(data)

    def tick(self) -> Iterable[Message]:
        """What began like an answer and did not go on is what the user pressed: Esc, say."""
        if self._held and time.monotonic() - self._held_at > _PIECE_SECONDS:
            held, self._held = self._held, ""
            yield from super().feed(held)
        yield from super().tick()


class _Outlet:
    """The terminal as a file. What one that has hung up does not take is dropped: an error would end the thread that writes, and then
    everything would wait for that."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


class EarlyDriver(LinuxDriver):
    """Nothing that was typed before the program read its input is lost or taken for something else. It survives its terminal."""

    def __init__(self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        if self._file is not None:
            self._file = cast("TextIOWrapper", _Outlet(self._file))

    def run_input_thread(self) -> None:
        """Read the input."""
        linux_driver.XTermParser = _AnswerParser  # type: ignore[attr-defined]  # Textual has no other place for it
        super().run_input_thread()


class AskingDriver(EarlyDriver):
    """Asks the terminal what it is, when its input is being read."""

    def start_application_mode(self) -> None:
        """Ask behind everything that Textual sends at its start."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.write(QUESTION)
        self.flush()
