"""What a pane beside the conversation is. A new one is a file here and a line in `nemochat.tui.panes.registry`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from nemochat.desk.desk import Desk
from nemochat.desk.port import Event
from nemochat.tui.widgets.late import Late


class Pane(VerticalScroll, Late, can_focus=False):
    """The body of a pane, below the title that `nemochat.tui.panes.side` puts there. It can be mounted alone, without a desk."""

    title: ClassVar[str]
    """What the title says, one word; in small letters it is the name by which `SidePanes.open_pane` finds it."""
    follows: ClassVar[tuple[type[Event], ...]] = ()
    """The events of the desk after which it is drawn, besides those after which all is: another or a changed chat, the end of a turn."""
    DEFAULT_CSS = "Pane { height: auto; scrollbar-size-vertical: 1; }"

    summary: reactive[str] = reactive("none")
    """In a few words, for a folded pane."""
    is_idle: reactive[bool] = reactive(False)
    """Whether nothing in it needs to be seen: the pane is folded then, until the user unfolds it."""

    _desk: Desk | None = None

    def attend(self, desk: Desk) -> None:
        """Know the desk that is shown."""
        self._desk = desk

    def tell(self, event: Event) -> None:
        """Something happened on the desk."""
        if self._desk is not None and isinstance(event, self.follows):
            self.draw(self._desk)

    def draw(self, desk: Desk) -> None:
        """Show what the desk has."""
        raise NotImplementedError

    def act(self, work: Callable[[Desk], object]) -> None:
        """Do something with the desk, and say what went wrong with it; nothing in a pane without a desk."""
        if (desk := self._desk) is not None:
            desk.do(lambda: work(desk))


class Sign(Static):
    """A sign to click on."""

    @dataclass
    class Pressed(Message):
        """It was clicked; `action` says what it stands for."""

        action: str

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Sign { width: 3; height: 1; text-align: center; color: $text-muted; pointer: pointer; }
    Sign:hover { color: $text; background: $boost; text-style: bold; }
    """

    def __init__(self, sign: str, action: str, tooltip: str) -> None:
        super().__init__(Content(sign))
        self._action = action
        self.tooltip = tooltip

    def on_click(self, event: Click) -> None:
        """Pass it on; what the sign stands on is not clicked as well."""
        event.stop()
        self.post_message(self.Pressed(self._action))
