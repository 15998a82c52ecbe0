"""F1: the keys of the focused pane, those that work everywhere, and the commands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from textual.app import App
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen

from nemochat.desk.commands import COMMANDS
from nemochat.tui.screens.dialogs import Read

_LEFT = 18
_AROUND = 10
"""Columns of the dialog that are not text."""


class HelpScreen(Read):
    """Help for what has the focus; build it with `help_for` before it is pushed, because it takes the focus itself."""

    def __init__(self, text: Content) -> None:
        super().__init__("Keys and commands", text)


def help_for(screen: Screen[object], app: App[None]) -> HelpScreen:
    """The help for the widget that has the focus on `screen`."""
    focused = screen.focused
    here: dict[str, tuple[str, str]] = {}
    everywhere: dict[str, tuple[str, str]] = {}
    moving: dict[str, tuple[str, str]] = {}
    declared: dict[str, tuple[int, int]] = {}
    around = [] if focused is None else list(focused.ancestors_with_self)
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.description:
            continue
        keys = app.get_key_display(binding)
        # What has no id of ours is Textual's own: moving about and editing text.
        place = moving if not binding.id else everywhere if active.node is app or active.node is screen else here
        if place is here:  # Textual's order begins with what its own widgets bind
            declared.setdefault(binding.action, (around.index(active.node), _place_of(binding.id, active.node)))
        known = place.get(binding.action)
        place[binding.action] = (f"{known[0]}, {keys}" if known else keys, active.tooltip or binding.description)
    title = str(getattr(focused, "help_title", "") or "What has the focus")
    groups: dict[str, Mapping[str, tuple[str, str]]] = {
        title: {action: here[action] for action in sorted(here, key=declared.__getitem__)},
        "Everywhere": everywhere,
        "Commands": {command.name: (command.usage, command.help) for command in COMMANDS},
        "Moving and editing": moving,
    }
    width = min(110, app.size.width * 94 // 100) - _AROUND
    lines = [line for heading, rows in groups.items() if rows for line in (_heading(heading), *_lines(rows.values(), width))]
    return HelpScreen(Content("\n").join(lines)[1:])  # without the blank line before the first heading


def _place_of(id: str | None, node: DOMNode) -> int:
    """Where a binding stands among those that the class of `node` declares; those of others come behind them."""
    ids = [getattr(each, "id", None) for each in type(node).BINDINGS]
    return ids.index(id) if id in ids else len(ids)


def _heading(text: str) -> Content:
    return Content.assemble("\n", (text, "bold $text-primary"))


def _lines(rows: Iterable[tuple[str, str]], width: int) -> list[Content]:
    """Keys and what they do in two columns; what is too long goes on below its own column."""
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, max(20, width - _LEFT - 3))
        head = [f"  {left:<{_LEFT}} "] if len(left) <= _LEFT else [f"  {left}\n", " " * (_LEFT + 3)]
        lines.append(Content.assemble((head[0], "bold"), *head[1:], f"\n{' ' * (_LEFT + 3)}".join(wrapped)))
    return lines
