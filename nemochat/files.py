"""What nemochat writes: whole or not at all, for its user's eyes only, and never through a link that somebody has planted.

Its own folders are 0700 and its files 0600 under any umask. A folder that the user names for an export is left as it is; the files in it
are 0600 too. Its files are put in place of what has their name, so that a link there is replaced and not followed; logs and lists that grow
are opened without following one; an export replaces regular files only. Only files that people write by hand (`by_hand`) may be links, and
only links of the user's or the system's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nemochat.reading import open_regular
from nemochat.system import disk
from nemochat.system.locks import lock

TEMPORARY = ".part-"
"""How the names of files that are being written begin; one that stays behind is left of a crash."""
PRIVATE = 0o600
_OTHERS = 0o077
_NOT_REGULAR = "what is there is no regular file"
_SECOND_NAME = "the file has a second name elsewhere"
_MOST_LINKS = 40
_NEAR_THE_ROOT = 3
_WAIT_SECONDS = 5.0
_LOOK_SECONDS = 0.01
_JOURNALS = {
    "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", b""),
    "-shm": ((3007000).to_bytes(4, sys.byteorder), b""),
    "-journal": (b"\xd9\xd5\x05\xf9",),
}
"""What SQLite keeps beside a database, and how these files begin. The last is there only while a new one is made."""


# -- folders


def make_folder(folder: Path) -> None:
    """Make a folder of nemochat's own and the missing ones above it, each 0700. One that is there is closed to others (`narrow`).

    Raises OSError, also where the way to it leads over a link that another user has made.
    """
    refuse_planted(folder)
    make_missing(folder)
    narrow(folder)


def make_missing(folder: Path) -> None:
    """Make a folder and the missing ones above it, each 0700; one that is there is left as it is. Raises OSError."""
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another program was quicker, or it is a link to nowhere
            make_new_folder(path)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def make_new_folder(folder: Path) -> None:
    """Make a folder, 0700. Raises FileExistsError when there is anything of that name, and OSError."""
    folder.mkdir(mode=0o700)
    if folder.lstat().st_mode & 0o700 != 0o700:  # what the umask has taken from the owner
        folder.chmod(0o700)


def narrow(folder: Path) -> None:
    """Close a folder of nemochat's own to others, should it be there, be the user's and serve nothing else."""
    with contextlib.suppress(OSError, RuntimeError):
        refuse_planted(folder)
        status, place = folder.stat(), folder.resolve()
        is_open = disk.HAS_OWNERS and stat.S_ISDIR(status.st_mode) and status.st_mode & _OTHERS and disk.is_own(status)
        if is_open and not _serves_others(place, status.st_mode):
            folder.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def own_folder(folder: Path) -> Path:
    """A folder, made where it is missing, where others may have made one of that name. Raises OSError when it is not the user's."""
    make_folder(folder)
    if not is_own_folder(folder):
        raise PermissionError(errno.EPERM, "it belongs to another user", str(folder))
    return folder


def is_own_folder(folder: Path) -> bool:
    """Whether there is a folder of that name which is the user's."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and disk.is_own(status)


def _serves_others(folder: Path, mode: int) -> bool:
    """Whether a folder is visibly more than nemochat's, though the settings name it: /tmp, /var/log, a team's, the user's home."""
    is_system = len(folder.parts) <= _NEAR_THE_ROOT and not folder.parent.stat().st_mode & stat.S_ISVTX
    holds_more = any(place.resolve().is_relative_to(folder) for place in (Path.home(), Path.cwd()))
    return bool(mode & (stat.S_ISVTX | stat.S_ISGID)) or is_system or holds_more


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder that is gone with the block."""
    import tempfile  # the engine's worker, which starts with each program, has no use for it

    with tempfile.TemporaryDirectory(prefix="nemochat-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o700)  # whatever the umask
        yield Path(folder)


def sync_folder(folder: Path) -> None:
    """Names of new files are safe on the disk as well, where the system knows how."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# -- whole files


