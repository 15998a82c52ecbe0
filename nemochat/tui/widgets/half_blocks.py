"""A small picture as text: two pixels to a cell, one above the other."""

from __future__ import annotations

from functools import lru_cache

from textual.content import Content

from nemochat.domain.images import RgbImage
from nemochat.errors import ImageError


@lru_cache(maxsize=64)
def half_blocks(png: bytes, width: int, height: int) -> Content:
    """The picture in the middle of a file, in `height` lines of `width` cells; empty when it cannot be read.

    What does not fit the shape of the cells is cut off at the sides, or more below than above, where the face of a portrait is not.
    """
    from nemochat.images import load

    try:
        pixels = load(png, "the portrait")
    except ImageError:
        return Content("")
    return blocks(_scaled(pixels, width, height * 2), width)


def blocks(rgb: bytes, width: int) -> Content:
    """Pixels (three bytes each, in rows of `width`, an even number of rows) as half as many lines of cells."""
    stride = width * 3
    lines = []
    for top in range(0, len(rgb), 2 * stride):
        cells = [
            ("▀", f"{_hex(rgb[at : at + 3])} on {_hex(rgb[at + stride : at + stride + 3])}") for at in range(top, top + stride, 3)
        ]
        lines.append(Content.assemble(*cells))
    return Content("\n").join(lines)


def _scaled(pixels: RgbImage, width: int, height: int) -> bytes:
    from PIL import Image, ImageOps

    image = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.rgb)
    return ImageOps.fit(image, (width, height), Image.Resampling.BOX, centering=(0.5, 0.25)).tobytes()


def _hex(rgb: bytes) -> str:
    return f"#{rgb.hex()}"
