"""The values that the parts of the recipe exchange: what is on a picture, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 210, 40),
    "purple": (140, 50, 170),
    "orange": (245, 140, 30),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
KINDS = ("circle", "square", "triangle", "star", "heart", "cross")
BACKGROUNDS: dict[str, tuple[int, int, int]] = {"gray": (128, 128, 128), "light blue": (190, 215, 235), "beige": (225, 210, 180)}
PLACES = ("top left", "top right", "bottom left", "bottom right")


@dataclass(frozen=True)
class Shape:
    """One flat shape; `colour`, `kind` and `place` are keys of COLOURS, KINDS and PLACES."""

    colour: str
    kind: str
    place: str


@dataclass(frozen=True)
class Scene:
    """A picture of one to four shapes, each in a quadrant of its own, in the order of PLACES."""

    background: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Writing:
    """A picture of 1 to 6 capital letters or digits on a plain background."""

    text: str


@dataclass(frozen=True)
class Other:
    """A picture outside the demo model's domain (noise, gradients, scribbles); `seed` makes it repeatable."""

    seed: int


Picture = Scene | Writing | Other


@dataclass(frozen=True)
class Turn:
    """One message. An assistant's text may hold ``<toolcall> {...} </toolcall>``; only it is learned from."""

    role: Literal["user", "assistant", "tool"]
    text: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Example:
    """One conversation to learn from, rendered by ``nemochat.prompt.nemotron`` exactly as the program renders it.

    `tools` holds full JSON tool definitions, `contexts` the text between the context tags.
    """

    skill: str
    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    contexts: tuple[str, ...] = field(default=())
