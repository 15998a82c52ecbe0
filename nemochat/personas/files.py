"""Files of personas: read so that nothing can hang or flood the memory, written whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nemochat import files
from nemochat.domain.sanitize import shown
from nemochat.errors import NemochatError, UsageError
from nemochat.reading import NotAFileError, TooLargeError, read_regular


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
