"""What a tool is, and what is needed to make one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from nemochat.domain.messages import ToolSpec
from nemochat.domain.tools import OfferedTool, ToolOrigin, ToolOutcome


class Tool(Protocol):
    """Something that the model may call."""

    @property
    def offered(self) -> OfferedTool:
        """How it is offered now. An MCP server may change this while it runs."""
        ...

    async def run(self, arguments: dict[str, Any]) -> ToolOutcome:
        """Do it. The arguments fit the schema. May raise: the registry makes an outcome of it."""
        ...


class Limits(msgspec.Struct, frozen=True):
    """How much a call may take. seconds: by the clock, before it is stopped. characters, images, image_bytes: of its result.
    memory_mb: for the user's own tools.
    """

    seconds: float = 30.0
    characters: int = 20_000
    images: int = 4
    image_bytes: int = 32 * 1024 * 1024
    memory_mb: int = 1024


class FunctionTool(msgspec.Struct, frozen=True):
    """A tool made of a coroutine function."""

    offered: OfferedTool
    function: Callable[[dict[str, Any]], Awaitable[ToolOutcome]]

    async def run(self, arguments: dict[str, Any]) -> ToolOutcome:
        """Call the function."""
        return await self.function(arguments)


def fingerprint(spec: ToolSpec, extra: bytes = b"") -> str:
    """A hash of name, description and schema, and of what else makes the tool what it is (the source of a function)."""
    told = json.dumps([spec.name, spec.description, spec.parameters], sort_keys=True).encode()
    return hashlib.sha256(len(told).to_bytes(8, "big") + told + extra).hexdigest()


def builtin(
    name: str, description: str, properties: dict[str, Any], required: tuple[str, ...], *, is_harmless: bool = False
) -> OfferedTool:
    """One of nemochat's own tools as it is offered."""
    spec = ToolSpec(name, description, {"type": "object", "properties": properties, "required": list(required)})
    return OfferedTool(spec, ToolOrigin.BUILTIN, "nemochat", is_harmless, fingerprint(spec))


def failed(sentence: str) -> ToolOutcome:
    """The outcome of a call that did not work. The model reads ``error: ...``."""
    return ToolOutcome(f"error: {sentence}", is_error=True)
