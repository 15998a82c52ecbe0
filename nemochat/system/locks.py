"""Files that one program writes at a time."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def lock(handle: int) -> bool:
    """Whether the open file is this program's alone until it closes it; True too where the disk cannot lock (some network disks)."""
    try:
        if sys.platform == "win32":
            os.lseek(handle, 0x7FFF_FFF0, os.SEEK_SET)  # far behind what is read and written: a locked part cannot be
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
