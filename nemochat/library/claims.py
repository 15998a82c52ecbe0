"""What one running program works on and no other: claims by name, which end with the program however it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from nemochat.files import open_to_append
from nemochat.system.locks import lock_place, unlock_place


class Claims:
    """The claims of this process in one file, of which each name locks a byte of its own: so nothing is left behind.

    Where the disk cannot do that (some network disks), everything may be claimed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1
        self._held: set[str] = set()

    def claim(self, name: str) -> bool:
        """Whether it is this program's now; False while another one has it."""
        if name in self._held:
            return True
        if self._handle < 0:
            try:
                self._handle = open_to_append(self._path)
            except PermissionError:
                return False
            except OSError:
                return True
        if not lock_place(self._handle, _place(name)):
            return False
        self._held.add(name)
        return True

    def release(self, name: str) -> None:
        """Another program may have it."""
        if name in self._held:
            self._held.discard(name)
            with contextlib.suppress(OSError):  # a disk that cannot lock
                unlock_place(self._handle, _place(name))

    def close(self) -> None:
        """Release all."""
        self._held.clear()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") >> 1
