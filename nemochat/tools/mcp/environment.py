"""The environment of a server: plain names of the user's own (`nemochat.system.environments`), and what the configuration adds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from nemochat.system import environments
from nemochat.tools.mcp.errors import McpError, shown

HIDDEN = "•••"
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|(?<!ASK)PASS|PWD|CREDENTIAL|AUTH|COOKIE|WEBHOOK|(^|[_-])PAT($|[_-])", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""A password inside an address, as in DATABASE_URL."""
_CURRENT_FOLDER = ("PWD", "OLDPWD", "CD")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def shown_value(name: str, value: str) -> str:
    """The value of a variable or header for people: hidden where it looks like a secret, which is nothing that decides what is passed."""
    is_secret = _SECRET_NAME.search(name) is not None or _SECRET_VALUE.search(value) is not None
    return HIDDEN if is_secret and "${" not in value else value


def child_environment(own: Mapping[str, str], configured: Mapping[str, str]) -> dict[str, str]:
    """What a server gets to see. Anything but plain names reaches it only when its entry names it. Raises McpError like `expand`."""
    return {**environments.foreign(own), **expand(configured, own)}


def search_path(own: Mapping[str, str], configured: Mapping[str, str]) -> str:
    """Where a server's command is looked for: its own ``PATH``, as far as that is known."""
    try:
        return child_environment(own, configured).get("PATH", os.defpath)
    except McpError:
        return environments.foreign(own).get("PATH", os.defpath)


def expand(values: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The values with `${NAME}` and `${NAME:-otherwise}` filled in. Raises McpError for a variable that is not set, and for `${PWD}`."""

    def fill(match: re.Match[str]) -> str:
        name, otherwise = match.group(1), match.group(2)
        if name in _CURRENT_FOLDER:
            raise McpError(f"The server's entry refers to {name}, which is another folder each time.", "Write the folder out.")
        value = environment.get(name, otherwise)
        if value is None:
            raise McpError(f"The variable {name} is not set, and the server's entry refers to it.", f"Set {name} and start nemochat again.")
        return value

    filled = {name: _REFERENCE.sub(fill, value) for name, value in values.items()}
    for name, value in filled.items():
        if "\0" in value:
            raise McpError(f"The value of {shown(name)} in the server's entry holds a NUL character.")
    return filled
