"""Yes or no from the person at the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading

from nemochat.domain.sanitize import sanitize

_LONGEST_ANSWER = 100
_YES = ("y", "yes")


def can_ask() -> bool:
    """Whether somebody sees what stands on stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


async def ask_yes(text: str) -> bool:
    """Show a text and wait for y or n. Only a y is a yes: no terminal, an end of input and an empty line are a no.

    What was typed before the question stood there is thrown away, so that it answers nothing. The read has a daemon thread of its own,
    because a blocked one must not hold up Ctrl+C.
    """
    if not can_ask():
        return False
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def settle(line: str) -> None:
        if not answer.done():
            answer.set_result(line)

    def read() -> None:
        line = _read_line()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, line)

    _forget_what_was_typed()
    print(f"{sanitize(text)} [y/N] ", end="", file=sys.stderr, flush=True)
    threading.Thread(target=read, name="answer", daemon=True).start()
    return (await answer).strip().lower() in _YES


def _terminal() -> int:
    """A file descriptor of the keyboard, also where standard input is something else. Raises OSError."""
    if sys.stdin is not None and sys.stdin.isatty():
        return os.dup(sys.stdin.fileno())
    return os.open("/dev/tty" if os.name == "posix" else "CONIN$", os.O_RDONLY)


def _read_line() -> str:
    with contextlib.suppress(OSError), os.fdopen(_terminal(), "rb", buffering=0) as keyboard:
        return keyboard.readline(_LONGEST_ANSWER).decode(errors="replace")
    return ""


def _forget_what_was_typed() -> None:
    if os.name != "posix":
        return
    import termios

    with contextlib.suppress(OSError, termios.error):
        handle = _terminal()
        try:
            termios.tcflush(handle, termios.TCIFLUSH)
        finally:
            os.close(handle)
