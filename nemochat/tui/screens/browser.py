"""A list that fills the screen: a filter above it, and beside it what the highlighted one is like, or below it on a narrow screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.types import CSSPathType
from textual.widget import Widget
from textual.widgets import Static

from nemochat.desk.port import Item
from nemochat.errors import NemochatError
from nemochat.tui.screens.picker import Filtered, R

NARROW = 100
"""Below this width the card is under the list."""


def browser_keys(prefix: str, what: str, card: str, *, part: str = "card") -> list[BindingType]:
    """The keys that move about. prefix, part: of their ids; what, card: how an item of the list, and what is beside it, are called."""
    return [
        Binding("up", "move('cursor_up')", "Up", show=False, id=f"{prefix}.up", tooltip=f"The {what} above"),
        Binding("down", "move('cursor_down')", "Down", show=False, id=f"{prefix}.down", tooltip=f"The {what} below"),
        Binding("pageup", "move('page_up')", "Page up", show=False, id=f"{prefix}.page_up", tooltip="A page up"),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id=f"{prefix}.page_down", tooltip="A page down"),
        Binding("ctrl+up", "scroll_card(-1)", "Up", show=False, id=f"{prefix}.{part}_up", tooltip=f"Earlier in {card}"),
        Binding("ctrl+down", "scroll_card(1)", "Down", show=False, id=f"{prefix}.{part}_down", tooltip=f"Later in {card}"),
    ]


class Browser(Filtered[R]):
    """Shows `items`, and of the highlighted one what `read` brings. card: where that is shown."""

    CSS_PATH: ClassVar[CSSPathType | None] = "browser.tcss"
    NAME_WIDTH: ClassVar[int]
    """The most cells of a name."""
    REST: ClassVar[float] = 0.04
    """Seconds that the cursor has to rest on an item before it is read."""

    def __init__(self, items: Iterable[Item], card: VerticalScroll, *, placeholder: str, empty: str, current: str = "") -> None:
        super().__init__(placeholder=placeholder, empty=empty, current=current)
        self._card = card
        self._shown: str | None = None
        """The value whose card is shown, or is being read."""
        self._hint = Static(id="browser-hint", markup=False)
        self._take(items)

    # -- what a list of this kind says

    def keys(self) -> Sequence[Sequence[str]]:
        """What can be done with which key: all of it first, then in fewer words and with fewer keys."""
        raise NotImplementedError

    def read(self, value: str) -> Callable[[], None]:
        """Read an item; returns what shows it. Called in a thread. Raises NemochatError."""
        raise NotImplementedError

    def say(self, text: str) -> None:
        """Show a sentence in place of an item."""
        raise NotImplementedError

    # -- the frame

    def compose(self) -> ComposeResult:
        """Filter and count; list and card; what can be done."""
        with Vertical(id="browser"):
            yield from self.head()
            with Container(id="browser-body"):
                with Vertical(id="browser-left"):
                    yield self._choices
                    yield self._nothing
                yield self._card
            yield self._hint

    def head(self) -> Iterable[Widget]:
        """What stands above the list."""
        yield Horizontal(self._filter, self._count, classes="top")

    def on_mount(self) -> None:
        """Typing filters at once."""
        self._filter.focus()
        self.show()

    def on_resize(self, event: Resize) -> None:
        """The card goes where there is room for it."""
        is_narrow = event.size.width < NARROW
        self.set_class(is_narrow, "-narrow")
        lines = [between.join(keys) for keys in self.keys() for between in (" · ", "  ")]
        room = event.size.width - (2 if is_narrow else 4)
        self._hint.update(Content(next((line for line in lines if cell_len(line) <= room), lines[-1])))
        self.call_after_refresh(self._choices.scroll_to_highlight)

    def action_scroll_card(self, by: int) -> None:
        """Scroll the card by half its height."""
        self._card.scroll_relative(y=by * max(1, self._card.size.height // 2), animate=False)

    def reached(self) -> None:
        """Read what the cursor stands on, unless it goes on at once."""
        if self.highlighted == self._shown:
            return
        self._shown = self.highlighted
        if self._shown is not None:
            self.run_worker(self._show_card(self._shown), group="card", exclusive=True)
        else:
            self.workers.cancel_group(self, "card")
            self.say("")

    async def _show_card(self, value: str) -> None:
        await asyncio.sleep(self.REST)
        try:
            show = await asyncio.to_thread(self.read, value)
        except NemochatError as error:
            self.say(error.in_full)
        else:
            show()
            self._card.scroll_home(animate=False)

    def _take(self, items: Iterable[Item]) -> None:
        self._items = tuple(items)
        self._columns = max((min(cell_len(item.label), self.NAME_WIDTH) for item in self._items), default=0)
