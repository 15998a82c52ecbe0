"""The text area of the prompt: keys, and attachments as tokens that are one unit each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.document._document import EditResult, Location, Selection
from textual.document._edit import Edit
from textual.message import Message
from textual.widgets import TextArea

from nemochat.chat.recall import PromptHistory
from nemochat.desk.draft import put_between
from nemochat.domain.sanitize import sanitize

MAX_PASTE = 200_000
"""The longest paste, in characters: many times what the window holds."""


class _Token(NamedTuple):
    """The words that stand for an attachment, and where they begin. They never span lines."""

    label: str
    start: Location

    @property
    def end(self) -> Location:
        """Where the words end."""
        return self.start[0], self.start[1] + len(self.label)

    def shifted(self, old: Location, new: Location) -> _Token:
        """The token when what ended at `old` ends at `new`."""
        if self.start < old:
            return self
        row, column = self.start
        return self._replace(start=(row + new[0] - old[0], column + (new[1] - old[1] if row == old[0] else 0)))


class PromptArea(TextArea):
    """Where the user types.

    send, paste, key: called for Enter, for a paste, which is not in the text yet, and for a key that means something to the prompt around:
    "escape", "editor", "tab", "up" or "down" (with a list open), "left" or "right" (with no text). They are no messages, because keys and
    pastes come in bursts in which their order counts.

    An attachment is a label in the text, known by its place: the same words, typed or pasted, are text. Every edit that touches a label
    takes it whole and reports it as removed; typing within one goes behind it. Undo goes back to the last change of a token, no further:
    it would bring back a label without its picture.
    """

    @dataclass
    class Removed(Message):
        """A token was deleted."""

        key: str

    help_title = "Prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="prompt.send", tooltip="Send the message, or run the command"),
        Binding("shift+enter,ctrl+j,alt+enter", "newline", "New line", id="prompt.newline", tooltip="A new line within the message"),
        Binding("up", "older", "Earlier prompt", show=False, id="prompt.older", tooltip="On the first line: the prompt before"),
        Binding("down", "newer", "Later prompt", show=False, id="prompt.newer", tooltip="On the last line: the prompt after"),
        Binding("ctrl+g", "key('editor')", "Editor", show=False, id="prompt.editor", tooltip="Write the message in $EDITOR"),
        Binding("escape", "key('escape')", "Stop / back", show=False, id="prompt.escape", tooltip="Stop the reply; close the list"),
        Binding("tab", "key('tab')", "Complete", show=False, id="prompt.complete", tooltip="Accept what is offered, else the next part"),
        Binding("ctrl+underscore", "undo", "Undo", show=False, id="prompt.undo", tooltip="Undo the last change"),
        Binding("ctrl+y", "redo", "Redo", show=False, id="prompt.redo", tooltip="Redo the change"),
    ]

    def __init__(
        self, history: PromptHistory | None, send: Callable[[], None], paste: Callable[[str], None], key: Callable[[str], None]
    ) -> None:
        # Before the base class, whose set-up sets the selection and reads a line.
        self._tokens: dict[str, _Token] = {}
        self._is_changing = False
        self.settled_text = ""
        """The plain text as the program, not the user's typing, left it last: there, nothing is to be found that he has just typed. Without
        the tokens, whose words change beside the typing."""
        super().__init__(
            soft_wrap=True,
            tab_behavior="focus",
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
        )
        self._history_of_prompts = history
        self._send, self._take_paste, self._take_key = send, paste, key
        self.has_list = False
        """Whether a completion list is open: Up and Down belong to it then."""

    # -- tokens

    @property
    def token_keys(self) -> list[str]:
        """The tokens in the order in which they stand."""
        return sorted(self._tokens, key=lambda key: self._tokens[key].start)

    @property
    def plain_text(self) -> str:
        """The text without tokens."""
        lines = self.text.split("\n")
        for token in sorted(self._tokens.values(), key=lambda token: token.start, reverse=True):
            row, column = token.start
            lines[row] = lines[row][:column] + lines[row][token.end[1] :].removeprefix(" ")
        return "\n".join(lines).strip()

    def insert_token(self, key: str, label: str) -> None:
        """Put a token at the cursor, set off by spaces."""
        label = sanitize(label, strict=True)
        row, column = self.cursor_location
        before = self.document.get_line(row)[:column]
        gap = " " if before and not before.endswith(" ") else ""
        self.insert(f"{gap}{label} ")
        self._tokens[key] = _Token(label, (row, column + len(gap)))
        self._settle()

    def replace_token(self, key: str, label: str) -> None:
        """Change a token's words; nothing when it is not there."""
        label = sanitize(label, strict=True)
        token = self._tokens.get(key)
        if token is None or token.label == label:
            return
        # Past `edit`, which would report the token as removed.
        self._apply(Edit(label, token.start, token.end, maintain_selection_offset=True))
        self._tokens[key] = _Token(label, token.start)
        self._settle()

    def remove_token(self, key: str) -> None:
        """Take a token out of the text without reporting it."""
        token = self._tokens.get(key)
        if token is not None:
            row, column = token.end
            blank = self.document.get_line(row)[column : column + 1] == " "
            self._apply(Edit("", token.start, (row, column + blank), maintain_selection_offset=True))
            self._settle()

    def load_text(self, text: str) -> None:
        """Replace everything; the tokens go with the text that held them."""
        self._tokens.clear()
        with self._changing():
            super().load_text(text)
        self.settled_text = self.plain_text

    def replace_plain(self, text: str) -> None:
        """Replace the text; the tokens stay, before it."""
        kept = [(key, self._tokens[key].label) for key in self.token_keys]
        self.load_text("")
        self.put_back(text, kept)

    def put_back(self, text: str, tokens: Sequence[tuple[str, str]], lead: str = "") -> None:
        """Tokens (key and label) and text that were taken out are there again, before what was typed since. The text comes behind `lead`
        where what was typed begins with that."""
        since, kept = self.plain_text, {key: self._tokens[key].label for key in self.token_keys}
        self.load_text("")
        for key, label in {**dict(tokens), **kept}.items():
            self.insert_token(key, label)
        self.insert_pasted(put_between(lead, text, since))

    def _settle(self) -> None:
        """A token has changed: what is undone from here on begins here."""
        self.history.clear()

    def edit(self, edit: Edit) -> EditResult:
        """Make a change; one that touches a token takes it whole."""
        start, end = edit.top, edit.bottom
        for token in self._tokens.values():
            if start == end and token.start < start < token.end:
                start = end = token.end
            elif start < token.end and end > token.start:
                start, end = min(start, token.start), max(end, token.end)
        result, gone = self._apply(Edit(edit.text, start, end, edit.maintain_selection_offset))
        if start == end and edit.text and edit.from_location != start:
            self.move_cursor(result.end_location)
        self._report(gone)
        return result

    def undo(self) -> None:
        """Take the last change back; the tokens move with the text."""
        batch = self.history.undo_stack[-1:]
        with self._changing():
            super().undo()
        self._follow([(_inserted_end(edit), edit.bottom) for edits in batch for edit in reversed(edits)])

    def redo(self) -> None:
        """Make it again; the tokens move with the text."""
        batch = self.history.redo_stack[-1:]
        with self._changing():
            super().redo()
        self._follow([(edit.bottom, _inserted_end(edit)) for edits in batch for edit in edits])

    def _apply(self, edit: Edit) -> tuple[EditResult, list[str]]:
        """Make a change and move the tokens behind it; with the keys of those that it took."""
        start, end = edit.top, edit.bottom
        gone = [key for key, token in self._tokens.items() if token.start < end and start < token.end]
        with self._changing():
            result = super().edit(edit)
        for key in gone:
            del self._tokens[key]
        self._tokens = {key: token.shifted(end, result.end_location) for key, token in self._tokens.items()}
        return result, gone

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """While the text changes, the places of the tokens are not to be relied on."""
        self._is_changing = True
        try:
            yield
        finally:
            self._is_changing = False

    def _follow(self, moves: list[tuple[Location, Location]]) -> None:
        """Move the tokens after an undo: what ended at the first place now ends at the second, one change after the other."""
        for old, new in moves:
            self._tokens = {key: token.shifted(old, new) for key, token in self._tokens.items()}
        # No change that can be undone has touched a token; should one have, its words are not to pass for a picture.
        gone = [key for key, token in self._tokens.items() if self.document.get_text_range(token.start, token.end) != token.label]
        for key in gone:
            del self._tokens[key]
        self._report(gone)

    def _report(self, gone: list[str]) -> None:
        if gone:
            self.history.clear()
        for key in gone:
            self.post_message(self.Removed(key))

    def get_line(self, line_index: int) -> Text:
        """A line with its tokens marked."""
        line = super().get_line(line_index)
        for token in self._tokens.values():
            if token.start[0] == line_index:
                line.stylize("bold reverse", token.start[1], token.end[1])
        return line

    def _watch_selection(self, previous_selection: Selection, selection: Selection) -> None:
        """What the base class does with it needs a screen."""
        if self.is_attached:
            super()._watch_selection(previous_selection, selection)

    def watch_selection(self, previous: Selection, selection: Selection) -> None:
        """The cursor jumps over tokens, with the selection that it draws along."""
        if self._is_changing:
            return
        for token in self._tokens.values():
            if token.start < selection.end < token.end:
                target = token.end if previous.end <= token.start else token.start
                self.selection = Selection(target if selection.is_empty else selection.start, target)
                return

    # -- keys

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """Which keys are text rather than bindings: Enter is a binding here."""
        return key != "enter" and super().check_consume_key(key, character)

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            # Bound to `send`, unless the user bound that elsewhere: then it does nothing. The text area would insert a line.
            event.prevent_default()
        if event.is_printable:
            return
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.node is self and active.enabled:
            # At once: Textual runs a binding only when the key has gone up to the app, behind the letters that came with it.
            event.prevent_default()
            event.stop()
            await self.run_action(active.binding.action)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self._take_paste(event.text)

    def action_paste(self) -> None:
        """Ctrl+V: what was copied in the program, by the same way as a paste of the terminal's."""
        self._take_paste(self.app.clipboard)

    def insert_pasted(self, text: str) -> None:
        """Put text that came from outside at the cursor, made safe."""
        self._replace_via_keyboard(sanitize(text.replace("\r\n", "\n").replace("\r", "\n")), *self.selection)
        self.settled_text = self.plain_text

    def action_send(self) -> None:
        """Enter."""
        self._send()

    def action_cursor_left(self, select: bool = False) -> None:
        """Left: in the text; with nothing written, to another version of the last reply."""
        if self.text or select:
            super().action_cursor_left(select)
        else:
            self._take_key("left")

    def action_cursor_right(self, select: bool = False) -> None:
        """Right: in the text; with nothing written, to another version of the last reply."""
        if self.text or select:
            super().action_cursor_right(select)
        else:
            self._take_key("right")

    def action_newline(self) -> None:
        """A line break at the cursor."""
        self._replace_via_keyboard("\n", *self.selection)

    def action_key(self, name: str) -> None:
        """A key for the prompt around."""
        self._take_key(name)

    def action_older(self) -> None:
        """Up: in the list, in the text, or to the prompt before."""
        if self.has_list:
            self._take_key("up")
        elif self._row > 0:  # there is a wrapped line above
            self.action_cursor_up()
        else:
            self._recall(self._history_of_prompts.older(self.plain_text) if self._history_of_prompts else None)

    def action_newer(self) -> None:
        """Down: in the list, in the text, or to the prompt after."""
        if self.has_list:
            self._take_key("down")
        elif self._row < self.wrapped_document.height - 1:  # there is a wrapped line below
            self.action_cursor_down()
        else:
            self._recall(self._history_of_prompts.newer(self.plain_text) if self._history_of_prompts else None)

    @property
    def _row(self) -> int:
        """The cursor's, counted as lines are wrapped."""
        return self.wrapped_document.location_to_offset(self.cursor_location).y

    def _recall(self, text: str | None) -> None:
        if text is not None:
            self.replace_plain(text)


def _inserted_end(edit: Edit) -> Location:
    """Where the text that a change has put in ends. Lines are told apart as the document does it."""
    lines = edit.text.splitlines() or [""]
    if edit.text.endswith(("\n", "\r")):
        lines.append("")
    row, column = edit.top
    return row + len(lines) - 1, len(lines[-1]) + (column if len(lines) == 1 else 0)
