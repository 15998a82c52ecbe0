"""One life of one server: connected, shaken hands with, used by any task, closed by the task that opened it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import CONNECTION_CLOSED, METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION, Implementation, PaginatedRequestParams

import nemochat
from nemochat.tools.mcp.launch import Launch, child_environment, expand
from nemochat.tools.mcp.transport import BoundedLog, running
from nemochat.tools.mcp.values import Limits, McpDiedError, McpError, fault, shown

_HIDDEN = "nemochat/tools"
_CLOSE_SECONDS = 10.0
"""More than a process is given to end."""


class Connection:
    """A server that runs. The SDK's contexts must be left by the task that entered them, so one task holds them from start to end."""

    def __init__(self, launch: Launch, environment: Mapping[str, str], log: BoundedLog, limits: Limits) -> None:
        self._launch = launch
        self._config = launch.config
        self._environment = environment
        self._log = log
        self._limits = limits
        self._ended = asyncio.Event()
        self._end_words = "closed the connection"
        self._junk = ""
        self._dispatcher: _Dispatcher | None = None
        self._ready: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
        _keep_off_the_terminal()
        self._holder = asyncio.create_task(self._hold(), name=f"MCP server {self._config.name}")

    async def ready(self) -> None:
        """Wait until the server can be asked something. Raises McpError; nothing is left running then."""
        either: set[asyncio.Future[Any]] = {self._ready, self._holder}
        try:
            await asyncio.wait(either, timeout=self._limits.start_seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.close()
            raise
        if not self._ready.done() and not self._holder.done():
            await self.close()
            message = f"The server “{self._config.name}” did not get ready within {self._limits.start_seconds:g} s."
            raise McpError(message, self._hint())
        if not self._ready.done() or self._ready.exception() is not None:
            # Its own error last, so that one which nobody foresaw is not taken for a server that is merely slow.
            await self._holder
            self._ready.result()

    @property
    def session(self) -> ClientSession:
        """The SDK's session."""
        return self._ready.result()

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked something."""
        return not self._holder.done() and not self._ended.is_set()

    def how_it_ended(self) -> str:
        """A verb phrase; right after `close`."""
        return self._end_words

    async def close(self) -> None:
        """End it and everything that it started."""
        self._ended.set()
        if not self._ready.done():
            self._ready.cancel()
            self._holder.cancel()
        await asyncio.wait({self._holder}, timeout=_CLOSE_SECONDS)
        # A server over HTTP may never answer that it is told goodbye.
        self._holder.cancel()
        await asyncio.gather(self._holder, return_exceptions=True)

    async def _hold(self) -> None:
        problem: McpError | None = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                session = await stack.enter_async_context(await self._connected(stack))
                problem = await self._shake_hands(session)
                if problem is None and not self._ready.done():
                    self._ready.set_result(session)
                    await self._ended.wait()
        except McpError as error:
            problem = error
        except (OSError, ValueError, httpx2.HTTPError, httpx2.InvalidURL, ExceptionGroup) as error:
            why = shown(_innermost(error))
            self._end_words = f"broke off ({why})"
            problem = McpError(f"The server “{self._config.name}” cannot be reached: {why}.", "Check its address and that it runs.")
        self._ended.set()
        if isinstance(problem, McpDiedError):
            problem = McpDiedError(f"The server “{self._config.name}” {self._end_words} before it was ready.", self._hint())
        if problem is not None and not self._ready.done():
            self._ready.set_exception(problem)

    async def _connected(self, stack: contextlib.AsyncExitStack) -> ClientSession:
        """A session over the server's pipes or its address, not entered yet; the stack closes what is below it."""
        ourselves = Implementation(name="nemochat", version=nemochat.__version__)
        config, limits = self._config, self._limits
        if config.url:
            client = await stack.enter_async_context(bounded_client(expand(config.headers, self._environment), limits.message_bytes))
            streams = streamable_http_client(config.url, http_client=client, max_sse_event_size=limits.message_bytes)
            received, sent = await stack.enter_async_context(streams)
            return self._session(received, sent, ourselves)
        environment = child_environment(self._environment, config.env)
        process = await stack.enter_async_context(running(self._launch, environment, self._log, limits.message_bytes, self._ended))

        def remember() -> None:
            self._end_words, self._junk = process.how_it_ended(), process.junk

        process.when_closed = remember
        return self._session(process.received, process.sent, ourselves)

    def _session(self, received: Any, sent: Any, ourselves: Implementation) -> ClientSession:
        self._dispatcher = _Dispatcher(received, sent)
        return ClientSession(dispatcher=self._dispatcher, client_info=ourselves)

    async def tools(self, session: ClientSession, cursor: str | None) -> tuple[list[Any], str | None]:
        """A page of its tools, each as the SDK or as the server has it, and where the next one begins."""
        params = PaginatedRequestParams(cursor=cursor) if cursor else None
        try:
            result = await session.list_tools(params=params)
        except ValueError:
            if self._dispatcher is None or self._dispatcher.hides_tools:
                raise
            self._dispatcher.hides_tools = True
            result = await session.list_tools(params=params)
        hidden = (result.meta or {}).get(_HIDDEN)
        return [*result.tools, *(hidden if isinstance(hidden, list) else ())], result.next_cursor

    async def _shake_hands(self, session: ClientSession) -> McpError | None:
        """Agree on a version of the protocol: the handshake that every server knows, or the newer way where it is the only one."""
        name = self._config.name
        try:
            try:
                await session.initialize()
            except MCPError as error:
                if error.code not in (METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION):
                    raise
                await session.discover()
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                return McpDiedError(f"The server “{name}” ended before it was ready.")
            return McpError(f"The server “{name}” refuses to start: {shown(error.message)}.", self._hint())
        except (ValueError, RuntimeError, TypeError) as error:
            return McpError(f"The server “{name}” does not speak the protocol: {fault(error)}.", self._hint())
        return None

    def _hint(self) -> str:
        if self._junk:
            return f"It prints text where only messages belong: “{self._junk}”."
        return "" if self._config.url else "Its log may say why."


class _Dispatcher(JSONRPCDispatcher[Any]):
    """Hides tools from the SDK, which refuses a whole list for one that is odd: they travel beside the list, to be judged one by one."""

    hides_tools = False

    async def send_raw_request(self, method: str, *args: Any, **options: Any) -> dict[str, Any]:
        """As the SDK does."""
        raw = await super().send_raw_request(method, *args, **options)
        if self.hides_tools and method == "tools/list" and isinstance(tools := raw.get("tools"), list):
            raw = {**raw, "tools": [], "_meta": {_HIDDEN: tools}}
        return raw


def _innermost(error: BaseException) -> str:
    """What went wrong, out of the groups that the SDK's tasks wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _keep_off_the_terminal() -> None:
    """The SDK logs what servers send; without a handler, Python would print that raw on the screen."""
    for name in ("mcp", "client", "httpx2"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


_CONNECT_SECONDS = 30.0
_READ_SECONDS = 300.0


class TooLargeError(httpx2.StreamError):
    """A body that is refused; the SDK turns it into an error answer to the request."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int | None, refusal: str) -> None:
        self._inner, self._limit, self._refusal = inner, limit, refusal

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._refusal:
            raise TooLargeError(self._refusal)
        taken = 0
        async for chunk in self._inner:
            taken += len(chunk)
            if self._limit is not None and taken > self._limit:
                raise TooLargeError(f"it is larger than {self._limit:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def bounded_client(headers: Mapping[str, str], limit: int) -> httpx2.AsyncClient:
    """A client whose answers are at most `limit` bytes; streams of events go on, each event bounded by the SDK."""

    async def bound(response: httpx2.Response) -> None:
        packed = response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
        is_events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, None if is_events else limit, "it is compressed, unasked" if packed else "")

    return httpx2.AsyncClient(
        headers={**headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(_CONNECT_SECONDS, read=_READ_SECONDS),
        event_hooks={"response": [bound]},
    )
