"""Summaries of what was said first: each stands in the prompt in place of the messages that it tells of. Pure values."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

MOST = 8
"""Summaries that a conversation keeps: the earlier ones hold again when what the newest one tells of was changed."""
LONGEST = 20_000
"""Characters of a summary, and of what is remembered."""


class Summary(msgspec.Struct, frozen=True):
    """What was said in the first messages of a path, in few words.

    covers: the ids of these messages, in order, without those that the user had taken out; it holds wherever the path begins so. tokens:
    what they took in the prompt. is_on: the model reads it, and not the messages.
    """

    text: str
    covers: tuple[int, ...]
    tokens: int = 0
    is_on: bool = True

    def begins(self, ids: Sequence[int]) -> bool:
        """Whether a path whose messages have these ids begins with what it tells of."""
        return 0 < len(self.covers) <= len(ids) and tuple(ids[: len(self.covers)]) == self.covers


def holding(summaries: Sequence[Summary], ids: Sequence[int]) -> Summary | None:
    """The one that tells of the most of this path, of which something is left behind it; None when there is none."""
    hold = [each for each in summaries if len(each.covers) < len(ids) and each.begins(ids)]
    return max(hold, key=lambda each: len(each.covers), default=None)
