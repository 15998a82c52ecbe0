"""The prompt: text area, completion list, queue and hint line. It knows no screen; what it needs is handed in, what happens is posted."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.timer import Timer
from textual.widgets import Static, TextArea

from nemochat.chat.completion import Completion
from nemochat.chat.drops import Drop, FileKind
from nemochat.chat.recall import PromptHistory
from nemochat.domain.sanitize import sanitize
from nemochat.tui.numbers import count
from nemochat.tui.widgets.completion_list import MAX_ROWS, CompletionList
from nemochat.tui.widgets.prompt_area import MAX_PASTE, PromptArea

MAX_LINES = 8
_MAX_QUEUE = 5
_FIXED_LINES = 3
"""The frame and the hint."""
_SIDES = 3
"""Columns of the hint's line that hold no words."""
_PATH_PAUSE = 0.15
_BURST = 4
_PATH_SIGNS = ("/", "\\", "file:", "data:image")


class PromptState(StrEnum):
    """What Enter will do, in words."""

    SENDS = "Enter sends"
    QUEUES = "Enter queues: a reply is being written"
    WAITS = "Enter sends as soon as the model is there"
    EDITS = "Enter sends the edited message, Esc leaves it"
    RUNS = "Enter runs the command"


class _Queued(Static):
    """A message that waits; a click takes it back."""

    def __init__(self, index: int, label: str) -> None:
        words = " ".join(sanitize(label, strict=True).split())
        super().__init__(Content.assemble(("queued ", "dim"), words, ("  (F9 or a click takes it back)", "dim")))
        self.index = index


