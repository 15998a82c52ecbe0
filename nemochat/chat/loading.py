"""The loading of a session's model: begun early, waited for by whoever needs it, tried again after a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import msgspec

from nemochat.chat import formats
from nemochat.domain.events import Progress, Stage, Timings
from nemochat.engine.protocol import Engine, LoadRequest, ModelInfo
from nemochat.errors import NemochatError
from nemochat.prompt.format import ChatFormat
from nemochat.prompt.nemotron import NemotronFormat

_REPORT_SECONDS = 0.1


class Loading:
    """Loads one model into one engine. loaded_at: when it was there (time.perf_counter). format: how it is spoken to, once it is there.

    beside: the loading of the same model into another engine, whose format is taken; it closes that, and later than this one.
    """

    def __init__(self, engine: Engine, request: LoadRequest) -> None:
        self._engine = engine
        self._request = request
        self._task: asyncio.Task[ModelInfo] | None = None
        self._progress = Progress(Stage.LOAD, 0, 1000)
        self.loaded: ModelInfo | None = None
        self.loaded_at = 0.0
        self.format: ChatFormat = NemotronFormat()
        self.beside: Loading | None = None

    def start(self) -> asyncio.Task[ModelInfo]:
        """Begin, unless that was done; a failure is reported by the first call that needs the model."""
        if self._task is None:
            self._task = asyncio.create_task(self._load())
        return self._task

    async def model(self) -> ModelInfo:
        """The loaded model, waiting for it where needed. After a failure the next call tries again. Raises NemochatError."""
        task = self.start()
        try:
            return await asyncio.shield(task)
        except NemochatError:
            self._task = None
            raise

    async def reports(self, is_stopped: Callable[[], bool] = lambda: False) -> AsyncGenerator[Progress, None]:
        """Progress while it lasts."""
        task = self.start()
        shown: Progress | None = None
        while not task.done() and not is_stopped():
            await asyncio.wait({task}, timeout=_REPORT_SECONDS)
            if self._progress != shown and not task.done():
                shown = self._progress
                yield shown

    def seen(self) -> None:
        """A turn begins: when the engine has died and loaded the model again before, that was no wait of this turn."""
        if self.loaded is not None:
            self.loaded = self._engine.info

    def as_waited(self, timings: Timings, asked_at: float, first_text_at: float | None) -> Timings:
        """The engine's timings with those that only the asking side knows, so that the parts add up to the TTFT."""
        load_ms = timings.load_ms + max(0.0, (self.loaded_at - asked_at) * 1000)
        if self._engine.info is not None and self._engine.info is not self.loaded:
            # The engine had died and loaded the model again within this turn.
            self.loaded = self._engine.info
            load_ms += self.loaded.load_ms
        if first_text_at is None:
            return msgspec.structs.replace(timings, load_ms=load_ms, first_token_ms=0.0)
        rest = (first_text_at - asked_at) * 1000 - load_ms - timings.encode_ms - timings.prefill_ms
        return msgspec.structs.replace(timings, load_ms=load_ms, first_token_ms=max(0.0, rest))

    async def close(self) -> None:
        """End it, also in the middle."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.beside is None:
            await self.format.close()

    async def _load(self) -> ModelInfo:
        info = await self._engine.load(self._request, self._note)
        if self.beside is not None:
            await self.beside.model()
            self.format = self.beside.format
        else:
            self.format = await formats.choose(info, self._request.format)
        self.loaded, self.loaded_at = info, time.perf_counter()
        return info

    def _note(self, progress: Progress) -> None:
        self._progress = progress
