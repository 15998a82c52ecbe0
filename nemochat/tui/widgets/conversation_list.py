"""The rows of the conversations drawer. Only the lines in view are drawn, so ten thousand rows cost no more than twenty."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click, Leave, MouseMove
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from nemochat.domain.library import ConversationRow
from nemochat.domain.sanitize import sanitize
from nemochat.numbers import count, plural
from nemochat.tui.tables import fit
from nemochat.tui.widgets import days

_SIGNS = 3
"""Cells before a title: the cursor's bar, the sign of the open one, a blank."""
_MENU = 3
"""Cells at the right where a click asks for the menu."""
_ARCHIVED = "Archived"


class Plan:
    """Which line shows what: two lines a row, a heading above the first row of each day or month, archived rows at the end."""

    def __init__(self, rows: Sequence[ConversationRow], now: float) -> None:
        self.rows = sorted(rows, key=lambda row: (row.archived, -row.updated))
        self.tops: list[int] = []
        self.headings: dict[int, str] = {}
        line, heading, since = 0, "", float("inf")
        for row in self.rows:
            if row.archived:
                new = _ARCHIVED
            else:
                new, since = (heading, since) if row.updated >= since else days.heading(row.updated, now)
            if new != heading:
                heading = new
                line += 1 if self.tops else 0
                self.headings[line] = new
                line += 1
            self.tops.append(line)
            line += 2
        self.height = line
        self.places = {row.id: place for place, row in enumerate(self.rows)}

    def place_at(self, line: int) -> int | None:
        """The row that this line belongs to."""
        place = bisect.bisect_right(self.tops, line) - 1
        return place if place >= 0 and line - self.tops[place] < 2 else None

    def next_from(self, line: int) -> int | None:
        """The first row of which a part stands at or below this line."""
        place = bisect.bisect_left(self.tops, line - 1)
        return place if place < len(self.tops) else None

    def first_line(self, place: int) -> int:
        """Where a row begins, its heading included."""
        top = self.tops[place]
        return top - 1 if top - 1 in self.headings else top


