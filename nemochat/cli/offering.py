"""All tools that there are, put together: nemochat's own, the user's, those of MCP servers; and what a command offers or runs of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from nemochat import images
from nemochat.cli.asking import ask_yes, can_ask
from nemochat.cli.output import print_note
from nemochat.cli.setup import Setup
from nemochat.desk.port import ToolChest
from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import Approval, OfferedTool, ToolOrigin, ToolRequest
from nemochat.domain.visible import visible
from nemochat.errors import NemochatError, UsageError
from nemochat.paths import Paths, at_home
from nemochat.settings import Settings, ToolAsking
from nemochat.tools.approval import Rule, Rules, arguments_for_people
from nemochat.tools.builtin.every import Needs, builtin_tools
from nemochat.tools.builtin.notes import Notes
from nemochat.tools.builtin.pictures import Region
from nemochat.tools.builtin.roots import FileRoots
from nemochat.tools.builtin.search import Search
from nemochat.tools.making import Limits
from nemochat.tools.python_tools import read_tools
from nemochat.tools.registry import Approve, Registry

if TYPE_CHECKING:
    from nemochat.tools.mcp.servers import McpServers

_PATIENCE_SECONDS = 60.0


def build_toolset(setup: Setup, original: Callable[[int], bytes | None] | None = None, search: Search | None = None) -> ToolChest:
    """The tools that need no server. original: the file of a picture of the conversation by its number; search: finds passages."""
    settings = setup.settings.tools
    limits = Limits(seconds=settings.seconds)
    needs = Needs(
        clock=lambda: datetime.now().astimezone(),
        roots=FileRoots(at_home(folder) for folder in settings.folders),
        notes=Notes(setup.paths.notes),
        original=original,
        crop=_crop,
        search=search,
        may_fetch=settings.fetch,
    )
    own = read_tools(setup.paths.tools, limits, os.environ)
    rules, problem = rules_of(setup.settings)
    return ToolChest(Registry([*builtin_tools(needs), *own.tools], limits), rules, (*own.notices, *((problem,) if problem else ())))


def rules_of(settings: Settings) -> tuple[Rules, str]:
    """The rules of the settings, and a sentence when they are wrong: then every call is asked about."""
    default = Rule.HARMLESS if settings.tools.ask is ToolAsking.HARMLESS_UNASKED else Rule.ASK
    try:
        rules = Rules(default, {name: Rule(rule) for name, rule in settings.tool_rules.items()})
        rules.check()
    except ValueError as error:
        allowed = ", ".join(rule.value for rule in Rule)
        return Rules(Rule.ASK), f"The rules of tools cannot be used: {error}. Allowed: {allowed}. Every call is asked about."
    except NemochatError as error:
        return Rules(Rule.ASK), f"The rules of tools cannot be used: {error.in_full} Every call is asked about."
    return rules, ""


def _crop(data: bytes, region: Region) -> bytes:
    return images.crop(data, region.left, region.top, region.right, region.bottom)


def open_servers(paths: Paths) -> McpServers:
    """The servers; none is started before it is needed, nor before the user trusts it."""
    from nemochat.tools.mcp.servers import McpServers

    return McpServers(paths.mcp_servers, paths.mcp_pins, paths.log_dir, environment=os.environ)


class Toolshed(msgspec.Struct, frozen=True):
    """Tools and the rules about them. unaccepted: full names of servers' tools that are not as the user accepted them."""

    registry: Registry
    rules: Rules
    notices: tuple[str, ...] = ()
    unaccepted: frozenset[str] = frozenset()

    def find(self, name: str) -> OfferedTool:
        """A tool by its name or by ``source/name``. Raises UsageError that says why it is not there, or else which there are."""
        found = self.registry.find(name)
        if found is None:
            shown = sanitize(name, strict=True)
            if problem := self.registry.problems.get(name.partition("/")[0]):
                raise UsageError(f"The tool {shown} is not there: {problem}", f"nemochat mcp check {shown.partition('/')[0]} says more.")
            there = ", ".join(each.name for each in self.registry.offered())
            raise UsageError(f"There is no tool {shown}.", f"There are: {there}. {self.registry.why_not()}".strip())
        return found


