"""Files of personas: how much they may hold, read so that nothing can hang or flood the memory, written whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nemochat import files
from nemochat.domain.sanitize import shown
from nemochat.errors import NemochatError, UsageError
from nemochat.reading import NotAFileError, TooLargeError, read_regular

MAX_FILE = 64 * 1024 * 1024
"""Bytes of a card's file."""
MAX_JSON = 4 * 1024 * 1024
"""Characters of its JSON."""
MAX_BOOK = 16 * 1024 * 1024
"""Characters of the JSON of a lorebook of its own."""
MAX_TOML = 8 * 1024 * 1024
"""Bytes of a persona's TOML: room for the largest JSON with its escapes."""
MAX_NAME = 300
"""Characters of a name. Macros put names in many times, so a long one would blow every text up."""
MAX_TEXT = 1_000_000
"""Characters of any other field."""
MAX_ITEMS = 1_000
"""Greetings, tags, or keys of one entry."""
MAX_ENTRIES = 10_000
"""Entries of a lorebook."""
MAX_DEPTH = 64
"""How deep what other programs keep in a card may be nested."""
MAX_NODES = 200_000
"""How many values it may hold in all."""
MAX_BOOK_NODES = 1_000_000
"""The same for a lorebook of its own: each of its entries may have all that SillyTavern writes."""
MAX_AVATAR = 16 * 1024 * 1024
"""Bytes of a portrait that does not lie in the card's own picture."""


class Unreadable(Exception):
    """Why a card cannot be read, as a clause that goes on from its file's name ("its JSON is broken"). Never leaves this package."""


def read(path: Path, limit: int) -> bytes:
    """The content of a regular file. Raises NemochatError for anything else, and for more than `limit` bytes."""
    try:
        return read_regular(path, limit)
    except (FileNotFoundError, NotADirectoryError):
        raise NemochatError(f"There is no such file: {shown(path)}") from None
    except NotAFileError as error:
        raise NemochatError(f"{shown(path)} is {error.kind}, not a file.", "Name one file.") from None
    except TooLargeError:
        raise NemochatError(f"{shown(path)} is larger than {limit // 1024 // 1024} MiB.", "No persona needs as much.") from None
    except OSError as error:
        raise NemochatError(f"{shown(path)} cannot be read ({files.reason(error)}).") from None


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet. Raises UsageError when it is, or OSError."""
    try:
        files.export_file(path, data)
    except FileExistsError:
        raise UsageError(f"{shown(path)} exists already.", "Choose another name.") from None


@contextlib.contextmanager
def saving(what: str) -> Iterator[None]:
    """Turn the failure to write something into a sentence; `what` is its subject ("The persona")."""
    try:
        yield
    except OSError as error:
        hint = "Check the space on the disk and the permissions of the folder."
        raise NemochatError(f"{what} cannot be saved ({files.reason(error)}).", hint) from error
