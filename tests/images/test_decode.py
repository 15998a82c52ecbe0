from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nemochat.errors import ImageError
from nemochat.images import load
from tests.images.pictures import encode, farthest, grid, noise, pixel, pixels

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
UPRIGHT = [[RED, GREEN, BLUE], [WHITE, BLACK, RED]]
FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"]

# How the pixels of an upright picture are stored for each EXIF orientation (EXIF 2.3, tag 0x0112).
STORED_AS = {
    1: UPRIGHT,
    2: [row[::-1] for row in UPRIGHT],
    3: [row[::-1] for row in UPRIGHT[::-1]],
    4: UPRIGHT[::-1],
    5: [list(column) for column in zip(*UPRIGHT, strict=True)],
    6: [list(column) for column in zip(*UPRIGHT, strict=True)][::-1],
    7: [list(column)[::-1] for column in zip(*UPRIGHT, strict=True)][::-1],
    8: [list(column)[::-1] for column in zip(*UPRIGHT, strict=True)],
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert pixels(load(encode(grid(STORED_AS[orientation]), "PNG", exif=exif))) == UPRIGHT


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_come_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = load(encode(grid(STORED_AS[6], cell=32), kind, exif=exif, quality=95))
    assert (image.width, image.height) == (96, 64)
    assert farthest(pixel(image, 16, 16), RED) < 12
    assert farthest(pixel(image, 80, 16), BLUE) < 12


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert pixels(load(encode(grid(UPRIGHT), "PNG", exif=exif))) == UPRIGHT


def test_a_picture_with_broken_metadata_is_still_good() -> None:
    data = encode(grid(UPRIGHT, cell=8), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage")
    assert load(data).width == 24


@pytest.mark.parametrize("kind", FORMATS)
def test_every_accepted_format(kind: str) -> None:
    image = load(encode(grid(UPRIGHT, cell=16), kind))
    assert (image.width, image.height) == (48, 32)
    for x, y, colour in [(8, 8, RED), (24, 8, GREEN), (40, 8, BLUE), (8, 24, WHITE), (24, 24, BLACK)]:
        assert farthest(pixel(image, x, y), colour) < 40


def test_cmyk() -> None:
    image = load(encode(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95))
    assert farthest(pixel(image, 16, 16), (255, 0, 0)) <= 3


def test_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert pixels(load(encode(image, "PNG", transparency=0))) == [[WHITE, (200, 100, 50)]]


def test_palette_with_alpha_values_is_blended() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.putdata([0, 1])
    first, second = pixels(load(encode(image, "PNG", transparency=bytes([51, 255]))))[0]
    assert farthest(first, (204, 204, 204)) <= 1
    assert second == (200, 100, 50)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_alpha_is_composited_on_white(kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    clear = load(encode(Image.new("RGBA", (16, 16), (255, 0, 0, 0)), kind, **options))
    half = load(encode(Image.new("RGBA", (16, 16), (255, 0, 0, 128)), kind, **options))
    assert farthest(pixel(clear, 8, 8), WHITE) <= 1
    assert farthest(pixel(half, 8, 8), (255, 127, 127)) <= (8 if kind == "AVIF" else 1)


def test_grey_with_alpha() -> None:
    image = Image.new("LA", (2, 1))
    image.putdata([(0, 0), (40, 255)])
    assert pixels(load(encode(image, "PNG"))) == [[WHITE, (40, 40, 40)]]


def test_transparent_colour_without_an_alpha_channel() -> None:
    assert pixels(load(encode(grid([[RED, BLUE]]), "PNG", transparency=RED))) == [[WHITE, BLUE]]


@pytest.mark.parametrize(("mode", "value", "grey"), [("L", 90, 90), ("1", 1, 255), ("1", 0, 0)])
def test_grey_and_bilevel(mode: str, value: int, grey: int) -> None:
    assert pixels(load(encode(Image.new(mode, (1, 1), value), "PNG"))) == [[(grey, grey, grey)]]


@pytest.mark.parametrize("value", [0, 128, 300, 32768, 40000, 65407, 65535])
def test_16_bit_grey_is_scaled(value: int) -> None:
    image = Image.frombytes("I;16", (1, 1), value.to_bytes(2, "little"))
    grey = round(value / 257)
    assert pixels(load(encode(image, "PNG"))) == [[(grey, grey, grey)]]


def test_16_bit_colour() -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = png([(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", 65535, 40000, 300))), (b"IEND", b"")])
    assert farthest(pixel(load(data), 0, 0), (255, 156, 1)) <= 1


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_show_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert farthest(pixel(load(data), 8, 8), RED) <= 2


def test_big_jpegs_are_decoded_smaller() -> None:
    small = load(encode(Image.new("RGB", (6000, 4000), RED), "JPEG"))
    assert (small.width, small.height) == (6000, 4000)
    large = load(encode(Image.new("RGB", (9000, 6000), RED), "JPEG"))
    assert (large.width, large.height) == (4500, 3000)
    assert farthest(pixel(large, 2000, 2000), (254, 0, 0)) <= 2


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 10_000), (10_000, 1)])
def test_extreme_shapes(width: int, height: int) -> None:
    image = load(encode(Image.new("RGB", (width, height), BLUE), "PNG"))
    assert (image.width, image.height, pixel(image, width - 1, height - 1)) == (width, height, BLUE)


@pytest.mark.parametrize("size", [(12_000, 12_000), (8_000, 8_000), (20_000, 20_000), (70_000, 1)])
def test_a_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    data = png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")])
    # Its data ends early: had anything been decoded, the message would be that it is cut short.
    with pytest.raises(ImageError, match="pixels"):
        load(data, "bomb.png")


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_short_is_refused(progressive: bool) -> None:
    whole = encode(noise(96, 64), "JPEG", progressive=progressive)
    for percent in range(100):
        with pytest.raises(ImageError):
            load(whole[: len(whole) * percent // 100], "photo.jpg")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_other_formats_cut_short_are_refused(kind: str) -> None:
    whole = encode(noise(64, 64), kind)
    for percent in range(0, 96, 5):
        with pytest.raises(ImageError):
            load(whole[: len(whole) * percent // 100])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture; pictures are read as PNG, JPEG, WebP, GIF, BMP or AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "is an MP4"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"II*\0\x08\0\0\0", "is a TIFF picture"),
        (b"\xff\x0a\xfa", "is a JPEG XL picture"),
        (b"GGUF\x03\0\0\0", "is a GGUF model"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"hello", "is not a picture"),
    ],
)
def test_what_is_no_accepted_picture_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match="my file") as caught:
        load(data, "my file")
    assert words in caught.value.message


def test_no_bytes() -> None:
    with pytest.raises(ImageError, match="empty"):
        load(b"")


def test_names_in_messages_are_sanitised() -> None:
    with pytest.raises(ImageError) as caught:
        load(b"x", "evil\x1b]52;c;aGk=\x07\n.png")
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message


BASES = {kind: encode(grid(UPRIGHT, cell=8), kind) for kind in FORMATS}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_flipped_bytes_give_a_picture_or_an_error(kind: str, data: st.DataObject) -> None:
    broken = bytearray(BASES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):  # anything else that is raised fails the test
        image = load(bytes(broken))
        assert len(image.rgb) == image.width * image.height * 3
