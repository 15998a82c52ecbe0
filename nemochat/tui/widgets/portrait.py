"""A persona's portrait in half-blocks; its initials where there is no picture, or where the terminal has no colours."""

from __future__ import annotations

import re

from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from nemochat.domain.sanitize import sanitize
from nemochat.tui.widgets.half_blocks import half_blocks

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
