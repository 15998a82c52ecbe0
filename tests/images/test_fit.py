from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from nemochat.domain.images import RgbImage
from nemochat.images import fit
from nemochat.images.decode import PAD_COLOUR
from tests.images.pictures import farthest, noise, pixel


def value(image: Image.Image) -> RgbImage:
    return RgbImage.from_rgb(image.width, image.height, image.tobytes())


def test_a_picture_of_that_size_is_unchanged() -> None:
    image = value(noise(56, 56))
    assert fit(image, 56) is image


def test_a_square_is_resized_by_pillow_bicubic() -> None:
    picture = noise(100, 100)
    assert fit(value(picture), 28).rgb == picture.resize((28, 28), Image.Resampling.BICUBIC).tobytes()


@pytest.mark.parametrize("size", [(101, 40), (40, 101), (3, 200)])
def test_other_shapes_are_padded_to_a_centred_square_first(size: tuple[int, int]) -> None:
    picture = noise(*size)
    side = max(size)
    square = Image.new("RGB", (side, side), PAD_COLOUR)
    square.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    assert fit(value(picture), 56).rgb == square.resize((56, 56), Image.Resampling.BICUBIC).tobytes()


def test_small_pictures_are_enlarged() -> None:
    fitted = fit(value(Image.new("RGB", (1, 1), (10, 200, 30))), 56)
    assert set(zip(fitted.rgb[::3], fitted.rgb[1::3], fitted.rgb[2::3], strict=True)) == {(10, 200, 30)}


@pytest.mark.parametrize("size", [(4200, 300), (300, 4200), (4200, 7)])
def test_long_pictures_come_out_as_if_padded_first(size: tuple[int, int]) -> None:
    picture = noise(*size).resize(size, Image.Resampling.BICUBIC)
    side = max(size)
    square = Image.new("RGB", (side, side), PAD_COLOUR)
    square.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    exact = square.resize((56, 56), Image.Resampling.BICUBIC).tobytes()
    fitted = fit(value(picture), 56).rgb
    assert max(abs(a - b) for a, b in zip(exact, fitted, strict=True)) <= 1


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1)])
def test_extreme_strips_are_a_hair_in_the_padding(size: tuple[int, int]) -> None:
    fitted = fit(value(Image.new("RGB", size, (255, 0, 0))), 112)
    assert pixel(fitted, 0, 0) == pixel(fitted, 111, 111) == PAD_COLOUR
    assert farthest(pixel(fitted, 56, 56), PAD_COLOUR) < 6


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_extreme_strips_never_allocate_their_square() -> None:
    """The square around 1 x 60,000 pixels would be 10.8 GB; the process may have one."""
    code = """
import resource
from nemochat.domain.images import RgbImage
from nemochat.images import fit
resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))
print(fit(RgbImage.from_rgb(1, 60_000, bytes(180_000)), 336).width)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout == "336\n"
