"""An engine in this process that plays given events: for tests of the loop alone.

Counts one token per character, five per picture, and a begin token with the first segment, as an engine does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine.protocol import Capabilities, GenerateRequest, LoadRequest, ModelInfo, Prepared
from nemochat.errors import NemochatError

IMAGE_COST = 5


def reply(*pieces: str, reason: FinishReason = FinishReason.STOP) -> list[EngineEvent]:
    """The events of a reply in these pieces."""
    return [
        Progress(Stage.PREFILL, 3, 7),
        *(TextDelta(piece) for piece in pieces),
        Finished(reason, Usage(prompt_tokens=7, evaluated_tokens=7), Timings(prefill_ms=0.01)),
    ]


class FakeEngine:
    """`replies` are played in order; an exception among the events is raised. `gate`, when set, is waited for before each text."""

    def __init__(self, *replies: Sequence[EngineEvent | Exception], context_length: int = 4096, has_vision: bool = True) -> None:
        self.replies = list(replies)
        self.requests: list[GenerateRequest] = []
        self.prepared: list[tuple[Segment, ...]] = []
        self.counted: list[Segment] = []
        self.images: list[RgbImage] = []
        self.load_errors: list[NemochatError] = []
        self.load_seconds = 0.0
        self.loads = 0
        self.gate: asyncio.Semaphore | None = None
        self.closed_streams = 0
        self.is_closed = False
        self._info = ModelInfo("fake", context_length, has_vision, 256, 1.0)
        self._is_loaded = False

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

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

    async def count(self, segments: Sequence[Segment]) -> list[int]:
        self.counted += segments
        counts = [IMAGE_COST if isinstance(segment, ImageSlot) else len(segment.text) for segment in segments]
        return [counts[0] + 1, *counts[1:]]

    async def prepare(self, segments: Sequence[Segment], on_progress: Callable[[Progress], None] | None = None) -> Prepared:
        self.prepared.append(tuple(segments))
        return Prepared(0, sum(await self.count(segments)), 0, 0.01)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        self.requests.append(request)
        try:
            for event in self.replies.pop(0):
                if isinstance(event, Exception):
                    raise event
                if self.gate and isinstance(event, TextDelta):
                    await self.gate.acquire()
                yield event
        finally:
            self.closed_streams += 1

    async def cancel(self) -> None:
        return

    async def close(self) -> None:
        self.is_closed = True
