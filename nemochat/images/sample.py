"""The sample picture: what somebody without a picture at hand can ask about, and what the built-in model can tell of."""

from __future__ import annotations

import base64

from nemochat.domain.images import RgbImage

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
