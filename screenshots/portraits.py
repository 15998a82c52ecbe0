"""Draws the portraits of the personas that come with nemochat, pixel by pixel.

    python -m screenshots.portraits [NAME ...]

Each is 24x24 pixels and lies beside its persona in `nemochat/personas/presets/`. In a terminal they are shown in half-blocks, often only
12x12 of them, so what matters is drawn on even coordinates and at least two pixels thick.

A portrait is a list of shapes, painted in order: ``box`` and ``oval`` by their corners, ``line`` and ``area`` by their points. All corners
belong to the shape.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).parents[1] / "nemochat" / "personas" / "presets"
SIDE = 24

Shape = tuple[str, str, str]
"""Its kind, its colour, and its coordinates: x and y in turn, separated by spaces."""

PORTRAITS: dict[str, tuple[Shape, ...]] = {
    "assistant": (  # a speech bubble
        ("box", "#123c5e", "0 0 23 23"),
        ("box", "#f2f7fb", "4 4 19 17"),
        ("box", "#f2f7fb", "2 6 21 15"),
        ("area", "#f2f7fb", "6 16 12 16 6 21"),
        ("box", "#1f7fbf", "4 10 7 13"),
        ("box", "#1f7fbf", "10 10 13 13"),
        ("box", "#1f7fbf", "16 10 19 13"),
    ),
    "describer": (  # a picture, and words under it
        ("box", "#3a2417", "0 0 23 23"),
        ("box", "#e9d5bd", "2 2 21 15"),
        ("box", "#7fb6d8", "4 4 19 13"),
        ("area", "#4d7a46", "4 13 4 11 9 7 13 11 15 9 19 12 19 13"),
        ("box", "#f6d04d", "14 4 17 7"),
        ("box", "#f0e6da", "2 18 21 19"),
        ("box", "#f0e6da", "2 22 13 23"),
    ),
    "chart-reader": (  # bars over an axis
        ("box", "#11361f", "0 0 23 23"),
        ("box", "#dfe9e1", "2 2 3 21"),
        ("box", "#dfe9e1", "2 20 23 21"),
        ("box", "#5fb37c", "6 12 9 19"),
        ("box", "#f0b64c", "12 4 15 19"),
        ("box", "#64a5dc", "18 8 21 19"),
    ),
    "blacksmith": (  # grey temples, a leather apron, a hammer
        ("box", "#5c2414", "0 0 23 23"),
        ("box", "#4e2a16", "4 20 23 23"),
        ("box", "#8c5a30", "10 20 17 23"),
        ("box", "#c68f68", "11 16 16 20"),
        ("oval", "#dba67e", "8 4 19 17"),
        ("box", "#3b2a25", "9 2 18 5"),
        ("box", "#3b2a25", "8 4 9 7"),
        ("box", "#3b2a25", "18 4 19 7"),
        ("box", "#a39c95", "8 8 9 13"),
        ("box", "#a39c95", "18 8 19 13"),
        ("box", "#241714", "10 10 11 11"),
        ("box", "#241714", "16 10 17 11"),
        ("box", "#3b2a25", "10 8 12 8"),
        ("box", "#3b2a25", "15 8 17 8"),
        ("box", "#8d4c3c", "12 14 15 14"),
        ("box", "#a06a4c", "16 12 17 13"),
        ("box", "#9a6a3a", "2 14 3 23"),
        ("box", "#c3cbd2", "0 8 5 11"),
        ("box", "#87919a", "0 12 5 13"),
    ),
    "innkeeper": (  # bald, a white moustache, a full mug
        ("box", "#3c2c12", "0 0 23 23"),
        ("box", "#d9cfba", "2 19 19 23"),
        ("box", "#4a6a3c", "6 20 15 23"),
        ("oval", "#e6b48f", "2 3 17 18"),
        ("box", "#d8d0c4", "1 10 2 13"),
        ("box", "#d8d0c4", "17 10 18 13"),
        ("box", "#2a1c14", "6 10 7 11"),
        ("box", "#2a1c14", "12 10 13 11"),
        ("box", "#d98a70", "4 12 5 13"),
        ("box", "#d98a70", "14 12 15 13"),
        ("box", "#c98466", "9 11 10 13"),
        ("box", "#f2ece2", "6 14 13 15"),
        ("box", "#f2ece2", "4 16 7 16"),
        ("box", "#f2ece2", "12 16 15 16"),
        ("box", "#e2a32c", "16 16 21 23"),
        ("box", "#fdf6e4", "16 14 21 16"),
        ("box", "#c98a1e", "22 17 23 18"),
        ("box", "#c98a1e", "22 21 23 22"),
        ("box", "#c98a1e", "23 18 23 22"),
    ),
    "guide": (  # a wide hat with a feather, hills behind
        ("box", "#8fb0a8", "0 0 23 23"),
        ("area", "#3f6a3a", "0 23 0 14 5 10 10 16 18 11 23 15 23 23"),
        ("box", "#6a4a2a", "4 20 19 23"),
        ("box", "#b23c36", "7 18 16 20"),
        ("oval", "#c99470", "6 6 17 18"),
        ("box", "#2d1f18", "6 9 6 15"),
        ("box", "#2d1f18", "17 9 17 15"),
        ("box", "#1f1612", "8 12 9 13"),
        ("box", "#1f1612", "14 12 15 13"),
        ("box", "#8a4a3a", "10 16 13 16"),
        ("box", "#4f5a2c", "2 8 21 9"),
        ("box", "#5f6c34", "6 2 17 7"),
        ("box", "#39401f", "6 6 17 7"),
        ("line", "#e0503c", "17 6 20 1"),
        ("line", "#e0503c", "18 6 21 1"),
    ),
    "ship-computer": (  # a lens that looks at you, three lamps
        ("box", "#0b1a26", "0 0 23 23"),
        ("oval", "#2fb4c8", "3 0 20 17"),
        ("oval", "#0f2c3c", "5 2 18 15"),
        ("oval", "#176a80", "7 4 16 13"),
        ("oval", "#e8fbff", "10 7 13 10"),
        ("box", "#57d98a", "4 20 7 21"),
        ("box", "#e0b13c", "10 20 13 21"),
        ("box", "#3a4c58", "16 20 19 21"),
    ),
    "detective": (  # a magnifying glass before one eye
        ("box", "#39434f", "0 0 23 23"),
        ("box", "#6b4c34", "2 19 19 23"),
        ("area", "#eee8dc", "8 19 13 19 11 23 10 23"),
        ("oval", "#2a2220", "3 3 18 18"),
        ("oval", "#e0b494", "5 5 16 18"),
        ("box", "#2a2220", "3 9 5 17"),
        ("box", "#70503a", "4 1 17 5"),
        ("box", "#553a28", "2 6 19 7"),
        ("box", "#241a18", "8 10 9 11"),
        ("box", "#9a5040", "8 15 11 15"),
        ("oval", "#d9b24a", "11 7 20 16"),
        ("oval", "#dff0f4", "13 9 18 14"),
        ("box", "#2c4a66", "14 10 17 13"),
        ("line", "#d9b24a", "19 16 23 20"),
        ("line", "#d9b24a", "18 16 23 21"),
        ("line", "#b08c30", "18 17 23 22"),
    ),
    "language-partner": (  # two speech bubbles, two alphabets
        ("box", "#4a1530", "0 0 23 23"),
        ("box", "#f8eef3", "2 2 13 13"),
        ("box", "#f8eef3", "2 14 3 15"),
        ("box", "#4a1530", "6 4 9 5"),
        ("box", "#4a1530", "4 6 5 11"),
        ("box", "#4a1530", "10 6 11 11"),
        ("box", "#4a1530", "4 8 11 9"),
        ("box", "#e07aa6", "10 14 21 23"),
        ("box", "#e07aa6", "22 20 23 21"),
        ("box", "#4a1530", "12 16 13 16"),
        ("box", "#4a1530", "18 16 19 16"),
        ("box", "#4a1530", "12 18 13 20"),
        ("box", "#4a1530", "18 18 19 20"),
        ("box", "#4a1530", "12 20 19 21"),
    ),
    "storyteller": (  # an open book under the moon
        ("box", "#2a1740", "0 0 23 23"),
        ("oval", "#f4d873", "8 0 15 7"),
        ("oval", "#2a1740", "12 -1 18 5"),
        ("box", "#f4e9c0", "4 4 5 5"),
        ("box", "#f4e9c0", "18 6 19 7"),
        ("area", "#7a4a94", "0 12 11 14 12 14 23 12 23 22 12 23 11 23 0 22"),
        ("area", "#f6efe2", "2 11 11 13 11 21 2 19"),
        ("area", "#ddd0ba", "12 13 21 11 21 19 12 21"),
        ("box", "#8a7a94", "4 14 9 15"),
        ("box", "#8a7a94", "14 14 19 15"),
        ("box", "#8a7a94", "4 17 7 17"),
        ("box", "#8a7a94", "14 17 17 17"),
    ),
    "game-master": (  # a die
        ("box", "#251c4a", "0 0 23 23"),
        ("box", "#efeaf8", "4 2 19 21"),
        ("box", "#efeaf8", "2 4 21 19"),
        ("box", "#5b3fc0", "4 4 7 7"),
        ("box", "#5b3fc0", "16 4 19 7"),
        ("box", "#c23a4c", "10 10 13 13"),
        ("box", "#5b3fc0", "4 16 7 19"),
        ("box", "#5b3fc0", "16 16 19 19"),
    ),
    "kitchen": (  # a cook's hat and a red neckerchief
        ("box", "#2d5a54", "0 0 23 23"),
        ("box", "#f4f1ea", "3 20 20 23"),
        ("area", "#d2483c", "7 18 16 18 14 22 9 22"),
        ("oval", "#d6a078", "6 6 17 18"),
        ("box", "#c9c2b8", "5 8 6 14"),
        ("box", "#c9c2b8", "17 8 18 14"),
        ("box", "#fbf9f4", "6 4 17 8"),
        ("oval", "#fbf9f4", "3 0 10 6"),
        ("oval", "#fbf9f4", "8 -2 15 5"),
        ("oval", "#fbf9f4", "13 0 20 6"),
        ("box", "#d9d4c8", "6 8 17 8"),
        ("box", "#241a16", "8 10 9 11"),
        ("box", "#241a16", "14 10 15 11"),
        ("box", "#c47a60", "7 14 8 14"),
        ("box", "#c47a60", "15 14 16 14"),
        ("box", "#8a4034", "10 15 13 15"),
    ),
    "editor": (  # a page, a line struck out, a pencil
        ("box", "#25325f", "0 0 23 23"),
        ("box", "#f5f2ea", "2 2 17 21"),
        ("box", "#8890a0", "4 5 15 6"),
        ("box", "#8890a0", "4 10 11 11"),
        ("box", "#8890a0", "4 16 9 17"),
        ("box", "#d03c3c", "3 10 13 11"),
        ("area", "#e8b63c", "20 4 23 7 14 16 11 13"),
        ("area", "#f2d9a8", "11 13 14 16 10 17"),
        ("box", "#2a2a30", "9 17 10 18"),
        ("area", "#e07a8a", "21 3 22 2 23 3 23 6"),
    ),
    "naturalist": (  # a hat, round glasses, a white beard, a leaf
        ("box", "#9cb8a4", "0 0 23 23"),
        ("box", "#4c5c2c", "3 20 18 23"),
        ("oval", "#e2ae8a", "4 5 17 18"),
        ("area", "#f6f3ee", "4 12 17 12 16 19 13 22 8 22 5 19"),
        ("box", "#e2ae8a", "7 12 14 13"),
        ("box", "#b8604c", "9 15 12 15"),
        ("box", "#3c4c2a", "5 9 10 12"),
        ("box", "#3c4c2a", "11 9 16 12"),
        ("box", "#e8f4f8", "6 10 9 11"),
        ("box", "#e8f4f8", "12 10 15 11"),
        ("box", "#20282a", "8 10 8 11"),
        ("box", "#20282a", "13 10 13 11"),
        ("box", "#7a6a3c", "1 6 20 7"),
        ("box", "#94824c", "5 2 16 5"),
        ("area", "#3f9a3a", "18 21 17 15 20 11 23 14 22 19"),
        ("line", "#cfe8b0", "18 22 21 13"),
    ),
    "rubber-duck": (  # one of those
        ("box", "#2f6f9c", "0 0 23 23"),
        ("box", "#78b8dc", "0 20 23 23"),
        ("oval", "#f5c52c", "4 10 21 22"),
        ("area", "#f5c52c", "17 12 23 7 22 16"),
        ("oval", "#f5c52c", "4 1 15 13"),
        ("oval", "#d99e18", "10 13 19 19"),
        ("box", "#e8672c", "0 6 5 8"),
        ("box", "#c44e1c", "2 9 5 9"),
        ("box", "#1c1a16", "8 4 9 5"),
        ("box", "#ffffff", "9 4 9 4"),
        ("box", "#a8d8f0", "0 22 23 23"),
    ),
}


def draw(shapes: Sequence[Shape]) -> Image.Image:
    """The picture of these shapes."""
    image = Image.new("RGB", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for kind, colour, coordinates in shapes:
        numbers = [int(each) for each in coordinates.split()]
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        match kind:
            case "box":
                pen.rectangle(points, fill=colour)
            case "oval":
                pen.ellipse(points, fill=colour)
            case "line":
                pen.line(points, fill=colour)
            case "area":
                pen.polygon(points, fill=colour)
            case _:
                raise ValueError(f"there is no shape {kind}")
    return image


def main(names: Sequence[str]) -> None:
    """Draw the portraits of these names, or all."""
    for name in names or PORTRAITS:
        draw(PORTRAITS[name]).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
