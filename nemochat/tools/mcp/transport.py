"""A server's pipes as the SDK's streams, with bounds.

The SDK's own stdio transport joins the chunks of a line however long it gets. This one holds at most one message of a bounded size, answers
for the server when a message is too large or none at all, and keeps standard error in a log.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import anyio
import msgspec
from mcp.shared.message import SessionMessage
from mcp_types import (
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)

from nemochat.domain.sanitize import sanitize
from nemochat.files import open_to_append, reason, write_whole
from nemochat.system import processes, trees
from nemochat.system.deaths import Cause, death
from nemochat.tools.mcp.launch import Launch, resolve
from nemochat.tools.mcp.values import McpError, shown

REFUSED = -32099
"""The error code of the answers that are made here in place of the server's."""
_READ_BYTES = 64 * 1024
_EXIT_SECONDS = 2.0
"""How long a server may take to end after its input was closed, and again after it was asked to."""
_POLL_SECONDS = 0.01
_ADD_AGAIN = "Put it back, or remove the server and add it again."
_MOST_OWED = 32
"""How many of a server's own requests may wait for an answer; further ones are dropped."""
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18})\s*[,}]')


class StdioProcess:
    """A running server. All methods belong to the event loop that started it.

    ended: set when it has nothing more to say. when_closed: called after it is gone, when `how_it_ended` knows. junk: the first thing that
    it printed where only messages belong.
    """

    def __init__(self, process: processes.Process, log: BoundedLog, message_bytes: int, ended: asyncio.Event) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.ended = ended
        self.junk = ""
        self.when_closed: Callable[[], None] | None = None
        self._process, self._stdin, self._stdout, self._stderr = process, process.stdin, process.stdout, process.stderr
        self._log = log
        self._message_bytes = message_bytes
        self._waiting: set[int] = set()
        self._owed = 0
        self._closing: asyncio.Task[None] | None = None
        self._to_session, self.received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self.sent, self._from_session = anyio.create_memory_object_stream[SessionMessage](0)
        self._tasks = [asyncio.create_task(work) for work in (self._read(), self._write(), self._keep_log())]

    @classmethod
    async def start(
        cls, launch: Launch, environment: Mapping[str, str], log: BoundedLog, message_bytes: int, ended: asyncio.Event
    ) -> StdioProcess:
        """Run what the user allowed, unless its entry has come to something else since. Raises McpError when it cannot be run."""
        config, pipe = launch.config, processes.PIPE
        if not launch.program:
            raise McpError(f"The command “{shown(config.command)}” of the server “{config.name}” is not installed.", "Install it first.")
        if not os.path.isdir(launch.folder):  # noqa: PTH112 - whatever the reason
            raise McpError(f"The server “{config.name}” runs in the folder {shown(launch.folder)}, which is not there.", _ADD_AGAIN)
        command = (launch.program, *config.args)
        try:
            # Between this look and the start nothing is awaited.
            if resolve(config, environment.get("PATH", os.defpath)) != launch:
                raise McpError(f"The server “{config.name}” is no longer what you allowed.", "Look at it again and allow it.")
            process = await processes.start(command, environment, Path(launch.folder), stdin=pipe, stdout=pipe, stderr=pipe)
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise McpError(f"The server “{config.name}” cannot be started: {shown(why)}.", "Check its command and folder.") from error
        return cls(process, log, message_bytes, ended)

    def how_it_ended(self) -> str:
        """A verb phrase: "ended with code 3"."""
        code = self._process.returncode
        if code is None:
            return "closed its output"
        cause, name = death(code)
        return f"ended with {name.removeprefix('exit ')}" if cause is Cause.CODE else f"was ended by {name}"

    async def close(self) -> None:
        """End the server and all that it started: it is asked to by the end of its input, then by the system, and then killed.

        In a task of its own: neither a cancelled caller nor one of the SDK's cancel scopes may leave the process behind.
        """
        self._closing = self._closing or asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self.received.close()
        with contextlib.suppress(OSError):
            self._stdin.close()
        if not await self._exits(_EXIT_SECONDS):
            trees.ask(self._process)
            await self._exits(_EXIT_SECONDS)
        trees.kill(self._process)
        await self._exits(_EXIT_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in (self._to_session, self.received, self.sent, self._from_session):
            stream.close()
        if self.when_closed is not None:
            self.when_closed()
        # A descendant that left the group may hold the pipes; nothing public closes our ends of them.
        transport = getattr(self._process, "_transport", None)
        if isinstance(transport, asyncio.SubprocessTransport):
            transport.close()

    async def _exits(self, seconds: float) -> bool:
        """Whether the process ends in time. `wait` would wait for its pipes too, which a descendant may hold."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._process.returncode is None and loop.time() < end:
            await asyncio.sleep(_POLL_SECONDS)
        return self._process.returncode is not None

    async def _read(self) -> None:
        """Hand the messages on, one at a time; the pipe waits while the session is busy. What cannot be handed on is read and dropped."""
        cutter = LineCutter(self._message_bytes)
        try:
            while chunk := await self._stdout.read(_READ_BYTES):
                for line in cutter.feed(chunk):
                    for message in self._understood(line):
                        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                            await self._to_session.send(SessionMessage(message))
        except OSError as error:
            self._log.note(f"Its output cannot be read: {error}")
        finally:
            self._to_session.close()
            self.ended.set()

    def _understood(self, line: bytes | TooLong) -> list[JSONRPCMessage]:
        """The message in a line, or the answers that it is refused with."""
        if isinstance(line, TooLong):
            self._log.note(f"A message of more than {self._message_bytes:,} bytes was refused.")
            return self._refusals(line.head, f"it is larger than {self._message_bytes:,} bytes", or_all=True)
        if not line.strip():
            return []
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            self.junk = self.junk or shown(line[:200].decode("utf-8", "replace"), 100)
            self._log.note(f"On its output, which is for messages only: {line[:400].decode('utf-8', 'replace')}")
            is_meant = b'"jsonrpc"' in line[:_READ_BYTES]
            return self._refusals(line[:_READ_BYTES], "it is not a valid message", or_all=False) if is_meant else []
        if isinstance(message, JSONRPCNotification):
            # None of them is needed, and a flood of them would only keep the session busy.
            if message.method == "notifications/message":
                self._log.note(f"It says: {str(message.params)[:400]}")
            return []
        if isinstance(message, JSONRPCRequest):
            # A server that asks and never reads the answers may not pile them up here.
            self._owed += 1
            return [message] if self._owed <= _MOST_OWED else []
        if _number(message.id) not in self._waiting:
            self._log.note(f"An answer to no question was ignored (id {message.id!r}).")
            return []
        self._waiting.discard(_number(message.id))
        return [message]

    def _refusals(self, head: bytes, why: str, *, or_all: bool) -> list[JSONRPCMessage]:
        """Errors for the request that a bad line answers; for all that wait when it does not tell and `or_all` is asked for."""
        told = _ID.search(head)
        ids = {int(told.group(1))} & self._waiting if told else set()
        refused = ids or (set(self._waiting) if or_all else set())
        self._waiting -= refused
        error = ErrorData(code=REFUSED, message=why)
        return [JSONRPCError(jsonrpc="2.0", id=each, error=error) for each in sorted(refused)]

    async def _write(self) -> None:
        try:
            async for item in self._from_session:
                message = item.message
                if isinstance(message, JSONRPCRequest) and isinstance(message.id, int):
                    self._waiting.add(message.id)
                self._stdin.write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await self._stdin.drain()
                if isinstance(message, JSONRPCResponse | JSONRPCError):
                    self._owed -= 1
        except OSError as error:
            self._log.note(f"Its input cannot be written: {error}")
            self._to_session.close()
            self.ended.set()

    async def _keep_log(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := await self._stderr.read(_READ_BYTES):
                self._log.write(chunk)


@contextlib.asynccontextmanager
async def running(
    launch: Launch, environment: Mapping[str, str], log: BoundedLog, message_bytes: int, ended: asyncio.Event
) -> AsyncIterator[StdioProcess]:
    """A server's process, ended on the way out whatever happens. Raises McpError when it cannot be run."""
    process = await StdioProcess.start(launch, environment, log, message_bytes, ended)
    try:
        yield process
    finally:
        await process.close()


def _number(request_id: RequestId | None) -> int:
    """The id of one of our requests; servers that write it as a text are understood. No id of ours is negative."""
    text = str(request_id)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


_HEAD_BYTES = 1024


class TooLong(msgspec.Struct, frozen=True):
    """A line that is longer than the bound; told once, when it passes it. The rest of the line is thrown away."""

    head: bytes


class LineCutter:
    """Any cutting of the same bytes into chunks brings the same lines."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._is_skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """The lines that the chunk ends, without their line feed. To be exhausted before the next chunk."""
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start)
            stop = len(chunk) if end < 0 else end
            if not self._is_skipping and len(self._line) + stop - start > self._limit:
                # Only the head is wanted, however the line was cut.
                head = bytes(self._line[:_HEAD_BYTES]) + chunk[start : start + _HEAD_BYTES]
                self._line.clear()
                self._is_skipping = True
                yield TooLong(head[:_HEAD_BYTES])
            if not self._is_skipping:
                self._line += chunk[start:stop]
            if end >= 0:
                if not self._is_skipping:
                    yield bytes(self._line)
                self._line.clear()
                self._is_skipping = False
            start = stop + 1


class BoundedLog:
    """A log file of at most `limit` bytes: when it is full, its older half goes. A log that cannot be written never stops a server."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.problem = ""

    def write(self, data: bytes) -> None:
        """Append what was printed, cut anywhere."""
        self._append(sanitize(self._decoder.decode(data)))

    def note(self, sentence: str) -> None:
        """Append a line of our own."""
        self._append(f"[nemochat] {sanitize(sentence, strict=True)}\n")

    def tail(self, lines: int = 200) -> str:
        """The last lines, safe to show."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - self._limit))
                text = file.read(self._limit).decode("utf-8", "replace")
        except OSError:
            text = ""
        return "\n".join([*sanitize(text).splitlines(), *filter(None, (self.problem,))][-lines:])

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "replace")[-self._limit :]
        if not data:
            return
        try:
            with os.fdopen(open_to_append(self._path), "ab") as file:
                file.write(data)
                size = file.tell()
            if size > self._limit:
                write_whole(self._path, self._path.read_bytes()[-self._limit // 2 :])
        except OSError as error:
            self.problem = f"This log cannot be written: {sanitize(reason(error), strict=True)}."
