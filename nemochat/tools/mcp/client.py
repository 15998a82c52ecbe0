"""One server as the program sees it: started when it is needed, restarted when it died, left down when it keeps dying."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import ToolOutcome
from nemochat.tools.mcp.config import ServerConfig
from nemochat.tools.mcp.launch import Launch
from nemochat.tools.mcp.offering import McpTool, checked_tool, offered_tool
from nemochat.tools.mcp.pins import Pins
from nemochat.tools.mcp.transport import BoundedLog
from nemochat.tools.mcp.values import Limits, McpDiedError, McpError, McpPrompt, McpResource, PromptArgument, ResourceContent, fault, shown

if TYPE_CHECKING:
    from mcp.client.session import ClientSession

    from nemochat.tools.mcp.connection import Connection

_DEATHS = 2
"""After so many in a row a server stays down."""
_Answer = TypeVar("_Answer")


class _Page(Protocol):
    """Asks for the page of a list that begins at a cursor; gives its entries and the next cursor."""

    def __call__(self, session: ClientSession, cursor: str | None) -> Awaitable[tuple[list[Any], str | None]]: ...


class McpServer:
    """A configured server. All methods belong to one event loop; calls may overlap.

    why_down: the sentence for a server that stays down, until `restart`. problems: sentences for tools that the last listing left out.
    """

    def __init__(
        self,
        config: ServerConfig,
        pins: Pins,
        log_path: Path,
        *,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.config = config
        self.why_down = ""
        self.problems: list[str] = []
        self._pins = pins
        self._limits = limits or Limits()
        self._log = BoundedLog(log_path, self._limits.log_bytes)
        self._environment = os.environ if environment is None else environment
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._deaths = 0
        self._tools: tuple[McpTool, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self.config.name

    @property
    def is_running(self) -> bool:
        """Whether it runs at this moment."""
        return self._connection is not None and self._connection.is_alive

    def launch(self) -> Launch:
        """Exactly what would be run now; its line is for the user to allow."""
        return self._pins.launch(self.config, self._environment)

    @property
    def is_trusted(self) -> bool:
        """Whether the user has allowed exactly what would be run now; a server is not started before."""
        return self._pins.is_trusted(self.launch())

    @property
    def has_changed(self) -> bool:
        """Whether the user has allowed something else than would be run now."""
        return self._pins.has_changed(self.launch())

    def trust(self, launch: Launch) -> None:
        """The user allows what they were shown, which need not be what would be run by now."""
        self._pins.trust(self.config, launch)

    def changes(self) -> list[str]:
        """The tools of the last listing that are new or not as the user accepted them, by their names at the server."""
        return self._pins.changes(self.name, self._fingerprints())

    @property
    def has_known_tools(self) -> bool:
        """Whether tools of it were accepted before, so that those of the last listing are to be compared with them."""
        return self._pins.knows_tools(self.name)

    def accept(self, tools: Iterable[McpTool] | None = None) -> None:
        """The user accepts these tools as they were shown, or all of the last listing."""
        if tools is None:
            self._pins.accept(self.name, self._fingerprints())
        else:
            shown_ones = {tool.original: tool.offered.fingerprint for tool in tools}
            self._pins.accept(self.name, shown_ones, shown_ones)

    def log_tail(self, lines: int = 200) -> str:
        """The last lines of what it printed for people, safe to show."""
        return self._log.tail(lines)

    async def start(self) -> None:
        """Start it now rather than when it is needed. Raises McpError."""
        await self._connected()

    async def restart(self) -> None:
        """End it and start it anew, also when it stayed down. Raises McpError."""
        await self.close()
        self.why_down, self._deaths = "", 0
        await self._connected()

    async def close(self) -> None:
        """End it; the next use starts it again."""
        async with self._connecting:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    async def description(self) -> str:
        """What it says its name and version are. Raises McpError."""
        info = (await self._connected()).session.server_info
        return shown(f"{info.name} {info.version}".strip(), 100) if info else ""

    async def tools(self) -> tuple[McpTool, ...]:
        """Its tools, listed anew each time, so that a changed one is noticed. Raises McpError."""
        async def page(session: ClientSession, cursor: str | None) -> tuple[list[Any], str | None]:
            return await (await self._connected()).tools(session, cursor)

        tools: dict[str, McpTool] = {}
        self.problems = []
        for each in await self._listed("tools", page):
            try:
                tool = checked_tool(each)
                offered = offered_tool(tool, self.name)
            except McpError as error:
                self.problems.append(error.message)
                continue
            if offered.name in tools:
                self.problems.append(f"There are two tools named “{offered.name}”; the second was left out.")
                continue
            tools[offered.name] = McpTool(self, tool.name, offered)
        self._tools = tuple(tools.values())
        return self._tools

    async def call(self, tool: str, arguments: dict[str, Any]) -> ToolOutcome:
        """Call a tool by its name at the server. Never raises McpError: what went wrong is an outcome for the model and the user."""
        try:
            _check_sendable(arguments)
            return await self._request(f"the tool “{shown(tool, 80)}”", lambda session: self._call(session, tool, arguments))
        except McpError as error:
            return ToolOutcome(f"{error.message} {error.hint}".strip(), is_error=True)

    async def list_resources(self) -> tuple[McpResource, ...]:
        """What it lets be read. Raises McpError."""
        return tuple(
            McpResource(each.uri, shown(each.title or each.name), sanitize(each.description or ""), shown(each.mime_type or "", 100))
            for each in await self._listed("resources", _pages("resources"))
            # An address that would be shown otherwise than it is used is none.
            if sanitize(each.uri, strict=True) == each.uri
        )

    async def read_resource(self, uri: str) -> tuple[ResourceContent, ...]:
        """A resource, in the parts that the server gives it in. Raises McpError."""
        from nemochat.tools.mcp.results import contents_of

        _check_sendable(uri)
        result = await self._request(f"the resource {shown(uri)}", lambda session: session.read_resource(uri))
        return contents_of(result)

    async def list_prompts(self) -> tuple[McpPrompt, ...]:
        """The prompts that it has ready. Raises McpError."""
        prompts: list[McpPrompt] = []
        for each in await self._listed("prompts", _pages("prompts")):
            blanks = tuple(PromptArgument(a.name, sanitize(a.description or ""), bool(a.required)) for a in each.arguments or ())
            if all(sanitize(name, strict=True) == name for name in (each.name, *(blank.name for blank in blanks))):
                prompts.append(McpPrompt(each.name, sanitize(each.description or ""), blanks))
        return tuple(prompts)

    async def get_prompt(self, name: str, arguments: dict[str, str] | None = None) -> list[tuple[str, str]]:
        """The turns of a prompt with its blanks filled: role and text. Raises McpError."""
        from nemochat.tools.mcp.results import messages_of

        _check_sendable([name, arguments])
        result = await self._request(f"the prompt “{shown(name, 80)}”", lambda session: session.get_prompt(name, arguments))
        return messages_of(result, self._limits)

    def _fingerprints(self) -> dict[str, str]:
        return {tool.original: tool.offered.fingerprint for tool in self._tools}

    async def _call(self, session: ClientSession, tool: str, arguments: dict[str, Any]) -> ToolOutcome:
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

        from nemochat.tools.mcp.results import outcome_of

        # Not `call_tool`: that lists the tools again unasked and throws a result away that does not fit the server's own schema.
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments))
        return outcome_of(await session.send_request(request, CallToolResult), self._limits)

    async def _listed(self, what: str, page: _Page) -> list[Any]:
        """All pages of a list, as long as they are not endless; none when the server has no such thing."""
        capabilities = (await self._connected()).session.server_capabilities
        if capabilities is None or getattr(capabilities, what) is None:
            return []
        entries: list[Any] = []
        cursor: str | None = None
        for _ in range(self._limits.entries):
            more, cursor = await self._request(f"the question for its {what}", functools.partial(page, cursor=cursor))
            entries += more
            if not cursor or len(entries) >= self._limits.entries:
                break
        return entries[: self._limits.entries]

    async def _connected(self) -> Connection:
        from nemochat.tools.mcp.connection import Connection

        async with self._connecting:
            if self._connection is not None and not self._connection.is_alive:
                await self._bury(self._connection)
            if self._connection is not None:
                return self._connection
            if self.why_down:
                raise McpError(self.why_down, "Look at its log, then start it again.")
            launch = self.launch()
            if not self._pins.is_trusted(launch):
                what = "is no longer what you allowed" if self._pins.has_changed(launch) else "has not been allowed to start"
                raise McpError(f"The server “{self.name}” {what}.", f"Allow it after a look at: {launch.line()}")
            self._log.note(f"Starting: {launch.line()}")
            connection = Connection(launch, self._environment, self._log, self._limits)
            try:
                await connection.ready()
            except McpError as error:
                self._count_death(error.message)
                raise
            self._connection = connection
            return connection

    async def _bury(self, connection: Connection) -> str:
        """Clear a dead server away and count it, once. Returns how it ended."""
        if self._connection is connection:
            self._connection = None
            await connection.close()
            self._count_death(f"The server “{self.name}” {connection.how_it_ended()}.")
        return connection.how_it_ended()

    def _count_death(self, sentence: str) -> None:
        self._deaths += 1
        self._log.note(sentence)
        if self._deaths >= _DEATHS:
            self.why_down = f"{sentence} It failed {self._deaths} times in a row and is not started again by itself."

    async def _request(self, what: str, send: Callable[[ClientSession], Awaitable[_Answer]]) -> _Answer:
        """Ask the server something within the time limit. Raises McpError with a sentence for whatever comes instead of an answer."""
        from mcp.shared.exceptions import MCPError

        connection = await self._connected()
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                answer = await send(connection.session)
        except TimeoutError:
            raise await self._silent(connection, what) from None
        except MCPError as error:
            raise await self._explained(connection, what, error) from error
        except (ValueError, RuntimeError, TypeError, KeyError) as error:
            raise McpError(f"The server “{self.name}” answered {what} with nonsense: {fault(error)}.") from error
        self._deaths = 0
        return answer

    async def _silent(self, connection: Connection, what: str) -> McpError:
        """What to say of a server that did not answer in time; one that does not even answer a ping is ended."""
        message = f"The server “{self.name}” did not answer {what} within {self._limits.call_seconds:g} s."
        if await self._answers_ping(connection):
            return McpError(message, "It is still at work on other things.")
        async with self._connecting:
            if self._connection is connection:
                self._connection = None
                await connection.close()
                self._count_death(message)
        return McpError(message, "It hung and was ended; the next use starts it again." if not self.why_down else "It hung and was ended.")

    async def _answers_ping(self, connection: Connection) -> bool:
        from mcp.shared.exceptions import MCPError

        try:
            async with asyncio.timeout(self._limits.ping_seconds):
                await connection.session.send_ping()
        except (TimeoutError, ValueError, RuntimeError):
            return False
        except MCPError as error:
            from mcp_types import CONNECTION_CLOSED

            return error.code != CONNECTION_CLOSED
        return True

    async def _explained(self, connection: Connection, what: str, error: Any) -> McpError:
        """The sentence for an error that came in place of an answer."""
        from mcp_types import CONNECTION_CLOSED

        from nemochat.tools.mcp.transport import REFUSED

        if error.code == CONNECTION_CLOSED or not connection.is_alive or (self.config.url and error.message == "Session terminated"):
            async with self._connecting:
                ended = await self._bury(connection)
            message = f"The server “{self.name}” {ended} in the middle of {what}."
            return McpDiedError(message, self.why_down or "The next use starts it again.")
        self._deaths = 0
        if error.code == REFUSED:
            return McpError(f"The answer of the server “{self.name}” to {what} was refused: {error.message}.")
        return McpError(f"The server “{self.name}” answered {what} with an error: {shown(error.message)}")


def _pages(what: str) -> _Page:
    """What the SDK lists by this name."""

    async def page(session: ClientSession, cursor: str | None) -> tuple[list[Any], str | None]:
        from mcp_types import PaginatedRequestParams

        result = await getattr(session, f"list_{what}")(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        return list(getattr(result, what)), result.next_cursor

    return page


def _check_sendable(value: object) -> None:
    """Raises McpError for what JSON cannot carry, such as half a surrogate pair or an infinite number."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise McpError("The arguments hold characters or numbers that cannot be sent.") from error
