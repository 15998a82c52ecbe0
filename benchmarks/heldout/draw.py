"""Draws scenes by testing each pixel against a formula (the training draws polygons), then saves PNG or JPEG."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 210, 40),
    "purple": (140, 50, 170),
    "orange": (245, 140, 30),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
BACKGROUNDS = {"gray": (128, 128, 128), "light blue": (190, 215, 235), "beige": (225, 210, 180)}
PLACES = ("top left", "top right", "bottom left", "bottom right")

Array = npt.NDArray[Any]
Mask = Callable[[Array, Array], Array]


def _circle(x: Array, y: Array) -> Array:
    return np.asarray(x * x + y * y <= 1.0)


def _square(x: Array, y: Array) -> Array:
    return np.asarray(np.maximum(np.abs(x), np.abs(y)) <= 0.82)


def _triangle(x: Array, y: Array) -> Array:
    return (y <= 0.62) & (y >= -0.9) & (np.abs(x) <= (y + 0.9) * 0.6)


def _star(x: Array, y: Array) -> Array:
    angle = np.mod(np.arctan2(x, -y), 2 * np.pi / 5)
    angle = np.minimum(angle, 2 * np.pi / 5 - angle)
    inner = 0.40
    # The edge runs from the outer point (radius 1, angle 0) to the inner corner (radius `inner`, angle pi/5).
    outer_x, outer_y = 1.0, 0.0
    inner_x, inner_y = inner * np.cos(np.pi / 5), inner * np.sin(np.pi / 5)
    radius = np.hypot(x, y)
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    cross = (inner_x - outer_x) * (py - outer_y) - (inner_y - outer_y) * (px - outer_x)
    return np.asarray(cross >= 0)


def _heart(x: Array, y: Array) -> Array:
    u, v = x * 1.2, -y * 1.2 + 0.12
    return np.asarray((u * u + v * v - 1) ** 3 - u * u * v**3 <= 0)


def _cross(x: Array, y: Array) -> Array:
    ax, ay = np.abs(x), np.abs(y)
    return ((ax <= 0.33) & (ay <= 0.95)) | ((ay <= 0.33) & (ax <= 0.95))


MASKS: dict[str, Mask] = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "heart": _heart, "cross": _cross}
KINDS = tuple(MASKS)


@dataclass(frozen=True)
class Drawn:
    """One shape of a scene."""

    colour: str
    kind: str
    place: str


@dataclass(frozen=True)
class Picture:
    """A scene and the file that shows it."""

    background: str
    shapes: tuple[Drawn, ...]
    path: str

    def has(self, colour: str, kind: str) -> bool:
        """Whether a shape of this colour and kind is there."""
        return any(shape.colour == colour and shape.kind == kind for shape in self.shapes)


def make_picture(rng: random.Random, folder: Path, count: int | None = None, *, must: tuple[str, str] | None = None) -> Picture:
    """Draw a random scene of `count` shapes (1 to 3 when not given) of different colours and kinds; `must` is a (colour, kind) in it."""
    count = count or rng.randint(1, 3)
    kinds, colours = rng.sample(KINDS, count), rng.sample(list(COLOURS), count)
    if must:
        kinds = [must[1], *[kind for kind in rng.sample(KINDS, 6) if kind != must[1]]][:count]
        colours = [must[0], *[colour for colour in rng.sample(list(COLOURS), 8) if colour != must[0]]][:count]
    places = rng.sample(PLACES, count)
    shapes = tuple(sorted((Drawn(*row) for row in zip(colours, kinds, places, strict=True)), key=lambda s: PLACES.index(s.place)))
    background = rng.choice(list(BACKGROUNDS))
    image = _paint(rng, background, shapes)
    jpeg = rng.random() < 0.5
    path = folder / f"{rng.getrandbits(64):016x}.{'jpg' if jpeg else 'png'}"
    if jpeg:
        image.save(path, quality=rng.randint(70, 95))
    else:
        image.save(path)
    return Picture(background, shapes, str(path))


def _jitter(rng: random.Random, rgb: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(max(0, min(255, value + rng.randint(-15, 15))) for value in rgb)


def _paint(rng: random.Random, background: str, shapes: tuple[Drawn, ...]) -> Image.Image:
    side = rng.choice((64, 96, 128, 200, 256, 320, 448, 512, 640, 800, 1024))
    samples = 1 if rng.random() < 0.25 else 3
    canvas = np.empty((side, side, 3), dtype=np.float32)
    canvas[:] = _jitter(rng, BACKGROUNDS[background])
    for shape in shapes:
        _stamp(rng, canvas, shape, side, samples)
    if rng.random() < 0.25:
        extra = int(side * rng.uniform(0.1, 0.6)) // 2
        pads = ((0, 0), (extra, extra), (0, 0)) if rng.random() < 0.6 else ((extra, extra), (0, 0), (0, 0))
        canvas = np.pad(canvas, pads, mode="edge")
    return Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))


def _stamp(rng: random.Random, canvas: Array, shape: Drawn, side: int, samples: int) -> None:
    radius = rng.uniform(0.12, 0.21) * side
    slack = 0.25 * side - radius
    cx = (0.25 if "left" in shape.place else 0.75) * side + rng.uniform(-slack, slack)
    cy = (0.25 if "top" in shape.place else 0.75) * side + rng.uniform(-slack, slack)
    left, top = max(0, int(cx - radius) - 1), max(0, int(cy - radius) - 1)
    right, bottom = min(side, int(cx + radius) + 2), min(side, int(cy + radius) + 2)
    step = np.arange(samples) / samples + 0.5 / samples
    xs = (np.arange(left, right)[:, None] + step).reshape(-1)
    ys = (np.arange(top, bottom)[:, None] + step).reshape(-1)
    grid_x, grid_y = np.meshgrid((xs - cx) / radius, (ys - cy) / radius)
    inside = MASKS[shape.kind](grid_x, grid_y).astype(np.float32)
    height, width = bottom - top, right - left
    cover = inside.reshape(height, samples, width, samples).mean(axis=(1, 3))[..., None]
    patch = canvas[top:bottom, left:right]
    canvas[top:bottom, left:right] = patch * (1 - cover) + np.array(_jitter(rng, COLOURS[shape.colour]), np.float32) * cover
