"""A scrolling column in which what the reader looks at stays in its row, whatever is mounted, removed or resized above it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.containers import VerticalGroup, VerticalScroll
from textual.geometry import Region, Size
from textual.layout import DockArrangeResult, WidgetPlacement
from textual.reactive import Reactive
from textual.scrollbar import ScrollBar
from textual.widget import Widget

from nemochat.tui.widgets.late import Late


class NearView(DockArrangeResult):
    """An arrangement as it is, of which the compositor is given only the children from row `top` to before row `bottom`.

    At each layout Textual goes through everything that is mounted. So a key would cost the more, the longer the messages above and below
    the view are.
    """

    def __init__(self, whole: DockArrangeResult, top: float, bottom: float) -> None:
        near = [place for place in whole.placements if place.fixed or (place.region.y < bottom and place.region.bottom > top)]
        super().__init__(near, whole.widgets, whole.scroll_spacing, whole.spatial_map)
        self._whole = whole

    def get_visible_placements(self, region: Region) -> list[WidgetPlacement]:
        """Those in a region, wherever it is."""
        return self._whole.get_visible_placements(region)


def sized_by_layout() -> Reactive[Size]:
    """For `virtual_size`, which the layout sets: Textual's asks for a second layout then, which finds nothing else."""
    return Reactive(Size(), repaint=False)


class Held(NamedTuple):
    """What the reader looks at: a child of the column or a part of one, and the view's first row counted from that widget's.

    size: of the widget then. At another width a widget has other rows, so the same share of it is looked for.
    """

    widget: Widget
    row: float
    size: Size = Size()

    def row_at(self, size: Size) -> float:
        """The view's first row, counted from the widget's, now that it has this size."""
        if not 0 < self.row < self.size.height or size.width == self.size.width:
            return self.row
        return self.row * size.height / self.size.height