def write_whole(path: Path, data: bytes, *, by_hand: bool = False, keep_mode: bool = False) -> None:
    """Put a file of nemochat's own in place of the one that is there, and make its folder.

    by_hand: people write it too, so that a link of theirs stays one and the file that it leads to is replaced. keep_mode: of that file.
    Raises OSError; what was there is then as it was.
    """
    make_folder(path.parent)
    if by_hand:
        path = _behind_own_links(path)
        _refuse_special(path)
    mode = PRIVATE
    if keep_mode:
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(path.lstat().st_mode)
    with _beside(path, mode) as (file, temporary):
        file.write(data)
        _finish(file)
        disk.replace(temporary, path)


@contextlib.contextmanager
def exporting(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """A file in a folder of the user's, which is there at the end of the block, whole, or not at all after an error.

    Raises FileExistsError when there is one and it is not to be replaced, also when another program was quicker, and OSError: only a
    regular file is replaced, no link and no device.
    """
    if replace:
        _refuse_special(path)
    elif os.path.lexists(path):
        raise FileExistsError(path)
    with _beside(path, PRIVATE) as (file, temporary):
        yield file
        _finish(file)
        if replace:
            disk.replace(temporary, path)
        else:
            _put_new(temporary, path)


def export_file(path: Path, data: bytes, *, replace: bool = False) -> None:
    """The same for what is there already."""
    with exporting(path, replace=replace) as file:
        file.write(data)


def _put_new(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        # File systems without hard links, such as FAT.
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        disk.replace(temporary, path)


# -- files that grow, and files that others open by their names


def open_to_append(path: Path, *, in_own_folder: bool = True) -> int:
    """A handle to write at the end of a file of nemochat's own; the file is made, with its folder, where there is none.

    in_own_folder: else the user has named the folder, which is left as it is.

    Raises OSError where that would be another's: no regular file, a link, a file with a second name, or one of another user.
    """
    (make_folder if in_own_folder else make_missing)(path.parent)
    return _open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@contextlib.contextmanager
def alone(path: Path, *, in_own_folder: bool = True) -> Iterator[int]:
    """The same while no other program holds the file. Raises OSError, also when one holds it for long."""
    handle = open_to_append(path, in_own_folder=in_own_folder)
    try:
        until = time.monotonic() + _WAIT_SECONDS
        while not lock(handle):
            if time.monotonic() > until:
                raise TimeoutError(errno.ETIMEDOUT, "another program holds it", str(path))
            time.sleep(_LOOK_SECONDS)
        yield handle
    finally:
        os.close(handle)


def end_line(path: Path, handle: int) -> None:
    """What is appended begins a line of its own, also behind one that a crash has torn. Raises OSError."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                write_all(handle, b"\n")


def write_all(handle: int, data: bytes) -> None:
    """Write all of it, or raise OSError in the middle of it."""
    while data:
        data = data[os.write(handle, data) :]


def open_log(path: Path) -> int:
    """A handle to write at the end of a log; one that leads nowhere where there can be none (`log_problem` says why)."""
    try:
        return open_to_append(path)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def log_problem(path: Path) -> str:
    """A sentence when a log cannot be written, "" when it can. Nothing stops for the want of a log."""
    try:
        make_folder(path.parent)
    except OSError as error:
        return f"Nothing is logged: the folder {path.parent} cannot be used ({reason(error)}). NEMOCHAT_LOG_DIR names another."
    try:
        os.close(open_to_append(path))
    except OSError as error:
        return f"Nothing is logged in {path}: it cannot be written ({reason(error)}). Move it away, or set NEMOCHAT_LOG_DIR."
    return ""


def make_file(path: Path) -> None:
    """Make sure that a private file is there, for SQLite and llama.cpp, which open it by its name. Raises OSError.

    What is there stays when it is a regular file; others than its owner can no longer read it, where that can be changed. It may have a
    second name, as snapshots of a home by hard links give it.
    """
    with contextlib.suppress(FileExistsError):
        os.close(_open_new(path, PRIVATE))
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, _NOT_REGULAR, str(path))
    if status.st_nlink > 1 and not status.st_size:
        raise PermissionError(errno.EPERM, _SECOND_NAME, str(path))
    if status.st_mode & _OTHERS and status.st_nlink == 1:
        with contextlib.suppress(OSError):  # somebody else's file, or a file system without permissions
            path.chmod(PRIVATE)


def make_database(path: Path) -> None:
    """Make sure that a private file is there for SQLite, in a folder of nemochat's own, and that it writes into nobody else's beside it.

    SQLite follows no link to its journals but writes into a file with a second name. One of its own may have one, in a snapshot of a home.
    Raises OSError.
    """
    make_folder(path.parent)
    make_file(path)
    for ending, begins in _JOURNALS.items():
        beside = path.with_name(f"{path.name}{ending}")
        with contextlib.suppress(FileNotFoundError):
            status = beside.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, f"{beside.name} is no regular file", str(beside))
            if status.st_nlink > 1 and not _begins(beside, begins):
                what = f"{beside.name} has a second name elsewhere and is not SQLite's: move it away"
                raise PermissionError(errno.EPERM, what, str(beside))


def _begins(path: Path, begins: tuple[bytes, ...]) -> bool:
    with path.open("rb") as file:
        return file.read(len(begins[0])) in begins


def _open_new(path: Path, mode: int) -> int:
    handle = disk.open_unlinked(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE)
    _set_mode(handle, mode)
    return handle


def _open_own(path: Path, flags: int) -> int:
    handle = disk.open_unlinked(path, flags, PRIVATE)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, _NOT_REGULAR, str(path))
        if not disk.is_own(status):
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
        if status.st_nlink > 1:
            raise PermissionError(errno.EPERM, _SECOND_NAME, str(path))
        _set_mode(handle, PRIVATE)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _refuse_special(path: Path) -> None:
    """Raise OSError where there is something that is no regular file, a link among it."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, _NOT_REGULAR, str(path))


def _set_mode(handle: int, mode: int) -> None:
    """Whatever the umask says, where the file system knows permissions."""
    with contextlib.suppress(OSError):
        disk.set_mode(handle, mode)


def put(part: Path, target: Path) -> None:
    """Give a file that has grown to its end, and is on the disk, its name in place of what has it. Raises OSError."""
    disk.replace(part, target)
    sync_folder(target.parent)


def try_writing(folder: Path) -> None:
    """Raise OSError where nothing can be written: into the folder, or where it would be made. Nothing stays behind."""
    at = folder
    while not os.path.lexists(at) and at != at.parent:
        at = at.parent
    with _beside(at / "try", PRIVATE) as (file, _):
        file.write(b"nemochat")
        file.flush()


# -- names


def free_name(wanted: Path) -> Path:
    """The name, with -2, -3, ... before its ending where it is taken."""
    candidate, number = wanted, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return candidate


def set_aside(path: Path) -> Path:
    """Give a broken file another name, so that nothing in it is lost: NAME.broken-1, -2, ...; that name. Raises OSError."""
    number = 1
    while os.path.lexists(kept := path.with_name(f"{path.name}.broken-{number}")):
        number += 1
    disk.move(path, kept)
    return kept


def reason(error: OSError | ValueError) -> str:
    """Why the system refused, in its words. ValueError is what Python raises for a NUL character in a path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _behind_own_links(path: Path) -> Path:
    """What a path leads to in the end. Raises OSError for a link of another user's, and for a circle."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            return path
        refuse_planted(path)
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def refuse_planted(path: Path) -> None:
    """Raise PermissionError where a link on the way is neither the user's nor root's: anybody may plant one where all may write.

    Those of the system (/home -> /var/home) are of whom their folder belongs to, who is nobody in some containers. On Windows only who may
    make links can plant one, and folders have no owner to compare.
    """
    for each in (path, *path.parents):
        if not disk.HAS_OWNERS or not each.is_symlink() or disk.is_own(status := each.lstat()) or status.st_uid == 0:
            continue
        if len(each.parts) > _NEAR_THE_ROOT or status.st_uid != each.parent.stat().st_uid:
            raise PermissionError(errno.EPERM, f"the link {each} belongs to another user", str(path))


@contextlib.contextmanager
def _beside(path: Path, mode: int) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside `path` to write to, with its name; gone at the end unless it was moved."""
    temporary = path.with_name(f"{TEMPORARY}{os.urandom(8).hex()}")
    try:
        with os.fdopen(_open_new(temporary, mode), "w+b") as file:
            yield file, temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _finish(file: BinaryIO) -> None:
    """What was written is on the disk."""
    with file:
        file.flush()
        os.fsync(file.fileno())
