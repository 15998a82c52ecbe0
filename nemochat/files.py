"""Files written whole or not at all: a crash or a full disk leaves the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".part-"
"""How the names of files that are being written begin; one that stays behind is left of a crash."""
PRIVATE = 0o600
SHARED = 0o666
"""For everybody whom the user lets read files (the umask)."""


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
