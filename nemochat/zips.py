"""Zip files that we did not make: nothing is unpacked to the disk, names are only compared, and nothing is larger than it may be."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Self, cast

MAX_DIRECTORY = 16 << 20
"""Bytes of the table of contents that are read: those of some 130,000 files."""
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
# What the zipfile module raises for a broken file.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError, LookupError, OverflowError)


class ZipError(Exception):
    """What is wrong with a zip or a file in it, as the end of a sentence ("is broken")."""


class Zip:
    """An open zip. Raises ZipError for what is none, or whose table of contents is larger than `most_directory` bytes."""

    def __init__(self, file: BinaryIO, most_directory: int = MAX_DIRECTORY) -> None:
        try:
            self._zip = zipfile.ZipFile(cast("BinaryIO", _Careful(file, most_directory)))
        except _BROKEN as error:
            raise ZipError("has a table of contents that is too large" if isinstance(error, _TooLongError) else "is broken") from None
        self._members = {member.filename: member for member in self._zip.infolist()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """What is in it, in its order; those of folders end with a slash."""
        return tuple(self._members)

    @property
    def unpacked(self) -> int:
        """Bytes of all that is in it, as far as it says so."""
        return sum(member.file_size for member in self._members.values())

    def holds(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return name in self._members

    def size(self, name: str) -> int:
        """Bytes of a file when it is unpacked, as far as it says so; 0 when it is not there."""
        member = self._members.get(name)
        return member.file_size if member is not None else 0

    def read(self, name: str, most: int) -> bytes:
        """A whole file. Raises ZipError when it is not there, broken or larger than `most` bytes, whatever the table of contents says."""
        content = bytearray()
        if self.size(name) <= most:
            for piece in self.pieces(name):
                content += piece
                if len(content) > most:
                    break
        if self.size(name) > most or len(content) > most:
            raise ZipError(f"is larger than {most >> 20} MiB")
        return bytes(content)

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file in pieces of about a megabyte, of as many bytes as it says that it has. Raises ZipError when it is not there or broken."""
        member = self._members.get(name)
        if member is None:
            raise ZipError("is missing")
        if member.flag_bits & _ENCRYPTED:
            raise ZipError("is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ZipError("is packed in an unusual way")
        try:
            with self._zip.open(member) as stream:
                while piece := stream.read(_CHUNK):
                    yield piece
        except _BROKEN:
            raise ZipError("is broken") from None


class _TooLongError(ValueError):
    """More would be read at once than any part of a zip needs."""


class _Careful:
    """A file of which at most so much is read at once: the zipfile module takes the length of the table of contents on trust."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._most = max(most, _CHUNK)
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise _TooLongError
        return self._file.read(self._most if size < 0 else size)
