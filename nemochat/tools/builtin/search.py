"""Search the documents, through a function that is handed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import ToolOutcome
from nemochat.tools.making import FunctionTool, builtin

NOTHING = "No passages found."
OFFERED = builtin("search_documents", "Search the user's documents.", {"query": {"type": "string"}}, ("query",), is_harmless=True)


class Passage(msgspec.Struct, frozen=True):
    """A passage that was found. source: file, and page or heading."""

    source: str
    text: str


Search = Callable[[str], Awaitable[Sequence[Passage]]]
"""The best passages for a query, best first, within the caller's budget."""


def search_documents(search: Search) -> FunctionTool:
    """Searches the documents."""

    async def run(arguments: dict[str, Any]) -> ToolOutcome:
        found = [(sanitize(passage.source, strict=True), passage.text.strip()) for passage in await search(arguments["query"])]
        text = "\n\n".join(f"{source}: {words}" for source, words in found)
        return ToolOutcome(text or NOTHING, sources=tuple(dict.fromkeys(source for source, _ in found)))

    return FunctionTool(OFFERED, run)
