"""What others have written, taken within bounds: files whatever a path leads to, values out of JSON and TOML, and expressions."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

if TYPE_CHECKING:
    import regex

MAX_VALUES = 2_000_000
"""How many values JSON may hold: some 250 MB of memory, while the largest files that people have hold a tenth."""

AnyPath = TypeVar("AnyPath", bound=PurePath)
Kind = TypeVar("Kind")

_CHUNK = 1 << 20
_NUMBERED = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotAFileError(OSError):
    """What is there is no regular file. kind: what it is ("a folder")."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(errno.EINVAL, f"it is {kind}, not a file", str(path))
        self.kind = kind


class TooLargeError(OSError):
    """A file holds more than may be read of it. size: in bytes, at least."""

    def __init__(self, path: Path, size: int, most: int) -> None:
        limit = f"{most >> 20:,} MiB" if most >= 1 << 20 else f"{most >> 10:,} KiB"
        super().__init__(errno.EFBIG, f"it is larger than {limit}", str(path))
        self.size = size


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading: nothing else is waited for, read from or taken for one. Raises OSError."""
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer for ever; a terminal must not become that of this process.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a NUL character in the path
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise NotAFileError(path, "a socket") from error
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, handle)
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise NotAFileError(path, next((kind for matches, kind in _KINDS if matches(mode)), "something else"))
        yield stack.enter_context(os.fdopen(handle, "rb", closefd=False))


def read_regular(path: Path, most: int) -> bytes:
    """The content of a regular file, also of one that says it is empty (/proc) or that grows meanwhile: never more than `most` bytes.

    Raises OSError: a TooLargeError for more, a NotAFileError for anything that is no regular file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= most:
            data = _read(file.fileno(), most + 1, size)
            size = len(data)
    if size > most:
        raise TooLargeError(path, size, most)
    return data


def read_beginning(path: Path, most: int) -> bytes:
    """The first `most` bytes of a regular file. Raises OSError."""
    with open_regular(path) as file:
        return _read(file.fileno(), most, most)


def _read(handle: int, most: int, expected: int) -> bytes:
    """What a file holds, up to `most` bytes; memory is taken for what is there, not for what there may be."""
    pieces: list[bytes] = []
    left = most
    while left > 0 and (piece := os.read(handle, min(left, max(expected, _CHUNK)))):
        pieces.append(piece)
        left -= len(piece)
        expected = 0
    return b"".join(pieces)


class TooMuchError(ValueError):
    """A text that would take far more memory or time to understand than what it says is worth; the message is a clause ("it ...")."""


def check_json(data: bytes | str, most: int = MAX_VALUES) -> None:
    """Refuse, before it is parsed, JSON of more values than `most`: the commas and brackets say how many there may be, at most.

    Raises TooMuchError.
    """
    marks = sum(map(data.count, (b",", b"[", b"{"))) if isinstance(data, bytes) else sum(map(data.count, (",", "[", "{")))
    if marks > most:
        raise TooMuchError(f"it holds more than {most:,} values")


MAX_PATTERN = 500
"""Characters of a regular expression."""
_MAX_PROGRAM = 50_000
_MIN_REPEATS = re.compile(r"\{\s*(\d+)")
_NAMED_AGAIN = re.compile(r"(?<!\\)\\k<(\w+)>")


@lru_cache(maxsize=4_000)
def expression(pattern: str, flags: str = "", most: int = MAX_PATTERN) -> regex.Pattern[str]:
    """A regular expression that others wrote, of so many characters at `most`, with those of the flags i, m and s that there are.

    It is to be searched with a `timeout`, which may raise TimeoutError and MemoryError.

    Raises TooMuchError for one that is too long or multiplies out to a large program, and ValueError for what is none.
    """
    import regex

    # The library writes repeats with a least count out in full: nested ones could fill the memory before any time limit holds.
    program = len(pattern)
    for least in _MIN_REPEATS.findall(pattern):
        program *= max(1, int(least[:9]))
        if program > _MAX_PROGRAM:
            break
    if len(pattern) > most or program > _MAX_PROGRAM:
        raise TooMuchError("it is too long as a regular expression")
    pattern = _NAMED_AGAIN.sub(r"(?P=\1)", pattern)  # as JavaScript writes it
    known = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL}
    try:
        return regex.compile(pattern, sum(known[flag] for flag in set(flags) if flag in known))
    except (regex.error, RecursionError, ValueError, OverflowError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise ValueError(str(error)) from None


_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_NEXT = rf"[ \t]*+\.[ \t]*+{_PART}"
# Text in quotes may say what it likes; what is not closed goes on to its end, so that no piece is looked at twice.
_PIECES = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*+(?:"""|\Z)|\'\'\'(?:[^\']|\'(?!\'\'))*+(?:\'\'\'|\Z)|#[^\n]*+|'
    rf"(?P<long>{_PART}(?:{_NEXT}){{64}})|{_PART}(?:{_NEXT})*+|"
    r'"(?:[^"\\\n]|\\.)*+|\'[^\'\n]*+|[^"\'#A-Za-z0-9_-]++',
    re.DOTALL,
)


def check_toml(text: str) -> None:
    """Refuse, before it is parsed, TOML with a name of more than 64 parts: Python's reader takes their square in time and in memory.

    Raises TooMuchError.
    """
    if any(piece["long"] for piece in _PIECES.finditer(text)):
        raise TooMuchError("it holds a name of more than 64 parts")


def member(value: object, kind: type[Kind], *path: str) -> Kind | None:
    """What stands in a value of JSON or TOML under these names, one in the other; None where it is not there or is of another kind.

    Whole numbers are numbers, booleans are not.
    """
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool) and kind is not bool:
        return None
    if kind is float and isinstance(value, int):
        value = float(value)
    return value if isinstance(value, kind) else None


def mapping(value: object, *path: str) -> dict[str, Any]:
    """The same of an object; an empty one where there is none."""
    return member(value, dict, *path) or {}


def listed(value: object, *path: str) -> list[Any]:
    """The same of a list."""
    return member(value, list, *path) or []


def tables(value: object, *path: str) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [each for each in listed(value, *path) if isinstance(each, dict)]


def part_of(path: PurePath) -> tuple[str, int, int] | None:
    """For a file that is one of several (``name-00002-of-00003.gguf``): the name that they share, its number and how many there are."""
    found = _NUMBERED.fullmatch(path.stem)
    return (found[1], int(found[2]), int(found[3])) if found else None


def all_parts(path: AnyPath) -> list[AnyPath]:
    """The file, or where it is one of several, all of them in order, whether they are there or not."""
    shared, _, count = part_of(path) or ("", 1, 1)
    return [path.with_name(f"{shared}-{number:05}-of-{count:05}{path.suffix}") for number in range(1, count + 1)] if shared else [path]
