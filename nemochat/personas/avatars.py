"""Portraits: whatever picture a card brings, as a PNG that can be kept and shown."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import warnings
import zlib

from nemochat.personas import png_chunks
from nemochat.personas.limits import MAX_AVATAR

_LONGEST = 1024
_MAX_PIXELS = 40_000_000
_PLAIN = "#5f6b7a"
# What Pillow raises for broken files, besides OSError.
_FAILURES = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error, zlib.error, RuntimeError,
    MemoryError, Warning,
)  # fmt: skip


def as_png(data: bytes) -> bytes | None:
    """The picture as a PNG without any card in it; None when it is no picture or too large a one. A PNG stays as it is, animation too."""
    if data.startswith(png_chunks.SIGNATURE):
        return png_chunks.without_cards(data) if png_chunks.is_picture(data) else None
    if not data or len(data) > MAX_AVATAR:
        return None
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=["JPEG", "WEBP", "GIF", "AVIF", "BMP"]) as picture:
                if picture.width * picture.height > _MAX_PIXELS:
                    return None
                picture.thumbnail((_LONGEST, _LONGEST))
                with io.BytesIO() as buffer, picture.convert("RGBA" if picture.has_transparency_data else "RGB") as converted:
                    converted.save(buffer, "PNG")
                    return buffer.getvalue()
    except _FAILURES:
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
