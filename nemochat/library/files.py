"""Files and folders for the user's eyes only, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from nemochat.files import write_whole


def make_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it, each 0700 under any umask. Raises OSError."""
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(20, os.strerror(20), str(folder))


def make_empty(file: Path) -> None:
    """Make sure that a file is there and that only its owner reads it. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if file.stat().st_mode & 0o077:
        with contextlib.suppress(OSError):  # somebody else's file, or a file system without permissions
            file.chmod(0o600)


def write_safely(target: Path, data: bytes) -> None:
    """Put a file in its place at once, with its name safe on the disk as well. Raises OSError; what was there is then as it was."""
    make_folder(target.parent)
    write_whole(target, data)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Names of new files are safe on the disk as well, where the system knows how."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def free_name(wanted: Path) -> Path:
    """The name, with -2, -3, ... before its ending where it is taken."""
    candidate, number = wanted, 1
    while candidate.exists():
        number += 1
        candidate = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return candidate
