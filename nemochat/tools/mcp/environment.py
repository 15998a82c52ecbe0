"""The environment of a server: the user's own without what looks like a secret, and what the configuration adds."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nemochat.tools.mcp.errors import McpError, shown

_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""A password inside an address, as in DATABASE_URL."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def is_secret_name(name: str) -> bool:
    """Whether a variable or header is named like something that nobody else should see."""
    return _SECRET_NAME.search(name) is not None


def child_environment(own: Mapping[str, str], configured: Mapping[str, str]) -> dict[str, str]:
    """What a server gets to see. Secrets reach it only when its entry names them. Raises McpError like `expand`."""
    inherited = {name: value for name, value in own.items() if not is_secret_name(name) and not _SECRET_VALUE.search(value)}
    return {**inherited, **expand(configured, own)}


def expand(values: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The values with `${NAME}` and `${NAME:-otherwise}` filled in. Raises McpError for a variable that is not set."""

    def fill(match: re.Match[str]) -> str:
        name, otherwise = match.group(1), match.group(2)
        value = environment.get(name, otherwise)
        if value is None:
            raise McpError(f"The variable {name} is not set, and the server's entry refers to it.", f"Set {name} and start nemochat again.")
        return value

    filled = {name: _REFERENCE.sub(fill, value) for name, value in values.items()}
    for name, value in filled.items():
        if "\0" in value:
            raise McpError(f"The value of {shown(name)} in the server's entry holds a NUL character.")
    return filled
