"""What a server offers besides tools, and how much of it is taken. Pure values."""

from __future__ import annotations

from pathlib import Path

import msgspec

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


class Limits(msgspec.Struct, frozen=True):
    """How long a server is waited for and how much is taken from it.

    start_seconds allows for a package that is downloaded first. message_bytes bounds one message on the wire, so that a result of any size
    costs no more memory than that.
    """

    start_seconds: float = 60.0
    call_seconds: float = 60.0
    ping_seconds: float = 2.0
    message_bytes: int = 8 * 1024 * 1024
    text_characters: int = 100_000
    image_bytes: int = 6 * 1024 * 1024
    images: int = 8
    log_bytes: int = 256 * 1024
    entries: int = 1000


class McpResource(msgspec.Struct, frozen=True):
    """Something that a server lets be read."""

    uri: str
    name: str
    description: str = ""
    mime_type: str = ""


class ResourceContent(msgspec.Struct, frozen=True):
    """A resource, or a part of one: text (sanitised) or bytes."""

    uri: str
    content: str | bytes
    mime_type: str = ""


class PromptArgument(msgspec.Struct, frozen=True):
    """A blank in a prompt."""

    name: str
    description: str = ""
    is_required: bool = False


class McpPrompt(msgspec.Struct, frozen=True):
    """A prompt that a server has ready."""

    name: str
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()
