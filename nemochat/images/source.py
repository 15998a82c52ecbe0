"""The bytes of a picture file, read so that no kind of path can hang, flood the memory or have side effects."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError

MAX_BYTES = 100 * 1024 * 1024
"""The largest picture file that is read."""

_SSH_HINT = "Over SSH, paths dropped from your own computer are not visible here."
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_picture(path: Path) -> bytes:
    """The content of a regular file.

    Raises ImageError for a missing, empty, too large or unreadable file, and for anything that is not a file.
    """
    shown = sanitize(str(path), strict=True)
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"There is no such file on this machine: {shown}", _SSH_HINT) from None
    except PermissionError:
        raise ImageError(f"The picture may not be read: {shown}", "Check the file's permissions.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise ImageError(f"The picture cannot be opened: {shown} ({_reason(error)})") from None
    try:
        return _read(handle, shown)
    except OSError as error:
        raise ImageError(f"The picture cannot be read: {shown} ({_reason(error)})") from None
    finally:
        os.close(handle)


def _read(handle: int, shown: str) -> bytes:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        kind = next((phrase for matches, phrase in _KINDS if matches(status.st_mode)), "no regular file")
        raise ImageError(f"This is {kind}, not a picture: {shown}", "Name one picture file.")
    check_size(max(1, status.st_size), shown)  # files of /proc say 0 and hold more
    with os.fdopen(handle, "rb", closefd=False) as file:
        data = file.read(MAX_BYTES + 1)
    check_size(len(data), shown)
    return data


def check_size(n_bytes: int, shown: str) -> None:
    """Raise ImageError for no bytes at all and for more than MAX_BYTES."""
    if n_bytes == 0:
        raise ImageError(f"The picture file is empty: {shown}")
    if n_bytes > MAX_BYTES:
        megabytes = n_bytes / 1024 / 1024
        limit = MAX_BYTES // 1024 // 1024
        raise ImageError(f"The picture file is larger than {limit} MiB ({megabytes:.0f} MiB): {shown}", "Save a smaller copy.")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
