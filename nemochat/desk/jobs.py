"""Everything that goes on beside the user: one list, and one place that says what may run when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any

from nemochat.chat import Stop


class Rank(IntEnum):
    """What comes first: a reply, then what the user has asked for, then what is done because there is time."""

    REPLY = 0
    USER = 1
    IDLE = 2


class Jobs:
    """Runs work as tasks of its own. failed: gets what nobody foresaw, so that it is not swallowed.

    Idle work gets a stop, which is set as soon as a reply is asked for; it does not begin while there is one.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._running: dict[asyncio.Task[None], tuple[Rank, str, Stop]] = {}
        self.is_closed = False
        """Whether nothing is begun any more."""

    def start(self, rank: Rank, name: str, work: Callable[[Stop], Coroutine[Any, Any, None]]) -> None:
        """Begin something. Idle work of the same name is stopped for it."""
        if self.is_closed:
            return
        stop = Stop()
        if rank is Rank.IDLE:
            self._stop_idle(name)
        task = asyncio.create_task(work(stop), name=name)
        self._running[task] = rank, name, stop
        task.add_done_callback(self._ended)

    async def ended(self, rank: Rank) -> None:
        """Wait until there is nothing of this rank."""
        while tasks := [task for task, (each, _, _) in self._running.items() if each is rank]:
            await asyncio.wait(tasks)

    async def make_way(self) -> None:
        """A reply is asked for: stop what is idle, and return when none of it uses the engine any more."""
        self._stop_idle()
        idle = [task for task, (rank, _, _) in self._running.items() if rank is Rank.IDLE and task is not asyncio.current_task()]
        if idle:
            await asyncio.wait(idle)

    async def close(self, patience: float) -> None:
        """The program ends: stop everything, and cancel what has not ended after so many seconds. What was asked for has begun by then."""
        self.is_closed = True
        await asyncio.sleep(0)
        for _, _, stop in self._running.values():
            stop.set()
        for rank in (Rank.IDLE, Rank.USER):
            for task in [task for task, (each, _, _) in self._running.items() if each is rank and task is not asyncio.current_task()]:
                task.cancel()
        left = [task for task in self._running if task is not asyncio.current_task()]
        if left:
            _, late = await asyncio.wait(left, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _stop_idle(self, name: str = "") -> None:
        for rank, each, stop in self._running.values():
            if rank is Rank.IDLE and name in ("", each):
                stop.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
