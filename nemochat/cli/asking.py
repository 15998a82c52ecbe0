"""Yes or no from the person at the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from itertools import pairwise

from nemochat.domain.visible import row_starts, visible
from nemochat.numbers import plural
from nemochat.system import terminal
from nemochat.system.threads import in_daemon

_LONGEST_ANSWER = 100
_MARGIN = 2
_YES = ("y", "yes")


def can_ask() -> bool:
    """Whether somebody sees what stands on stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


async def ask_yes(text: str, question: str) -> bool:
    """Show a text in whole and wait for y or n. Only a y is a yes: no terminal, an end of input and an empty line are a no.

    A text that is longer than the screen is shown a page at a time, so that all of it was in sight before the question stands there. What
    cannot be seen is spelled out, and a row that goes on with the one above begins with a bar. What was typed before a page or the
    question stood there is thrown away, so that it answers nothing.
    """
    if not can_ask():
        return False
    columns, lines = _size()
    shown = visible(text, kept="\n")
    starts = row_starts(shown, columns - _MARGIN - 1)
    rows = [_row(shown, start, end) for start, end in pairwise(starts)] if shown else []
    page = max(1, lines - 2)
    for at in range(page, len(rows), page):
        print("\n".join(rows[at - page : at]), file=sys.stderr)
        left = len(rows) - at
        answer = await _answer(f"{plural(left, 'more line')}: Enter shows them, n says no ")
        if not answer.endswith("\n") or answer.strip():
            return False
    rest = rows[(len(rows) - 1) // page * page :]
    print("".join(f"{row}\n" for row in rest), end="", file=sys.stderr)
    return (await _answer(f"{visible(question)} [y/N] ")).strip().lower() in _YES


async def _answer(prompt: str) -> str:
    """A line from the keyboard, with its end."""
    _forget_what_was_typed()
    print(prompt, end="", file=sys.stderr, flush=True)
    return await in_daemon(_read_line)


def _row(text: str, start: int, end: int) -> str:
    goes_on = start > 0 and text[start - 1] != "\n"
    return ("│ " if goes_on else "  ") + text[start:end].rstrip("\n")


def _size() -> tuple[int, int]:
    """Columns and lines of the terminal; those of an old one where it does not say."""
    columns, lines = 0, 0
    with contextlib.suppress(OSError, ValueError):
        columns, lines = os.get_terminal_size(sys.stderr.fileno())
    return max(columns or 80, 10), max(lines or 24, 4)


def _terminal() -> int:
    """A file descriptor of the keyboard, also where standard input is something else. Raises OSError."""
    if sys.stdin is not None and sys.stdin.isatty():
        return os.dup(sys.stdin.fileno())
    return terminal.open_keyboard()


def _read_line() -> str:
    with contextlib.suppress(OSError), os.fdopen(_terminal(), "rb", buffering=0) as keyboard:
        return keyboard.readline(_LONGEST_ANSWER).decode(errors="replace")
    return ""


def _forget_what_was_typed() -> None:
    with contextlib.suppress(OSError):
        handle = _terminal()
        try:
            terminal.forget_typed(handle)
        finally:
            os.close(handle)
