"""The stop of one turn: made when it is asked for, looked at after every wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The user has stopped what was waited for."""


class Stop:
    """Set once, from the event loop. Whoever waits within a turn waits through `over`, so that nothing holds a stop up."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def is_set(self) -> bool:
        """Whether the turn is to end."""
        return self._event.is_set()

    def set(self) -> None:
        """End the turn, whatever it is at."""
        self._event.set()

    async def wait(self) -> None:
        """Until it is set."""
        await self._event.wait()

    def check(self) -> None:
        """Raises Stopped when it is set."""
        if self.is_set:
            raise Stopped

    async def over(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` brings. Raises Stopped as soon as the stop is set; the work is then cancelled.

        What others wait for as well is to be shielded within `work`.
        """
        if self.is_set:
            work.close()
            raise Stopped
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self.is_set:
                return working.result()
            raise Stopped
        finally:
            stopping.cancel()
            working.cancel()
            # Its end is waited for, so that nothing of it goes on; what it raises then is of no interest.
            await asyncio.gather(working, stopping, return_exceptions=True)
