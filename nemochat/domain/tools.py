"""Tools that the model may call: what is offered, what a call brings, what the user says to it. Pure values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from nemochat.domain.messages import ToolSpec


class ToolOrigin(StrEnum):
    """Who wrote a tool."""

    BUILTIN = "built in"
    PYTHON = "your own"
    MCP = "MCP server"


class OfferedTool(msgspec.Struct, frozen=True):
    """A tool as it can be offered to the model.

    source: the file or server that it comes from, for people. is_harmless: it only computes or reads what the chat holds already, so it
    may run unasked unless the user wants to be asked for everything. fingerprint: a hash of name, description and schema: when it
    changes, an earlier "always" no longer holds.
    """

    spec: ToolSpec
    origin: ToolOrigin
    source: str = ""
    is_harmless: bool = False
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """What the model calls it by."""
        return self.spec.name


class ToolOutcome(msgspec.Struct, frozen=True):
    """What came of a call. text: for the model, sanitised and bounded. images: pictures as files (PNG, JPEG), for attachments. is_error: it
    failed, and `text` says why. sources: passages that the text was made from, for people. is_refused: it did not run, for the user did not
    allow it.
    """

    text: str
    images: tuple[bytes, ...] = ()
    is_error: bool = False
    sources: tuple[str, ...] = ()
    is_refused: bool = False


class Approval(StrEnum):
    """What the user says to a call."""

    ONCE = "once"
    ALWAYS = "always in this chat"
    REFUSED = "no"
    NEVER = "never in this chat"


class ToolRequest(msgspec.Struct, frozen=True):
    """A call that waits for the user's word: exactly these arguments."""

    tool: OfferedTool
    arguments: dict[str, Any]


def lets_call(chance: float, threshold: float) -> bool:
    """Whether a reply that is so likely to call a tool has to, by the threshold of a gate; 0 always lets it and 1 never."""
    return threshold < 1 and chance >= threshold
