"""Exact tokens of a prompt's segments, asked of the engine once."""

from __future__ import annotations

from collections.abc import Sequence

from nemochat.domain.segments import Segment
from nemochat.engine.protocol import Engine


class Counting:
    """Counts the segments of one prompt after the other; only what the last one did not hold is asked of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[Segment, int] = {}

    async def __call__(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of each segment. The first one is always asked, because a begin token counts with whatever comes first."""
        unknown = tuple(dict.fromkeys([segments[0], *(segment for segment in segments if segment not in self._known)]))
        known = self._known | dict(zip(unknown, await self._engine.count(unknown), strict=True))
        self._known = {segment: known[segment] for segment in segments}
        return [known[segment] for segment in segments]
