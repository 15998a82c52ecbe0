"""Copying text out of the terminal: by the terminal's own sequence, and by the desktop's clipboard program where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from nemochat.numbers import plural
from nemochat.system.clipboard import PROGRAMS, fed, put_text, reaches_the_user

SECONDS = 2.0
"""How long the clipboard, or a program that leads to it, may take."""


def copy(app_copy: Callable[[str], None] | None, text: str, *, environment: Mapping[str, str] = os.environ) -> str:
    """Copy `text` and say truthfully what happened.

    `app_copy` is `App.copy_to_clipboard`, which sends OSC 52, None where no escape sequence may be written. A terminal does not answer, so
    that alone is "sent", not "copied". In tmux the text also goes into tmux's own buffer, and from there to the terminal around it.
    """
    if not text:
        return "There is nothing to copy."
    if app_copy is not None:
        app_copy(text)
    size = plural(len(text), "character")
    commands = (command for command in PROGRAMS if reaches_the_user(command[0], environment))
    if put_text(text, environment, SECONDS) or any(fed(command, text, environment, SECONDS) for command in commands):
        return f"Copied {size}."
    # -w hands the text on to the terminal around tmux; before tmux 3.2 there is only tmux's own buffer.
    if environment.get("TMUX") and any(fed(("tmux", "load-buffer", *flag, "-"), text, environment, SECONDS) for flag in (("-w",), ())):
        return f"Copied {size} to tmux, and sent to the terminal's clipboard."
    return f"Sent {size} to the terminal's clipboard." if app_copy is not None else "No clipboard can be reached from here."
