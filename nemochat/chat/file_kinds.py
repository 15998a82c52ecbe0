"""What a path leads to, judged by what is there and never by its name."""

from __future__ import annotations

import codecs
import stat
from enum import StrEnum
from pathlib import Path

from nemochat.images.formats import picture_format
from nemochat.reading import read_beginning

_HEAD_BYTES = 64 * 1024


class FileKind(StrEnum):
    """A picture in an accepted format, UTF-8 text, a folder, or anything else: devices and unreadable files too."""

    PICTURE = "picture"
    TEXT = "text"
    OTHER = "other"
    FOLDER = "folder"


def file_kind(path: Path) -> FileKind | None:
    """The kind of what is at `path`; None when nothing is. Devices and pipes are not opened."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a NUL character in the path
        return None
    if stat.S_ISDIR(mode):
        return FileKind.FOLDER
    if not stat.S_ISREG(mode):
        return FileKind.OTHER
    try:
        data = read_beginning(path, _HEAD_BYTES)
    except OSError:
        return FileKind.OTHER
    return kind_of_bytes(data, is_cut=len(data) == _HEAD_BYTES)


def kind_of_bytes(data: bytes, *, is_cut: bool = False) -> FileKind:
    """The kind of a file that begins so; `is_cut` says that it goes on."""
    kind = picture_format(data)
    # Text that begins with "BM" looks like a bitmap, whose header always holds zeros.
    if kind is not None and (kind != "BMP" or b"\0" in data[:26]):
        return FileKind.PICTURE
    if not data or b"\0" in data:
        return FileKind.OTHER
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=not is_cut)
    except UnicodeDecodeError:
        return FileKind.OTHER
    return FileKind.TEXT

