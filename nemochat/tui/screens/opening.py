"""The first frame: a prompt that takes keys while everything else is still being imported and read. What is typed there is kept."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key, Paste
from textual.screen import Screen
from textual.widgets import Static, TextArea

from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.tui.widgets.hint_line import placeholder

KEEP_SECONDS = 0.5
"""A crash takes no more of what was typed than this, as with the chat's own draft."""
_ENTERS = ("enter", "shift+enter", "ctrl+j", "alt+enter")
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
        self._area = TextArea(soft_wrap=True, compact=True, highlight_cursor_line=False)

    def compose(self) -> ComposeResult:
        """The prompt at its place, and a line below it."""
        with Vertical(id="talk"):
            with Vertical(id="frame"):
                yield self._area
            yield Static("Enter sends as soon as the model is there", id="line")
        yield Static("opening", id="status")

    def on_resize(self) -> None:
        """More or less room."""
        self._area.placeholder = placeholder(self._area.content_size.width)

    def echo(self, event: Key | Paste) -> None:
        """Show what was typed."""
        if _is_erased(event):
            self._area.action_delete_left()
        else:
            self._area.insert(sanitize(_text_of(event)[:_MOST_PASTED]))


def _is_erased(event: Key | Paste) -> bool:
    return isinstance(event, Key) and event.key == "backspace"


def _text_of(event: Key | Paste) -> str:
    """What it writes, "" for nothing."""
    if isinstance(event, Paste):
        return event.text
    return "\n" if event.key in _ENTERS else (event.character or "") if event.is_printable else ""


def keep_typed(drafts: Path, events: Iterable[Key | Paste]) -> None:
    """Write what these keys and pastes say into the folder of the drafts; when they say nothing, what was written goes.

    Waits for the disk and for imports: called in a thread. The chat tells of a disk that takes nothing.
    """
    from nemochat.chat.recall import DraftFile, KeptDraft

    text = ""
    for event in events:
        text = text[:-1] if _is_erased(event) else text + _text_of(event)
    with suppress(NemochatError):
        DraftFile(drafts, is_early=True).save(KeptDraft(text.strip()))
