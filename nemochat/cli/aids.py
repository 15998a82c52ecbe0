"""What the model gets beside the question of ``ask``: tools, and passages of documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from nemochat.chat import ChatSession
from nemochat.chat.toolbox import Toolbox
from nemochat.cli.exchange import AskOptions
from nemochat.cli.offering import allowed, approver, open_toolshed, tell_unaccepted
from nemochat.cli.output import StatusLine, print_note
from nemochat.cli.passages import Shelf, open_embedder, open_shelf
from nemochat.cli.setup import Setup
from nemochat.domain.messages import ContextPart, ToolSpec
from nemochat.tools.approval import Approvals
from nemochat.tools.builtin.search import OFFERED as SEARCH_TOOL

_HINT = "--yes-tool NAME lets a tool run unasked."


class Aids(msgspec.Struct, frozen=True):
    """tools: those that are offered. shelf: where passages come from. searches: whether they stand beside every question."""

    tools: tuple[ToolSpec, ...] = ()
    shelf: Shelf | None = None
    searches: bool = False

    async def beside(self, question: str) -> tuple[ContextPart, ...]:
        """The passages beside a question."""
        return await self.shelf.beside(question) if self.shelf is not None and self.searches else ()


@asynccontextmanager
async def open_aids(
    options: AskOptions,
    setup: Setup,
    session: ChatSession,
    original: Callable[[int], bytes | None],
    status: StatusLine,
) -> AsyncGenerator[Aids, None]:
    """Equip a session. original: the file of a picture of the question by its number.

    Raises UsageError for a name that there is not, and DocumentError.
    """
    names = tuple(dict.fromkeys((*options.tools, *options.yes_tools)))
    given = bool(options.documents or options.collections)
    async with AsyncExitStack() as stack:
        shelf = None
        if given or SEARCH_TOOL.name in names:
            budget = setup.settings.tools.document_tokens
            embedder = await stack.enter_async_context(open_embedder(setup))
            places = open_shelf(setup.paths.documents, options.documents, options.collections, budget, status, embedder)
            shelf = await stack.enter_async_context(places)
        if not names:
            yield Aids((), shelf, given)
            return
        status.show("looking for the tools ...")
        search = shelf.search if shelf is not None else None
        shed = await stack.enter_async_context(open_toolshed(setup, names, original=original, search=search))
        tools = [shed.find(name) for name in names]
        rules = allowed(shed, options.yes_tools)
        status.clear()
        tell_unaccepted(shed, tools)
        session.toolbox = Toolbox(shed.registry, Approvals(rules), approver(status.clear, _HINT))
        session.holds_calls_to_schema = setup.settings.tools.constrained
        yield Aids(tuple(tool.spec for tool in tools), shelf, given)


def tell_sources(shelf: Shelf | None) -> None:
    """One line that names the documents of the passages, each place once."""
    if shelf is not None and shelf.used:
        print_note(f"Sources: {'; '.join(dict.fromkeys(source.in_words() for source in shelf.used))}")