class SteadyScroll(VerticalScroll, Late, can_focus=False, can_focus_children=True, inherit_bindings=False):
    """Either follows its end, or keeps one child (`held`) at its row.

    The row is restored while the children are laid out, before anything is painted, so there is no jump. Textual's `anchor` does the same
    for the end, but knows no other place and takes the end of what is mounted for the end of everything.
    """

    virtual_size = sized_by_layout()

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.is_following = True
        self.rows = 0
        """Height of the view. (Textual's `size` lays everything out again when it is asked for after a scroll.)"""
        self._held: Sequence[Held] = ()
        """From a child of the column down to the part of it that is at the top of the view."""
        self._regions: dict[Widget, Region] = {}
        self._arranged: DockArrangeResult | None = None

    def is_last(self) -> bool:
        """Whether the end of the column is the end of everything; only then it can be followed."""
        return True

    def has_moved(self) -> None:
        """Called after the reader, or a change of size, moved the view."""

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.is_following, self._held = True, ()
        self.refresh(layout=True)

    def hold(self, widget: Widget) -> None:
        """Bring a child to the top of the view, as far as the content allows, and keep it there."""
        self.is_following, self._held = False, (Held(widget, 0),)
        self.refresh(layout=True)

    def region_of(self, widget: Widget) -> Region | None:
        """Where a child lies in the column, None before it is laid out."""
        return self._regions.get(widget)

    def top_child(self) -> Widget | None:
        """The first child that is in view."""
        return next((widget for widget, region in self._regions.items() if region.bottom > self.scroll_y), None)

    def reveal(self, widget: Widget) -> None:
        """Scroll as little as needed to show a child; of one that is taller than the view, its beginning."""
        region = self.region_of(widget)
        if region is None:
            return
        if region.y < self.scroll_y or region.height >= self.rows:
            self.scroll_to(y=region.y, animate=False)
        elif region.bottom > self.scroll_y + self.rows:
            self.scroll_to(y=region.bottom - self.rows, animate=False)

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        """Lay the children out, and move the view along with what is looked at."""
        arranged = super().arrange(size, optimal)
        if not optimal:
            self.rows = size.height
            if arranged is not self._arranged:
                self._arranged = arranged
                placed = [place for place in arranged.placements if not place.fixed and place.region.height]
                self._regions = {place.widget: place.region for place in placed}
            self._restore(max(0, arranged.total_region.bottom - size.height))
            near = self.near_rows
            return arranged if near is None else NearView(arranged, *near)
        return arranged

    @property
    def near_rows(self) -> tuple[float, float] | None:
        """The rows in view, a screenful above and below included; None while text is being selected, which looks at all there is."""
        return None if self.screen.selections else (self.scroll_y - self.rows, self.scroll_y + 2 * self.rows)

    def near_rows_of(self, widget: Widget) -> tuple[float, float] | None:
        """The same as rows of a child."""
        near, region = self.near_rows, self.region_of(widget)
        return None if near is None or region is None else (near[0] - region.y, near[1] - region.y)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The reader scrolled: remember where."""
        # Before anything else: a layout in between would put the view back to what was held.
        self.is_following, self._held = False, ()
        super().watch_scroll_y(old_value, new_value)
        if new_value >= self.max_scroll_y and self.is_last():
            self.is_following = True
        elif (top := self.top_child()) is not None:
            self._held = _held(top, new_value - self._regions[top].y, self._regions[top].size)
        self.has_moved()

    def _restore(self, lowest: int) -> None:
        """Set the scroll position for this layout. Not through the reactive, whose watcher would take it for the reader's doing."""
        if self.is_following and self.is_last():
            wanted: float = lowest
        elif self._held and (region := self._regions.get(self._held[0].widget)) is not None:
            wanted = self._first_row(region)
        else:
            return
        wanted = min(max(0, wanted), lowest)
        if wanted != self.scroll_y:
            self.set_reactive(Widget.scroll_y, wanted)
            self.set_reactive(Widget.scroll_target_y, wanted)
            self.vertical_scrollbar.set_reactive(ScrollBar.position, wanted)


    def _first_row(self, region: Region) -> float:
        """The row at which the view begins, to show what is held where it was. region: where its outermost widget lies now."""
        held, top = self._held[0], region.y
        for part in self._held[1:]:
            below = _region_in(held.widget, part.widget)
            if below is None:
                break  # it is no more, or another one; what it was a part of is still there
            held, region, top = part, below, top + below.y
        first = top + held.row_at(region.size)
        if region.width != held.size.width:
            widget = self._held[0].widget
            self._held = _held(widget, first - self._regions[widget].y, self._regions[widget].size)
        return round(first)


def _held(widget: Widget, row: float, size: Size) -> Sequence[Held]:
    """The widget and its parts, one within the other, that are at this row of it."""
    held = [Held(widget, row, size)]
    while isinstance(widget, SteadyPart):
        place = next((place for place in widget.placements if not place.fixed and place.region.bottom > row), None)
        if place is None:
            break
        widget, row = place.widget, row - place.region.y
        held.append(Held(widget, row, place.region.size))
    return held


def _region_in(widget: Widget, part: Widget) -> Region | None:
    """Where a part of a widget lies in it, None when it does not."""
    placements = widget.placements if isinstance(widget, SteadyPart) else ()
    return next((place.region for place in placements if place.widget is part), None)


class SteadyPart(Widget):
    """What knows where its children lie as soon as it is laid out, before it is shown there."""

    virtual_size = sized_by_layout()
    placements: Sequence[WidgetPlacement] = ()

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        """Lay the children out."""
        arranged = super().arrange(size, optimal)
        if not optimal:
            self.placements = arranged.placements
        return arranged


class SteadyItem(VerticalGroup, SteadyPart, Late):
    """A child of a `SteadyScroll` that has long children of its own."""

    def near_rows_of(self, widget: Widget) -> tuple[float, float] | None:
        """The rows of a child that lie near the view; None when all do."""
        near = self.parent.near_rows_of(self) if isinstance(self.parent, SteadyScroll) else None
        region = _region_in(self, widget)
        return None if near is None or region is None else (near[0] - region.y, near[1] - region.y)
