"""What a search is narrowed to: words in a line, each of which goes on to its next choice by key or mouse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from nemochat.domain.sanitize import sanitize, shortened
from nemochat.tui.widgets import days

_NAME_CHARACTERS = 24


class Span(StrEnum):
    """How far back a search looks."""

    ANY = ""
    TODAY = "today"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


def since(span: Span, now: float) -> float | None:
    """When it begins: a day, or the last 7, 30 or 365 of them. None for no bound."""
    back = {Span.TODAY: 0, Span.WEEK: 6, Span.MONTH: 29, Span.YEAR: 364}.get(span)
    return None if back is None else days.start_of(days.today(now) - timedelta(days=back))


class FilterChoice(Static, can_focus=True):
    """One filter. `value` is "" for no filter, else one of `values`; `any_words` and `words` are what is read."""

    help_title = "A filter"
    ALLOW_SELECT = False

    class Changed(Message):
        """There is another value."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space,right", "step(1)", "Next", id="search.next_choice", tooltip="The next choice of this filter"),
        Binding("left", "step(-1)", "Previous", id="search.previous_choice", tooltip="The choice before"),
        Binding("backspace,delete", "clear", "Any", id="search.clear_choice", tooltip="No filter"),
    ]
    DEFAULT_CSS = """
    FilterChoice { width: auto; height: 1; padding: 0 1; color: $text-muted; pointer: pointer; text-wrap: nowrap; }
    FilterChoice.-on { color: $foreground; text-style: bold underline; }
    FilterChoice:hover { background: $boost; }
    FilterChoice:focus { text-style: bold reverse; }
    """

    value: reactive[str] = reactive("", init=False)

    def __init__(self, name: str, any_words: str, values: Sequence[str], words: Sequence[str] = (), *, tooltip: str = "") -> None:
        super().__init__(markup=False, id=name)
        self._values = ("", *values)
        self._words = (any_words, *(words or [sanitize(value, strict=True) for value in values]))
        self.tooltip = tooltip or "Another choice: click, Enter or Right"
        self._draw()

    def watch_value(self) -> None:
        """Show it, and tell."""
        self._draw()
        self.post_message(self.Changed())

    def action_step(self, by: int) -> None:
        """To the next choice, after the last one to the first."""
        self.value = self._values[(self._values.index(self.value) + by) % len(self._values)]

    def action_clear(self) -> None:
        """No filter."""
        self.value = ""

    def on_click(self, event: Click) -> None:
        """The next choice; the right button goes back."""
        event.stop()
        self.action_step(-1 if event.button == 3 else 1)

    def _draw(self) -> None:
        words = self._words[self._values.index(self.value)]
        self.set_class(bool(self.value), "-on")
        self.update(Content(shortened(words, _NAME_CHARACTERS)))


def when_choice() -> FilterChoice:
    """Since when; its value is a `Span`."""
    words = ["today", "the last 7 days", "the last 30 days", "the last year"]
    return FilterChoice("when", "any time", [Span.TODAY, Span.WEEK, Span.MONTH, Span.YEAR], words)


def picture_choice() -> FilterChoice:
    """With pictures or without: its value is "", ``with`` or ``without``."""
    return FilterChoice("pictures", "pictures or none", ["with", "without"], ["with pictures", "without pictures"])
