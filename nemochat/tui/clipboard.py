"""Copying text out of the terminal: by the terminal's own sequence, and by the desktop's clipboard program where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from nemochat.system import environments, processes

PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("pbcopy",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
)
SECONDS = 2.0
"""How long a clipboard program may take."""
_NEEDS = {"wl-copy": "WAYLAND_DISPLAY", "xclip": "DISPLAY", "xsel": "DISPLAY"}


def copy(app_copy: Callable[[str], None] | None, text: str, *, environment: Mapping[str, str] = os.environ) -> str:
    """Copy `text` and say truthfully what happened.

    `app_copy` is `App.copy_to_clipboard`, which sends OSC 52, None where no escape sequence may be written. A terminal does not answer, so
    that alone is "sent", not "copied". In tmux the text also goes into tmux's own buffer, and from there to the terminal around it.
    """
    if not text:
        return "There is nothing to copy."
    if app_copy is not None:
        app_copy(text)
    size = f"{len(text):,} {'character' if len(text) == 1 else 'characters'}"
    if any(_fed(command, text, environment) for command in PROGRAMS if _reaches_the_user(command[0], environment)):
        return f"Copied {size}."
    # -w hands the text on to the terminal around tmux; before tmux 3.2 there is only tmux's own buffer.
    if environment.get("TMUX") and any(_fed(("tmux", "load-buffer", *flag, "-"), text, environment) for flag in (("-w",), ())):
        return f"Copied {size} to tmux, and sent to the terminal's clipboard."
    return f"Sent {size} to the terminal's clipboard." if app_copy is not None else "No clipboard can be reached from here."


def _reaches_the_user(program: str, environment: Mapping[str, str]) -> bool:
    """Whether this program's clipboard is the one that the user pastes from: over SSH only a forwarded display is."""
    needed = _NEEDS.get(program)
    return not environment.get("SSH_CONNECTION") if needed is None else bool(environment.get(needed))


def _fed(command: Sequence[str], text: str, environment: Mapping[str, str]) -> bool:
    """Whether the program is there and took the text. Its output goes nowhere: wl-copy and xclip stay behind and would hold a pipe open."""
    data, nowhere = text.encode("utf-8", "replace"), processes.NOWHERE
    try:
        done = processes.run(command, environments.desktop(environment), data=data, seconds=SECONDS, stdout=nowhere, stderr=nowhere)
    except (OSError, processes.TooSlow):
        return False
    return done.returncode == 0
