"""The members of a group: who speaks, who is next, who is muted, and what it costs to read another one's card."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from nemochat.domain.groups import Cards, Group, Order
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.numbers import plural

_ORDERS = {
    Order.NATURAL: "whom you name, or by chance",
    Order.LIST: "one after the other",
    Order.POOLED: "one who has not spoken",
    Order.MANUAL: "you say who: /speak",
}
_CARDS = {Cards.JOINED: "all cards", Cards.WITH_MUTED: "all cards", Cards.OWN: "the speaker's card"}
_LONGEST = 20


class GroupLines(Widget):
    """A line for each member; nothing without a group."""

    DEFAULT_CSS = "GroupLines { height: auto; width: 1fr; margin: 0 0 1 0; display: none; }"

    text: reactive[Content] = reactive(Content(""), layout=True)

    def show(self, group: Group | None, speaking: str, waiting: list[str], switches: Mapping[str, int]) -> None:
        """Show a group. speaking: who says something now, "" for nobody. waiting: who is to speak behind that. switches: tokens that have
        to be read if somebody else speaks, by name."""
        self.display = group is not None
        if group is None:
            return
        lines = [Content.styled(f"{_ORDERS[group.order]} · {_CARDS[group.cards]}", "$text-muted")]
        for member in group.members:
            name = shortened(sanitize(member.name, strict=True), _LONGEST)
            is_now = member.name == speaking
            sign = "▸" if is_now else "○" if member.muted else "●"
            says = "speaks" if is_now else "next" if waiting[:1] == [member.name] else "then" if member.name in waiting else ""
            says = says or ("muted" if member.muted else f"talks {member.chance:g}" if group.order is Order.NATURAL else "")
            cost = f", reads {plural(switches[member.name], 'token')}" if member.name in switches else ""
            colour = "$text-accent" if is_now else "$text-muted" if member.muted else "$foreground"
            lines.append(Content.assemble((f"{sign} {name}", f"bold {colour}" if is_now else colour), (f"  {says}{cost}", "$text-muted")))
        self.text = Content("\n").join(lines)

    def render(self) -> Content:
        """The lines."""
        return self.text

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many as there are, when they are folded to this width."""
        return max(1, len(self.text.wrap(width))) if width > 0 else 1
