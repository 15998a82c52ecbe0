"""Files of personas: read so that nothing can hang or flood the memory, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nemochat import files
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError, UsageError


def shown(path: Path) -> str:
    """A path in a message."""
    return sanitize(str(path), strict=True)


def read(path: Path, limit: int) -> bytes:
    """The content of a regular file. Raises NemochatError for anything else, and for more than `limit` bytes."""
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise NemochatError(f"There is no such file: {shown(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise NemochatError(f"{shown(path)} cannot be opened ({files.reason(error)}).") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NemochatError(f"{shown(path)} is not a file.", "Name one file.")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise NemochatError(f"{shown(path)} cannot be read ({files.reason(error)}).") from None
    finally:
        os.close(handle)
    if len(data) > limit:
        raise NemochatError(f"{shown(path)} is larger than {limit // 1024 // 1024} MiB.", "No persona needs as much.")
    return data


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
