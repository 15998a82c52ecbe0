"""Searching in everything that was ever said: words and filters above, what was found, and the messages around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Label, Static

from nemochat.desk.port import Found, PreviewLine
from nemochat.domain.library import Hit, SearchFilters
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.numbers import count, plural
from nemochat.tui.screens.browser import NARROW, browser_keys
from nemochat.tui.screens.modal import Modal
from nemochat.tui.widgets.search_filters import FilterChoice, Span, picture_choice, since, when_choice
from nemochat.tui.widgets.search_results import MOST_HITS, PreviewPane, Results

_HINT = "Up/Down move · Enter opens · Tab to the filters · Ctrl+Up/Down scroll the preview · Esc closes"
_SHORT_HINT = "Up/Down move · Enter opens · Tab filters · Ctrl+Up/Down preview · Esc closes"


class SearchScreen(Modal[Found | None]):
    """Search, and choose what was found: returns it, or None after Esc.

    find, preview: ask the library; they raise NemochatError when it cannot answer. personas, models: names to filter by. words: to begin
    with. now: the time, in seconds since the epoch.
    """

    CSS_PATH = "search.tcss"
    DEBOUNCE: ClassVar[float] = 0.15
    """Seconds after the last key until the search begins."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="search.close", tooltip="Close without going anywhere"),
        *browser_keys("search", "result", "the preview", part="preview"),
        Binding("f2", "cycle('persona')", "Persona", id="search.persona", tooltip="Only conversations with this persona"),
        Binding("f3", "cycle('model')", "Model", id="search.model", tooltip="Only conversations with this model"),
        Binding("f4", "cycle('when')", "When", id="search.when", tooltip="Only messages of this time"),
        Binding("f5", "cycle('pictures')", "Pictures", id="search.pictures", tooltip="Only messages with pictures, or without"),
    ]

    def __init__(
        self,
        find: Callable[[str, SearchFilters], Awaitable[Sequence[Hit]]],
        preview: Callable[[Hit], Awaitable[Sequence[PreviewLine]]],
        *,
        personas: Sequence[str] = (),
        models: Sequence[str] = (),
        words: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._find, self._get_preview, self._now = find, preview, now
        self._words = words
        self._asked = 0
        self._shown_for: Hit | None = None
        self.input = Input(placeholder="Search in every conversation", compact=True, id="search-words")
        self.choices = (
            FilterChoice("persona", "any persona", personas),
            FilterChoice("model", "any model", models),
            when_choice(),
            picture_choice(),
        )
        self.results = Results()
        self.preview = PreviewPane()
        self._said = Static(id="search-said", markup=False)
        self._hint = Label(_HINT, id="search-hint", markup=False)

    def compose(self) -> ComposeResult:
        """Words, filters, how it stands; results and preview; the keys."""
        with Vertical(id="search"):
            yield self.input
            with Horizontal(id="search-filters"):
                yield from self.choices
            yield self._said
            with Container(id="search-found"):
                yield self.results
                yield self.preview
            yield self._hint

    def on_mount(self) -> None:
        """Begin with the words that were given."""
        self.input.value = self._words
        self.input.focus()
        self._ask()

    def on_resize(self, event: Resize) -> None:
        """The preview goes where there is room for it."""
        narrow = event.size.width < NARROW
        self.set_class(narrow, "-narrow")
        self._hint.update(_SHORT_HINT if narrow else _HINT)

    # -- what the user does

    async def action_move(self, how: str) -> None:
        """Move the cursor in the results while the words keep the focus."""
        await self.results.run_action(how)

    def action_scroll_card(self, by: int) -> None:
        """Scroll it by half its height."""
        self.preview.scroll_relative(y=by * max(1, self.preview.size.height // 2), animate=False)

    def action_cycle(self, name: str) -> None:
        """The next choice of a filter."""
        next(choice for choice in self.choices if choice.id == name).action_step(1)

    @on(Input.Changed, "#search-words")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._words:
            self._words = event.value
            self._ask()

    @on(FilterChoice.Changed)
    def _filtered(self, event: FilterChoice.Changed) -> None:
        event.stop()
        self._ask()

    @on(Input.Submitted, "#search-words")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose(self.results.hit)

    @on(Results.Chosen)
    def _chosen(self, event: Results.Chosen) -> None:
        event.stop()
        self._choose(event.hit)

    @on(Results.Reached)
    def _reached(self, event: Results.Reached) -> None:
        event.stop()
        if event.hit is not self._shown_for:
            self._shown_for = event.hit
            self._show_preview(event.hit)

    def _choose(self, hit: Hit | None) -> None:
        if hit is not None:
            self.dismiss(Found(hit.conversation, hit.node))

    # -- questions and answers

    @property
    def filters(self) -> SearchFilters:
        """What the search is narrowed to."""
        persona, model, span, pictures = (choice.value for choice in self.choices)
        has_picture = {"": None, "with": True, "without": False}[pictures]
        return SearchFilters(persona, model, since(Span(span), self._now()), None, has_picture)

    def _ask(self) -> None:
        """A new question; the one before it no longer matters."""
        self._asked += 1
        if self._words.strip():
            self._say("Searching…")
            self._search(self._asked, self._words.strip())
        else:
            self.workers.cancel_group(self, "search")
            self._say("Type words that were said, or that stand in a title.")
            self._take(())

    @work(group="search", exclusive=True)
    async def _search(self, asked: int, words: str) -> None:
        """Ask the library, unless another key follows at once."""
        await asyncio.sleep(self.DEBOUNCE)
        try:
            hits = await self._find(words, self.filters)
        except NemochatError as error:
            if asked == self._asked:
                self._take(())
                self._say(error.in_full, is_error=True)
            return
        if asked == self._asked:
            self._take(hits)
            self._say(self._how_many(hits, words))

    def _how_many(self, hits: Sequence[Hit], words: str) -> str:
        if not hits:
            narrowed = any(choice.value for choice in self.choices)
            return f"Nothing found for “{sanitize(words, strict=True)}”{' with these filters' if narrowed else ''}."
        conversations = len({hit.conversation for hit in hits})
        more = f"; the first {count(MOST_HITS)} are shown" if len(hits) > MOST_HITS else ""
        return f"{count(len(hits))} found in {plural(conversations, 'conversation')}{more}"

    def _take(self, hits: Sequence[Hit]) -> None:
        self.preview.display = bool(hits)
        self.results.show(hits, self._now())
        if not hits:
            self._shown_for = None
            self._clear_preview()

    @work(group="preview", exclusive=True)
    async def _clear_preview(self) -> None:
        """Nothing was found."""
        await self.preview.clear()

    @work(group="preview", exclusive=True)
    async def _show_preview(self, hit: Hit) -> None:
        """The messages around a hit."""
        try:
            lines = await self._get_preview(hit)
        except NemochatError as error:
            await self.preview.say(error.in_full)
            return
        await self.preview.show(lines, tuple(self._words.lower().split()))

    def _say(self, text: str, *, is_error: bool = False) -> None:
        self._said.set_class(is_error, "-error")
        self._said.update(Content(text))
