"""A picture in the terminal: by the terminal's own graphics where it has any, else in half-blocks, else in words."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from nemochat.domain.images import RgbImage
from nemochat.system import terminal
from nemochat.tui.graphics import KITTY, NONE, SIXEL

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDGETS = {KITTY: "TGPImage", SIXEL: "SixelImage"}
_CELL_RATIO = 2.0


def _widget_of(protocol: str) -> Callable[[Image], Widget] | None:
    """The widget that draws by the terminal's own graphics; None where there is none.

    The library would ask the terminal while it is imported, and read the answer from under Textual: so it is told that there is no
    terminal, and how large a cell is.
    """
    if protocol not in _WIDGETS:
        return None
    if "textual_image.widget" not in sys.modules:
        stdout, sys.__stdout__ = sys.__stdout__, io.StringIO()  # type: ignore[misc,assignment]
        try:
            from textual_image._terminal import CellSize, get_cell_size

            setattr(get_cell_size, "_result", CellSize(*_cell_pixels()))  # noqa: B010  # where the library keeps the answer
            importlib.import_module("textual_image.widget")
        except (ImportError, OSError, ValueError):
            return None
        finally:
            sys.__stdout__ = stdout  # type: ignore[misc]
    return getattr(sys.modules["textual_image.widget"], _WIDGETS[protocol], None)


def _cell_pixels() -> tuple[int, int]:
    """Width and height of a cell in pixels, as the terminal's driver knows them; those of a VT340 where it does not."""
    width, height = terminal.cell_pixels() or (0, 0)
    return width or 10, height or 20


def fit_cells(pixels: RgbImage, columns: int, rows: int, ratio: float = _CELL_RATIO) -> tuple[int, int]:
    """The largest columns x rows within these bounds that keep the picture's shape; a cell is `ratio` times as high as wide."""
    columns, rows = max(1, columns), max(1, rows)
    needed = columns * pixels.height / pixels.width / ratio
    if needed > rows:
        columns, needed = min(columns, round(rows * ratio * pixels.width / pixels.height)), rows
    return max(1, columns), max(1, round(needed))


def half_blocks(pixels: RgbImage, columns: int, rows: int) -> list[Strip]:
    """The picture in `rows` lines of `columns` cells, two pixels to a cell, one above the other."""
    from PIL import Image

    scaled = _image(pixels).resize((columns, rows * 2), Image.Resampling.BICUBIC, reducing_gap=2.0).tobytes()
    styles: dict[bytes, Style] = {}
    lines = []
    stride = columns * 3
    for top in range(0, rows * 2 * stride, 2 * stride):
        segments = []
        for at in range(top, top + stride, 3):
            pair = scaled[at : at + 3] + scaled[at + stride : at + stride + 3]
            style = styles.get(pair)
            if style is None:
                style = styles[pair] = Style(color=Color.from_rgb(*pair[:3]), bgcolor=Color.from_rgb(*pair[3:]))
            segments.append(Segment("▀", style))
        lines.append(Strip(segments, columns))
    return lines


def _image(pixels: RgbImage) -> Image:
    from PIL import Image

    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.rgb)


class Picture(Widget):
    """Pixels, as large as the width and `max_rows` (None: the height that there is) allow, in their own shape.

    protocol: what `protocol_for` returned. In a headless run graphics are never used.
    """

    DEFAULT_CSS = """
    Picture { width: 1fr; height: auto; color: $text-muted; }
    Picture > * { width: auto; height: auto; }
    """

    max_rows: reactive[int | None] = reactive(None, layout=True)
    """The most lines that it may take."""

    def __init__(self, pixels: RgbImage, protocol: str, max_rows: int | None = None) -> None:
        super().__init__()
        self.pixels = pixels
        self._protocol = protocol
        self.set_reactive(Picture.max_rows, max_rows)
        self._graphics: Widget | None = None
        self._drawn: tuple[tuple[int, int], list[Strip]] = ((0, 0), [])

    @property
    def words(self) -> str:
        """What stands in place of the picture where it cannot be drawn; "" where it can."""
        size = f"{self.pixels.width}x{self.pixels.height}"
        if self.app.no_color:
            return f"picture (no colours), {size}"
        return f"picture, {size}" if self._protocol == NONE else ""

    def compose(self) -> ComposeResult:
        """The terminal's own graphics, where they are used."""
        if self.app.is_headless or self.words:
            return
        if (kind := _widget_of(self._protocol)) is not None:
            self._graphics = kind(_image(self.pixels))
            yield self._graphics

    def on_resize(self) -> None:
        """The graphics take exactly the cells that were found for them."""
        if self._graphics is not None:
            self._graphics.styles.width, self._graphics.styles.height = self._cells(self.content_size.width, self.content_size.height)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line of words, or the picture's lines at this width."""
        return 1 if self.words else self._cells(width, container.height or viewport.height)[1]

    def render(self) -> Content:
        """The words, if any; pixels are drawn line by line."""
        return Content(self.words)

    def render_line(self, y: int) -> Strip:
        """A line of half-blocks."""
        if self._graphics is not None or self.words:
            return super().render_line(y)
        width, height = self.content_size
        cells = self._cells(width, height)
        if self._drawn[0] != cells:
            self._drawn = cells, half_blocks(self.pixels, *cells)
        lines = self._drawn[1]
        line = lines[y] if y < len(lines) else Strip([])
        return line.adjust_cell_length(width, self.rich_style)

    def _cells(self, width: int, height: int) -> tuple[int, int]:
        ratio = _CELL_RATIO
        if self._graphics is not None:
            cell = sys.modules["textual_image.widget"].get_cell_size()
            ratio = cell.height / cell.width
        return fit_cells(self.pixels, width, height if self.max_rows is None else self.max_rows, ratio)