class ConversationList(ScrollView, can_focus=True):
    """Conversations to choose from, with a cursor. What is to be done with one is asked for by `Asked`."""

    help_title = "Conversations"
    ALLOW_SELECT = False

    @dataclass
    class Asked(Message):
        """The user wants something done: with `row`, or, when it is None, with no row in particular."""

        name: str
        row: ConversationRow | None

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "ask('open')", "Open", id="chats.open", tooltip="Go on with this conversation"),
        Binding("r,f2", "ask('rename')", "Rename", id="chats.rename", tooltip="Give this conversation another title"),
        Binding("t", "ask('tags')", "Tags", id="chats.tags", tooltip="Edit the tags of this conversation"),
        Binding("a", "ask('archive')", "Archive", id="chats.archive", tooltip="Archive this conversation, or bring it back"),
        Binding("d,delete", "ask('delete')", "Delete", id="chats.delete", tooltip="Delete this conversation; u undoes"),
        Binding("u", "ask('undo')", "Undo", id="chats.undo", tooltip="Bring back what was deleted last"),
        Binding("e", "ask('export')", "Export", id="chats.export", tooltip="Export this conversation to a file"),
        Binding("n", "ask('new')", "New chat", id="chats.new", tooltip="Begin a new chat"),
        Binding("slash", "ask('filter')", "Filter", id="chats.filter", key_display="/", tooltip="Type to narrow the list"),
        Binding("space", "ask('menu')", "Menu", id="chats.menu", show=False, tooltip="All that can be done with this conversation"),
        Binding("up,k", "move(-1)", "Up", id="chats.up", show=False, tooltip="The conversation above"),
        Binding("down,j", "move(1)", "Down", id="chats.down", show=False, tooltip="The conversation below"),
        Binding("pageup", "page(-1)", "Page up", id="chats.page_up", show=False, tooltip="A screenful up"),
        Binding("pagedown", "page(1)", "Page down", id="chats.page_down", show=False, tooltip="A screenful down"),
        Binding("home", "to_end(-1)", "First", id="chats.first", show=False, tooltip="The first conversation"),
        Binding("end", "to_end(1)", "Last", id="chats.last", show=False, tooltip="The last conversation"),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chats--heading",
        "chats--title",
        "chats--quiet",
        "chats--open",
        "chats--cursor",
        "chats--hover",
    }
    DEFAULT_CSS = """
    ConversationList {
        width: 100%; height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; background: $surface; pointer: pointer;
        & > .chats--heading { color: $text-muted; text-style: bold; }
        & > .chats--title { color: $foreground; }
        & > .chats--quiet { color: $text-muted; }
        & > .chats--open { color: $foreground; text-style: bold; }
        & > .chats--hover { background: $boost; }
        & > .chats--cursor { background: $block-cursor-blurred-background; }
        &:focus > .chats--cursor { color: $block-cursor-foreground; background: $block-cursor-background; }
    }
    """

    cursor: reactive[int | None] = reactive(None)
    """Place of the row under the cursor."""
    hovered: reactive[int | None] = reactive(None)
    """Place of the row under the mouse."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = Plan((), 0.0)
        self.open_id = ""
        self.can_undo = False
        self._now = 0.0
        self._words: tuple[str, ...] = ()
        self._empty = ""
        self._is_sized = False

    # -- what the drawer tells

    def set_rows(self, rows: Sequence[ConversationRow], open_id: str, now: float, *, words: tuple[str, ...] = (), empty: str = "") -> None:
        """Show these rows. The cursor stays on its conversation, and what stands at the top of the view stays there.

        words: marked in the titles. empty: said where there is no row.
        """
        before, cursor, top = self.plan, self.row, round(self.scroll_y)
        after = Plan(rows, now)
        was_open, self.open_id = self.open_id, open_id
        self.plan, self._now, self._words, self._empty = after, now, words, empty
        self.hovered = None
        self.set_reactive(ConversationList.cursor, self._kept_cursor(cursor, was_open))
        self.virtual_size = Size(0, after.height)
        line = self._kept_top(before, top)
        self.scroll_to(y=line, animate=False, force=True, immediate=True)
        if open_id != was_open and self.cursor is not None and not self.has_focus:
            self._show_cursor()
        self.refresh()
        self._offer()

    @property
    def row(self) -> ConversationRow | None:
        """The conversation under the cursor."""
        return None if self.cursor is None or self.cursor >= len(self.plan.rows) else self.plan.rows[self.cursor]

    def _kept_cursor(self, row: ConversationRow | None, was_open: str) -> int | None:
        """Where the cursor stands in the new rows: at another open conversation, at its own, else at the same place."""
        places = self.plan.places
        if not places:
            return None
        if self.open_id != was_open and not self.has_focus and self.open_id in places:
            return places[self.open_id]
        if row is not None and row.id in places:
            return places[row.id]
        return min(self.cursor or 0, len(places) - 1)

    def _kept_top(self, before: Plan, top: int) -> int:
        """The line of the new plan that belongs at the top of the view."""
        if top <= 0:
            return 0
        place = before.next_from(top)
        while place is not None and place < len(before.rows):
            if (new := self.plan.places.get(before.rows[place].id)) is not None:
                return max(0, self.plan.tops[new] - before.tops[place] + top)
            place += 1
        return top

    # -- what the user does

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now is offered."""
        if action != "ask" or parameters in (("new",), ("filter",)):
            return True
        return self.can_undo if parameters == ("undo",) else self.row is not None

    def action_ask(self, name: str) -> None:
        """Pass it on."""
        self.post_message(self.Asked(name, None if name in ("new", "filter", "undo") else self.row))

    def action_move(self, by: int) -> None:
        """Move the cursor; from the first row on to the filter."""
        if by < 0 and not self.cursor:
            self.action_ask("filter")
        elif self.plan.rows:
            self._go(0 if self.cursor is None else self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by a screenful."""
        if self.plan.rows:
            self._go((self.cursor or 0) + by * max(1, self.scrollable_content_region.height // 2 - 1))

    def action_to_end(self, by: int) -> None:
        """To the first or the last row."""
        if self.plan.rows:
            self._go(0 if by < 0 else len(self.plan.rows) - 1)

    def on_mouse_move(self, event: MouseMove) -> None:
        """Mark the row under the mouse."""
        self.hovered = self.plan.place_at(event.y + self.scroll_offset.y)

    def on_leave(self, event: Leave) -> None:
        """The mouse is elsewhere."""
        self.hovered = None

    def on_click(self, event: Click) -> None:
        """A click opens; at the right end, or with the right button, it asks for the menu."""
        event.stop()
        place = self.plan.place_at(event.y + self.scroll_offset.y)
        if place is None:
            return
        self.cursor = place
        self.action_ask("menu" if event.button == 3 or event.x >= self._width - _MENU else "open")

    def watch_cursor(self) -> None:
        """Keep it in view."""
        self._show_cursor()
        self.refresh()
        self._offer()

    def on_resize(self) -> None:
        """Where the cursor has to be seen is known only once there is a view."""
        if not self._is_sized and self.size.height:
            self._is_sized = True
            self._show_cursor()

    def watch_hovered(self, before: int | None, after: int | None) -> None:
        """The tooltip tells what the two lines have no room for."""
        self.tooltip = None if after is None else _about(self.plan.rows[after])
        for place in (before, after):
            if place is not None and place < len(self.plan.tops):
                line = self.plan.tops[place] - self.scroll_offset.y
                self.refresh(Region(0, line, self.size.width, 2))

    def watch_has_focus(self, value: bool) -> None:
        """The cursor looks different without the focus."""
        super().watch_has_focus(value)
        self.refresh()

    def _offer(self) -> None:
        """What can be done now is another thing."""
        if self.is_attached:
            self.refresh_bindings()

    def _go(self, place: int) -> None:
        self.cursor = min(max(0, place), len(self.plan.rows) - 1)

    def _show_cursor(self) -> None:
        if self.cursor is None or self.cursor >= len(self.plan.tops) or not self._is_sized:
            return
        first = self.plan.first_line(self.cursor)
        height = self.plan.tops[self.cursor] + 2 - first
        self.scroll_to_region(Region(0, first, 1, height), animate=False, force=True, immediate=True, x_axis=False)

    # -- drawing

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    def render_line(self, y: int) -> Strip:
        """One line of the view."""
        width, line = self._width, y + self.scroll_offset.y
        plan = self.plan
        if not plan.rows:
            return self._line_of_words(line, width)
        place = plan.place_at(line)
        if place is None:
            text, style = plan.headings.get(line, ""), self.get_component_rich_style("chats--heading")
            return Strip([Segment(fit(" " + text, width), style)], width)
        row, cells = plan.rows[place], max(1, width - _SIGNS - _MENU)
        ground = self._ground(place)
        if line == plan.tops[place]:
            segments = self._title(row, cells, place, ground)
        else:
            bar = "▌" if place == self.cursor else " "
            style = self.get_component_rich_style("chats--quiet") + ground
            segments = [Segment(f"{bar}  {self._details(row, width - _SIGNS - 1)} ", style)]
        return Strip(segments).adjust_cell_length(width)

    def _ground(self, place: int) -> Style:
        """What the cursor and the mouse change in the look of a whole row."""
        if place == self.cursor:
            return self.get_component_rich_style("chats--cursor", partial=True)
        return self.get_component_rich_style("chats--hover", partial=True) if place == self.hovered else Style.null()

    def _title(self, row: ConversationRow, cells: int, place: int, ground: Style) -> list[Segment]:
        is_open, is_cursor = row.id == self.open_id, place == self.cursor
        style = self.get_component_rich_style("chats--open" if is_open else "chats--title") + ground
        signs = ("▌" if is_cursor else " ") + ("● " if is_open else "  ")
        title = fit(sanitize(row.title, strict=True).strip() or "Untitled", cells)
        menu = " ≡ " if is_cursor or place == self.hovered else "   "
        return [Segment(signs, style), *_marked(title, self._words, style), Segment(menu, style)]

    def _details(self, row: ConversationRow, cells: int) -> str:
        """Tags and who at the left, how much and when at the right; the left gives way, and there is often no room for all of it."""
        right = f"{'▣ ' if row.has_picture else ''}{count(row.n_messages)} msg · {days.when(row.updated, self._now)}"
        left = " ".join([*(f"#{sanitize(tag, strict=True)}" for tag in row.tags), sanitize(row.persona or row.model, strict=True)])
        room = cells - cell_len(right) - 2
        return fit(f"{fit(left.strip(), room)}  {right}" if room > 2 else right, cells)

    def _line_of_words(self, line: int, width: int) -> Strip:
        style = self.get_component_rich_style("chats--quiet")
        lines = Content(self._empty).wrap(max(1, width - 2))
        text = lines[line - 1].plain if 1 <= line <= len(lines) else ""
        return Strip([Segment(fit(f" {text}", width), style)], width)


def _marked(title: str, words: tuple[str, ...], style: Style) -> list[Segment]:
    """The title with the words of the filter underlined."""
    # Lower case letter by letter: some letters become two, and the places have to stay those of the title.
    lowered = "".join(letter.lower()[:1] or letter for letter in title)
    places = {at + offset for word in words if (at := lowered.find(word)) >= 0 for offset in range(len(word))}
    if not places:
        return [Segment(title, style)]
    marked = style + Style(underline=True, bold=True)
    return [Segment(letter, marked if place in places else style) for place, letter in enumerate(title)]


def _about(row: ConversationRow) -> Content:
    """All that is known of a conversation."""
    facts = [plural(row.n_messages, "message"), f"last on {days.in_full(row.updated)}"]
    facts += [sanitize(name, strict=True) for name in (row.persona, row.model) if name]
    facts += [f"#{sanitize(tag, strict=True)}" for tag in row.tags]
    facts += [word for word, applies in (("with pictures", row.has_picture), ("archived", row.archived)) if applies]
    preview = sanitize(row.preview, strict=True)[:300]
    return Content.assemble(
        (sanitize(row.title, strict=True) or "Untitled", "bold"), "\n", " · ".join(facts), f"\n\n{preview}" if preview else ""
    )
