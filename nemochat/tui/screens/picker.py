"""A list to choose from, with a filter: models, themes, conversations, personas."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import ClassVar, TypeVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.types import CSSPathType
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from nemochat.desk.port import Item
from nemochat.domain.sanitize import sanitize
from nemochat.personas.sampling_presets import Preset, said_by
from nemochat.tui.screens.modal import Modal

R = TypeVar("R")

_SHOWN = 500
_LABEL_WIDTH = 36
_AROUND = 8
"""Columns of the dialog beside the lines (see picker.tcss); where those are few, names get three fifths of them."""
_LABEL_CHARACTERS = 120


class Filtered(Modal[R | None]):
    """A list of which a filter above it shows what fits; the filter keeps the focus. `compose` says where its parts stand.

    empty: what to say when there are no items. current: the value that is highlighted at first.
    """

    def __init__(self, *, placeholder: str = "Type to filter", empty: str, current: str = "") -> None:
        super().__init__()
        self._empty, self._current = empty, current
        self._items: tuple[Item, ...] = ()
        self._found: tuple[Item, ...] = ()
        self._columns = 0
        """Of the names."""
        self._is_untouched = True
        """Whether the user has neither typed nor moved the cursor."""
        self._filter = Input(placeholder=placeholder, compact=True, id="picker-filter")
        self._choices = _Choices(id="picker-list")
        self._nothing = Static(id="picker-empty", markup=False)
        self._count = Label(id="picker-count", markup=False)

    # -- what a list of this kind does

    def choose(self, value: str) -> None:
        """Enter, or a click on this value."""
        raise NotImplementedError

    def reached(self) -> None:
        """The cursor may stand on another value, or on none."""

    def offered(self) -> Iterable[Item]:
        """What there is to choose from now."""
        return self._items

    def option(self, item: Item, marks: Sequence[int]) -> Content:
        """The line of an item. marks: the letters of its label that the filter has found."""
        return line_of(item, marks, self._columns)

    def why_empty(self) -> str:
        """What stands in place of an empty list."""
        return f"Nothing fits “{sanitize(self._filter.value, strict=True)}”." if self._items else self._empty

    def counted(self, n_fitting: int) -> str:
        """How many there are, and how many of them fit."""
        whole = f"{len(self._items):,}"
        count = whole if n_fitting == len(self._items) else f"{n_fitting:,} of {whole}"
        return count if n_fitting <= _SHOWN else f"{count}, the first {_SHOWN} shown"

    # -- the list

    @property
    def highlighted(self) -> str | None:
        """The value under the cursor."""
        index = self._choices.highlighted
        return self._found[index].value if index is not None and index < len(self._found) else None

    def show(self, kept: str | None = None) -> None:
        """Show what fits. kept: the value to stand on, None for the best."""
        ranked = rank(self._filter.value, self.offered())
        self._found = tuple(item for item, _ in ranked[:_SHOWN])
        self._choices.clear_options()
        self._choices.add_options(Option(self.option(item, marks)) for item, marks in ranked[:_SHOWN])
        self._choices.display, self._nothing.display = bool(self._found), not self._found
        self._nothing.update(Content(self.why_empty()))
        if self._found:
            values = [item.value for item in self._found]
            wanted = kept or ("" if self._filter.value else self._current)
            self._choices.highlighted = values.index(wanted) if wanted in values else 0
        self._count.update(self.counted(len(ranked)))
        self.reached()

    async def action_move(self, how: str) -> None:
        """Move the cursor in the list while the filter keeps the focus."""
        self._is_untouched = False
        await self._choices.run_action(how)

    @on(Input.Changed, "#picker-filter")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._is_untouched = False
        self.show()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if (value := self.highlighted) is not None:
            self.choose(value)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self._found):  # the list may have been filtered since
            self.choose(self._found[event.option_index].value)

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.reached()


class _Choices(OptionList, can_focus=False):
    """The list; the filter keeps the focus, and the mouse works without one."""


class Picker(Filtered[str]):
    """Choose one of `items`: returns its value, or None after Esc.

    later: as in `AskItem`; what comes moves the cursor to no other item.
    """

    CSS_PATH: ClassVar[CSSPathType | None] = "picker.tcss"
    ROWS_AROUND: ClassVar[int] = 12
    """Rows that everything but the list takes, with one free above and below."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel", id="picker.cancel", tooltip="Close without choosing"),
        Binding("up", "move('cursor_up')", "Up", show=False, id="picker.up", tooltip="The line above"),
        Binding("down", "move('cursor_down')", "Down", show=False, id="picker.down", tooltip="The line below"),
        Binding("pageup", "move('page_up')", "Page up", show=False, id="picker.page-up", tooltip="A page up"),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id="picker.page-down", tooltip="A page down"),
    ]

    def __init__(
        self,
        title: str,
        items: Sequence[Item],
        *,
        current: str = "",
        empty: str = "There is nothing to choose from.",
        later: Callable[[], AsyncGenerator[tuple[str, Sequence[Item]], None]] | None = None,
    ) -> None:
        super().__init__(empty=empty, current=current)
        self._title, self._later = title, later
        self._keys = Label(markup=False)
        self._take(items)

    def compose(self) -> ComposeResult:
        """Title, filter, list, hint; below the list what `compose_preview` gives."""
        with Vertical(id="picker"):
            yield Label(self._title, classes="title", markup=False)
            yield self._filter
            yield self._choices
            yield self._nothing
            yield from self.compose_preview()
            with Horizontal(classes="hint"):
                yield self._keys
                yield self._count

    def compose_preview(self) -> ComposeResult:
        """Widgets that show what the highlighted item is like; none here."""
        yield from ()

    def on_mount(self) -> None:
        """Show what is there, and what comes later when it comes."""
        self._fit()
        self.show()
        if self._later is not None:
            self.run_worker(self._take_later(self._later()))

    def _fit(self) -> None:
        """The list keeps its height while it is filtered, so that nothing jumps."""
        height = max(1, len(self._items))
        self._choices.styles.height = height
        self._nothing.styles.min_height = height if self._items else 1
        self._filter.display = bool(self._items)

    async def _take_later(self, later: AsyncGenerator[tuple[str, Sequence[Item]], None]) -> None:
        async with aclosing(later):
            async for value, items in later:
                at = next((index for index, item in enumerate(self._items) if value and item.value == value), len(self._items))
                kept = self.highlighted
                if kept == value and items:
                    kept = items[0].value
                self._take((*self._items[:at], *items, *self._items[at + 1 :]))
                if self._is_untouched and self._current in {item.value for item in items}:
                    kept = self._current
                self._fit()
                self.show(kept)

    def on_resize(self, event: Resize) -> None:
        """The list takes the room that there is."""
        self._draw_keys()
        for each in (self._choices, self._nothing):
            each.styles.max_height = max(3, event.size.height - self.ROWS_AROUND)
        if self._columns != (columns := self._columns_on(event.size.width)):
            self._columns = columns
            self.show(self.highlighted)
        self.call_after_refresh(self._choices.scroll_to_highlight)

    def _draw_keys(self) -> None:
        """As many of the keys as there is room for: the first are the ones that everybody knows."""
        keys = ["Up/Down move", "Enter chooses", "Esc cancels"] if self._items else ["Esc closes"]
        width = self._keys.content_size.width
        while width and len(keys) > 1 and len(" · ".join(keys)) > width:
            del keys[0]
        self._keys.update(" · ".join(keys))

    def _columns_on(self, width: int) -> int:
        """Of the names, on a screen of this width."""
        return min(self._width, max(1, (width * 94 // 100 - _AROUND) * 3 // 5))

    def counted(self, n_fitting: int) -> str:
        """Nothing where there is nothing."""
        return super().counted(n_fitting) if self._items else ""

    def choose(self, value: str) -> None:
        """Close with this value."""
        self.dismiss(value)

    def _take(self, items: Iterable[Item]) -> None:
        self._items = tuple(
            Item(item.value, sanitize(item.label, strict=True)[:_LABEL_CHARACTERS], sanitize(item.detail, strict=True))
            for item in items
        )
        self._width = max((min(cell_len(item.label), _LABEL_WIDTH) for item in self._items), default=0)
        self._columns = self._columns_on(self.app.size.width) if self.is_attached else self._width


def line_of(item: Item, marks: Sequence[int], width: int) -> Content:
    """Name and description in two columns, the first one `width` cells wide; what the filter has found in the name is underlined."""
    label = Content(item.label)
    for mark in marks:
        label = label.stylize("underline", mark, mark + 1)
    if not item.detail:
        return label
    return Content.assemble(label.truncate(width, ellipsis=True, pad=True), (f"  {item.detail}", "$text-muted not bold"))


def rank(query: str, items: Iterable[Item]) -> list[tuple[Item, tuple[int, ...]]]:
    """The items that fit, the best first, each with the places of the label that do. Every word of the query has to fit.

    Textual's own fuzzy search tries every way to place the letters, which a long title of one repeated letter makes endless; this one
    looks at each letter once.
    """
    words = query.lower().split()
    found = []
    for item in items:
        matches = [_match(word, item) for word in words]
        if all(match is not None for match in matches):
            score = sum(match[0] for match in matches if match is not None)
            marks = sorted({place for match in matches if match is not None for place in match[1]})
            found.append((score, item, tuple(marks)))
    found.sort(key=lambda each: -each[0])  # a stable sort: equals stay in the order given
    return [(item, marks) for _, item, marks in found]


def _match(word: str, item: Item) -> tuple[int, Sequence[int]] | None:
    """How well a word fits, best first: the start of a word of the label, within it, in the detail, its letters in order."""
    # Lower case letter by letter: some letters become two, and the places have to stay those of the label.
    label = "".join(letter.lower()[:1] or letter for letter in item.label)
    if at_word := re.search(rf"\b{re.escape(word)}", label):
        return (5 if at_word.start() == 0 else 4), range(at_word.start(), at_word.end())
    if (place := label.find(word)) >= 0:
        return 3, range(place, place + len(word))
    if word in item.detail.lower():
        return 2, ()
    places, after = [], 0
    for letter in word:
        place = label.find(letter, after)
        if place < 0:
            return None
        places.append(place)
        after = place + 1
    return 1, places


def preset_picker(presets: Iterable[Preset]) -> Picker:
    """Choose a sampling preset: returns its name."""
    items = tuple(Item(each.name, each.name, said_by(each.sampling)) for each in presets)
    return Picker("Sampling presets", items, empty="There are none yet: /preset save NAME makes one.")
