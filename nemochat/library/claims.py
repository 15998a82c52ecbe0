"""What one running program works on and no other, and what several are at: claims by name, which end with the program however it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from nemochat.files import open_to_append
from nemochat.system.locks import lock_place, unlock_place

_PROGRAMS = 16
"""So many may be at the same thing."""
CHAT, REPLY = "a chat is open", "a reply is written"
"""What programs may be at that others look for: the latter with a model of this machine."""


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

    def begin(self, work: str) -> None:
        """Other programs see that this one is at something, which they may be at as well."""
        any(self.claim(name) for name in _places(work))

    def end(self, work: str) -> None:
        """It is not any more."""
        for name in _places(work):
            self.release(name)

    def is_elsewhere(self, work: str) -> bool:
        """Whether another program is at it, as far as can be known: where the file cannot be opened, none is. Not for who has begun it."""
        for name in _places(work):
            if not self.claim(name):
                return self._handle >= 0
            self.release(name)
        return False

    def close(self) -> None:
        """Release all."""
        self._held.clear()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _places(work: str) -> list[str]:
    return [f"{work} {number}" for number in range(_PROGRAMS)]


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") >> 1
