"""How the window is filled: what the next prompt will hold, and what it costs; and of a group, who speaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from nemochat.chat import ContextView
from nemochat.desk.desk import Desk
from nemochat.desk.port import Counted, Event, QueueChanged, RolesChanged, TurnEnded, TurnOpened
from nemochat.domain.groups import Cards, Group, Order
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.numbers import count, plural
from nemochat.tui.panes.base import Pane
from nemochat.tui.widgets.context_graph import ContextGraph

_WAITING = "waiting for the model"
_ORDERS = {
    Order.NATURAL: "whom you name, or by chance",
    Order.LIST: "one after the other",
    Order.POOLED: "one who has not spoken",
    Order.MANUAL: "you say who: /speak",
}
_CARDS = {Cards.JOINED: "all cards", Cards.WITH_MUTED: "all cards", Cards.OWN: "the speaker's card"}
_LONGEST = 20


class ContextPane(Pane, can_focus=True):
    """The window as the next prompt will fill it, below the members of a group."""

    title = "Context"
    help_title = "Context"
    follows: ClassVar[tuple[type[Event], ...]] = (Counted, QueueChanged, RolesChanged, TurnOpened, TurnEnded)
    DEFAULT_CSS = """
    ContextPane { padding: 0 1; }
    ContextPane:focus { background: $foreground 6%; }
    ContextPane .group { height: auto; margin: 0 0 1 0; display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_reactive(ContextPane.summary, _WAITING)
        self._group = Static(classes="group")
        self._graph = ContextGraph()

    def compose(self) -> ComposeResult:
        """The group, as far as there is one, and the graph."""
        yield self._group
        yield self._graph

    def draw(self, desk: Desk) -> None:
        """The last count, and who speaks."""
        view, turns = desk.reading.view, desk.turns
        group, speaking = desk.chat.group, desk.speaker if turns.running is not None else ""
        self._group.display = group is not None
        if group is not None:
            lines = _members(group, speaking, turns.speakers, view.switches if view is not None else {})
            self._group.update(Content("\n").join(lines))
        self.show(view)

    def show(self, view: ContextView | None) -> None:
        """Show another state of the window; None while the model is not there to count."""
        self._graph.view = view
        self.summary = f"{count(view.used, is_exact=view.is_exact)} of {count(view.limit)}" if view else _WAITING


def _members(group: Group, speaking: str, waiting: Sequence[str], switches: Mapping[str, int]) -> Iterator[Content]:
    """Who speaks how, and a line for each member.

    speaking: who says something now, "" for nobody. waiting: who is to speak behind that. switches: tokens that have to be read if
    somebody else speaks, by name.
    """
    yield Content.styled(f"{_ORDERS[group.order]} · {_CARDS[group.cards]}", "$text-muted")
    for member in group.members:
        name = shortened(sanitize(member.name, strict=True), _LONGEST)
        is_now = member.name == speaking
        sign = "▸" if is_now else "○" if member.muted else "●"
        says = "speaks" if is_now else "next" if waiting[:1] == [member.name] else "then" if member.name in waiting else ""
        says = says or ("muted" if member.muted else f"talks {member.chance:g}" if group.order is Order.NATURAL else "")
        cost = f", reads {plural(switches[member.name], 'token')}" if member.name in switches else ""
        colour = "$text-accent" if is_now else "$text-muted" if member.muted else "$foreground"
        yield Content.assemble((f"{sign} {name}", f"bold {colour}" if is_now else colour), (f"  {says}{cost}", "$text-muted"))
