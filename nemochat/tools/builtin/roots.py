"""Files below the folders that the user named, and no others.

A path is resolved, compared with the folders part by part, and then opened from ``/`` downwards, one part after the other, without
following any link. So a part that is swapped for a link between looking and opening is refused, not followed. What counts in the end is
what the opened handle is: a regular file or a folder, and not in ``/proc``, ``/sys`` or ``/dev``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.files import reason
from nemochat.paths import at_home

_NEVER = tuple(Path(name) for name in ("/proc", "/sys", "/dev"))
_LONGEST_PATH = 4_096
_FOLLOW_NOT = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _FOLLOW_NOT
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FOLLOW_NOT
CAN_WALK = {os.open, os.stat} <= os.supports_dir_fd and os.scandir in os.supports_fd
"""Whether this system opens a name in an opened folder. Where not (Windows), the path is checked before and after it is opened."""


class FileRoots:
    """The folders that the user named."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(dict.fromkeys(Path(os.path.realpath(at_home(folder))) for folder in folders))

    def place(self, path: str) -> Path:
        """Where a path leads, with all links followed. Raises NemochatError when that is outside of the folders.

        A relative path is looked for in each folder in turn. Nothing is opened here, and nothing is said about what is outside.
        """
        if "\0" in path:
            raise NemochatError("The path holds a NUL character.")
        if len(path) > _LONGEST_PATH:  # to follow one of 200,000 parts takes seconds
            raise NemochatError(f"A path may have {_LONGEST_PATH:,} characters.")
        wanted = at_home(path.strip() or ".")
        for candidate in [wanted] if wanted.is_absolute() else [folder / wanted for folder in self.folders]:
            try:
                real = Path(os.path.realpath(candidate))
            except OSError:  # a link that went away while it was followed
                continue
            if self._holds(real) and (os.path.lexists(real) or wanted.is_absolute()):
                return real
        # One sentence for what is outside and for what is not there: else the model could feel its way about the disk.
        raise NemochatError(f"There is no {shown(path)} in the folders that may be read.", self.told())

    def told(self) -> str:
        """A sentence that names the folders."""
        names = ", ".join(shown(str(folder)) for folder in self.folders)
        return f"These may be read: {names}." if names else "The user named no folder that may be read."

    def open_folder(self, real: Path) -> contextlib.AbstractContextManager[int]:
        """A handle of a folder that `place` gave. Raises NemochatError."""
        return self._opened(real, want_folder=True)

    def open_file(self, real: Path) -> contextlib.AbstractContextManager[int]:
        """A handle of a regular file that `place` gave. Raises NemochatError."""
        return self._opened(real, want_folder=False)

    @contextlib.contextmanager
    def _opened(self, real: Path, *, want_folder: bool) -> Iterator[int]:
        if not self._holds(real):
            raise NemochatError(f"There is no {shown(str(real))} in the folders that may be read.", self.told())
        try:
            handle = _walk(real, want_folder) if CAN_WALK else _open_checked(real)
        except (FileNotFoundError, NotADirectoryError):
            raise NemochatError(f"There is no {'folder' if want_folder else 'file'} {shown(str(real))}.") from None
        except (OSError, ValueError) as error:
            raise NemochatError(f"{shown(str(real))} cannot be opened: {reason(error)}.") from None
        try:
            check_kind(handle, str(real), want_folder=want_folder)
            yield handle
        finally:
            os.close(handle)

    def _holds(self, real: Path) -> bool:
        if any(real.is_relative_to(never) for never in _NEVER):
            return False
        return any(real.is_relative_to(folder) for folder in self.folders)


def shown(name: str) -> str:
    """A name on one line."""
    clean = sanitize(name, strict=True)
    return clean if len(clean) <= 200 else f"…{clean[-200:]}"


def open_below(folder: int, name: str, *, want_folder: bool) -> int:
    """A handle of a name in an opened folder, no link followed. Raises OSError, and for what is neither file nor folder NemochatError."""
    if not want_folder and not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        # Looked at before it is opened: to open some devices is to do something already.
        raise NemochatError(f"{shown(name)} is not a regular file.")
    handle = os.open(name, _FOLDER if want_folder else _FILE, dir_fd=folder)
    try:
        check_kind(handle, name, want_folder=want_folder)
    except BaseException:
        os.close(handle)
        raise
    return handle


def check_kind(handle: int, name: str, *, want_folder: bool) -> None:
    """Raise NemochatError unless the handle is what is wanted, on a real disk."""
    status = os.fstat(handle)
    if not (stat.S_ISDIR if want_folder else stat.S_ISREG)(status.st_mode):
        raise NemochatError(f"{shown(name)} is not a {'folder' if want_folder else 'regular file'}.")
    if status.st_dev in _system_devices():
        raise NemochatError(f"{shown(name)} belongs to the system and is not read.")


def _system_devices() -> set[int]:
    devices = set()
    for never in _NEVER[:2]:
        with contextlib.suppress(OSError):
            if os.path.ismount(never):
                devices.add(never.stat().st_dev)
    return devices


def _walk(real: Path, want_folder: bool) -> int:
    *parents, last = real.parts
    handle = os.open(parents[0] if parents else last, _FOLDER)
    try:
        for part in parents[1:]:
            below = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
        return open_below(handle, last if parents else ".", want_folder=want_folder)
    finally:
        os.close(handle)


def _open_checked(real: Path) -> int:
    handle = os.open(real, _FILE)
    if Path(os.path.realpath(real)) != real:
        os.close(handle)
        raise OSError("it changed while it was opened")
    return handle
