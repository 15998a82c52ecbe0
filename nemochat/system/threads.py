"""Work that blocks, in threads of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_daemon(work: Callable[[], T], name: str = "waiting") -> T:
    """What something brings that blocks. It has a daemon thread of its own: a blocked one must hold up neither Ctrl+C nor the end."""
    loop = asyncio.get_running_loop()
    brought: asyncio.Future[T] = loop.create_future()

    def settle(done: concurrent.futures.Future[T]) -> None:
        if brought.done():
            return
        if (error := done.exception()) is not None:
            brought.set_exception(error)
        else:
            brought.set_result(done.result())

    def run() -> None:
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            done.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, done)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await brought


def hold_interpreter() -> None:
    """Wait for ever with the interpreter's lock, so that no other thread does anything either: what a hang in native code is like."""
    import ctypes

    if sys.platform == "win32":
        ctypes.PyDLL("kernel32").Sleep(ctypes.c_uint32(0xFFFF_FFFF))
    else:
        ctypes.PyDLL(None).pause()
