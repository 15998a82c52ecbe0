"""Pictures as files for a server: no larger than it takes, made once."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from nemochat.domain.images import RgbImage
from nemochat.engine.lru import LruCache
from nemochat.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

_KEPT_BYTES = 64 << 20
_COLOURS = 1 << 16
"""A picture with more colours is most likely a photograph, which a JPEG holds in a tenth of a PNG."""
_QUALITY = 90
_SHRINK = 0.75
_SMALLEST = 32
"""A picture of so few pixels a side shows nothing; one that has to be smaller is none."""


class PictureLimits(msgspec.Struct, frozen=True):
    """What a server takes. side: pixels. each, together: bytes of one picture, and of all pictures of a request, before they are text."""

    side: int = 2048
    each: int = 4 << 20
    together: int = 48 << 20


class PictureFile(msgspec.Struct, frozen=True):
    """A picture's file. kind: its media type."""

    data: bytes
    kind: str


def data_uri(file: PictureFile) -> str:
    """A picture within a text."""
    return f"data:{file.kind};base64,{base64.b64encode(file.data).decode()}"


class Pictures:
    """The pictures of an engine. find: as `Engine.find_image`."""

    def __init__(self, find: Callable[[], Callable[[str], RgbImage | None]], limits: PictureLimits) -> None:
        self._find = find
        self._limits = limits
        self._files: LruCache[tuple[str, int], PictureFile] = LruCache(_KEPT_BYTES, weigh=lambda file: len(file.data))

    async def files(self, digests: Sequence[str]) -> dict[str, PictureFile]:
        """The files of the pictures of a request, by digest. Raises ImageError for one that is gone, or cannot be made small enough."""
        most = min(self._limits.each, self._limits.together // max(1, len(digests)))
        return {digest: await self._file(digest, most) for digest in dict.fromkeys(digests)}

    async def _file(self, digest: str, most: int) -> PictureFile:
        file = self._files.get((digest, most))
        if file is None:
            file = await asyncio.to_thread(self._made, digest, most)
            self._files.put((digest, most), file)
        return file

    def _made(self, digest: str, most: int) -> PictureFile:
        image = self._find()(digest)
        if image is None:
            raise ImageError("A picture of this chat cannot be found any more.", "Attach its file again.")
        return as_file(image, self._limits.side, most)


def as_file(image: RgbImage, side: int, most: int) -> PictureFile:
    """A picture as a PNG, or a JPEG where it is a photograph or too large, within `side` pixels and `most` bytes. Raises ImageError."""
    from PIL import Image as Pillow

    picture = Pillow.frombytes("RGB", (image.width, image.height), image.rgb)
    picture = _resized(picture, min(1.0, side / max(picture.size)))
    if picture.getcolors(_COLOURS) is not None and len(data := _saved(picture, "PNG", compress_level=3)) <= most:
        return PictureFile(data, "image/png")
    while len(data := _saved(picture, "JPEG", quality=_QUALITY)) > most:
        if max(picture.size) <= _SMALLEST:
            raise ImageError("The pictures are more than the server takes at once.", "Send fewer of them.")
        picture = _resized(picture, _SHRINK)
    return PictureFile(data, "image/jpeg")


def _resized(picture: Image, by: float) -> Image:
    if by >= 1:
        return picture
    from PIL import Image as Pillow

    width, height = (max(1, round(each * by)) for each in picture.size)
    return picture.resize((width, height), Pillow.Resampling.BICUBIC, reducing_gap=2.0)


def _saved(picture: Image, kind: str, **how: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return buffer.getvalue()
