"""A region of a picture file as a picture of its own."""

from __future__ import annotations

from nemochat.domain.images import RgbImage
from nemochat.images.decode import load
from nemochat.images.png import to_png


def crop(data: bytes, left: float, top: float, right: float, bottom: float) -> bytes:
    """The region between these edges, in percent of width and height, as PNG: at least one pixel. Raises ImageError."""
    picture = load(data, "the picture")
    x0, x1 = _pixels(left, right, picture.width)
    y0, y1 = _pixels(top, bottom, picture.height)
    row = picture.width * 3
    rgb = b"".join(picture.rgb[y * row + x0 * 3 : y * row + x1 * 3] for y in range(y0, y1))
    return to_png(RgbImage.from_rgb(x1 - x0, y1 - y0, rgb))


def _pixels(start: float, stop: float, size: int) -> tuple[int, int]:
    """Start and stop in pixels of two places in percent."""
    first = min(size - 1, max(0, int(start * size / 100)))
    return first, max(first + 1, min(size, round(stop * size / 100)))
