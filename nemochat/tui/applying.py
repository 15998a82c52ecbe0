"""Changed settings: written, and put into force as far as the program need not be started again for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from nemochat.domain.sampling import Sampling
from nemochat.errors import NemochatError

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen


def apply_settings(screen: ChatScreen, changes: Mapping[str, object]) -> None:
    """Write settings and put into force what can be; the rest waits for the model to be loaded again."""
    try:
        for key, value in changes.items():
            screen.bench.change_setting(key, value)
    except NemochatError as error:
        screen.complain(error)
    settings = screen.bench.settings
    if settings.interface.theme in screen.app.available_themes:
        screen.app.theme = settings.interface.theme
    else:
        screen.say(f"There is no theme {settings.interface.theme}. /theme shows all.")
    screen.app.set_keymap(settings.keys)
    screen.side.display = settings.interface.side_panes
    screen.roleplay.show_portraits()
    if screen.holder.session is not None:
        screen.holder.session.sampling = Sampling().asking(msgspec.structs.asdict(settings.sampling))
    if any(key.startswith("engine.") for key in changes):
        screen.say("The engine's settings apply when the model is loaded again: /model")
    screen.draw()
