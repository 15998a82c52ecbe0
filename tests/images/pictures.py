"""Pictures for the tests, encoded in memory."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from nemochat.domain.images import RgbImage

Colour = tuple[int, int, int]


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grid(rows: list[list[Colour]], cell: int = 1) -> Image.Image:
    """A picture of square cells."""
    image = Image.new("RGB", (len(rows[0]) * cell, len(rows) * cell))
    for y, row in enumerate(rows):
        for x, colour in enumerate(row):
            image.paste(colour, (x * cell, y * cell, (x + 1) * cell, (y + 1) * cell))
    return image


def noise(width: int, height: int, seed: int = 7) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))


def pixel(image: RgbImage, x: int, y: int) -> Colour:
    start = (y * image.width + x) * 3
    red, green, blue = image.rgb[start : start + 3]
    return red, green, blue


def pixels(image: RgbImage) -> list[list[Colour]]:
    return [[pixel(image, x, y) for x in range(image.width)] for y in range(image.height)]


def farthest(one: Colour, other: Colour) -> int:
    """The largest difference in any channel."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def draw_circle(path: Path, colour: Colour, side: int = 240) -> None:
    """A circle at the top left of a beige square, as the demo model knows it, drawn at four times the size and reduced."""
    large = side * 4
    image = Image.new("RGB", (large, large), (225, 210, 180))
    ImageDraw.Draw(image).ellipse((large * 0.09, large * 0.1, large * 0.42, large * 0.43), fill=colour)
    image.resize((side, side), Image.Resampling.LANCZOS).save(path)
