"""What can go wrong with a server that offers tools."""

from __future__ import annotations

from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError

_SHOWN = 300


class McpError(NemochatError):
    """A server's entry is wrong, or the server cannot be started, died, hung or talks nonsense."""


class McpDiedError(McpError):
    """The server ended while it was needed."""


def shown(text: str | Path, limit: int = _SHOWN) -> str:
    """Foreign text as it may stand in a sentence: one line, visible, not endless."""
    line = sanitize(str(text), strict=True).strip()
    return line if len(line) <= limit else f"{line[:limit]}…"


def fault(error: Exception) -> str:
    """What is wrong with an answer, in a few words. A validation error lists many lines: a title, then a place and what is wrong there."""
    lines = str(error).splitlines() or [type(error).__name__]
    return shown(": ".join(line.strip().partition(" [type=")[0] for line in lines[1:3]) if len(lines) > 2 else lines[0])
