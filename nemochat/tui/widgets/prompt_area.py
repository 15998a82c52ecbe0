"""The text area of the prompt: keys, and attachments as tokens that are one unit each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.document._document import EditResult
from textual.document._edit import Edit
from textual.message import Message
from textual.widgets import TextArea

from nemochat.chat.recall import PromptHistory
from nemochat.domain.sanitize import sanitize

MAX_PASTE = 200_000
"""The longest paste, in characters: many times what the window holds."""


class PromptArea(TextArea):
    """Where the user types. What a key means outside the text is posted as a message.

    An attachment is its label in the text, tracked by key. Every edit that touches a label takes it whole; typing within one goes behind
    it. A label whose text is gone is reported as removed.
    """

    class Send(Message):
        """Enter."""

    class Key(Message):
        """A key for the prompt around: "escape", "editor", "tab", "up" or "down" (with a list open)."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Pasted(Message):
        """A paste; it is not in the text yet."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Removed(Message):
        """A token was deleted."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    help_title = "Prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="prompt.send", tooltip="Send the message, or run the command"),
        Binding("shift+enter,ctrl+j,alt+enter", "newline", "New line", id="prompt.newline", tooltip="A new line within the message"),
        Binding("up", "older", "Earlier prompt", show=False, id="prompt.older", tooltip="On the first line: the prompt before"),
        Binding("down", "newer", "Later prompt", show=False, id="prompt.newer", tooltip="On the last line: the prompt after"),
        Binding("ctrl+g", "key('editor')", "Editor", show=False, id="prompt.editor", tooltip="Write the message in $EDITOR"),
        Binding("escape", "key('escape')", "Stop / back", show=False, id="prompt.escape", tooltip="Stop the reply; close the list"),
        Binding("tab", "key('tab')", "Complete", show=False, id="prompt.complete", tooltip="Accept what is offered, else the next part"),
        Binding("ctrl+underscore", "undo", "Undo", show=False, id="prompt.undo", tooltip="Take the last change back"),
        Binding("ctrl+y", "redo", "Redo", show=False, id="prompt.redo", tooltip="Make it again"),
    ]

    def __init__(self, history: PromptHistory | None) -> None:
        # Before the base class, whose set-up sets the selection and reads a line.
        self._tokens: dict[str, str] = {}
        super().__init__(
            soft_wrap=True,
            tab_behavior="focus",
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            placeholder="Ask something, drop a picture, or type / for commands",
        )
        self._history_of_prompts = history
        self.has_list = False
        """Whether a completion list is open: Up and Down belong to it then."""

    # -- tokens

    @property
    def token_keys(self) -> list[str]:
        """The tokens in the order in which they stand."""
        places = {key: self.text.find(label) for key, label in self._tokens.items()}
        return sorted((key for key, place in places.items() if place >= 0), key=lambda key: places[key])

    @property
    def plain_text(self) -> str:
        """The text without tokens."""
        text = self.text
        for label in self._tokens.values():
            text = text.replace(f"{label} ", "", 1) if f"{label} " in text else text.replace(label, "", 1)
        return text.strip()

    def insert_token(self, key: str, label: str) -> None:
        """Put a token at the cursor, set off by spaces."""
        self._tokens[key] = label
        row, column = self.cursor_location
        before = self.document.get_line(row)[:column]
        self.insert(f"{' ' if before and not before.endswith(' ') else ''}{label} ")

    def replace_token(self, key: str, label: str) -> None:
        """Change a token's words; nothing when it is not there."""
        old = self._tokens.get(key)
        span = self._span(old) if old is not None else None
        if span is None or old == label:
            return
        self._tokens[key] = label
        # Past `edit`, which would take the token for touched; and not a step of the user's that he could undo.
        super().edit(Edit(label, *span, maintain_selection_offset=True))
        self.history.checkpoint()

    def remove_token(self, key: str) -> None:
        """Take a token out of the text without reporting it."""
        label = self._tokens.pop(key, None)
        span = self._span(label) if label is not None else None
        if span is not None:
            (row, start), (_, end) = span
            line = self.document.get_line(row)
            super().edit(Edit("", (row, start), (row, end + (line[end : end + 1] == " ")), maintain_selection_offset=True))

    def replace_plain(self, text: str) -> None:
        """Replace the text; the tokens stay, before it."""
        kept = {key: self._tokens[key] for key in self.token_keys}
        self._tokens.clear()
        self.load_text("")
        for key, label in kept.items():
            self.insert_token(key, label)
        self.insert_pasted(text)

    def forget_tokens(self) -> None:
        """Drop all tokens, with the text that is about to be replaced."""
        self._tokens.clear()

    def _span(self, label: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Where a label stands: start and end as row and column."""
        for row in range(self.document.line_count):
            at = self.document.get_line(row).find(label)
            if at >= 0:
                return (row, at), (row, at + len(label))
        return None

    def _spans(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        for label in self._tokens.values():
            span = self._span(label)
            if span is not None:
                yield span

    def edit(self, edit: Edit) -> EditResult:
        """Make a change; one that touches a token takes it whole."""
        start, end = sorted((edit.from_location, edit.to_location))
        for first, last in list(self._spans()):
            if start == end and first < start < last:
                start = end = last
            elif start < last and end > first:
                start, end = min(start, first), max(end, last)
        result = super().edit(Edit(edit.text, start, end, edit.maintain_selection_offset))
        if start == end and edit.text and edit.from_location != start:
            self.move_cursor(result.end_location)
        self._report_removed()
        return result

    def _report_removed(self) -> None:
        for key, label in list(self._tokens.items()):
            if label not in self.text:
                del self._tokens[key]
                # Undo would bring back the label's words without the picture.
                self.history.clear()
                self.post_message(self.Removed(key))

    def get_line(self, line_index: int) -> Text:
        """A line with its tokens marked."""
        line = super().get_line(line_index)
        for label in self._tokens.values():
            for match in re.finditer(re.escape(label), line.plain):
                line.stylize("bold reverse", match.start(), match.end())
        return line

    def watch_selection(self, previous: object, selection: object) -> None:
        """The cursor jumps over tokens."""
        row, column = self.cursor_location
        for (line, start), (_, end) in self._spans():
            if line == row and start < column < end:
                came_from_left = getattr(previous, "end", (0, 0)) <= (row, start)
                self.move_cursor((row, end if came_from_left else start))
                return

    # -- keys

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """Which keys are text rather than bindings: Enter is a binding here."""
        return key != "enter" and super().check_consume_key(key, character)

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            # Bound to `send`, unless the user bound that elsewhere: then it does nothing. The text area would insert a line.
            event.prevent_default()

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(self.Pasted(event.text))

    def insert_pasted(self, text: str) -> None:
        """Put text that came from outside at the cursor, made safe."""
        self._replace_via_keyboard(sanitize(text.replace("\r\n", "\n").replace("\r", "\n")), *self.selection)

    def action_send(self) -> None:
        """Enter."""
        self.post_message(self.Send())

    def action_newline(self) -> None:
        """A line break at the cursor."""
        self._replace_via_keyboard("\n", *self.selection)

    def action_key(self, name: str) -> None:
        """A key for the prompt around."""
        self.post_message(self.Key(name))

    def action_older(self) -> None:
        """Up: in the list, in the text, or to the prompt before."""
        if self.has_list:
            self.post_message(self.Key("up"))
        elif self._wraps():
            self.action_cursor_up()
        else:
            self._recall(self._history_of_prompts.older(self.plain_text) if self._history_of_prompts else None)

    def action_newer(self) -> None:
        """Down: in the list, in the text, or to the prompt after."""
        if self.has_list:
            self.post_message(self.Key("down"))
        elif self._wraps_below():
            self.action_cursor_down()
        else:
            self._recall(self._history_of_prompts.newer() if self._history_of_prompts else None)

    def _wraps(self) -> bool:
        """Whether there is a wrapped line above the cursor's."""
        return self.wrapped_document.location_to_offset(self.cursor_location).y > 0

    def _wraps_below(self) -> bool:
        """Whether there is a wrapped line below the cursor's."""
        return self.wrapped_document.location_to_offset(self.cursor_location).y < self.wrapped_document.height - 1

    def _recall(self, text: str | None) -> None:
        if text is not None:
            self.replace_plain(text)
