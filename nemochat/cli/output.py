"""What the command line writes: replies and JSON on stdout; errors, notices, progress and statistics on stderr."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec

from nemochat.domain.events import Progress, Stage
from nemochat.domain.sanitize import escape_json, sanitize
from nemochat.errors import NemochatError

STAGE_WORDS = {
    Stage.LOAD: "loading the model",
    Stage.COMPILE: "preparing the GPU, which takes long the first time",
    Stage.ENCODE: "looking at the picture",
    Stage.PREFILL: "reading the prompt",
    Stage.SERVER: "waiting for the server",
}
"""What the engine is at."""
_MOST_PROBLEMS = 50


def when(seconds: float) -> str:
    """A time in tables, in the machine's own zone; seconds since the epoch."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def days_ago(days: int) -> float:
    """So long ago, in seconds since the epoch."""
    return time.time() - days * 24 * 60 * 60


def json_text(value: Any) -> str:
    """One line of JSON. What JSON may hold raw, but a terminal acts on or hides (DEL, C1, bidi and invisible characters), is escaped."""
    try:
        return escape_json(msgspec.json.encode(value).decode())
    except UnicodeEncodeError:  # a file name that is no UTF-8
        return escape_json(json.dumps(msgspec.to_builtins(value), ensure_ascii=False))


def print_json(value: Any) -> None:
    """Print one line of JSON at once, also into a pipe."""
    print(json_text(value), flush=True)


def say(text: str = "", *, strict: bool = False, end: str = "\n") -> None:
    """Print a text for people; `strict` where it is one line with names in it."""
    print(sanitize(text, strict=strict), end=end, flush=True)


def say_wrapped(text: str, lead: str = "") -> None:
    """Print a text for people behind a few words; on a terminal its words stay whole, and its lines begin below each other."""
    if not sys.stdout.isatty():
        say(lead + text)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not lead:
        Console().print(Text(sanitize(text)))
        return
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(sanitize(lead, strict=True)), Text(sanitize(text)))
    Console().print(grid)


def as_shown(error: Exception) -> NemochatError:
    """The sentence for any failure: its own, the system's (a full disk, say), or that of a bug."""
    if isinstance(error, NemochatError):
        return error
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return NemochatError(f"The system refused to read or write{place}: {error.strerror}.")
    if isinstance(error, MemoryError):
        return NemochatError("There is not enough memory for this.", "Close other programs, or give less at once.")
    problem = f"nemochat failed in a way it should not ({type(error).__name__}: {error})."
    return NemochatError(problem, "This is a bug: please report it with what NEMOCHAT_DEBUG=1 shows.")


def print_error(error: NemochatError) -> None:
    """One sentence and a hint on stderr."""
    print(f"Error: {sanitize(error.message, strict=True)}", file=sys.stderr)
    if error.hint:
        print(f"Hint: {sanitize(error.hint, strict=True)}", file=sys.stderr)


def print_note(text: str, *, strict: bool = True, end: str = "\n") -> None:
    """A sentence for the person at the terminal, on stderr; on one line, unless it is not `strict`."""
    print(sanitize(text, strict=strict), end=end, file=sys.stderr, flush=True)


def print_notes(texts: Iterable[str]) -> None:
    """Each on a line of its own."""
    for text in texts:
        print_note(text)


def print_problems(problems: Sequence[str]) -> None:
    """The same, of what may be thousands."""
    print_notes(problems[:_MOST_PROBLEMS])
    if len(problems) > _MOST_PROBLEMS:
        print_note(f"{len(problems) - _MOST_PROBLEMS:,} more problems are not shown.")


@functools.cache
def print_note_once(text: str) -> None:
    """The same, however often it is said in one run; nothing for ""."""
    if text:
        print_note(text)


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table for people. Nothing in the cells is read as markup, and escapes are dropped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(header))
    for title in header:
        table.add_column(Text(sanitize(title, strict=True)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(sanitize(cell, strict=True)) for cell in row))
    Console(soft_wrap=not sys.stdout.isatty()).print(table)


class StatusLine:
    """One line on stderr that says what the wait is for, gone with the block; nothing at all where stderr is not a terminal."""

    def __init__(self) -> None:
        self._is_wanted = sys.stderr.isatty()
        self._is_shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._is_wanted:
            print(f"\r\x1b[K{sanitize(text, strict=True)}", end="", file=sys.stderr, flush=True)
            self._is_shown = True

    def show_progress(self, progress: Progress) -> None:
        """Replace the line by how far the engine is."""
        share = f" {progress.done * 100 // progress.total} %" if progress.total else ""
        self.show(f"{STAGE_WORDS[progress.stage]}{share} ...")

    def clear(self) -> None:
        """Take the line away, before anything else is printed."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False