def full_name(tool: OfferedTool) -> str:
    """What the rules call a tool for certain."""
    return f"{tool.source}/{tool.name}"


@asynccontextmanager
async def open_toolshed(
    setup: Setup,
    wanted: Sequence[str] | None,
    *,
    original: Callable[[int], bytes | None] | None = None,
    search: Search | None = None,
) -> AsyncGenerator[Toolshed, None]:
    """The tools; servers run until the end of the block: those of the tools that `wanted` names, or all of them where it is None."""
    chest = build_toolset(setup, original, search)
    registry = chest.registry
    missing = None if wanted is None else [name for name in wanted if registry.find(name) is None]
    if missing == [] or not setup.paths.mcp_servers.exists():
        yield Toolshed(registry, chest.rules, chest.notices)
        return
    servers = open_servers(setup.paths)
    try:
        await servers.reload()
        only = None if missing is None else servers.likely(missing)
        unaccepted = await add_servers(servers, registry, only=only)
        if only is not None and any("/" not in name and registry.find(name) is None for name in missing or ()):
            # It goes by this name only beside the tools of all the others.
            registry = build_toolset(setup, original, search).registry
            unaccepted = await add_servers(servers, registry)
        notices = (*chest.notices, *servers.problems.values())
        yield Toolshed(registry, chest.rules.asking(unaccepted), notices, unaccepted)
    finally:
        await servers.close()


def allowed(shed: Toolshed, names: Sequence[str]) -> Rules:
    """The rules with these tools running unasked. One that is not as it was accepted is asked about all the same, and that is said.

    Raises UsageError for a server's tool that is named without its server: another server could take that name.
    """
    sure = []
    for name in names:
        tool = shed.find(name)
        if tool.origin is ToolOrigin.MCP and name != full_name(tool):
            raise UsageError(f"{tool.name} is a tool of the server {tool.source}.", f"Name it with its server: {full_name(tool)}")
        if full_name(tool) not in shed.unaccepted:
            sure.append(name)
    return shed.rules.with_always(*sure)


def tell_unaccepted(shed: Toolshed, tools: Sequence[OfferedTool]) -> None:
    """Say which of these tools are not as the user accepted them."""
    for tool in tools:
        if full_name(tool) in shed.unaccepted:
            print_note(f"{full_name(tool)} is new or has changed, so it is asked about. Look at it: nemochat mcp check {tool.source}")


def approver(before: Callable[[], None], hint: str) -> Approve:
    """Asks at the terminal, with the arguments in full; where there is none the answer is no. before: called first, to clear the line."""

    turn = asyncio.Lock()  # several requests may be under way: one question after the other

    async def approve(request: ToolRequest) -> Approval:
        async with turn:
            return await ask(request)

    async def ask(request: ToolRequest) -> Approval:
        before()
        tool = request.tool
        if not can_ask():
            print_note(f"{tool.name} was not run: it has to be asked about, and there is no terminal. {hint}")
            return Approval.REFUSED
        name, origin = visible(tool.name), visible(origin_text(tool))
        text = f"The model calls {name} ({origin}):\n{arguments_for_people(request.arguments)}"
        return Approval.ONCE if await ask_yes(text, "Run it?") else Approval.REFUSED

    return approve


def origin_text(tool: OfferedTool) -> str:
    """Who wrote it, with the file or the server."""
    return tool.origin.value if tool.origin is ToolOrigin.BUILTIN else f"{tool.origin.value} {tool.source}"


async def add_servers(servers: McpServers, registry: Registry, *, only: Collection[str] | None = None) -> frozenset[str]:
    """Take in the tools of all servers, or of those named; the full names of those that are not as they were accepted."""
    tools = await servers.tools(_PATIENCE_SECONDS, only)
    registry.problems = dict(servers.problems)
    changed = {(server.name, name) for server in servers.servers for name in server.changes()}
    offered = [(registry.add(tool), tool.original) for tool in tools]
    return frozenset(full_name(each) for each, original in offered if (each.source, original) in changed)
