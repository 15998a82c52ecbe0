"""A ``.charx`` file: a zip with ``card.json`` at its root and pictures beside it. Nothing is ever unpacked to the disk.

Only two members are read, the card and one portrait, each up to its limit; a member's name is only ever compared, never used as a path.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from nemochat.personas.files import MAX_AVATAR, MAX_JSON, Unreadable
from nemochat.zips import Zip, ZipError

_SCHEMES = ("embeded://", "embedded://")  # the specification spells it with one d
_MAX_DIRECTORY = 2 * 1024 * 1024
_END, _END_WITHIN = b"PK\x05\x06", 65_557


class Charx:
    """An open card file. Raises `Unreadable` for one that is no zip, or that is built to exhaust its reader."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = Zip(io.BytesIO(data), _MAX_DIRECTORY)
        except ZipError as error:
            raise Unreadable(f"its zip {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._zip.__exit__(kind, error, trace)

    @property
    def names(self) -> tuple[str, ...]:
        """What is in it besides the card; folders left out."""
        return tuple(name for name in self._zip.names if name != "card.json" and not name.endswith("/"))

    def card(self) -> bytes:
        """The card's JSON."""
        if not self._zip.holds("card.json"):
            raise Unreadable("it is a zip without a card.json at its root")
        try:
            return self._zip.read("card.json", MAX_JSON)
        except ZipError as error:
            raise Unreadable(f"card.json in it {error}") from None

    def asset(self, uri: str) -> bytes | None:
        """The file that an address such as ``embeded://assets/icon/main.png`` means; None when there is none, or when it leads outside."""
        name = member_name(uri)
        return None if name is None else self.member(name)

    def member(self, name: str) -> bytes | None:
        """A file of it by its name; None when there is none that can be read."""
        try:
            return self._zip.read(name, MAX_AVATAR)
        except ZipError:
            return None


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip of files by their names; pictures and sounds are packed already, so nothing is packed once more."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as box:
        for name, content in members.items():
            box.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def is_zip(data: bytes) -> bool:
    """Whether a file is a zip, perhaps with a picture before it, as some programs write charx files."""
    return data.startswith(b"PK\x03\x04") or (data.startswith(b"\xff\xd8\xff") and data.rfind(_END, max(0, len(data) - _END_WITHIN)) >= 0)


def member_name(uri: str) -> str | None:
    """The name within the zip that an address means; None for other addresses and for one that leads out of it."""
    scheme = next((scheme for scheme in _SCHEMES if uri.lower().startswith(scheme)), None)
    if scheme is None:
        return None
    name = uri[len(scheme) :]
    parts = name.split("/")
    return None if not name or "\\" in name or ":" in name or ".." in parts or parts[0] == "" else name
