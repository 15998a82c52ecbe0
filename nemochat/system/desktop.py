"""The user's desktop."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping

from nemochat.system import environments, processes

_SECONDS = 10.0
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


def open_in_browser(url: str) -> bool:
    """Give an address to the user's browser, and say whether there is one. May take seconds: call it in a thread.

    The standard library looks for browsers in a process of its own, where no program of the current folder is found and none can write on
    the terminal.
    """
    nowhere = processes.NOWHERE
    try:
        done = processes.run(
            processes.python_command("-c", _OPEN, url),
            environments.desktop(),
            seconds=_SECONDS,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            is_apart=True,
        )
    except processes.TooSlow:
        # It was found and started, and stays in the foreground.
        return True
    except (OSError, ValueError):
        return False
    return done.returncode == 0


def has_desktop(environment: Mapping[str, str]) -> bool:
    """Whether the user sits before a desktop, whose keyring is open or can be opened there; over SSH and in services nobody does."""
    if environment.get("SSH_CONNECTION"):
        return False
    if sys.platform == "win32" or sys.platform == "darwin":
        is_there = True
    else:
        has_screen = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
        is_there = bool(has_screen and environment.get("DBUS_SESSION_BUS_ADDRESS"))
    return is_there


def editor_command(named: str) -> list[str]:
    """The words of the user's editor, as $EDITOR names it; the system's own where it names none. Raises ValueError for an open quote."""
    if sys.platform == "win32":
        # There a backslash is part of a path, and Notepad needs no terminal.
        words = [word.strip('"') for word in shlex.split(named, posix=False)] or ["notepad.exe"]
    else:
        words = shlex.split(named) or ["vi"]
    return words
