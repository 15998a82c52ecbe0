"""Files of personas: read so that nothing can hang or flood the memory, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError, UsageError

PRIVATE = 0o600
"""Mode of a file in the user's own folder."""


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
        raise NemochatError(f"{shown(path)} cannot be opened ({_reason(error)}).") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NemochatError(f"{shown(path)} is not a file.", "Name one file.")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise NemochatError(f"{shown(path)} cannot be read ({_reason(error)}).") from None
    finally:
        os.close(handle)
    if len(data) > limit:
        raise NemochatError(f"{shown(path)} is larger than {limit // 1024 // 1024} MiB.", "No persona needs as much.")
    return data


def write(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Put a whole file in place of the one that is there. Raises OSError."""
    with _beside(path, data, mode) as temporary:
        temporary.replace(path)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, for everybody whom the user lets read files. Raises UsageError when it is there, or OSError."""
    if os.path.lexists(path):
        raise UsageError(f"{shown(path)} exists already.", "Choose another name.")
    with _beside(path, data, 0o666) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise UsageError(f"{shown(path)} exists already.", "Choose another name.") from None
        except OSError:  # file systems without hard links, such as FAT
            temporary.replace(path)


@contextlib.contextmanager
def _beside(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """The data in a file beside `path`, safely on the disk; gone at the end unless it was moved."""
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def saving(what: str) -> Iterator[None]:
    """Turn the failure to write something into a sentence; `what` is its subject ("The persona")."""
    try:
        yield
    except OSError as error:
        hint = "Check the space on the disk and the permissions of the folder."
        raise NemochatError(f"{what} cannot be saved ({_reason(error)}).", hint) from error


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
