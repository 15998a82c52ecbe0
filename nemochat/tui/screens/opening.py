"""The first frame: a prompt that takes keys while everything else is still being imported and read."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key, Paste
from textual.screen import Screen
from textual.widgets import Static, TextArea

from nemochat.domain.sanitize import sanitize

PLACEHOLDER = "Ask something, drop a picture, or type / for commands"
_MOST_PASTED = 2_000
"""Characters of a paste that are shown here; the chat's own prompt gets all of it."""


class Opening(Screen[None]):
    """Looks like the chat, and only shows what is typed. What the keys do, they do in the chat, which gets all of them in their order."""

    AUTO_FOCUS = "TextArea"
    CSS = """
    Opening {
        #talk { height: 1fr; padding: 0 1; align-vertical: bottom; }
        #frame { height: auto; border: round $primary; padding: 0 1; }
        TextArea { height: auto; max-height: 8; border: none; padding: 0; background: $background; }
        #line { height: 1; color: $text-muted; padding: 0 1; }
        #status { height: 1; padding: 0 1; background: $panel; color: $foreground; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._area = TextArea(soft_wrap=True, compact=True, highlight_cursor_line=False, placeholder=PLACEHOLDER)

    def compose(self) -> ComposeResult:
        """The prompt at its place, and a line below it."""
        with Vertical(id="talk"):
            with Vertical(id="frame"):
                yield self._area
            yield Static("Enter sends as soon as the model is there", id="line")
        yield Static("opening", id="status")

    def echo(self, event: Key | Paste) -> None:
        """Show what was typed."""
        if isinstance(event, Paste):
            self._area.insert(sanitize(event.text[:_MOST_PASTED]))
        elif event.key in ("enter", "shift+enter", "ctrl+j", "alt+enter"):
            self._area.insert("\n")
        elif event.key == "backspace":
            self._area.action_delete_left()
        elif event.is_printable and event.character:
            self._area.insert(event.character)
