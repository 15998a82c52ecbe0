"""Tokens of a prompt's segments. What is exact is asked of the engine once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine.protocol import Asked, Engine

_MOST_UNUSED = 4096
"""So many counts that no present prompt holds are kept: the prompts that one conversation has, now and after forgetting, take turns."""

_Place = tuple[Segment, Segment, bool]
"""What stands before a segment, the segment, and whether there is a picture in the prompt."""


class Counting:
    """Counts the segments of one prompt after the other; only what is not known from those before is asked of the engine.

    What stands before a segment belongs to what is known: with some vocabularies a text has one token more behind a special token. So does
    whether there is a picture in the prompt: a server may be given such a one in another way.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[_Place, int] = {}

    async def __call__(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        """Tokens of each segment of a prompt. The first one is always asked, because a begin token counts with whatever comes first.

        asked: what was laid out. An engine that lays it out by itself is asked for the whole: a segment is worth nothing to it.
        """
        if asked is not None and self._engine.info is not None and self._engine.info.takes_messages:
            return await self._engine.count(segments, asked)
        picture = next((segment for segment in segments if isinstance(segment, ImageSlot)), None)
        places = [(before, segment, picture is not None) for before, segment in pairwise(segments)]
        unknown = tuple(dict.fromkeys(place for place in places if place not in self._known))
        begins = (segments[0],) if picture is None else (segments[0], picture)
        counts = await self._engine.count((*begins, *chain.from_iterable(place[:2] for place in unknown)))
        known = self._known | dict(zip(unknown, counts[len(begins) + 1 :: 2], strict=True))
        is_large = len(known) > 2 * len(segments) + _MOST_UNUSED
        self._known = {place: known[place] for place in places} if is_large else known
        return [counts[0], *(known[place] for place in places)]
