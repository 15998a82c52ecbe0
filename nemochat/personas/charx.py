"""A ``.charx`` file: a zip with ``card.json`` at its root and pictures beside it. Nothing is ever unpacked to the disk.

Only two members are read, the card and one portrait, each up to its limit; a member's name is only ever compared, never used as a path.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from types import TracebackType
from typing import Self

from nemochat.personas.limits import MAX_AVATAR, MAX_JSON, Unreadable

_SCHEMES = ("embeded://", "embedded://")  # the specification spells it with one d
_MAX_DIRECTORY = 2 * 1024 * 1024
_MAX_MEMBERS = 10_000
_MAX_TOTAL = 256 * 1024 * 1024
_MAX_RATIO, _SMALL = 200, 1024 * 1024
_END = struct.Struct("<4s4H2IH")
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError, struct.error)


class Charx:
    """An open card file. Raises `Unreadable` for one that is no zip, or that is built to exhaust its reader."""

    def __init__(self, data: bytes) -> None:
        _check_directory(data)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _BROKEN:
            raise Unreadable("its zip is broken") from None
        members = self._zip.infolist()
        if len(members) > _MAX_MEMBERS:
            raise Unreadable(f"its zip holds more than {_MAX_MEMBERS:,} files")
        if sum(member.file_size for member in members) > _MAX_TOTAL:
            raise Unreadable(f"its zip unpacks to more than {_MAX_TOTAL // 1024 // 1024} MiB")
        self._members = {member.filename: member for member in members}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """What is in it besides the card; folders left out."""
        return tuple(name for name in self._members if name != "card.json" and not name.endswith("/"))

    def card(self) -> bytes:
        """The card's JSON."""
        if "card.json" not in self._members:
            raise Unreadable("it is a zip without a card.json at its root")
        return self._read("card.json", MAX_JSON)

    def asset(self, uri: str) -> bytes | None:
        """The file that an address such as ``embeded://assets/icon/main.png`` means; None when there is none, or when it leads outside."""
        name = member_name(uri)
        if name is None or name not in self._members:
            return None
        try:
            return self._read(name, MAX_AVATAR)
        except Unreadable:
            return None

    def _read(self, name: str, limit: int) -> bytes:
        member = self._members[name]
        if member.flag_bits & 1:
            raise Unreadable("its zip is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("its zip is packed in an unusual way")
        if member.file_size > limit:
            raise Unreadable(f"{name} in it is larger than {limit // 1024 // 1024} MiB")
        if member.file_size > _SMALL and member.file_size > _MAX_RATIO * member.compress_size:
            raise Unreadable("its zip unpacks to far more than it holds")
        try:
            with self._zip.open(member) as file:
                content = file.read(limit + 1)
        except _BROKEN:
            raise Unreadable(f"{name} in it is broken") from None
        if len(content) > limit:
            raise Unreadable(f"{name} in it is larger than {limit // 1024 // 1024} MiB")
        return content


def is_zip(data: bytes) -> bool:
    """Whether a file is a zip, perhaps with a picture before it, as some programs write charx files."""
    return data.startswith(b"PK\x03\x04") or (data.startswith(b"\xff\xd8\xff") and _end_of(data) is not None)


def member_name(uri: str) -> str | None:
    """The name within the zip that an address means; None for other addresses and for one that leads out of it."""
    scheme = next((scheme for scheme in _SCHEMES if uri.lower().startswith(scheme)), None)
    if scheme is None:
        return None
    name = uri[len(scheme) :]
    parts = name.split("/")
    return None if not name or "\\" in name or ":" in name or ".." in parts or parts[0] == "" else name


def _end_of(data: bytes) -> int | None:
    place = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    return place if place >= 0 and place + _END.size <= len(data) else None


def _check_directory(data: bytes) -> None:
    """Refuse a table of contents that would take long to read, before the zip is opened."""
    place = _end_of(data)
    if place is None:
        raise Unreadable("its zip is broken")
    size = _END.unpack_from(data, place)[5]
    if size > _MAX_DIRECTORY or data[max(0, place - 20) : place].startswith(b"PK\x06\x07"):
        raise Unreadable("the table of contents of its zip is too large")
