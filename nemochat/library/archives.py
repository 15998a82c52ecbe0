"""Zip files as the library takes them in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nemochat.domain.sanitize import shown
from nemochat.library.errors import LibraryError, cannot
from nemochat.reading import open_regular
from nemochat.zips import Zip, ZipError

MIB = 1 << 20
_FREE_BYTES = 64 * MIB
_MAX_RATIO = 250


class Archive:
    """The members of a zip file."""

    def __init__(self, zip_: Zip, path: Path) -> None:
        self._zip = zip_
        self._path = path
        self.names = zip_.names
        self.holds = zip_.holds

    def read(self, name: str, most: int) -> bytes:
        """A whole member. Raises LibraryError when it is not there, larger than `most` bytes or broken."""
        try:
            return self._zip.read(name, most)
        except ZipError as error:
            raise LibraryError(f"{shown(Path(name))} in {shown(self._path)} {error}.") from error


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """A zip file. Raises LibraryError when it is not one, or would be out of all proportion when unpacked."""
    try:
        with open_regular(path) as file:
            packed = os.fstat(file.fileno()).st_size
            try:
                zip_ = Zip(file)
            except ZipError as error:
                raise LibraryError(f"{shown(path)} is no zip file that can be read: it {error}.") from error
            with zip_:
                if zip_.unpacked > _FREE_BYTES + _MAX_RATIO * packed:
                    raise LibraryError(f"{shown(path)} would be out of all proportion when unpacked.")
                yield Archive(zip_, path)
    except OSError as error:
        raise cannot("The file cannot be read from", path, error) from error
