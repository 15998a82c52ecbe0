"""Files as each system has them: whose they are, how one takes the place of another, which parts of one were ever written.

Windows has no owners and modes in the sense of `stat`. What nemochat writes there lies in the user's profile, which is closed to other
users, and a new folder of its own is closed by Python 3.12.4 and later (`os.mkdir` with 0700).
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Without O_NONBLOCK, opening a named pipe waits for its other end for ever; a terminal must not become that of this process.
PLAIN = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
"""Flags for `os.open` of what may be no regular file."""

if sys.platform == "win32":
    HAS_OWNERS = False
    """Whether files have owners, and modes that keep others out."""
    REPLACES_OPEN_FILES = False
    """Whether a file can be renamed, and another one take its name, while it is open."""
    _BUSY = (5, 32)
    """ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION: somebody has the file open, often a scanner, and not for long."""
    _PATIENCE_SECONDS = 1.0
    _PAUSE_SECONDS = 0.02

    def is_own(status: os.stat_result) -> bool:
        """Whether a file is this user's: whoever may write it is."""
        return True

    def set_mode(handle: int, mode: int) -> None:
        """Nothing: the folder decides who may read a file."""

    def open_unlinked(path: Path, flags: int, mode: int) -> int:
        """Open a file and follow no link to it. Raises OSError."""
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        return os.open(path, flags | PLAIN, mode)

    def replace(part: Path, target: Path) -> None:
        """Give a file the name of another one, in its place. Raises OSError, after a second when somebody has one of them open."""
        _patiently(os.replace, part, target)

    def move(source: Path, target: Path) -> None:
        """Give a file or a folder another name that is free. Raises OSError as `replace` does."""
        _patiently(os.rename, source, target)

    def _patiently(act: Callable[[Path, Path], None], source: Path, target: Path) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                act(source, target)
            except OSError as error:
                if error.winerror not in _BUSY or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def written_part(handle: int, at: int, end: int) -> tuple[int, int]:
        """Where the next part of a file begins and ends that was ever written: here all that is left."""
        return at, end

else:
    HAS_OWNERS = True
    """Whether files have owners, and modes that keep others out."""
    REPLACES_OPEN_FILES = True
    """Whether a file can be renamed, and another one take its name, while it is open."""

    def is_own(status: os.stat_result) -> bool:
        """Whether a file is this user's."""
        return status.st_uid == os.geteuid()

    def set_mode(handle: int, mode: int) -> None:
        """Whatever the umask says. Raises OSError where the file system knows no permissions."""
        if stat.S_IMODE(os.fstat(handle).st_mode) != mode:
            os.fchmod(handle, mode)

    def open_unlinked(path: Path, flags: int, mode: int) -> int:
        """Open a file and follow no link to it. Raises OSError."""
        return os.open(path, flags | PLAIN | os.O_NOFOLLOW, mode)

    def replace(part: Path, target: Path) -> None:
        """Give a file the name of another one, in its place. Raises OSError."""
        part.replace(target)

    def move(source: Path, target: Path) -> None:
        """Give a file or a folder another name that is free. Raises OSError."""
        source.rename(target)

    def written_part(handle: int, at: int, end: int) -> tuple[int, int]:
        """Where the next part of a file begins and ends that was ever written, from `at` on; twice `end` when there is none."""
        if not hasattr(os, "SEEK_DATA"):
            return at, end
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
            return start, os.lseek(handle, start, os.SEEK_HOLE)
        except OSError as error:
            return (end, end) if error.errno == errno.ENXIO else (at, end)
