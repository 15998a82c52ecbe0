"""A region of a picture at its full size."""

from __future__ import annotations

import pytest

from nemochat.domain.images import RgbImage
from nemochat.images import crop, load, to_png

COLOURS = (b"\x00\x00\x00", b"\x10\x00\x00", b"\x20\x00\x00", b"\x30\x00\x00")
PICTURE = to_png(RgbImage.from_rgb(4, 2, b"".join(COLOURS) + b"\xff\xff\xff" * 4))


@pytest.mark.parametrize(
    ("edges", "pixels"),
    [
        ((25, 0, 75, 50), (2, 1, COLOURS[1] + COLOURS[2])),
        ((0, 0, 1, 1), (1, 1, COLOURS[0])),
        ((100, 0, 100, 10), (1, 1, COLOURS[3])),
        ((0, 50, 50, 100), (2, 1, b"\xff" * 6)),
    ],
)
def test_the_region_is_cut_out_exactly(edges: tuple[float, float, float, float], pixels: tuple[int, int, bytes]) -> None:
    found = load(crop(PICTURE, *edges))
    assert (found.width, found.height, found.rgb) == pixels
