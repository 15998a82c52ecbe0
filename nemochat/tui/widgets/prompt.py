"""The prompt: text area, completion list, queue and hint line. It knows no screen; what it needs is handed in, what happens is posted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click, Key, Paste
from textual.message import Message
from textual.reactive import reactive
from textual.timer import Timer
from textual.widgets import Static, TextArea

from nemochat.chat.drops import Drop, attachments_in, may_name_files
from nemochat.chat.quoting import unquoted
from nemochat.chat.recall import PromptHistory
from nemochat.desk.commands import Kind
from nemochat.desk.completion import Completion
from nemochat.domain.sanitize import sanitize
from nemochat.numbers import count
from nemochat.tui.widgets.completion_list import MAX_ROWS, CompletionList
from nemochat.tui.widgets.hint_line import Hint, HintLine, PromptState, placeholder
from nemochat.tui.widgets.late import LateVertical
from nemochat.tui.widgets.prompt_area import MAX_PASTE, PromptArea

MAX_LINES = 8
_MAX_QUEUE = 5
_FIXED_LINES = 3
"""The frame and the hint."""
_PATH_PAUSE = 0.15
_BURST = 4


class _Queued(Static):
    """A message that waits; a click takes it back, and the last one says so."""

    def __init__(self, index: int, label: str, *, is_last: bool) -> None:
        words = " ".join(sanitize(label, strict=True).split())
        super().__init__(Content.assemble(("queued ", "dim"), words, ("  (F9 or a click takes it back)", "dim") if is_last else ""))
        self.index = index


class Prompt(Vertical):
    """Where the user writes.

    find_drops: what a text names that can be attached. take_drop: attaches it and inserts its tokens, at once: were it told by a message,
    letters that come right behind a drop would stand before its tokens. complete: what could be meant. judge: what Enter does with a text.
    """

    DEFAULT_CSS = """
    Prompt {
        height: auto; padding: 0 1;
        #frame { height: auto; border: round $panel; padding: 0 1; &:focus-within { border: round $primary; } }
        PromptArea { height: auto; max-height: 8; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1; }
        #queue { height: auto; max-height: 5; overflow-y: auto; padding: 0 1; }
        _Queued { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "unqueue", "Take back", show=False, id="prompt.unqueue", tooltip="Take the last queued message back"),
    ]

    @dataclass
    class Submitted(Message):
        """Enter, with the text and the keys of the tokens in it. Both have left the prompt; `put_back` brings them back.

        drop: files that were found in the text at the last moment, as they come without bracketed paste.
        """

        text: str
        tokens: list[str]
        drop: Drop | None

    @dataclass
    class Changed(Message):
        """The text is another one."""

        text: str

    @dataclass
    class TokenRemoved(Message):
        """An attachment was deleted from the text."""

        key: str

    @dataclass
    class Notice(Message):
        """Something that the user should know."""

        text: str

    @dataclass
    class EditInEditor(Message):
        """Ctrl+G."""

        text: str

    @dataclass
    class Unqueue(Message):
        """A queued message is wanted back."""

        index: int

    @dataclass
    class Swipe(Message):
        """Left or Right in an empty prompt: another version of the last reply."""

        to_right: bool

    class Left(Message):
        """What was typed before `leave` has been taken in, and all that came of it has been told."""

    class Escape(Message):
        """Esc, with no list open."""

    state: reactive[PromptState] = reactive(PromptState.WAITS)
    token_count: reactive[int | None] = reactive(None)
    room: reactive[int | None] = reactive(None)
    reserve: reactive[int] = reactive(0)
    is_exact: reactive[bool] = reactive(True)
    """Whether both numbers are what the model reads, or near it."""

    queued: reactive[tuple[str, ...]] = reactive(())
    keys: reactive[tuple[str, ...]] = reactive(())
    """Of what has the focus, where that is not the prompt; said instead of what Enter does here."""

    covered: reactive[tuple[int, int]] = reactive((0, 0))
    """Columns at the left and at the right over which a drawer lies: the hint stands between them."""

    def __init__(
        self,
        *,
        find_drops: Callable[[str], Drop] | None = None,
        take_drop: Callable[[Drop], None] = lambda _: None,
        complete: Callable[[str], Completion | None] | None = None,
        judge: Callable[[str], Kind] | None = None,
        history: PromptHistory | None = None,
    ) -> None:
        super().__init__()
        self._find_drops, self._take_drop, self._complete, self._judge = find_drops, take_drop, complete, judge
        self.area = PromptArea(history, self._send, self.paste, self._key)
        self._list = CompletionList()
        self._queue = LateVertical(id="queue")
        self._hint_line = HintLine()
        self._completion: Completion | None = None
        self._offered = ""
        """What stood before the cursor when the list was made."""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Queue, list, area, hints."""
        yield self._queue
        yield self._list
        with Vertical(id="frame"):
            yield self.area
        yield self._hint_line

    # -- for the outside

    @property
    def plain_text(self) -> str:
        """The text without tokens."""
        return self.area.plain_text

    @property
    def tokens(self) -> list[str]:
        """The attachments in the order in which they stand."""
        return self.area.token_keys

    def leave(self) -> None:
        """Tell `Left` behind all that the keys so far have to tell, which go through several hands."""
        self.area.call_later(lambda: self.post_message(self.Left()))

    def write(self, text: str) -> None:
        """Text as if it were typed here, whatever has the focus; what is typed behind it follows."""
        self.screen.set_focus(self.area)
        self.area.insert(text)

    def take_event(self, event: Key | Paste) -> None:
        """A key or a paste that is for the prompt, although something else has come to lie above it."""
        self.screen.set_focus(self.area)
        self.area.post_message(event)

    def load_text(self, text: str) -> None:
        """Replace everything, tokens too."""
        self.area.load_text(sanitize(text))
        self.area.move_cursor(self.area.document.end)

    # -- what the user does

    def _send(self) -> None:
        """Enter. The text is taken at once, so that letters that come right behind it are not sent with it."""
        self._catch_up()
        chosen = self._list.highlighted
        if self._list.is_open and self._completion is not None and chosen is not None and not _is_whole(self._completion, self.area.text):
            self._accept(chosen)
            return
        self._close_list()
        # In a terminal without bracketed paste the Enter may come right behind a dropped path, and even belong to the drop.
        drop = self._paths_in(self.plain_text)
        text = self.plain_text if drop is None else drop.rest
        if drop is not None and not text.strip():
            self._take(drop)
            return
        tokens = self.tokens
        self.load_text("")
        self.post_message(self.Submitted(text, tokens, drop))

    def paste(self, text: str) -> None:
        """A paste, or a drop: files that it names become attachments, the rest is text."""
        drop = self._find_drops(text) if self._find_drops is not None else None
        if drop is not None and (drop.files or drop.data_uris or drop.missing):
            if drop.rest:
                self._insert_paste(drop.rest)
            self._take_drop(drop)
            return
        self._insert_paste(text)

    def _insert_paste(self, text: str) -> None:
        """Put pasted text at the cursor, as much as is sensible."""
        if len(text) > MAX_PASTE:
            self.post_message(self.Notice(f"Only the first {count(MAX_PASTE)} of {count(len(text))} characters were pasted."))
            text = text[:MAX_PASTE]
        self.area.insert_pasted(text)

    @on(PromptArea.Removed)
    def _removed(self, event: PromptArea.Removed) -> None:
        self.post_message(self.TokenRemoved(event.key))

    @on(TextArea.Changed)
    def _text_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        text, plain = self.area.text, self.plain_text
        grown = len(plain) - len(self.area.settled_text)
        is_typed = plain != self.area.settled_text
        self.area.settled_text = plain
        self._offer()
        self._draw_hint()
        self.post_message(self.Changed(text))
        # What the program put there (a draft, an earlier prompt, a path that the user wants as text) is no drop.
        if is_typed:
            self._look_soon(all_kinds=grown >= _BURST)

    def _look_soon(self, *, all_kinds: bool) -> None:
        """Look for paths when the typing pauses, because a drop without bracketed paste comes key by key."""
        if self._timer is not None:
            self._timer.stop()
        if may_name_files(self.area.text):
            self._timer = self.set_timer(_PATH_PAUSE, partial(self._look, all_kinds=all_kinds))

    def _look(self, *, all_kinds: bool) -> None:
        """While the user is choosing what to type, only a whole path to a picture counts."""
        if getattr(self.app, "has_keys_waiting", False):
            self._look_soon(all_kinds=all_kinds)  # the rest of a drop that came key by key is still on its way
            return
        drop = self._paths_in(self.plain_text, all_kinds=all_kinds and not self._list.is_open)
        if drop is not None:
            self._take(drop)

    def _key(self, name: str) -> None:
        """A key that is not for the text."""
        match name:
            case "escape" if self._list.is_open:
                self._close_list()
            case "escape":
                self.post_message(self.Escape())
            case "left" | "right":
                self.post_message(self.Swipe(name == "right"))
            case "editor":
                self.post_message(self.EditInEditor(self.plain_text))
            case "up" | "down":
                self._list.move(-1 if name == "up" else 1)
            case "tab" if self._catch_up():
                self._accept(self._list.highlighted or 0)
            case "tab":
                self.screen.focus_next()

    def on_click(self, event: Click) -> None:
        """A queued message is wanted back."""
        if isinstance(event.widget, _Queued):
            self.post_message(self.Unqueue(event.widget.index))

    def action_unqueue(self) -> None:
        """Take the last queued message back."""
        if self.queued:
            self.post_message(self.Unqueue(len(self.queued) - 1))

    def _paths_in(self, text: str, *, all_kinds: bool = False) -> Drop | None:
        """The files that a text names, when they are to become attachments."""
        return attachments_in(text, self._find_drops, all_kinds=all_kinds) if self._find_drops is not None else None

    def _take(self, drop: Drop) -> None:
        """Files in the text become attachments."""
        self.area.replace_plain(drop.rest)
        self._take_drop(drop)

    # -- completion

    def _catch_up(self) -> bool:
        """When keys come in a burst, the list may be of a moment ago: make it anew. Whether it is open."""
        if self._list.is_open and self._offered != self._before():
            self._offer()
        return self._list.is_open

    def _before(self) -> str:
        """The text before the cursor."""
        return self.area.document.get_text_range((0, 0), self.area.cursor_location)

    def _offer(self) -> None:
        before = self._offered = self._before()
        completion = self._complete(before) if self._complete is not None and before else None
        self._show_list(completion)

    def _show_list(self, completion: Completion | None) -> None:
        self._completion = completion
        self._list.show(completion)
        self.area.has_list = completion is not None
        # There is not always room for both.
        self._queue.display = completion is None

    def _close_list(self) -> None:
        self._show_list(None)

    def _accept(self, index: int) -> None:
        completion = self._completion
        if completion is None or not 0 <= index < len(completion.candidates):
            return
        text = self.area.document.get_text_range((0, 0), self.area.cursor_location)
        lines = text[: completion.start].split("\n")
        start = len(lines) - 1, len(lines[-1])
        insert = completion.candidates[index].insert
        self.area.replace(insert, start, self.area.cursor_location, maintain_selection_offset=False)
        self.area.move_cursor((start[0], start[1] + len(insert)))
        # A picture that was chosen is attached; a folder may be the first half of a path.
        self.area.settled_text = self.plain_text
        self._look_soon(all_kinds=False)
        if not insert.endswith(("/", " ")):
            self._close_list()

    @on(CompletionList.Accepted)
    def _clicked(self, event: CompletionList.Accepted) -> None:
        self._accept(event.index)
        self.area.focus()

    # -- hints

    def watch_state(self) -> None:
        """Other words or numbers."""
        self._draw_hint()

    watch_token_count = watch_room = watch_reserve = watch_is_exact = watch_keys = watch_state

    def watch_covered(self, covered: tuple[int, int]) -> None:
        """More or less room for the hint."""
        self._hint_line.styles.padding = (0, 1 + covered[1], 0, 1 + covered[0])
        self._hint_line.watch_hint()  # its own size stays as it is

    def watch_queued(self) -> None:
        """Other messages wait."""
        if self._queue.is_attached:
            self._queue.remove_children()
            last = len(self.queued) - 1
            self._queue.mount_all([_Queued(index, label, is_last=index == last) for index, label in enumerate(self.queued)])

    def on_mount(self) -> None:
        """Show what waited before."""
        self.watch_queued()

    def on_resize(self) -> None:
        """More or less room. However little there is, the line being written and the hint under it are seen."""
        height = self.screen.size.height
        n_lines = min(max(height * 2 // 5, 1), MAX_LINES)
        self.area.styles.max_height = n_lines
        self._list.styles.max_height = min(max(height * 17 // 20 - _FIXED_LINES - n_lines, 1), MAX_ROWS)
        self._queue.styles.max_height = min(max(height // 5, 1), _MAX_QUEUE)
        self.area.placeholder = placeholder(self.area.content_size.width)
        self._draw_hint()

    def _draw_hint(self) -> None:
        text = self.area.text
        self._hint_line.hint = Hint(
            self._state(), self.token_count, self.room, self.reserve, is_empty=not text, keys=self.keys, is_exact=self.is_exact
        )

    def _state(self) -> PromptState:
        """What Enter does with the text."""
        match self._judge(self.plain_text) if self._judge is not None else Kind.MESSAGE:
            case Kind.COMMAND:
                return PromptState.RUNS
            case Kind.LOST:
                return PromptState.LOST
        return self.state


def _is_whole(completion: Completion, text: str) -> bool:
    """Whether what is typed needs no completion any more, written with quotes or without: Enter sends it."""
    typed = {text.strip(), text[completion.start :].strip()}
    inserts = {candidate.insert.strip() for candidate in completion.candidates}
    return not typed.isdisjoint(inserts | {unquoted(insert) for insert in inserts})
