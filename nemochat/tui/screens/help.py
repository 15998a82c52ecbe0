"""F1: the keys of the focused pane, those that work everywhere, and the commands."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import App
from textual.content import Content
from textual.screen import Screen

from nemochat.chat.commands import COMMANDS
from nemochat.tui.screens.dialogs import Read

_LEFT = 24


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
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.description:
            continue
        keys = app.get_key_display(binding)
        # What has no id of ours is Textual's own: moving about and editing text.
        place = moving if not binding.id else everywhere if active.node is app or active.node is screen else here
        known = place.get(binding.action)
        place[binding.action] = (f"{known[0]}, {keys}" if known else keys, active.tooltip or binding.description)
    title = str(getattr(focused, "help_title", "") or "The focused part")
    parts = [_heading(title), *_lines(here.values())] if here else []
    commands = [(f"/{command.name} {command.argument}".rstrip(), command.help) for command in COMMANDS]
    return HelpScreen(
        Content("\n").join(
            [
                *parts,
                _heading("Everywhere"),
                *_lines(everywhere.values()),
                _heading("Commands"),
                *_lines(commands),
                _heading("Moving and editing"),
                *_lines(moving.values()),
            ]
        )
    )


def _heading(text: str) -> Content:
    return Content.assemble("\n", (text, "bold $text-primary"))


def _lines(rows: Iterable[tuple[str, str]]) -> list[Content]:
    return [Content.assemble((f"  {left:<{_LEFT}} ", "bold"), right) for left, right in rows]
