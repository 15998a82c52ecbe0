"""Pictures written out, so that anybody can look at what the model got; regions of them; the sample picture."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from nemochat.domain.images import Original, RgbImage
from nemochat.domain.sanitize import shown
from nemochat.errors import ImageError
from nemochat.files import export_file
from nemochat.images.decode import load
from nemochat.images.formats import picture_format


def to_png(image: RgbImage) -> bytes:
    """The picture as a PNG file's bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("RGB", (image.width, image.height), image.rgb).save(buffer, "PNG")
    return buffer.getvalue()


def shareable(original: Original) -> tuple[bytes, str]:
    """A picture's file for others, and its media type: upright, and without what cameras write beside it (places, times, names).

    Raises ImageError for a file that is damaged.
    """
    from PIL import Image

    picture = load(original.data, "a picture of the conversation")
    if picture_format(original.data) != "JPEG":
        return to_png(picture), "image/png"
    buffer = io.BytesIO()
    Image.frombytes("RGB", (picture.width, picture.height), picture.rgb).save(buffer, "JPEG", quality=90)
    return buffer.getvalue(), "image/jpeg"


def save_png(image: RgbImage, path: Path) -> None:
    """Write the picture as a PNG file, over one that is there. Raises ImageError when the file cannot be written."""
    try:
        export_file(path, to_png(image), replace=True)
    except OSError as error:
        raise ImageError(f"The picture cannot be written to {shown(path)} ({error.strerror or error}).") from None


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


SAMPLE_SIDE = 240
"""Pixels of each side of the picture that is attached."""
_GROUND, _CIRCLE, _TRIANGLE, _SQUARE = bytes((225, 210, 180)), bytes((220, 40, 40)), bytes((40, 170, 60)), bytes((40, 80, 220))
_MOST_KINDS, _SHARE = 12, 0.8
"""A flat drawing has that much of its area in so few colours."""


def sample_picture(side: int = SAMPLE_SIDE) -> RgbImage:
    """A red circle, a green triangle and a blue square on beige, at any size; without any library, because a first screen shows it."""
    places = [(at + 0.5) / side for at in range(side)]
    return RgbImage.from_rgb(side, side, b"".join(_colour(x, y) for y in places for x in places))


def _colour(x: float, y: float) -> bytes:
    """At a place from 0 to 1, the first one at the left and at the top."""
    if (x - 0.25) ** 2 + (y - 0.25) ** 2 < 0.17**2:
        return _CIRCLE
    if 0.06 < y < 0.37 and abs(x - 0.75) < (y - 0.05) * 0.6:
        return _TRIANGLE
    if 0.5625 < x < 0.9375 and 0.5625 < y < 0.9375:
        return _SQUARE
    return _GROUND


def sample_source() -> str:
    """The sample picture as a data URI, as which it can be attached."""
    from nemochat.images.png import to_png

    return f"data:image/png;base64,{base64.b64encode(to_png(sample_picture())).decode()}"


def is_flat(image: RgbImage) -> bool:
    """Whether a picture is a drawing in few flat colours rather than a photograph."""
    from PIL import Image

    small = Image.frombytes("RGB", (image.width, image.height), image.rgb).resize((64, 64), Image.Resampling.NEAREST)
    kinds = sorted((number for number, _ in small.point(lambda value: value // 16).getcolors(64 * 64) or ()), reverse=True)
    return sum(kinds[:_MOST_KINDS]) >= _SHARE * 64 * 64