class Prompt(Vertical):
    """Where the user writes."""

    DEFAULT_CSS = """
    Prompt {
        height: auto; padding: 0 1;
        #frame { height: auto; border: round $panel; padding: 0 1; &:focus-within { border: round $primary; } }
        PromptArea { height: auto; max-height: 8; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1; }
        #hints { height: 1; padding: 0 1; color: $text-muted; }
        #hint { width: 1fr; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #count { width: auto; height: 1; padding-left: 1; }
        #queue { height: auto; max-height: 5; overflow-y: auto; padding: 0 1; }
        _Queued { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "unqueue", "Take back", show=False, id="prompt.unqueue", tooltip="Take the last queued message back"),
    ]

    class Submitted(Message):
        """Enter, with the text and the keys of the tokens in it. The text stays until `clear`."""

        def __init__(self, prompt: Prompt, text: str) -> None:
            super().__init__()
            self.text = text
            self._prompt = prompt

        @property
        def tokens(self) -> list[str]:
            """Those that are there now: a drop right before Enter gets its tokens only when `Dropped`, posted before this, is handled."""
            return self._prompt.tokens

    class Changed(Message):
        """The text is another one."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class TokenRemoved(Message):
        """An attachment was deleted from the text."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Dropped(Message):
        """Files were dropped, pasted or typed."""

        def __init__(self, drop: Drop) -> None:
            super().__init__()
            self.drop = drop

    class Notice(Message):
        """Something that the user should know."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class EditInEditor(Message):
        """Ctrl+G."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Unqueue(Message):
        """A queued message is wanted back."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    class Escape(Message):
        """Esc, with no list open."""

    state: reactive[PromptState] = reactive(PromptState.WAITS)
    token_count: reactive[int | None] = reactive(None)
    room: reactive[int | None] = reactive(None)
    queued: reactive[tuple[str, ...]] = reactive(())

    def __init__(
        self,
        *,
        find_drops: Callable[[str], Drop] | None = None,
        complete: Callable[[str], Completion | None] | None = None,
        history: PromptHistory | None = None,
    ) -> None:
        super().__init__()
        self._find_drops, self._complete = find_drops, complete
        self._area = PromptArea(history)
        self._list = CompletionList()
        self._completion: Completion | None = None
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Queue, list, area, hints."""
        yield Vertical(id="queue")
        yield self._list
        with Vertical(id="frame"):
            yield self._area
        with Horizontal(id="hints"):
            yield Static(id="hint")
            yield Static(id="count")

    # -- for the outside

    @property
    def plain_text(self) -> str:
        """The text without tokens."""
        return self._area.plain_text

    @property
    def tokens(self) -> list[str]:
        """The attachments in the order in which they stand."""
        return self._area.token_keys

    def focus_area(self) -> None:
        """Let the user type."""
        self._area.focus()

    def insert_token(self, key: str, label: str) -> None:
        """Show an attachment at the cursor."""
        self._area.insert_token(key, label)

    def replace_token(self, key: str, label: str) -> None:
        """Change its words."""
        self._area.replace_token(key, label)

    def remove_token(self, key: str) -> None:
        """Take it out."""
        self._area.remove_token(key)

    def insert_text(self, text: str) -> None:
        """Put text at the cursor."""
        self._area.insert_pasted(text)

    def load_text(self, text: str) -> None:
        """Replace everything, tokens too."""
        self._area.load_text(sanitize(text))
        self._area.move_cursor(self._area.document.end)

    def replace_text(self, text: str) -> None:
        """Replace the text; the tokens stay before it."""
        self._area.replace_plain(text)

    def clear(self) -> None:
        """Empty it, tokens too."""
        self.load_text("")

    # -- what the user does

    @on(PromptArea.Send)
    def _send(self) -> None:
        if self._list.is_open and self._completion is not None and self._area.text.strip() not in _whole(self._completion):
            self._accept(self._list.highlighted or 0)
            return
        self._close_list()
        # In a terminal without bracketed paste the Enter may come right behind a dropped path.
        if self._take_paths() and not self.plain_text:
            return
        self.post_message(self.Submitted(self, self.plain_text))

    @on(PromptArea.Pasted)
    def _pasted(self, event: PromptArea.Pasted) -> None:
        text = event.text
        drop = self._find_drops(text) if self._find_drops is not None else None
        if drop is not None and (drop.files or drop.data_uris or drop.missing):
            if drop.rest:
                self._insert_paste(drop.rest)
            self.post_message(self.Dropped(drop))
            return
        self._insert_paste(text)

    def _insert_paste(self, text: str) -> None:
        """Put pasted text at the cursor, as much as is sensible."""
        if len(text) > MAX_PASTE:
            self.post_message(self.Notice(f"Only the first {count(MAX_PASTE)} of {count(len(text))} characters were pasted."))
            text = text[:MAX_PASTE]
        self._area.insert_pasted(text)

    @on(PromptArea.Removed)
    def _removed(self, event: PromptArea.Removed) -> None:
        self.post_message(self.TokenRemoved(event.key))

    @on(TextArea.Changed)
    def _text_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        text = self._area.text
        grown = len(text) - len(self._area.settled_text)
        is_typed = text != self._area.settled_text
        self._area.settled_text = text
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
        if any(sign in self._area.text for sign in _PATH_SIGNS):
            self._timer = self.set_timer(_PATH_PAUSE, partial(self._look, all_kinds=all_kinds))

    def _look(self, *, all_kinds: bool) -> None:
        """While the user is choosing what to type, only a whole path to a picture counts."""
        self._take_paths(all_kinds=all_kinds and not self._list.is_open)

    @on(PromptArea.Key)
    def _key(self, event: PromptArea.Key) -> None:
        match event.name:
            case "escape" if self._list.is_open:
                self._close_list()
            case "escape":
                self.post_message(self.Escape())
            case "editor":
                self.post_message(self.EditInEditor(self.plain_text))
            case "up" | "down":
                self._list.move(-1 if event.name == "up" else 1)
            case "tab" if self._list.is_open:
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

    def _take_paths(self, *, all_kinds: bool = False) -> bool:
        """Turn paths in the text, dropped without bracketed paste, into attachments; whether there were any.

        Typed by hand, only pictures count: the pause after ``/home/`` must not swallow a folder.
        """
        if self._find_drops is None:
            return False
        text = self._area.plain_text
        if not any(sign in text for sign in _PATH_SIGNS) or (text.startswith("/") and " " in text and not text.split()[0].count("/") > 1):
            return False
        drop = self._find_drops(text)
        if not (drop.files or drop.data_uris) or not (all_kinds or all(file.kind is FileKind.PICTURE for file in drop.files)):
            return False
        self.replace_text(drop.rest)
        self.post_message(self.Dropped(drop))
        return True

    # -- completion

    def _offer(self) -> None:
        row, column = self._area.cursor_location
        before = self._area.document.get_text_range((0, 0), (row, column))
        completion = self._complete(before) if self._complete is not None and before else None
        self._show_list(completion)

    def _show_list(self, completion: Completion | None) -> None:
        self._completion = completion
        self._list.show(completion)
        self._area.has_list = completion is not None
        # There is not always room for both.
        self.query_one("#queue").display = completion is None

    def _close_list(self) -> None:
        self._show_list(None)

    def _accept(self, index: int) -> None:
        completion = self._completion
        if completion is None or not 0 <= index < len(completion.candidates):
            return
        text = self._area.document.get_text_range((0, 0), self._area.cursor_location)
        lines = text[: completion.start].split("\n")
        start = len(lines) - 1, len(lines[-1])
        insert = completion.candidates[index].insert
        self._area.replace(insert, start, self._area.cursor_location, maintain_selection_offset=False)
        self._area.move_cursor((start[0], start[1] + len(insert)))
        # A picture that was chosen is attached; a folder may be the first half of a path.
        self._area.settled_text = self._area.text
        self._look_soon(all_kinds=False)
        if not insert.endswith(("/", " ")):
            self._close_list()

    @on(CompletionList.Accepted)
    def _clicked(self, event: CompletionList.Accepted) -> None:
        self._accept(event.index)
        self.focus_area()

    # -- hints

    def watch_state(self) -> None:
        """Other words."""
        self._draw_hint()

    def watch_token_count(self) -> None:
        """Another number."""
        self._draw_hint()

    def watch_room(self) -> None:
        """Another number."""
        self._draw_hint()

    async def watch_queued(self, queued: tuple[str, ...]) -> None:
        """Other messages wait."""
        if self.is_mounted:
            queue = self.query_one("#queue", Vertical)
            await queue.remove_children()
            await queue.mount_all(_Queued(index, label) for index, label in enumerate(queued))

    def on_resize(self) -> None:
        """More or less room. However little there is, the line being written and the hint under it are seen."""
        height = self.screen.size.height
        n_lines = min(max(height * 2 // 5, 1), MAX_LINES)
        self._area.styles.max_height = n_lines
        self._list.styles.max_height = min(max(height * 17 // 20 - _FIXED_LINES - n_lines, 1), MAX_ROWS)
        self.query_one("#queue").styles.max_height = min(max(height // 5, 1), _MAX_QUEUE)
        self._draw_hint()

    def _draw_hint(self) -> None:
        if not self.is_mounted:
            return
        is_command = self._area.text.startswith("/") and not self._area.text.startswith("//")
        words = (PromptState.RUNS if is_command else self.state).value
        figures = self._count_words()
        room = self.size.width - _SIDES - len(figures)
        if len(words) > room:
            words = words.partition(":")[0]
        for more, least in ((" · Ctrl+J new line", 70), (" · Ctrl+O picture · F1 help", 100)):
            if self.size.width >= least and len(words + more) <= room:
                words += more
        is_too_long = self.room is not None and self.room < 0
        self.query_one("#hint", Static).update(Content(words))
        self.query_one("#count", Static).update(Content.styled(figures, "bold $text-error" if is_too_long else ""))

    def _count_words(self) -> str:
        tokens = "…" if self.token_count is None else count(self.token_count)
        if self.room is None:
            return f"{tokens} tokens" if self._area.text else ""
        if self.room < 0:
            return f"too long by {count(-self.room)} tokens"
        return f"{tokens} tokens · {count(self.room)} free"


def _whole(completion: Completion) -> set[str]:
    """Texts that need no completion any more: Enter sends them."""
    return {candidate.insert.strip() for candidate in completion.candidates}
