"""Where a path may lead that was written as people and terminals write them: ``~``, ``file://``, drives, shares, names of the WSL.

What is there is judged by what it holds, never by its name.
"""

from __future__ import annotations

import codecs
import os
import re
import socket
import stat
import urllib.parse
from enum import StrEnum
from pathlib import Path

from nemochat.images.formats import picture_format
from nemochat.reading import read_beginning
from nemochat.system import places

_WINDOWS_DRIVES = Path("/mnt")
"""Where the drives of Windows are inside the WSL."""
_ROOTED = re.compile(
    r"/|~[/\\]|file:/|[a-z]:[/\\]|\\\\[\w?]|(?:%\w+%|\$env:\w+)[/\\]|"
    r"(?:sftp|ssh|smb|nfs|afp|davs?|ftp|mtp|gphoto2|google-drive|recent|trash)://",
    re.IGNORECASE,
)
_FILE_URI = re.compile(r"file:(?://([^/]*))?(/.*)", re.IGNORECASE | re.DOTALL)
_PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".svg", ".jxl", ".jp2",
    ".ico", ".psd",
)  # fmt: skip
_DOCUMENT_SUFFIXES = (
    ".pdf", ".txt", ".md", ".markdown", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".xml", ".html", ".htm",
    ".log", ".docx", ".odt", ".rtf", ".tex", ".xlsx", ".ods", ".odp", ".eml", ".mbox", ".ipynb", ".doc", ".xls", ".ppt", ".pptx", ".epub",
)  # fmt: skip


def is_rooted(value: str) -> bool:
    """Whether it begins like a path that does not depend on the working directory, on this machine or on another."""
    return _ROOTED.match(value) is not None


def has_known_suffix(value: str) -> bool:
    """Whether it ends like the name of a picture or a document."""
    return value.lower().endswith(_PICTURE_SUFFIXES + _DOCUMENT_SUFFIXES)


def has_picture_suffix(value: str) -> bool:
    """Whether it ends like the name of a picture."""
    return value.lower().endswith(_PICTURE_SUFFIXES)


def locations(value: str, cwd: Path, home: Path) -> list[Path]:
    """Absolute paths that `value` may mean, the likeliest first; whether they exist is not asked."""
    values = [value]
    if (uri := _FILE_URI.fullmatch(value)) is not None:
        host = uri[1] or ""
        is_here = host.lower() in ("", "localhost", socket.gethostname().lower())
        if not is_here and not places.IS_WINDOWS:
            return []
        decoded = os.fsdecode(urllib.parse.unquote_to_bytes(uri[2]))
        # Raw as well: some write a bare path behind the scheme, percent signs and all.
        values = [path if is_here else f"//{host}{path}" for path in dict.fromkeys((decoded, uri[2]))]
    if value == "~" or value.startswith(("~/", "~\\")):
        return [home / value[2:]]
    meant = (places.local(each, str(_WINDOWS_DRIVES)) for each in values)
    return [cwd / each for each in meant if each is not None]


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
