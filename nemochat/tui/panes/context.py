"""How the window is filled: what the next prompt will hold, and what it costs; and of a group, who speaks."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from nemochat.chat import ContextView
from nemochat.desk.desk import Desk
from nemochat.desk.port import Counted, Event, QueueChanged, RolesChanged, TurnEnded, TurnOpened
from nemochat.numbers import count
from nemochat.tui.panes.base import Pane
from nemochat.tui.widgets.context_graph import ContextGraph
from nemochat.tui.widgets.group_lines import GroupLines

_WAITING = "waiting for the model"


class ContextPane(Pane, can_focus=True):
    """The window as the next prompt will fill it, below the members of a group."""

    title = "Context"
    help_title = "Context"
    follows: ClassVar[tuple[type[Event], ...]] = (Counted, QueueChanged, RolesChanged, TurnOpened, TurnEnded)
    DEFAULT_CSS = """
    ContextPane { padding: 0 1; }
    ContextPane:focus { background: $foreground 6%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_reactive(ContextPane.summary, _WAITING)
        self._group = GroupLines()
        self._graph = ContextGraph()

    def compose(self) -> ComposeResult:
        """The group, as far as there is one, and the graph."""
        yield self._group
        yield self._graph

    def draw(self, desk: Desk) -> None:
        """The last count, and who speaks."""
        view, turns = desk.reading.view, desk.turns
        speaking = desk.speaker if turns.running is not None else ""
        self._group.show(desk.chat.group, speaking, turns.speakers, view.switches if view is not None else {})
        self.show(view)

    def show(self, view: ContextView | None) -> None:
        """Show another state of the window; None while the model is not there to count."""
        self._graph.view = view
        self.summary = f"{count(view.used, is_exact=view.is_exact)} of {count(view.limit)}" if view else _WAITING
