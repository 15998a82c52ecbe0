"""Zip files from outside, read without trust: nothing is unpacked to the disk, and nothing is larger than it may be."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nemochat.library.errors import LibraryError, cannot, shown

MIB = 1 << 20
MAX_MEMBERS = 1_000_000
_FREE_BYTES = 64 * MIB
_MAX_RATIO = 250
_ENCRYPTED = 0x1
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError, ValueError)


class Archive:
    """The members of a zip file. Their names are only looked at, never used as paths."""

    def __init__(self, file: zipfile.ZipFile, path: Path) -> None:
        self._file = file
        self._path = path
        self._members = {member.filename: member for member in file.infolist() if not member.flag_bits & _ENCRYPTED}

    @property
    def names(self) -> tuple[str, ...]:
        """What is in it, in its order."""
        return tuple(self._members)

    def holds(self, name: str) -> bool:
        """Whether there is a member with this name."""
        return name in self._members

    def read(self, name: str, most: int) -> bytes:
        """A whole member. Raises LibraryError when it is not there, larger than `most` bytes or broken."""
        member = self._members.get(name)
        if member is None:
            raise LibraryError(f"{shown(Path(name))} is missing in {shown(self._path)}.")
        if member.file_size > most:
            raise LibraryError(f"{shown(Path(name))} in {shown(self._path)} is larger than {most // MIB} MiB.")
        try:
            with self._file.open(member) as stream:
                return stream.read(member.file_size)
        except _ZIP_ERRORS as error:
            raise LibraryError(f"{shown(Path(name))} in {shown(self._path)} is broken.") from error


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """A zip file. Raises LibraryError when it is not one, or would be out of all proportion when unpacked."""
    try:
        file = zipfile.ZipFile(path)
    except OSError as error:
        raise cannot("The file cannot be read from", path, error) from error
    except _ZIP_ERRORS as error:
        raise LibraryError(f"{shown(path)} is not a zip file.") from error
    with file:
        members = file.infolist()
        packed = path.stat().st_size
        if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > _FREE_BYTES + _MAX_RATIO * packed:
            raise LibraryError(f"{shown(path)} would be out of all proportion when unpacked.")
        yield Archive(file, path)
