"""What one running program works on and no other: claims by name, which end with the program however it ends."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from nemochat.files import open_to_append

if sys.platform != "win32":
    import fcntl


class Claims:
    """The claims of this process in one file, of which each name locks a byte of its own: so nothing is left behind.

    Where the system or the disk cannot do that (Windows; some network disks), everything may be claimed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def claim(self, name: str) -> bool:
        """Whether it is this program's now; False while another one has it."""
        if sys.platform == "win32":
            return True
        try:
            if self._handle < 0:
                self._handle = open_to_append(self._path)
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True

    def release(self, name: str) -> None:
        """Another program may have it."""
        if sys.platform != "win32" and self._handle >= 0:
            fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, _place(name))

    def close(self) -> None:
        """Release all."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") >> 1
