"""The real app, held still: a clock that ticks once a question, no blinking, notices that stay. For pictures that are equal every time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from textual.notifications import SeverityLevel
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from nemochat.chat.warming import WarmAhead
from nemochat.desk.reading import Reading
from nemochat.desk.turns import Turn
from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine.protocol import Asked
from nemochat.settings import Settings
from nemochat.tui.app import NemochatApp
from tests.chat.fake_engine import FakeEngine
from tests.tui.bench import Bench, Driver

_TICK_SECONDS = 0.052
_PICTURE_TOKENS = 256
_NOW = 1_772_000_000.0
"""The 25th of February 2026."""

Steps = Callable[[Driver], Awaitable[None]]
Events = Sequence[EngineEvent | Exception]


@dataclass(frozen=True)
class State:
    """How the interface gets into a state, and with which engine.

    gated: every text waits until `engine.gate` lets it through. first: the model that is opened. sizes: of the screen; one alone where the
    other shows nothing new.
    """

    steps: Steps
    replies: Sequence[Events] = ()
    settings: Settings = field(default_factory=Settings)
    context_length: int = 4096
    gated: bool = False
    first: str = "demo"
    sizes: Sequence[tuple[int, int]] = ((80, 24), (120, 40))


class QuarterEngine(FakeEngine):
    """Counts like a real model: a token for four characters, several hundred for a picture; and it has the name that it was opened by."""

    def __init__(self, *replies: Events, context_length: int = 4096) -> None:
        super().__init__(*replies, context_length=context_length)
        self._info = msgspec.structs.replace(self._info, name="demo")

    async def add_image(self, image: object) -> int:
        self.images.append(image)  # type: ignore[arg-type]
        return _PICTURE_TOKENS

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        await super().count(segments, asked)
        return self.costs(segments)

    def costs(self, segments: Sequence[Segment]) -> list[int]:
        return [_PICTURE_TOKENS if isinstance(segment, ImageSlot) else max(1, len(segment.text) // 4) for segment in segments]


class StillApp(NemochatApp):
    """Does not move by itself."""

    # A relative path would be looked for beside this file.
    CSS_PATH = str(files("nemochat.tui") / "app.tcss")

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        super().notify(message, title=title, severity=severity, timeout=3600, markup=markup)


def reply(text: str, *, pieces: int = 2, read: int = 320, reused: int = 640, pictures: int = 0) -> list[EngineEvent]:
    """A reply in so many pieces, with figures as an engine gives them."""
    size = -(-len(text) // pieces)
    usage = Usage(read + reused, _PICTURE_TOKENS * pictures, reused, read, len(text) // 4, pictures)
    return [
        Progress(Stage.PREFILL, read * 13 // 40, read),
        *(TextDelta(text[start : start + size]) for start in range(0, len(text), size)),
        Finished(FinishReason.STOP, usage, Timings(0.0, 84.0 * pictures, 38.0, len(text) * 2.5, 6.0)),
    ]


def still_app(monkeypatch: pytest.MonkeyPatch, folder: Path, state: State) -> StillApp:
    """The app on a bench that plays `state`."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    ticks = itertools.count(1)

    def clock() -> float:
        return next(ticks) * _TICK_SECONDS

    def turn(*args: object, **options: object) -> Turn:
        return Turn(*args, **{"asked_at": clock(), **options})  # type: ignore[arg-type]

    count = Reading.count
    for module in ("session", "turn", "loading"):
        monkeypatch.setattr(f"nemochat.chat.{module}.time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr("nemochat.desk.sending.Turn", turn)
    # What is typed here comes all at once, so there is no pause in the typing to wait for.
    monkeypatch.setattr(Reading, "count", lambda reading, delay=0.0: count(reading, 0.0))
    # How much of a draft is read ahead before it is sent hangs on how quickly it is typed here.
    monkeypatch.setattr(WarmAhead, "draft_changed", lambda ahead, draft: setattr(ahead, "_draft", draft))
    engines = {"demo": QuarterEngine(*state.replies, context_length=state.context_length), "second": QuarterEngine()}
    monkeypatch.setattr("nemochat.tui.chat.presenter.time", SimpleNamespace(time=lambda: _NOW))
    bench = Bench(folder, engines, state.settings, lambda: _NOW)
    bench.first = state.first
    app = StillApp(bench)
    app.animation_level = "none"
    return app


def bring_into(state: State) -> Callable[[Pilot[None]], Awaitable[None]]:
    """What the snapshot runs before it looks: the state's steps, and then waiting until nothing moves."""

    async def run(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, StillApp)
        assert isinstance(app.bench, Bench)
        driver = Driver(app, pilot, app.bench)
        await driver.until(lambda: len(app.screen_stack) > 1)
        if state.first in app.bench.engines:
            await driver.until(lambda: driver.screen.desk.model.is_loaded)
            await driver.settle()
        if state.gated:
            app.bench.engines["demo"].gate = asyncio.Semaphore(0)
        await state.steps(driver)
        await rest(driver)

    return run


async def rest(driver: Driver) -> None:
    """Wait until the counting and all drawing are done, and stop the cursors."""
    for _ in range(3):
        await driver.pilot.pause()
        await driver.until(lambda: not driver.desk.reading.is_at_work)
    for screen in driver.app.screen_stack:
        for widget in screen.query(TextArea).results(TextArea):
            widget.cursor_blink = False
        for entry in screen.query(Input).results(Input):
            entry.cursor_blink = False
    await driver.pilot.pause()
    for screen in driver.app.screen_stack:
        for widget in screen.query(TextArea).results(TextArea):
            # A blink may have been under way: the line is drawn anew only at the next one, and the one that was drawn without the cursor
            # is kept as the one that a cursor without blinking has.
            widget._pause_blink(visible=widget.has_focus)
            widget._line_cache.clear()
            widget.refresh()
    await driver.pilot.pause()
