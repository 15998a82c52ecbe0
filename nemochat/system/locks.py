"""Files that one program writes at a time, and bytes of a file that stand for what one program works on."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    _FAR = 0x7FFF_FFF0
    """Far behind what is read and written: a locked part cannot be. Places are 31 bits, as those of the C library are."""
    _MOST_PLACES = _FAR - 1

    def lock(handle: int) -> bool:
        """Whether the open file is this program's alone until it closes it; True too where the disk cannot lock (some network disks)."""
        return _taken(handle, _FAR)

    def lock_place(handle: int, place: int) -> bool:
        """The same of a place in a file that is there for its places alone. place: any number below 2**55."""
        return _taken(handle, place % _MOST_PLACES)

    def unlock_place(handle: int, place: int) -> None:
        """Another program may have it. Raises OSError."""
        os.lseek(handle, place % _MOST_PLACES, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

    def _taken(handle: int, place: int) -> bool:
        try:
            os.lseek(handle, place, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return True
        return True

else:
    import fcntl

    def lock(handle: int) -> bool:
        """Whether the open file is this program's alone until it closes it; True too where the disk cannot lock (some network disks)."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True

    def lock_place(handle: int, place: int) -> bool:
        """The same of a place in a file that is there for its places alone. place: any number below 2**55."""
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True

    def unlock_place(handle: int, place: int) -> None:
        """Another program may have it. Raises OSError."""
        fcntl.lockf(handle, fcntl.LOCK_UN, 1, place)
