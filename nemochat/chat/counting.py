"""Exact tokens of a prompt's segments, asked of the engine once."""

from __future__ import annotations

from collections.abc import Sequence

from nemochat.domain.segments import Segment
from nemochat.engine.protocol import Engine

_MOST_UNUSED = 4096
"""So many counts that no present prompt holds are kept: the prompts that one conversation has, now and after forgetting, take turns."""


class Counting:
    """Counts the segments of one prompt after the other; only what is not known from those before is asked of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[Segment, int] = {}

    async def __call__(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of each segment of a prompt. The first one is always asked, because a begin token counts with whatever comes first."""
        unknown = tuple(dict.fromkeys([segments[0], *(segment for segment in segments if segment not in self._known)]))
        known = self._known | dict(zip(unknown, await self._engine.count(unknown), strict=True))
        is_large = len(known) > 2 * len(segments) + _MOST_UNUSED
        self._known = {segment: known[segment] for segment in segments} if is_large else known
        return [known[segment] for segment in segments]
