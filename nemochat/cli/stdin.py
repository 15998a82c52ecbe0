"""Standard input, read while the engine loads and without ever holding up Ctrl+C."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from nemochat.cli.output import print_note
from nemochat.domain.sanitize import shown
from nemochat.errors import UsageError

_LINES_AHEAD = 16
_PATIENCE_SECONDS = 1.0
_MAX_LINE_BYTES = 64 * 1024 * 1024
_MAX_TEXT_BYTES = 16 * 1024 * 1024


def is_piped() -> bool:
    """Whether standard input is a file or a pipe rather than a keyboard."""
    return sys.stdin is not None and not sys.stdin.isatty()


def read_pipe(path: Path, most: int) -> bytes:
    """Everything that comes out of a pipe until its other end is closed. After a second of waiting a line on stderr says for what.

    Raises UsageError for more than `most` bytes.
    """
    note = threading.Timer(_PATIENCE_SECONDS, print_note, [f"Waiting for the end of what comes through {shown(path)} (Ctrl+C ends it) ..."])
    note.daemon = True
    note.start()
    try:
        with path.open("rb", buffering=0) as pipe:
            data = bytearray()
            while len(data) <= most and (piece := pipe.read(1 << 20)):
                data += piece
    finally:
        note.cancel()
    if len(data) > most:
        raise UsageError(f"More than {most >> 20} MiB came through {shown(path)}.", "Pipe in the part that matters.")
    return bytes(data)


async def read_lines() -> AsyncGenerator[bytes, None]:
    """The lines of standard input as they come, with their line ends; a line over 64 MiB comes in pieces.

    A daemon thread reads a few lines ahead, because a blocked read must neither hold up the event loop nor keep the program alive.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(_LINES_AHEAD)

    def read() -> None:
        # A file object of its own: the interpreter closes sys.stdin at exit and would wait for a read that is under way.
        with os.fdopen(os.dup(0), "rb") as stream:
            line = b"\n"
            while line:
                room.acquire()
                line = stream.readline(_MAX_LINE_BYTES)
                if loop.is_closed():
                    return
                loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while line := await lines.get():
        room.release()
        yield line


async def read_text(before: Callable[[], None]) -> str:
    """Everything up to the end of standard input, as text; a mark of the byte order is none of it. After a second of waiting a line on
    stderr says for what; `before` clears its place. Raises UsageError when it is not text, or more than any model reads.
    """

    def tell() -> None:
        before()
        print_note("Waiting for the end of standard input (Ctrl+C ends it; with < /dev/null nothing is waited for) ...")

    note = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, tell)
    data = bytearray()
    try:
        async for line in read_lines():
            data += line
            if len(data) > _MAX_TEXT_BYTES:
                raise UsageError("More than 16 MiB came in on standard input.", "Pipe in the part that matters.")
    finally:
        note.cancel()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("Standard input is not UTF-8 text.", "Give pictures with -i FILE.") from error
