"""The program in a real pseudo-terminal, its output read by a terminal emulator (pyte): what a person would see, and every byte sent."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""How long a screen may take to show something on a busy machine: a limit against hanging, not a measurement."""


class Terminal:
    """`command` in a terminal of `columns` x `rows`. Everything that it writes is kept in `written`."""

    def __init__(self, command: list[str], environment: Mapping[str, str], cwd: Path, columns: int = 120, rows: int = 40) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.written = b""
        self._stream = pyte.ByteStream(self.screen)
        self.environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
        self._master, slave = pty.openpty()
        _set_size(slave, columns, rows)
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=self.environment,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        self.before = termios.tcgetattr(slave)
        self._slave = slave

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=PATIENCE)
        os.close(self._master)
        os.close(self._slave)

    @property
    def text(self) -> str:
        """The screen as it stands, trailing spaces gone."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def send(self, text: str) -> None:
        """What the keyboard sends."""
        os.write(self._master, text.encode())

    def paste(self, text: str) -> None:
        """What a terminal with bracketed paste sends for a drop."""
        self.send(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, as a window manager does."""
        self.screen.resize(rows, columns)
        _set_size(self._master, columns, rows)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def hang_up(self) -> int:
        """Close the terminal, as a window is closed; the program's exit code."""
        os.close(self._master)
        self._master = os.open(os.devnull, os.O_RDWR)
        return self.process.wait(timeout=PATIENCE)

    def wait_for(self, wanted: str | Callable[[str], bool]) -> str:
        """Read until the screen shows a text (or satisfies a test) and return it; AssertionError with the screen when it never does."""
        shows = wanted if callable(wanted) else lambda text: wanted in text
        deadline = time.monotonic() + PATIENCE
        while not shows(self.text):
            assert time.monotonic() < deadline, f"never showed {wanted!r}:\n{self.text}"
            if self.read(0.2):
                whole = time.monotonic() + 0.3
                while self.read(0.01) and time.monotonic() < whole:
                    continue  # a frame comes in pieces, and half of it is a screen that nobody sees
            elif self.process.poll() is not None:
                assert shows(self.text), f"ended with {self.process.returncode} before {wanted!r}:\n{self.text}"
        return self.text

    def read(self, seconds: float) -> bool:
        """Take in what comes within `seconds`; whether anything did."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says EIO when the other side is gone
            return False
        self.written += data
        self._stream.feed(data)
        return bool(data)

    def wait_for_end(self) -> int:
        """Read until the program ends; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"never ended:\n{self.text}"
            self.read(0.1)
        while self.read(0.1):
            continue
        return self.process.returncode

    def is_restored(self) -> bool:
        """Whether the terminal is as the program found it: line mode and echo on, main screen, cursor shown, no mouse reports."""
        modes = termios.tcgetattr(self._slave)
        last = {code: max(self.written.rfind(f"\x1b[?{code}{sign}".encode()) for sign in "hl") for code in ("1049", "25", "1000", "2004")}
        off = {code: self.written[at:].startswith(f"\x1b[?{code}l".encode()) for code, at in last.items() if at >= 0}
        cursor = not off.pop("25", False)
        return modes[3] == self.before[3] and cursor and all(off.values())


def nemochat(*arguments: str) -> list[str]:
    """The command under test."""
    return [sys.executable, "-m", "nemochat", *arguments]


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _set_size(handle: int, columns: int, rows: int) -> None:
    fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
