"""The Markdown of one reply, whole or growing block by block.

It is Textual's Markdown widget, which can be made whole at once (without a thread) or be given finished blocks one after another. The block
that is still open stands at its end as plain text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Mount
from textual.geometry import Size
from textual.highlight import HighlightTheme, TokenType, highlight
from textual.layout import DockArrangeResult
from textual.selection import Selection
from textual.widgets import Markdown, Static
from textual.widgets._markdown import MarkdownBlock, MarkdownFence

from nemochat.tui.widgets import markdown_blocks
from nemochat.tui.widgets.late import Late
from nemochat.tui.widgets.markdown_table import Table
from nemochat.tui.widgets.steady_scroll import NearView, SteadyItem, SteadyPart, sized_by_layout

MAX_HIGHLIGHTED = 50_000
"""Characters of a code block; longer ones are shown without colours, because colouring them holds up the screen."""


class Fence(MarkdownFence):
    """A code block under the name of its language, which is never guessed: guessing tries every lexer there is and is mostly wrong."""

    def compose(self) -> ComposeResult:
        """The language, where it is named, and the code."""
        if language := language_of(self.lexer):
            yield LanguageName(language, markup=False)
        yield from super().compose()

    @classmethod
    def highlight(cls, code: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        """Colour the code by the first word of its info string."""
        name = language_of(language) if len(code) <= MAX_HIGHLIGHTED else ""
        return _highlight(code, name or "text", ansi, dark)


class LanguageName(Static):
    """The name of a language; it is no part of the code that is selected."""

    ALLOW_SELECT = False

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Nothing."""
        return None


def language_of(info: str) -> str:
    """The first word behind the opening signs of a fence."""
    return next(iter(info.split()), "")


@lru_cache(maxsize=16)
def _highlight(code: str, name: str, ansi: bool, dark: bool) -> Content:
    """Colour code. Textual asks for the same twice when a block is mounted, and paging back asks again."""
    return MarkdownFence.highlight(code, name, ansi=ansi, dark=dark) if ansi else highlight(code, language=name, theme=CodeColours)


class CodeColours(HighlightTheme):
    """Textual's, without those that shine through: they cannot be read on every ground."""

    STYLES: ClassVar[dict[TokenType, str]] = {  # type: ignore[misc]
        token: re.sub(r" \d+%", "", style.replace("$text 60%", "$text-muted")) for token, style in HighlightTheme.STYLES.items()
    }


class OpenBlock(Static):
    """The block that is still being written, as plain text."""

    DEFAULT_CSS = """
    OpenBlock { height: auto; display: none; }
    OpenBlock.-filled { display: block; }
    OpenBlock.-fence { background: $panel; padding: 0 1; text-wrap: nowrap; text-overflow: clip; margin: 0 0 1 0; }
    """

    virtual_size = sized_by_layout()

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._lines = (0, 0)
        """The width, and the lines at it."""

    def show(self, text: str, *, is_fence: bool) -> None:
        """Show the text of the open block; of a code fence, its code without the opening line."""
        opening, _, code = text.partition("\n")
        language = language_of(opening.strip().lstrip("`~")) if is_fence else ""
        shown = Content((code if is_fence else text).strip("\n"))
        if language:
            shown = Content("\n").join([Content.styled(language, "$text-muted"), shown])
        self.set_class(bool(shown), "-filled")
        self.set_class(is_fence, "-fence")
        # A layout goes through everything on the screen, and most updates leave the height as it is.
        width = max(1, self.outer_size.width)
        lines = (width, shown.plain.count("\n") if is_fence else shown.get_height({}, width))
        self.update(shown, layout=lines != self._lines)
        self._lines = lines


class ReplyText(Markdown, SteadyPart, Late):
    """Markdown of a reply. Links are never opened here; `Markdown.LinkClicked` bubbles."""

    BLOCKS = {**Markdown.BLOCKS, "fence": Fence, "code_block": Fence, "table_open": Table}  # noqa: RUF012

    DEFAULT_CSS = """
    ReplyText {
        padding: 0;
        MarkdownH1, MarkdownH2, MarkdownH3, MarkdownH4, MarkdownH5, MarkdownH6 { margin: 0 0 1 0; content-align: left middle; width: 1fr; }
        MarkdownFence, MarkdownFence:light { margin: 0 0 1 0; color: $foreground; background: $panel; }
        MarkdownFence > Label, MarkdownFence > LanguageName { padding: 0 1; }
        MarkdownFence > LanguageName { color: $text-muted; }
        MarkdownBlockQuote { margin: 0 0 1 0; }
        MarkdownTable:light { background: transparent; }
    }
    """

    def __init__(self, source: str = "") -> None:
        super().__init__(open_links=False)
        self._markdown = source
        self.has_code = False
        """Whether there is a code block among its finished blocks."""
        self._lines = 0
        self._waiting: list[str] = []
        """Finished blocks that came between composing and mounting."""
        self._open: OpenBlock | None = None
        self._open_text, self._is_fence = "", False

    async def on_mount(self, event: Mount) -> None:
        """Leave out what the base class does."""
        # Textual's own handler parses in a thread and takes out all blocks before it mounts the new ones; here they are composed.
        event.prevent_default()
        self.is_up = True
        await self._draw()

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        """Lay the blocks out; the compositor is given those near the view of the column that scrolls."""
        arranged = super().arrange(size, optimal)
        near = self.parent.near_rows_of(self) if not optimal and isinstance(self.parent, SteadyItem) else None
        return arranged if near is None else NearView(arranged, *near)

    def compose(self) -> ComposeResult:
        """All blocks of the source that is there."""
        self._waiting.clear()
        yield from self._blocks(self._markdown)

    async def add(self, finished: str, still_open: str, *, is_fence: bool = False) -> None:
        """Add finished blocks behind those that are there, and show what is still open in plain text."""
        if finished:
            self._markdown += finished
            self._waiting.append(finished)
        self._open_text, self._is_fence = still_open, is_fence
        await self._draw()

    async def close(self, rest: str) -> None:
        """The text has ended: what was open is rendered too."""
        if not self.can_draw:
            await self.add(rest, "")
            return
        with self.app.batch_update():
            await self.add(rest, "")
            if self._open is not None:
                opened, self._open = self._open, None
                await opened.remove()

    async def replace(self, source: str) -> None:
        """Render the whole text anew."""
        self._markdown, self._lines, self._open, self._open_text, self.has_code = source, 0, None, "", False
        self._waiting = [source]
        if self.can_draw:
            with self.app.batch_update():
                await self.remove_children()
                await self._draw()

    async def _draw(self) -> None:
        """Mount the finished blocks that wait, and show the open one."""
        if not self.can_draw:
            return
        with self.app.batch_update():
            if self._waiting:
                blocks = [block for source in self._waiting for block in self._blocks(source)]
                self._waiting.clear()
                await self.mount_all(blocks, before=self._open)
            if self._open is None and self._open_text:
                self._open = OpenBlock()
                await self.mount(self._open)
            if self._open is not None:
                self._open.show(self._open_text, is_fence=self._is_fence)

    def _blocks(self, markdown: str) -> list[MarkdownBlock]:
        """The widgets of Markdown that begins where the last one ended."""
        tokens = markdown_blocks.parser().parse(markdown)
        for token in tokens:
            self.has_code |= token.type in ("fence", "code_block")
            if token.map is not None:
                token.map = [line + self._lines for line in token.map]
        self._lines += markdown.count("\n")
        return list(self._parse_markdown(tokens))
