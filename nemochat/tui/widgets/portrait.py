"""Small pictures as text, two pixels to a cell; a persona's portrait, or its initials where there is no picture, or no colour."""

from __future__ import annotations

import re
from functools import lru_cache

from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError


@lru_cache(maxsize=64)
def half_blocks(png: bytes, width: int, height: int) -> Content:
    """The picture in the middle of a file, in `height` lines of `width` cells; empty when it cannot be read.

    What does not fit the shape of the cells is cut off at the sides, or more below than above, where the face of a portrait is not.
    """
    from nemochat.images import load

    try:
        pixels = load(png, "the portrait")
    except ImageError:
        return Content("")
    return blocks(_scaled(pixels, width, height * 2), width)


def blocks(rgb: bytes, width: int) -> Content:
    """Pixels (three bytes each, in rows of `width`, an even number of rows) as half as many lines of cells."""
    stride = width * 3
    lines = []
    for top in range(0, len(rgb), 2 * stride):
        cells = [
            ("▀", f"{_hex(rgb[at : at + 3])} on {_hex(rgb[at + stride : at + stride + 3])}") for at in range(top, top + stride, 3)
        ]
        lines.append(Content.assemble(*cells))
    return Content("\n").join(lines)


def _scaled(pixels: RgbImage, width: int, height: int) -> bytes:
    from PIL import Image, ImageOps

    image = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.rgb)
    return ImageOps.fit(image, (width, height), Image.Resampling.BOX, centering=(0.5, 0.25)).tobytes()


def _hex(rgb: bytes) -> str:
    return f"#{rgb.hex()}"


_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class Portrait(Widget):
    """As large as its styles say. png: a picture's file, or None. accent: the ground of the initials; "" is the theme's own colour."""

    DEFAULT_CSS = """
    Portrait { width: 12; height: 6; }
    """

    def __init__(self, png: bytes | None = None, name: str = "", accent: str = "", *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._png, self._called, self._accent = png, name, accent

    def show(self, png: bytes | None, name: str, accent: str = "") -> None:
        """Somebody else."""
        self._png, self._called, self._accent = png, name, accent
        self.refresh()

    def render(self) -> RenderResult:
        """The picture in the cells that there are, or two letters in the middle of them."""
        width, height = self.content_size
        if not width or not height:
            return ""
        if self._png and not self.app.no_color and (picture := half_blocks(self._png, width, height)):
            return picture
        blank = " " * width
        lines = [blank] * height
        lines[(height - 1) // 2] = initials(self._called)[:width].center(width)
        ground = self._accent if _COLOUR.fullmatch(self._accent) else "$primary"
        return Content.styled("\n".join(lines), f"bold auto on {ground}")


def initials(name: str) -> str:
    """The first letters of the first and of the last word: ``HM`` for Hild Marrow."""
    words = [word for word in re.split(r"[\s_-]+", sanitize(name, strict=True)) if word[:1].isalnum()]
    letters = [words[0][0], words[-1][0]] if len(words) > 1 else [word[0] for word in words]
    return "".join(letters).upper() or "?"
