"""What the tests of the interface wait for (tests/idle.py) is what the program does, not what the clock on the wall says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Label

from tests.idle import until_idle


def _chain(calls: int, then: Callable[[Callable[[], None]], object]) -> list[int]:
    """Calls of which each asks for the next one by `then`; the list says which have been made."""
    made: list[int] = []

    def call() -> None:
        made.append(len(made))
        if len(made) < calls:
            then(call)

    then(call)
    return made


async def test_a_process_that_got_no_processor_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when work that others hold up for seconds is left alone: a test then looks at a screen that is not drawn yet."""
    loop, held_up = asyncio.get_running_loop(), [0.0]
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + held_up[0])

    def soon(call: Callable[[], None]) -> None:
        held_up[0] += 5
        loop.call_soon(call)

    made = _chain(10, soon)
    await until_idle()
    assert len(made) == 10


async def test_what_a_frame_asks_of_the_next_one_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    made = _chain(4, lambda call: loop.call_later(1 / 60, call))
    await until_idle()
    assert len(made) == 4


async def test_what_goes_on_for_ever_is_not_waited_for_for_ever() -> None:
    for step in (0.0, 0.01):
        task = asyncio.create_task(_going_on(step))
        await until_idle(max_sleep=0.1)
        assert not task.done()
        task.cancel()


async def _going_on(step: float) -> None:
    while True:
        await asyncio.sleep(step)


async def test_a_thread_is_waited_for_unless_it_is_held() -> None:
    loop, held, done = asyncio.get_running_loop(), threading.Event(), threading.Event()

    def work() -> None:
        time.sleep(0.05)
        done.set()

    loop.run_in_executor(None, work)
    await until_idle()
    assert done.is_set()
    waits = loop.run_in_executor(None, held.wait)
    await until_idle(max_sleep=0.05)
    assert not waits.done()
    held.set()
    await until_idle()
    assert waits.done()


class Nested(Vertical):
    """Mounts one of its kind in itself, and so on."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def compose(self) -> ComposeResult:
        yield Nested(self.depth - 1) if self.depth else Label("innermost")


class Nest(App[None]):
    CSS = "* { height: auto; }"

    def compose(self) -> ComposeResult:
        yield Nested(6)
        yield Input()

    def focus_after(self, frames: int) -> None:
        """Give the focus away, so many frames later."""
        self.refresh()
        self.call_after_refresh(*((self.focus_after, frames - 1) if frames else (self.query_one(Input).focus,)))


async def test_children_of_children_are_there_when_the_app_is() -> None:
    """Fails when `run_test` and `pause` wait for the widgets alone that were there when they began."""
    app = Nest()
    async with app.run_test() as pilot:
        assert app.query_one(Label).region.area
        await app.mount(Nested(6))
        await pilot.pause()
        assert len(app.query(Label)) == 2
        assert app.query(Label).last().region.area


async def test_a_pause_waits_for_what_its_own_frame_sets_off() -> None:
    app = Nest()
    async with app.run_test() as pilot:
        app.set_focus(None)
        app.focus_after(0)
        await pilot.pause()
        assert isinstance(app.focused, Input)
