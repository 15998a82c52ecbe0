"""An engine in this process that plays given events: for tests of the loop alone.

Counts one token per character, five per picture, and a begin token with the first segment, as an engine does.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine.protocol import UNNAMED, Asked, Capabilities, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.errors import NemochatError

IMAGE_COST = 5


def reply(*pieces: str, reason: FinishReason = FinishReason.STOP, call_chance: float | None = None) -> list[EngineEvent]:
    """The events of a reply in these pieces, before which a call was so likely."""
    return [
        Progress(Stage.PREFILL, 3, 7),
        *(TextDelta(piece) for piece in pieces),
        Finished(reason, Usage(prompt_tokens=7, evaluated_tokens=7), Timings(prefill_ms=0.01), call_chance),
    ]


class FakeEngine:
    """`replies` are played in order; an exception among the events is raised. `gate`, when set, is waited for before each text.

    held: every prompt that was evaluated, none of which is dropped by itself. prepared and places: what was asked to be evaluated ahead,
    and where. interruptions: tokens at which a `prepare` is ended early, one each; `prepare_gate`, when set, is waited for before one ends,
    which any other request ends early. count_seconds: how long a count takes. is_deaf: it does not hear that it is cancelled.
    """

    def __init__(self, *replies: Sequence[EngineEvent | Exception], context_length: int = 4096, has_vision: bool = True) -> None:
        self.replies = list(replies)
        self.requests: list[GenerateRequest] = []
        self.held: list[tuple[Segment, ...]] = []
        self.prepared: list[tuple[Segment, ...]] = []
        self.places: list[Place] = []
        self.forgotten: list[str] = []
        self.interruptions: list[int] = []
        self.prepare_errors: list[NemochatError] = []
        self.prepare_gate: asyncio.Semaphore | None = None
        self.counted: list[Segment] = []
        self.images: list[RgbImage] = []
        self.find_image: Callable[[str], RgbImage | None] = lambda digest: None
        self.load_errors: list[NemochatError] = []
        self.load_seconds = 0.0
        self.loads = 0
        self._interrupted: asyncio.Future[bool] | None = None
        self.gate: asyncio.Semaphore | None = None
        self.count_seconds = 0.0
        self.cancels = 0
        self.is_deaf = False
        self._cancelled: asyncio.Event | None = None
        self.closed_streams = 0
        self.is_closed = False
        self._info = ModelInfo("fake", context_length, has_vision, 256, 1.0)
        self._is_loaded = False
        self.capabilities = Capabilities()

    @property
    def info(self) -> ModelInfo | None:
        return self._info if self._is_loaded else None

    async def load(self, request: LoadRequest, on_progress: Callable[[Progress], None] | None = None) -> ModelInfo:
        self.loads += 1
        if on_progress:
            on_progress(Progress(Stage.LOAD, 500, 1000))
        await asyncio.sleep(self.load_seconds)
        if self.load_errors:
            raise self.load_errors.pop(0)
        self._is_loaded = True
        return self._info

    async def add_image(self, image: RgbImage) -> int:
        self.images.append(image)
        return IMAGE_COST

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        self._interrupt()
        await asyncio.sleep(self.count_seconds)
        self.counted += segments
        counts = self.costs(segments)
        return [counts[0] + 1, *counts[1:]]

    async def prepare(
        self,
        segments: Sequence[Segment],
        on_progress: Callable[[Progress], None] | None = None,
        *,
        place: Place = UNNAMED,
        asked: Asked | None = None,
    ) -> Prepared:
        self._interrupt()
        self.prepared.append(tuple(segments))
        self.places.append(place)
        if self.prepare_errors:
            raise self.prepare_errors.pop(0)
        reused = max((self._reused(segments, held) for held in self.held), default=0)
        evaluated = sum(self.costs(segments)) + 1 - reused
        if self.interruptions:
            # Another request came in between: this much was evaluated until then.
            return Prepared(reused, self.interruptions.pop(0), 0, 0.01, is_complete=False)
        if self.prepare_gate is not None and not await self._let_through(self.prepare_gate):
            return Prepared(reused, 1, 0, 0.01, is_complete=False)
        self.held.append(tuple(segments))
        if on_progress is not None:
            on_progress(Progress(Stage.PREFILL, evaluated, evaluated))
        return Prepared(reused, evaluated, 0, 0.01)

    def costs(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens, without a begin token."""
        return [IMAGE_COST if isinstance(segment, ImageSlot) else len(segment.text) for segment in segments]

    def _reused(self, segments: Sequence[Segment], held: Sequence[Segment]) -> int:
        same = [mine for mine, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(segments, held, strict=False))]
        return sum(self.costs(same)) + 1 if same else 0

    async def _let_through(self, gate: asyncio.Semaphore) -> bool:
        """Whether the gate opened before another request came."""
        self._interrupted = asyncio.get_running_loop().create_future()
        opening: asyncio.Future[bool] = asyncio.ensure_future(gate.acquire())
        done, _ = await asyncio.wait({opening, self._interrupted}, return_when=asyncio.FIRST_COMPLETED)
        opening.cancel()
        self._interrupted = None
        return opening in done

    def _interrupt(self) -> None:
        if self._interrupted is not None and not self._interrupted.done():
            self._interrupted.set_result(True)

    async def forget(self, conversation: str) -> None:
        self.forgotten.append(conversation)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        self._interrupt()
        self.requests.append(request)
        self.held.append(request.segments)
        cancelled = self._cancelled = asyncio.Event()
        try:
            for event in self.replies.pop(0):
                if isinstance(event, Exception):
                    raise event
                if self.gate and isinstance(event, TextDelta):
                    await self._first_of(self.gate.acquire(), cancelled.wait())
                if cancelled.is_set():
                    yield Finished(FinishReason.CANCELLED, Usage(prompt_tokens=7, evaluated_tokens=7), Timings(prefill_ms=0.01))
                    return
                yield event
        finally:
            self._cancelled = None
            self.closed_streams += 1

    async def cancel(self) -> None:
        self.cancels += 1
        if self._cancelled is not None and not self.is_deaf:
            self._cancelled.set()

    async def _first_of(self, *waits: Coroutine[Any, Any, object]) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        self.is_closed = True
