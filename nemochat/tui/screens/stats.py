"""How long the first token took: p50 and p95, cold and reused apart, for this chat and for the whole library, with plots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Click, Resize
from textual.widgets import Label, Static

from nemochat.domain.ttft import Reading, ReplyRow, Statistics, statistics_of
from nemochat.errors import NemochatError
from nemochat.numbers import plural
from nemochat.tui.screens.modal import Modal
from nemochat.tui.tables import in_words
from nemochat.tui.widgets.late import LateHorizontal
from nemochat.tui.widgets.plots import Bins, CostTable, Distribution, FiguresTable, ReplyBars, bins_of
from nemochat.tui.widgets.search_filters import FilterChoice, Span, since, when_choice

WIDE = 116
"""From this width on the distribution stands beside the tables."""
_MOST_BARS = 60
_ABOVE_BARS, _ABOVE_WIDE_BARS = 14, 20
"""Rows of the screen that the bars do not get, as long as there are more."""
_NOTE = (
    "Cold: had to wait for the model, or read more of its prompt than it reused. p95: 95 of 100 are not above. Each column is ranked by "
    "itself. On a log scale the length of a bar is its time, and its parts have their shares of it."
)
_HINT = "Tab this chat / library · F3 model · F4 when · Up/Down scroll · j copies JSON · Esc closes"
_SHORT_HINT = "Tab chat/library · F3 model · F4 when · Up/Down scroll · j JSON · Esc closes"


class Scope(StrEnum):
    """Whose replies."""

    CHAT = "This chat"
    LIBRARY = "The library"


class StatsScreen(Modal[None]):
    """The figures of replies. Esc closes.

    chat: the replies of the conversation, oldest first. library: asks for those of all conversations, newest first; it raises NemochatError
    when it cannot answer. copy: puts a text on the clipboard. now: the time, in seconds since the epoch.
    """

    CSS_PATH = "stats.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+t", "leave", "Close", id="stats.close", tooltip="Back to the chat"),
        Binding("tab,shift+tab", "switch", "Chat or library", id="stats.scope", tooltip="This chat, or the whole library"),
        Binding("f3", "cycle('model')", "Model", id="stats.model", tooltip="Only replies of this model"),
        Binding("f4", "cycle('when')", "When", id="stats.when", tooltip="Only replies of this time (library)"),
        Binding("j", "copy_json", "Copy as JSON", id="stats.json", tooltip="The figures as JSON, as `nemochat stats --json` prints them"),
    ]

    def __init__(
        self,
        chat: Sequence[ReplyRow],
        library: Callable[[], Awaitable[Sequence[ReplyRow]]],
        *,
        copy: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._library, self._copy, self._now = library, copy, now
        self._rows: dict[Scope, tuple[ReplyRow, ...] | None] = {Scope.CHAT: tuple(chat), Scope.LIBRARY: None}
        self.scope = Scope.CHAT
        self.statistics: Statistics | None = None
        """What is shown, None while it is being read."""
        self._scopes = Static(id="stats-scopes", markup=False)
        self._filters = LateHorizontal(id="stats-filters")
        self._model: FilterChoice | None = None
        self._when = when_choice()
        self._body = VerticalScroll(id="stats-body")
        self._said = Static(id="stats-said", markup=False)
        self._times, self._costs = FiguresTable(), CostTable()
        self._bars = ReplyBars(classes="narrow-only"), ReplyBars(classes="wide-only")
        self._distributions = Distribution(classes="narrow-only"), Distribution(classes="wide-only")
        self._note = Static(Content(_NOTE), id="stats-note")
        self._hint = Label(_HINT, id="stats-hint", markup=False)

    def compose(self) -> ComposeResult:
        """What it is about; tables and plots; the keys."""
        with Vertical(id="stats"):
            with Horizontal(id="stats-head"):
                yield self._scopes
                yield self._filters
            yield self._said
            with self._body:
                with Horizontal(id="stats-columns"):
                    with Vertical(id="stats-tables"):
                        yield self._times
                        yield self._bars[0]
                        yield self._distributions[0]
                        yield self._costs
                    yield self._distributions[1]
                yield self._bars[1]
                yield self._note
            yield self._hint

    def on_mount(self) -> None:
        """Begin with this chat; the arrow keys scroll."""
        self._body.focus()
        self._open()

    def on_resize(self, event: Resize) -> None:
        """The plots go where there is room for them."""
        self.set_class(event.size.width < WIDE, "-narrow")
        self._hint.update(Content(_SHORT_HINT if event.size.width < WIDE else _HINT))
        for plot, above in zip(self._bars, (_ABOVE_BARS, _ABOVE_WIDE_BARS), strict=True):
            plot.most = min(_MOST_BARS, max(8, event.size.height - above))
        self._draw_scopes()

    # -- what the user does

    def action_switch(self) -> None:
        """This chat, or the library."""
        self.scope = Scope.LIBRARY if self.scope is Scope.CHAT else Scope.CHAT
        self._open()

    def action_cycle(self, name: str) -> None:
        """The next choice of a filter."""
        for choice in self._filters.query(FilterChoice).results(FilterChoice):
            if choice.id == name:
                choice.action_step(1)

    def action_copy_json(self) -> None:
        """To the clipboard."""
        if self.statistics is not None:
            self._copy(msgspec.json.encode(self.statistics).decode())

    @on(Click, "#stats-scopes")
    def _clicked(self) -> None:
        self.action_switch()

    @on(FilterChoice.Changed)
    def _filtered(self, event: FilterChoice.Changed) -> None:
        event.stop()
        self._show()

    # -- what is shown

    @work(group="stats", exclusive=True)
    async def _open(self) -> None:
        """The replies of the scope, which the library reads once."""
        scope = self.scope
        self._draw_scopes()
        rows = self._rows[scope]
        if rows is None:
            self._clear("Reading the library…")
            try:
                rows = self._rows[scope] = tuple(reversed(await self._library()))
            except NemochatError as error:
                self._clear(error.in_full, is_error=True)
                return
        await self._filters.remove_children()
        self._model = FilterChoice("model", "any model", sorted({row.model for row in rows}))
        self._when.value = ""
        await self._filters.mount(self._model)
        if scope is Scope.LIBRARY:  # when a reply of the open chat came is not known
            self._when = when_choice()
            await self._filters.mount(self._when)
        self._show()

    def _draw_scopes(self) -> None:
        title = " TTFT  " if self.size.width < WIDE else " Time to first token  "
        names = [(f"▸ {each} " if each is self.scope else f"  {each} ", "bold" if each is self.scope else "$text-muted") for each in Scope]
        self._scopes.update(Content.assemble((title, "bold $text-primary"), *names))

    @work(group="show", exclusive=True)
    async def _show(self) -> None:
        """What the filters let through."""
        rows = self._rows[self.scope]
        if rows is None or self._model is None:
            return
        model, begins = self._model.value, since(Span(self._when.value), self._now()) if self.scope is Scope.LIBRARY else None
        readings = tuple(
            row.reading for row in rows if (not model or row.model == model) and (begins is None or row.at >= begins)
        )
        statistics, bins = await asyncio.to_thread(lambda: (statistics_of(readings), bins_of(readings)))
        if not statistics.all.replies:
            self._clear(self._nothing(bool(rows), statistics))
            self.statistics = statistics
            return
        self.statistics = statistics
        self._say(in_words(statistics))
        self._times.statistics = self._costs.statistics = statistics
        self._plot(readings, bins)
        self._note.display = True

    def _nothing(self, is_narrowed: bool, statistics: Statistics) -> str:
        if statistics.without_text:
            return f"{plural(statistics.without_text, 'reply', 'replies')} without text: no first token to time."
        if is_narrowed:
            return "No reply fits these filters. F3 and F4 change them."
        if self.scope is Scope.CHAT:
            return "No reply in this chat yet. Ask something, and its time to first token appears here; Tab shows the library."
        return "No reply in the library yet. Every chat that you have adds its own here."

    def _clear(self, words: str, *, is_error: bool = False) -> None:
        self.statistics = None
        self._times.statistics = self._costs.statistics = None
        self._plot((), Bins())
        self._note.display = False
        self._say(words, is_error=is_error)

    def _plot(self, readings: tuple[Reading, ...], bins: Bins) -> None:
        for plot in self._bars:
            plot.readings = readings
        for each in self._distributions:
            each.bins = bins

    def _say(self, words: str, *, is_error: bool = False) -> None:
        self._said.set_class(is_error, "-error")
        self._said.update(Content(words))
