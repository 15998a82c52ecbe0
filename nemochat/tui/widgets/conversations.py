"""The drawer of conversations at the left: a filter, the rows, and a line below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, Static

from nemochat.domain.library import ConversationRow
from nemochat.domain.sanitize import sanitize
from nemochat.numbers import count
from nemochat.tui.widgets.conversation_list import ConversationList
from nemochat.tui.widgets.hint_line import lines_of

_NONE = "No conversations yet. What you write is kept, and will be listed here."
_FILTER = "Filter · Enter searches all"
_WIDTH = 32
"""Columns of the foot before it is laid out."""


class ConversationsDrawer(Vertical):
    """The conversations, newest first: a column beside the open one, or over it on a narrow screen. It begins closed."""

    @dataclass
    class Action(Message):
        """The user wants something done with a conversation: open, rename, tags, archive, unarchive, delete, undo, export or menu.

        ``undo`` brings back a conversation that was deleted here; ``menu`` asks for `menu_of` to be shown and its answer given to `ask`.
        """

        row: ConversationRow
        name: str

    class New(Message):
        """The user wants a new chat."""

    @dataclass
    class Search(Message):
        """The user wants to search in everything for these words."""

        words: str

    class Left(Message):
        """The user goes back to the conversation: somebody else should take the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="chats.leave", show=False, tooltip="Close the list, back to the conversation"),
        Binding("down", "enter_list", "Into the list", id="chats.enter", show=False, tooltip="From the filter into the list"),
    ]

    DEFAULT_CSS = """
    ConversationsDrawer {
        display: none; width: 34; max-width: 100%; height: 100%; background: $surface;
        #chats-filter { margin: 0 1 1 1; padding: 0 1; background: $panel; }
        #chats-foot { height: auto; max-height: 8; padding: 0 1; margin: 1 0 0 0; color: $text-muted; }
        &.-narrow { layer: drawer; dock: left; width: 40; border-right: vkey $primary; }
        &.-open { display: block; }
    }
    """

    is_narrow: reactive[bool] = reactive(False, toggle_class="-narrow")
    """Whether it lies over the conversation."""
    is_open: reactive[bool] = reactive(False, toggle_class="-open")
    """Whether it can be seen."""

    keys: reactive[tuple[str, ...]] = reactive(())
    """What can be done here with which key, said below the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[ConversationRow, ...] = ()
        self._open_id, self._now = "", 0.0
        self._hay: list[str] | None = None
        self._deleted: list[ConversationRow] = []
        self.list = ConversationList()
        self.filter = Input(placeholder=_FILTER, compact=True, id="chats-filter")
        self._foot = Static(id="chats-foot", markup=False)

    def compose(self) -> ComposeResult:
        """Filter, rows, foot."""
        yield self.filter
        yield self.list
        yield self._foot

    def on_mount(self) -> None:
        """Say that there is nothing, until there is."""
        self._draw()

    # -- what the caller tells

    def show(self, rows: Sequence[ConversationRow], open_id: str, now: float) -> None:
        """Show these conversations, of which `open_id` is open. Deleted ones are left out. The view and the cursor stay where they are.

        now: seconds since the epoch, for the headings of the days.
        """
        self.rows = tuple(row for row in rows if not row.deleted)
        self._open_id, self._now, self._hay = open_id, now, None
        self._draw()

    def set_narrow(self, narrow: bool) -> None:
        """Over the conversation or beside it; when it comes to lie over it, it closes."""
        if narrow and not self.is_narrow:
            self.is_open = False
        self.is_narrow = narrow

    def open(self) -> None:
        """Show it, with the focus on the rows."""
        self.is_open = True
        self.list.focus()

    def leave(self) -> None:
        """Hide it, and go back to the conversation."""
        self.is_open = False
        self.post_message(self.Left())

    def ask(self, conversation: str, name: str) -> None:
        """Do what the key for `name` does, with this conversation: the answer to the menu."""
        row = next((row for row in self.rows if row.id == conversation), None)
        if row is not None:
            self._act(row, name)

    def watch_keys(self) -> None:
        """Something else of it has the focus."""
        self._draw()

    # -- what the user does

    def action_leave(self) -> None:
        """Close the list, and go back to the conversation."""
        self.filter.value = ""
        self.leave()

    def action_enter_list(self) -> None:
        """From the filter into the rows."""
        self.list.focus()

    @on(Input.Changed, "#chats-filter")
    def _narrow(self, event: Input.Changed) -> None:
        event.stop()
        self._draw()

    @on(Input.Submitted, "#chats-filter")
    def _search(self, event: Input.Submitted) -> None:
        event.stop()
        if words := event.value.strip():
            self._give_way()
            self.post_message(self.Search(words))
        else:
            self.list.focus()

    @on(ConversationList.Asked)
    def _asked(self, event: ConversationList.Asked) -> None:
        event.stop()
        match event.name, event.row:
            case "filter", _:
                self.filter.focus()
            case "new", _:
                self._give_way()
                self.post_message(self.New())
            case "undo", _ if gone := self._gone():
                self.post_message(self.Action(gone[-1], "undo"))
            case name, ConversationRow() as row:
                self._act(row, name)

    def _act(self, row: ConversationRow, name: str) -> None:
        if name == "archive" and row.archived:
            name = "unarchive"
        elif name == "delete":
            self._deleted = [*(each for each in self._deleted if each.id != row.id), row]
        elif name == "open":
            self._give_way()
        self.post_message(self.Action(row, name))

    def _give_way(self) -> None:
        """What was chosen is to be seen."""
        if self.is_narrow:
            self.is_open = False

    # -- drawing

    def _gone(self) -> list[ConversationRow]:
        """What was deleted here and is not back, the last one last."""
        present = {row.id for row in self.rows} if self._deleted else set()
        return [row for row in self._deleted if row.id not in present]

    def _found(self, words: tuple[str, ...]) -> Sequence[ConversationRow]:
        """The rows in whose title, persona or tags every word stands."""
        if not words:
            return self.rows
        if self._hay is None:
            self._hay = ["\n".join((row.title, row.persona, *(f"#{tag}" for tag in row.tags))).lower() for row in self.rows]
        return [row for row, hay in zip(self.rows, self._hay, strict=True) if all(word in hay for word in words)]

    def _draw(self) -> None:
        words = tuple(self.filter.value.lower().split())
        found, gone = self._found(words), self._gone()
        shown = sanitize(self.filter.value, strict=True).strip()
        empty = f"No title fits “{shown}”. Enter in the filter searches in every message." if self.rows else _NONE
        self.list.can_undo = bool(gone)
        self.list.set_rows(found, self._open_id, self._now, words=words, empty=empty)
        number = f"{count(len(found))} of {count(len(self.rows))}" if words else count(len(self.rows))
        lines = [f"{number} {'conversation' if number == '1' else 'conversations'}"] if self.rows else []
        if gone:
            title = sanitize(gone[-1].title, strict=True)
            lines.append(f"Deleted: “{title if len(title) <= 20 else title[:19] + '…'}” · u undoes")
        if self.keys:
            lines += lines_of(self.keys, self._foot.content_size.width or _WIDTH)
        self._foot.display = bool(lines)
        self._foot.update(Content("\n".join(lines)))

