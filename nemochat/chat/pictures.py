"""From where a picture is said to be to its pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from nemochat import images
from nemochat.domain.images import Original, RgbImage
from nemochat.errors import ImageError
from nemochat.paths import at_home

MAX_TOGETHER = 450_000_000
"""Bytes of the pixels of all the pictures of a request."""


class OpenedPicture(msgspec.Struct, frozen=True):
    """A picture at its full size, and the file that it was read from."""

    image: RgbImage
    original: Original | None = None


def open_picture(source: str) -> OpenedPicture:
    """The picture behind a data URI or a path (relative to the working directory; ``~`` is the home). Raises ImageError."""
    if source.startswith("data:"):
        data = images.decode_data_uri(source)
        return opened(data, "the picture in the data URI")
    if source.startswith(("http://", "https://")):
        raise ImageError("nemochat does not fetch pictures from the network.", "Save the picture first and give its path.")
    path = at_home(source)
    return opened(images.read_picture(path), str(path))


def check_room(pictures: Iterable[RgbImage]) -> None:
    """Raise ImageError when these are more than a machine should hold at once: a small file can stand for very many pixels."""
    if sum(len(picture.rgb) for picture in pictures) > MAX_TOGETHER:
        limit = MAX_TOGETHER // 3_000_000
        raise ImageError(f"The pictures have more than {limit} million pixels together.", "Attach fewer, or smaller copies.")


def opened(data: bytes, name: str) -> OpenedPicture:
    """The picture in a file's bytes; `name` is what messages call it. Raises ImageError."""
    return OpenedPicture(images.load(data, name), Original(data, (images.picture_format(data) or "").lower()))


def picture_name(source: str) -> str:
    """What people call it: the file's name, or "picture" for a data URI."""
    return "picture" if source.startswith("data:") else Path(source).name
