"""A server's tools as tools that the model may be offered. Nothing that a server says about its tools is believed."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Protocol

from nemochat.domain.messages import ToolSpec
from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import OfferedTool, ToolOrigin, ToolOutcome
from nemochat.domain.visible import visible
from nemochat.tools.mcp.values import McpError, fault, shown

if TYPE_CHECKING:
    from mcp_types import Tool

_DESCRIPTION_CHARACTERS = 4096
_SCHEMA_CHARACTERS = 32 * 1024
_SCHEMA_DEPTH = 32
_NAME_CHARACTERS = 64
_WORDS = ("title", "description", "$comment")
"""What a schema holds for people; it may be cleaned without changing what the schema means."""


class _Callable(Protocol):
    async def call(self, tool: str, arguments: dict[str, Any]) -> ToolOutcome: ...


class McpTool:
    """A tool of a server. `original` is its name there, which need not be one that the model can write."""

    def __init__(self, server: _Callable, original: str, offered: OfferedTool) -> None:
        self._server = server
        self.original = original
        self.offered = offered

    async def run(self, arguments: dict[str, Any]) -> ToolOutcome:
        """Call it. A failure of the server is an outcome too."""
        return await self._server.call(self.original, arguments)


def checked_tool(listed: Any) -> Tool:
    """A tool as a server listed it, of which only what the model is told of has to be in order. Raises McpError for one that is not."""
    from mcp_types import Tool
    from pydantic import ValidationError

    if isinstance(listed, Tool):
        return listed
    told = {key: listed.get(key) for key in ("name", "description", "inputSchema")} if isinstance(listed, dict) else {}
    name = f"The tool “{shown(str(told.get('name')), 80)}”"
    if told.get("inputSchema") is None:
        raise McpError(f"{name} does not say what arguments it takes, so it was left out.")
    try:
        tool = Tool.model_validate(told, by_name=False)
    except ValidationError as error:
        raise McpError(f"{name} was left out, because it is described wrongly: {fault(error)}.") from error
    if tool.input_schema.get("type", "object") != "object":
        raise McpError(f"{name} was left out, because its arguments are no object.")
    return tool


def offered_tool(tool: Tool, server: str) -> OfferedTool:
    """The tool as it is offered; never harmless, whatever its annotations say. Raises McpError for one that cannot be offered safely."""
    parameters = {**_clean(tool.input_schema, tool.name, 0), "type": "object"}
    if len(json.dumps(parameters)) > _SCHEMA_CHARACTERS:
        raise McpError(f"The tool “{shown(tool.name, 80)}” describes its arguments with more than {_SCHEMA_CHARACTERS:,} characters.")
    spec = ToolSpec(usable_name(tool.name), _visible(tool.description or ""), parameters)
    return OfferedTool(spec, ToolOrigin.MCP, server, is_harmless=False, fingerprint=fingerprint(tool, server))


def tool_for_people(tool: McpTool) -> str:
    """All that the model is told of a tool, as it is shown before it is accepted."""
    spec = tool.offered.spec
    described = "\n".join(f"  {line}" for line in spec.description.splitlines())
    schema = json.dumps(spec.parameters, ensure_ascii=False, indent=2)
    return visible(f"{spec.name}\n{described}\n{schema}", kept="\n")


def fingerprint(tool: Tool, server: str) -> str:
    """A hash of all that the model is told of a tool, exactly as the server sent it, and of whose it is."""
    parts = [server, tool.name, tool.description, tool.input_schema]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def usable_name(name: str) -> str:
    """A name that the model can write: letters, digits, _ - and points."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", shown(name, _NAME_CHARACTERS).rstrip("…"))[:_NAME_CHARACTERS] or "tool"


def _visible(text: str) -> str:
    """A description without anything that the user would not see: bidi controls, zero-width and tag characters can hide instructions."""
    clean = "\n".join(sanitize(line, strict=True) for line in text.split("\n"))
    return clean if len(clean) <= _DESCRIPTION_CHARACTERS else f"{clean[:_DESCRIPTION_CHARACTERS]}…"


def _clean(schema: dict[str, Any], tool: str, depth: int) -> dict[str, Any]:
    return {_checked(key, tool): _cleaned(key, value, tool, depth + 1) for key, value in schema.items()}


def _cleaned(key: str, value: Any, tool: str, depth: int) -> Any:
    if depth > _SCHEMA_DEPTH:
        raise McpError(f"The tool “{shown(tool, 80)}” describes its arguments more than {_SCHEMA_DEPTH} levels deep.")
    if isinstance(value, dict):
        return _clean(value, tool, depth)
    if isinstance(value, list):
        return [_cleaned("", item, tool, depth + 1) for item in value]
    if isinstance(value, str):
        return _visible(value) if key in _WORDS else _checked(value, tool)
    return value


def _checked(text: str, tool: str) -> str:
    """A text that the arguments depend on, which can only be taken as it is. Raises McpError when it is not safe to show."""
    if sanitize(text) != text:
        raise McpError(f"The tool “{shown(tool, 80)}” describes its arguments with control characters.")
    return text
