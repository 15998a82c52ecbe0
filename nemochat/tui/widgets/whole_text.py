"""A text that has to be seen in whole before something is allowed. It knows which of it has been on the screen."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import ClassVar

from rich.segment import Segment
from textual.dom import NoScreen
from textual.errors import NoWidget
from textual.events import Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from nemochat.domain.visible import row_starts

_MARGIN = 2
"""Cells before each row that the text cannot write into: there stands whether the row goes on with the one above."""


class WholeText(ScrollView, can_focus=False):
    """Rows of a text, cut where the width ends and at no other place, so that blanks cannot make a line look like two.

    What was seen is kept by the character: a row counts once it stood in a painted frame, at whatever width.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"whole-text--margin"}
    DEFAULT_CSS = """
    WholeText { background: $panel; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    WholeText .whole-text--margin { color: $text-disabled; background: $panel; }
    """

    class Laid(Message):
        """The rows were cut anew: for another width."""

    class Looked(Message):
        """A frame was painted, and what it shows counts as seen."""

    def __init__(self, text: str, *, id: str) -> None:
        super().__init__(id=id)
        self._text = text
        self._seen = bytearray(len(text))
        self._starts = [0, len(text)]
        self._width = 0

    @property
    def row_count(self) -> int:
        """Of the whole text at this width."""
        return len(self._starts) - 1

    @property
    def unseen(self) -> tuple[int, int]:
        """Rows that were never seen: those above the ones in sight, and the others."""
        top = self.scroll_offset.y
        rows = [row for row, (start, end) in enumerate(pairwise(self._starts)) if not all(self._seen[start:end])]
        above = bisect_right(rows, top - 1)
        return above, len(rows) - above

    @property
    def below(self) -> int:
        """Rows below those in sight."""
        return max(0, self.row_count - self.scroll_offset.y - self.size.height)

    def on_resize(self, event: Resize) -> None:
        """Cut the rows for the new width, and stay at the text that stands on top."""
        width = self.scrollable_content_region.width - _MARGIN
        if width != self._width and width > 0:
            top = self._starts[min(self.scroll_offset.y, self.row_count - 1)]
            self._width, self._starts = width, row_starts(self._text, width)
            self.virtual_size = Size(width + _MARGIN, self.row_count)
            self.scroll_to(y=bisect_right(self._starts, top) - 1, animate=False)
            self.refresh()
            self.post_message(self.Laid())
        self.call_after_refresh(self._look)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows come into sight."""
        super().watch_scroll_y(old_value, new_value)
        self.call_after_refresh(self._look)

    def look(self) -> None:
        """Take what the next frame shows as seen."""
        self.call_after_refresh(self._look)

    def render_line(self, y: int) -> Strip:
        """One row: its margin and its text."""
        row, width = y + self.scroll_offset.y, self.size.width
        if not 0 <= row < self.row_count or not self._width:
            return Strip.blank(width, self.rich_style)
        start, end = self._starts[row : row + 2]
        goes_on = start > 0 and self._text[start - 1] != "\n"
        margin = self.get_component_rich_style("whole-text--margin", partial=False)
        cells = [Segment("│ " if goes_on else "  ", margin), Segment(self._text[start:end].rstrip("\n"), self.rich_style)]
        return Strip(cells).adjust_cell_length(width, self.rich_style)

    def _look(self) -> None:
        try:
            is_shown = self.screen.is_current and self._width and not any(node.has_class("-unfitted") for node in self.ancestors)
            in_sight = self.screen.find_widget(self).visible_region.height if is_shown else 0
        except (NoScreen, NoWidget):  # not laid out yet, or gone
            return
        if in_sight:
            top = self.scroll_offset.y
            start, end = self._starts[min(top, self.row_count)], self._starts[min(top + in_sight, self.row_count)]
            self._seen[start:end] = b"\1" * (end - start)
            self.post_message(self.Looked())
