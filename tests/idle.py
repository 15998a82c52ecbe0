"""Textual for tests: it is waited for until it has nothing to do, and each style sheet is parsed once.

Textual's own wait sleeps for 20 ms, twice for a key, and takes a process that got no processor in that time for one that is idle: it is
slow on a quiet machine and too quick on a busy one. `run_test` and `pause` wait here for all that follows: children that mount children of
their own, frames, and what is called after a frame.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any
from weakref import WeakSet

import textual.app
import textual.pilot
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

PATIENCE = 120.0
"""Seconds of this process that something may take: a limit against hanging, not a measurement."""
_MOMENT = 0.02
"""Seconds: what is due so soon belongs to what goes on now, as the next frame does."""
_TICK = 0.005
"""Seconds: so long it sleeps at a time for what tells nobody how long it will take."""
_FRAMES = 0.2
"""Seconds: what a frame sets off may come with the next frame, and so on; an animation goes on by itself."""
_LITTLE = 0.05
"""Seconds that are waited for a thread which has held up an earlier wait: many tests hold one until they let it go."""
_pause = Pilot.pause
_run_in_executor = asyncio.BaseEventLoop.run_in_executor
_parse_rules = Stylesheet._parse_rules
_working: WeakSet[asyncio.Future[Any]] = WeakSet()
"""What threads do for event loops."""
_slow: WeakSet[asyncio.Future[Any]] = WeakSet()
"""What of it a wait has given up."""
_parsed: dict[object, list[RuleSet]] = {}


async def until_idle(min_sleep: float = _MOMENT, max_sleep: float = 1.0) -> None:
    """Wait until the event loop has nothing to do, now or in a moment, and no thread works for it.

    What takes longer than `max_sleep` seconds is for the test to wait for, by what it brings about. They are seconds of this process:
    the processor's where it was at work, the planned ones where it slept. A process that others keep from working is not idle.
    """
    loop: Any = asyncio.get_running_loop()
    began, slept, on_slow, on_frames = time.thread_time(), 0.0, 0.0, 0.0
    while slept + time.thread_time() - began < max_sleep:
        await asyncio.sleep(0)
        if loop._ready:
            continue
        threads = [each for each in _working if each.get_loop() is loop and not each.done()]
        is_new = any(each not in _slow for each in threads)
        due = min((each.when() for each in loop._scheduled if not each.cancelled()), default=math.inf) - loop.time()
        if is_new or (threads and on_slow < _LITTLE):
            done, _ = await asyncio.wait(threads, timeout=_TICK, return_when=asyncio.FIRST_COMPLETED)
            slept += 0 if done else _TICK
            on_slow += 0 if done or is_new else _TICK
        elif due <= _MOMENT and on_frames < _FRAMES:
            await asyncio.sleep(due)
            slept += max(due, 0)
            on_frames += max(due, _TICK)
        else:
            return
    _slow.update(each for each in _working if each.get_loop() is loop and not each.done())


async def until(holds: Callable[[], object]) -> None:
    """Let everything go on until something holds. Raises AssertionError when it never does.

    What takes long, such as a process that starts, is looked for less and less often: some look at the whole screen.
    """
    began, slept, pause = time.thread_time(), 0.0, 0.005
    while not holds():
        assert slept + time.thread_time() - began < PATIENCE, "it never came true"
        await until_idle()
        await asyncio.sleep(pause)
        slept += pause
        pause = min(pause * 1.2, 0.1)


async def _settled(pilot: Pilot[Any], timeout: float = PATIENCE) -> bool:
    """Textual sends a message to each widget that is there, and waits for the answers: what they mount in turn is not waited for."""
    await until_idle()
    return True


async def _paused(pilot: Pilot[Any], delay: float | None = None) -> None:
    """Textual ends with a frame: what that frame sets off, such as a focus, is waited for too."""
    await _pause(pilot, delay)
    await until_idle()


def _noted(loop: asyncio.BaseEventLoop, executor: Executor | None, work: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
    future = _run_in_executor(loop, executor, work, *args)
    _working.add(future)
    return future


def _parsed_once(sheet: Stylesheet, css: str, *place: Any, **options: Any) -> list[RuleSet]:
    key = (css, place, tuple(options.items()), tuple(sheet._variables.items()))
    if key not in _parsed:
        _parsed[key] = _parse_rules(sheet, css, *place, **options)
    return _parsed[key]


def install() -> None:
    """From now on, for all tests."""
    asyncio.BaseEventLoop.run_in_executor = _noted  # type: ignore[method-assign, assignment]
    textual.app.wait_for_idle = textual.pilot.wait_for_idle = until_idle  # type: ignore[attr-defined]
    Pilot._wait_for_screen = _settled  # type: ignore[method-assign, assignment]
    Pilot.pause = _paused  # type: ignore[method-assign, assignment]
    Stylesheet._parse_rules = _parsed_once  # type: ignore[method-assign, assignment]
