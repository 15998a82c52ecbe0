"""Look at an attached picture again: a region of the original file, so that small things come at full resolution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.tools.making import FunctionTool, builtin

_EDGES = ("left", "top", "right", "bottom")
_PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
OFFERED = builtin(
    "look_at_picture",
    "Look closely at a region of an attached picture. The edges are in percent of its width and height.",
    {"picture": {"type": "integer", "minimum": 1}, **dict.fromkeys(_EDGES, _PERCENT)},
    ("picture", *_EDGES),
    is_harmless=True,
)
_SMALLEST = 1.0


class Region(msgspec.Struct, frozen=True):
    """A region in percent of the picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float


Original = Callable[[int], bytes | None]
"""The file of an attached picture by its number, from 1; None when there is no such picture."""
Crop = Callable[[bytes, Region], bytes]
"""A region of a picture file as a picture file (PNG). May raise NemochatError."""


def look_at_picture(original: Original, crop: Crop) -> FunctionTool:
    """Crops a region of an attached picture."""

    async def run(arguments: dict[str, Any]) -> ToolOutcome:
        number, region = int(arguments["picture"]), Region(*(float(arguments[edge]) for edge in _EDGES))
        if region.right - region.left < _SMALLEST or region.bottom - region.top < _SMALLEST:
            raise NemochatError("The region is empty: right must be larger than left, and bottom larger than top.")
        data = await asyncio.to_thread(original, number)
        if data is None:
            raise NemochatError(f"There is no picture {number}.")
        image = await asyncio.to_thread(crop, data, region)
        edges = f"{region.left:g} to {region.right:g} % across, {region.top:g} to {region.bottom:g} % down"
        return ToolOutcome(f"Picture {number}: {edges}.", images=(image,))

    return FunctionTool(OFFERED, run)
