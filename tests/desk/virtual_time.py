"""An event loop whose time is not the clock's: a wait of an hour takes no time, and the same run happens again exactly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """When nothing can be done at once, the time of the next thing that waits has come.

    What would run in a thread runs in the loop, all of it at once, after a pause that the dice say; its result comes after another.
    """

    def __init__(self, dice: random.Random, pauses: tuple[float, ...]) -> None:
        super().__init__()
        self._dice, self._pauses = dice, pauses
        self._virtual = 0.0
        selector = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def instantly(timeout: float | None) -> Any:
            events = select(0)
            if not events and timeout is None:
                raise AssertionError("nothing will ever happen any more")
            if not events and timeout:
                self._virtual += timeout
            return events

        selector.select = instantly

    def time(self) -> float:
        """Seconds since the beginning, as far as anything has waited for them."""
        return self._virtual

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it later, here."""
        done = self.create_future()

        def answer(result: Any, error: Exception | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)

        def run() -> None:
            result, failure = None, None
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - as an executor does
                failure = error
            self.call_later(self._dice.choice(self._pauses), answer, result, failure)

        self.call_later(self._dice.choice(self._pauses), run)
        return done
