"""Files read within bounds, whatever a path leads to, and written whole or not at all: a crash leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".part-"
"""How the names of files that are being written begin; one that stays behind is left of a crash."""
PRIVATE = 0o600
SHARED = 0o666
"""For everybody whom the user lets read files (the umask)."""

_CHUNK = 1 << 20
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
        raise FileNotFoundError(errno.ENOENT, str(error), str(path)) from error
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise NotAFileError(path, "a socket") from error
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise NotAFileError(path, next((kind for matches, kind in _KINDS if matches(mode)), "something else"))
        yield file


def read_regular(path: Path, most: int) -> bytes:
    """The content of a regular file, also of one that says it is empty (/proc) or that grows meanwhile: never more than `most` bytes.

    Raises OSError: a TooLargeError for more, a NotAFileError for anything that is no regular file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise TooLargeError(path, size, most)
        data = bytearray()
        while len(data) <= most:
            piece = file.read(min(max(size - len(data), _CHUNK), most + 1 - len(data)))
            if piece is None:  # one of the system's files that has nothing to say yet
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
            if not piece:
                return bytes(data)
            data += piece
        raise TooLargeError(path, len(data), most)


def write_whole(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Put a file in place of the one that is there, and make its folder. Raises OSError; what was there is then as it was."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _beside(path, data, mode) as temporary:
        temporary.replace(path)


def write_new(path: Path, data: bytes, *, mode: int = SHARED) -> None:
    """Write a file that is not there yet. Raises FileExistsError when it is, also when another program was quicker, and OSError."""
    if os.path.lexists(path):
        raise FileExistsError(path)
    with _beside(path, data, mode) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:
            # File systems without hard links, such as FAT.
            if os.path.lexists(path):
                raise FileExistsError(path) from None
            temporary.replace(path)


def reason(error: OSError | ValueError) -> str:
    """Why the system refused, in its words. ValueError is what Python raises for a NUL character in a path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextlib.contextmanager
def _beside(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """The data in a file beside `path`, safely on the disk; gone at the end unless it was moved."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
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
