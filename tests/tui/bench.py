"""The whole interface without a terminal: the real app on a bench whose engine is played (tests.chat.fake_engine)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from textual.pilot import Pilot

from nemochat.chat import ChatSession
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import LoadRequest
from nemochat.errors import ModelFileError
from nemochat.paths import Paths
from nemochat.settings import Settings
from nemochat.settings_file import write_setting
from nemochat.tui.app import NemochatApp
from nemochat.tui.screens.chat import ChatScreen
from nemochat.tui.workbench import ModelChoice
from tests.chat.fake_engine import FakeEngine


class Bench:
    """A `Workbench` on a temporary folder. `engines` by model name; a name that is missing cannot be loaded."""

    def __init__(self, folder: Path, engines: Mapping[str, FakeEngine], settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.locked: Mapping[str, str] = {}
        self.paths = Paths(folder / "config", folder / "data", folder / "log", folder / "cache")
        self.pictures = "halfblocks"
        self.demo_model = "demo"
        self.engines = engines
        self.first = next(iter(engines), "none")
        self.used: list[str] = []

    def take_notices(self) -> Sequence[str]:
        return ()

    def models(self) -> Sequence[ModelChoice]:
        return [ModelChoice(name, "a played engine") for name in self.engines]

    async def open(self, model: str | None) -> ChatSession:
        name = model or self.first
        if name not in self.engines:
            raise ModelFileError(f"There is no model {name}.", "Choose another one.")
        request = LoadRequest(name, f"{name}.gguf", None, self.settings.engine)
        return ChatSession(self.engines[name], request, Sampling(**msgspec.structs.asdict(self.settings.sampling)))

    def use_model(self, name: str) -> None:
        self.used.append(name)

    def change_setting(self, key: str, value: object) -> None:
        write_setting(self.paths.settings_file, key, value)
        group, _, name = key.partition(".")
        changed = msgspec.structs.replace(getattr(self.settings, group), **{name: value})
        self.settings = msgspec.structs.replace(self.settings, **{group: changed})


class Driver:
    """A running app, with the words that a test says again and again."""

    def __init__(self, app: NemochatApp, pilot: Pilot[None], bench: Bench) -> None:
        self.app, self.pilot, self.bench = app, pilot, bench

    @property
    def screen(self) -> ChatScreen:
        """The chat screen, whatever lies above it."""
        return self.app.chat_screen

    @property
    def said(self) -> list[str]:
        """The texts of the conversation."""
        return [entry.message.text for entry in self.screen.chat.entries]

    @property
    def notices(self) -> list[str]:
        """What the notices on the screen say, titles first."""
        return [f"{notice.title} {notice.message}".strip() for notice in self.app._notifications]

    @property
    def waiting(self) -> list[str]:
        """The queue."""
        return list(self.screen.prompt.queued)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Put text into the prompt at the cursor, as the keyboard would, but at once."""
        self.screen.prompt._area.insert(text)
        await self.pilot.pause()

    async def send(self, text: str) -> None:
        """Type, press Enter, and wait until nothing runs any more."""
        await self.type(text)
        await self.press("enter")
        await self.settle()

    async def until(self, holds: Callable[[], object]) -> None:
        """Let the app work until something holds; a failure when it never does."""
        for _ in range(400):
            if holds():
                return
            await self.pilot.pause()
            await asyncio.sleep(0.005)
        raise AssertionError("it never came true")

    async def settle(self) -> None:
        """Wait until no turn runs and everything is drawn."""
        await self.until(lambda: not self.screen.turns.is_running)
        await self.pilot.pause()
        await self.until(lambda: not any(worker.is_running for worker in self.screen.workers if worker.group in ("count", "prepare")))
        await self.pilot.pause()


@asynccontextmanager
async def running(
    folder: Path, *engines: FakeEngine, size: tuple[int, int] = (120, 40), settings: Settings | None = None, bench: Bench | None = None
) -> AsyncGenerator[Driver, None]:
    """The app on a bench with models "demo", "second" ..., its model loaded."""
    names = ("demo", "second", "third")
    bench = bench or Bench(folder, dict(zip(names, engines, strict=False)), settings)
    app = NemochatApp(bench)
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, pilot, bench)
        await driver.until(lambda: len(app.screen_stack) > 1)
        if bench.first in bench.engines:
            await driver.until(lambda: driver.screen.holder.is_loaded)
            await driver.settle()
        yield driver
