"""What a search found: the hits, and the messages around one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from nemochat.desk.port import PreviewLine
from nemochat.domain.library import Hit
from nemochat.domain.messages import Role
from nemochat.domain.sanitize import sanitize
from nemochat.tui.widgets import days
from nemochat.tui.widgets.late import Late

MOST_HITS = 200
"""Hits listed at most; who has not found it by then adds a word."""
_MARK = "bold underline"
_FOUND = "$foreground bold underline"
_PREVIEW_CHARACTERS = 3000
_BEFORE_CHARACTERS = 600
_WIDE = 70
"""Cells from which one line of a snippet says enough; below it there are two."""


class Results(OptionList, can_focus=False):
    """The hits, the cursor on one of them. The words keep the focus; the mouse works without one."""

    ALLOW_SELECT = False

    @dataclass
    class Reached(Message):
        """The cursor has come to a hit."""

        hit: Hit

    @dataclass
    class Chosen(Message):
        """The user wants to go to a hit."""

        hit: Hit

    DEFAULT_CSS = """
    Results { border: none; padding: 0; background: $background; scrollbar-size-vertical: 1; scrollbar-gutter: stable; overflow-x: hidden; }
    Results > .option-list--option { padding: 0 1; }
    Results > .option-list--option-highlighted {
        color: $block-cursor-foreground; background: $block-cursor-background; text-style: none;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.hits: tuple[Hit, ...] = ()
        self._now = 0.0
        self._width = 0
        self._before_click: int | None = None

    def show(self, hits: Sequence[Hit], now: float) -> None:
        """Show these hits, the cursor on the first one."""
        self.hits, self._now = tuple(hits[:MOST_HITS]), now
        self._fill(0)

    @property
    def hit(self) -> Hit | None:
        """The one under the cursor."""
        return self.hits[self.highlighted] if self.highlighted is not None and self.highlighted < len(self.hits) else None

    def on_resize(self) -> None:
        """The lines are made for the width."""
        if self._line_width != self._width:
            self._fill(self.highlighted or 0)

    def on_click(self, event: Click) -> None:
        """Remember where the cursor was: a click on the hit that it is on goes there, one on another hit shows that in the preview."""
        self._before_click = self.highlighted

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """The cursor has moved."""
        event.stop()
        if event.option_index < len(self.hits):
            self.post_message(self.Reached(self.hits[event.option_index]))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A hit was clicked."""
        event.stop()
        if event.option_index == self._before_click:
            self.post_message(self.Chosen(self.hits[event.option_index]))

    @property
    def _line_width(self) -> int:
        return max(10, self.scrollable_content_region.width - 2)

    def _fill(self, highlighted: int) -> None:
        self._width = self._line_width
        self.clear_options()
        self.add_options(Option(self._lines_of(hit)) for hit in self.hits)
        self.highlighted = highlighted if self.hits else None

    def _lines_of(self, hit: Hit) -> Content:
        """Title and day; the words around the place."""
        width = self._width
        day = days.day_of(hit.updated, self._now)
        title = Content(sanitize(hit.title, strict=True).strip() or "Untitled").truncate(max(1, width - cell_len(day) - 2), ellipsis=True)
        space = " " * max(1, width - title.cell_length - cell_len(day))
        most = 1 if width >= _WIDE else 2
        lines = snippet_of(hit, most * width - 16).wrap(width)
        if len(lines) > most:
            lines = [*lines[: most - 1], Content.assemble(lines[most - 1].rstrip().truncate(width - 1), ("…", "$text-muted"))]
        return Content("\n").join([Content.assemble(title.stylize("bold"), space, (day, "$text-muted")), *lines])


def snippet_of(hit: Hit, room: int) -> Content:
    """Who spoke, and the words with what was looked for marked: the first of it within so many cells."""
    clean = sanitize(hit.snippet, strict=True)
    # When something was dropped, the places are those of other letters.
    marks = [mark for mark in hit.marks if 0 <= mark[0] < mark[1] <= len(clean)] if len(clean) == len(hit.snippet) else []
    snippet = Content.styled(clean, "$text-muted")
    for start, stop in marks:
        snippet = snippet.stylize(_FOUND, start, stop)
    if marks and cell_len(clean[: marks[0][1]]) > room:
        start = max(0, marks[0][0] - room // 4)
        snippet = Content.assemble(("… ", "$text-muted"), snippet[start:])
    who = {Role.USER: "You: ", Role.ASSISTANT: "", Role.TOOL: "Tool: "}[hit.role] if hit.node else "In the title: "
    return Content.assemble((who, "$foreground"), snippet)


class PreviewPane(VerticalScroll, Late, can_focus=True):
    """The messages around a hit, the hit itself in view and marked by a bar and its name in bold."""

    DEFAULT_CSS = """
    PreviewPane { scrollbar-size-vertical: 1; }
    PreviewPane > Static { height: auto; padding: 0 1; margin: 0 0 1 0; border-left: blank; color: $text-muted; }
    PreviewPane > Static.-hit { border-left: outer $accent; background: $foreground 6%; color: $foreground; }
    PreviewPane > Static.said { color: $text-warning; }
    """
    help_title: ClassVar[str] = "The preview"

    def __init__(self) -> None:
        super().__init__()
        self._shown: Sequence[Static] = ()

    async def on_mount(self) -> None:
        """Show what was given before."""
        self.is_up = True
        await self._draw(self._shown)

    async def clear(self) -> None:
        """Show nothing."""
        await self._draw(())

    async def say(self, text: str) -> None:
        """Show a sentence in place of messages."""
        await self._draw([Static(Content(sanitize(text)), classes="said")])

    async def show(self, lines: Sequence[PreviewLine], words: tuple[str, ...]) -> None:
        """Show these messages; `words` are marked in the hit."""
        await self._draw([Static(_message(line, words), classes="-hit" if line.is_hit else None) for line in lines])

    async def _draw(self, widgets: Sequence[Static]) -> None:
        self._shown = widgets
        if not self.can_draw:
            return
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(widgets)
        hit = next((widget for widget in widgets if widget.has_class("-hit")), None)
        if hit is not None:
            self.call_after_refresh(self._show_hit, hit)

    def _show_hit(self, hit: Static) -> None:
        """Its beginning a few lines below the top, so that some of what led to it can be read too."""
        if hit.is_attached:
            room = max(0, min(self.size.height // 3, self.size.height - hit.outer_size.height))
            self.scroll_to(y=hit.virtual_region.y - room, animate=False)


def _message(line: PreviewLine, words: tuple[str, ...]) -> Content:
    who = sanitize(line.speaker, strict=True) or {Role.USER: "You", Role.ASSISTANT: "The model", Role.TOOL: "Tool"}[line.role]
    text = sanitize(line.text).strip()
    # Only the beginning of a word: the search finds other endings of it too.
    pattern = re.compile("|".join(rf"\b{re.escape(word)}" for word in words), re.IGNORECASE) if line.is_hit and words else None
    found = pattern.search(text) if pattern is not None else None
    start = max(0, found.start() - _BEFORE_CHARACTERS) if found is not None and found.start() > _PREVIEW_CHARACTERS - 200 else 0
    shown = text[start : start + _PREVIEW_CHARACTERS]
    body = Content(("… " if start else "") + shown + (" …" if start + _PREVIEW_CHARACTERS < len(text) else ""))
    if pattern is not None:
        for match in pattern.finditer(body.plain):
            body = body.stylize(_MARK, match.start(), match.end())
    return Content.assemble((f"{who}{'  ◂ found' if line.is_hit else ''}\n", "bold"), body)
