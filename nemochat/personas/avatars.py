"""Portraits: whatever picture a card brings, as a PNG that can be kept and shown."""

from __future__ import annotations

import base64
import binascii
import io

from nemochat.personas import png_chunks
from nemochat.personas.files import MAX_AVATAR
from nemochat.pixels import BadPictureError, decoded

_LONGEST = 1024
_MAX_PIXELS = 40_000_000
_KINDS = ("JPEG", "WEBP", "GIF", "AVIF", "BMP")
_PLAIN = "#5f6b7a"


def as_png(data: bytes) -> bytes | None:
    """The picture as a PNG without any card in it; None when it is no picture or too large a one. A PNG stays as it is, animation too."""
    if data.startswith(png_chunks.SIGNATURE):
        return png_chunks.without_cards(data) if png_chunks.is_picture(data) else None
    if not data or len(data) > MAX_AVATAR:
        return None
    try:
        with decoded(data, _KINDS, _MAX_PIXELS, reduced_above=4 * _LONGEST * _LONGEST) as picture:
            picture.thumbnail((_LONGEST, _LONGEST))
            with io.BytesIO() as buffer, picture.convert("RGBA" if picture.has_transparency_data else "RGB") as converted:
                converted.save(buffer, "PNG")
                return buffer.getvalue()
    except BadPictureError:
        return None


def from_data_uri(uri: str) -> bytes | None:
    """The picture in a ``data:`` address; None for any other address, for broken base64 and for what is too large."""
    head, comma, body = uri.partition(",")
    head = head.lower()
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64") or len(body) > MAX_AVATAR * 4 // 3 + 4:
        return None
    try:
        return as_png(base64.b64decode(body))
    except (binascii.Error, ValueError):
        return None


def plain(accent: str) -> bytes:
    """A portrait of one colour, for a persona that has none and shall become a picture."""
    colour = accent or _PLAIN
    return png_chunks.make(400, 600, (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)))
