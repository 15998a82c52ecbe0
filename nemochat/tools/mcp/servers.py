"""All configured servers together: one that is broken never hides the others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from nemochat.errors import NemochatError
from nemochat.tools.mcp.client import McpServer
from nemochat.tools.mcp.config import read_config
from nemochat.tools.mcp.offering import McpTool
from nemochat.tools.mcp.pins import Pins
from nemochat.tools.mcp.values import McpError, shown

_PATIENCE_SECONDS = 10.0


class CheckReport(msgspec.Struct, frozen=True):
    """What came of trying a server. problem: the sentence for one that does not work; the rest is then empty."""

    name: str
    command_line: str
    description: str = ""
    tools: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


class McpServers:
    """The servers of the configuration file. Nothing is started before it is needed.

    problems: a sentence by name for each entry or server that does not work, as of the last `reload` or `tools`.
    """

    def __init__(self, config_path: Path, pins_path: Path, log_folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self._config_path = config_path
        self._pins = Pins(pins_path)
        self._log_folder = log_folder
        self._environment = environment
        self._servers: dict[str, McpServer] = {}
        self._listings: dict[str, asyncio.Task[tuple[tuple[McpTool, ...], str]]] = {}
        self._entry_problems: dict[str, str] = {}
        self.problems: dict[str, str] = {}

    async def reload(self) -> None:
        """Read the configuration again; servers whose entry changed or went are ended. Raises McpError for an unreadable file."""
        config = read_config(self._config_path)
        wanted = {server.name: server for server in config.servers}
        gone = [server for name, server in self._servers.items() if wanted.get(name) != server.config]
        kept = {name: server for name, server in self._servers.items() if wanted.get(name) == server.config}
        log_name = re.compile(r"[^A-Za-z0-9._-]")
        self._servers = {
            name: kept.get(name)
            or McpServer(
                server,
                self._pins,
                self._log_folder / f"mcp-{log_name.sub('_', name)}.log",
                environment=self._environment,
            )
            for name, server in wanted.items()
        }
        self._entry_problems = dict(config.problems)
        self.problems = dict(config.problems)
        await self._ended(gone)

    @property
    def servers(self) -> tuple[McpServer, ...]:
        """The servers whose entries are right, those that are off too, in the order of the file."""
        return tuple(self._servers.values())

    def server(self, name: str) -> McpServer:
        """A server by its name. Raises McpError when there is none or its entry is wrong."""
        if name in self._servers:
            return self._servers[name]
        if name in self._entry_problems:
            raise McpError(self._entry_problems[name], "Correct its entry in the file of servers.")
        raise McpError(f"There is no server named “{shown(name)}”.", "`nemochat mcp list` shows them.")

    def likely(self, tools: Iterable[str]) -> frozenset[str] | None:
        """The servers that these tools are of, going by SERVER/NAME or by what was accepted; None when one may be of any."""
        found: set[str] = set()
        for tool in tools:
            server, _, name = tool.partition("/")
            named = {server} if name else {each for each in self._servers if tool in self._pins.known_tools(each)}
            if not named:
                return None
            found |= named
        return frozenset(found)

    async def tools(self, patience: float = _PATIENCE_SECONDS, only: Collection[str] | None = None) -> tuple[McpTool, ...]:
        """The tools of all servers that are on, or of those named. What does not work is left out, with its sentence in `problems`.

        patience: seconds after which a server that is not ready is left out too; it goes on starting and is there the next time.
        """
        on = [server for server in self.servers if server.config.is_on and (only is None or server.name in only)]
        for server in on:
            if server.name not in self._listings:
                self._listings[server.name] = asyncio.create_task(self._listed(server))
        if on:
            await asyncio.wait([self._listings[server.name] for server in on], timeout=patience)
        self.problems = {name: each for name, each in self._entry_problems.items() if only is None or name in only}
        tools: list[McpTool] = []
        for server in on:
            if not self._listings[server.name].done():
                self.problems[server.name] = f"The server “{server.name}” is still starting."
                continue
            found, problem = self._listings.pop(server.name).result()
            tools += found
            if sentence := " ".join((problem, *server.problems)).strip():
                self.problems[server.name] = sentence
        for server in self.servers:
            if only is not None and server.name in only and not server.config.is_on:
                self.problems[server.name] = f"The server “{server.name}” is switched off in the file of servers."
        return tuple(tools)

    async def check(self, name: str) -> CheckReport:
        """Start a server, list what it has and end it again if it did not run before. Raises McpError only for an unknown name."""
        server = self.server(name)
        was_running = server.is_running
        try:
            description = await server.description()
            tools = await server.tools()
            resources = await server.list_resources()
            prompts = await server.list_prompts()
        except NemochatError as error:
            return CheckReport(name, server.launch().line(), problem=error.message, hint=error.hint)
        finally:
            if not was_running:
                await server.close()
        return CheckReport(
            name,
            server.launch().line(),
            description,
            tuple(tool.offered.name for tool in tools),
            tuple(resource.uri for resource in resources),
            tuple(prompt.name for prompt in prompts),
            tuple(shown(each, 80) for each in server.changes()),
            tuple(server.problems),
        )

    async def forget(self, name: str) -> None:
        """Forget what was allowed of a server that was removed."""
        self._pins.forget(name)
        await self.reload()

    async def close(self) -> None:
        """End all of them."""
        await self._ended(self.servers)

    async def _ended(self, servers: Sequence[McpServer]) -> None:
        listings = [self._listings.pop(server.name) for server in servers if server.name in self._listings]
        for listing in listings:
            listing.cancel()
        await asyncio.gather(*listings, return_exceptions=True)
        await asyncio.gather(*(server.close() for server in servers))

    async def _listed(self, server: McpServer) -> tuple[tuple[McpTool, ...], str]:
        try:
            return await server.tools(), ""
        except NemochatError as error:
            server.problems = []
            return (), error.message
