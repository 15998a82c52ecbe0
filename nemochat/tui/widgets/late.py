"""Widgets that may be told anything at any time.

The rule, which tests/tui/test_drawing.py holds: a widget keeps what it is told and draws it into children that it made itself and holds as
attributes, or mounts through `Late`. Nothing is looked up (`query_one`) while it draws. So being told something before the widget is on the
screen, or when it has gone from there, is no special case: what was told is drawn when the widget comes to the screen, and never after it.
"""

from __future__ import annotations

from textual.containers import Horizontal, Vertical
from textual.widget import AwaitMount, Widget


class Late(Widget):
    """A widget with children that come and go. While it is not in the program none is mounted."""

    is_up = False
    """Whether it was composed: set as the first thing in `on_mount`, which draws what was told before."""

    @property
    def can_draw(self) -> bool:
        """Whether what it is told can be drawn at once."""
        return self.is_up and self.is_attached and not (self._pruning or self._closing)

    def mount(self, *widgets: Widget, before: int | str | Widget | None = None, after: int | str | Widget | None = None) -> AwaitMount:
        """Mount children, or do nothing where there is no program, or no longer one, to mount them in."""
        return super().mount(*widgets, before=before, after=after) if self.is_attached else AwaitMount(self, [])


class LateVertical(Vertical, Late):
    """A column of what comes and goes."""


class LateHorizontal(Horizontal, Late):
    """A row of what comes and goes."""
