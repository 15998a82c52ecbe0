"""What the KV cache holds, as far as the engine has told: which part of the next prompt need not be read any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nemochat.domain.segments import Plain, Segment
from nemochat.engine.protocol import Place, Prepared


class _Evaluated(msgspec.Struct, frozen=True):
    """A prompt, of which the first `tokens` are there; None for all of it."""

    segments: tuple[Segment, ...]
    tokens: int | None = None


class Held:
    """The prompts that were evaluated, by their place."""

    def __init__(self) -> None:
        self._places: dict[Place, _Evaluated] = {}

    def prepared(self, place: Place, segments: tuple[Segment, ...], done: Prepared, expected: int) -> None:
        """A prompt was evaluated ahead, in whole or in part; `expected` of its tokens were thought to be there.

        The engine keeps as many prompts as it has room for. Where less was there than thought, it has dropped some, and nobody knows which.
        """
        tokens = done.reused_tokens + done.evaluated_tokens
        if not tokens:
            return  # it was ended before it began
        was_right = done.reused_tokens + 1 >= expected  # the last token is always evaluated
        self._places = {**(self._places if was_right else {}), place: _Evaluated(segments, tokens)}

    def replied(self, conversation: str, prompt: tuple[Segment, ...], text: str) -> None:
        """A reply was made; it went on from the place that began most like its prompt, which is the present one now."""
        present, following = Place(conversation), Place(conversation, is_next=True)
        now, then = self._places.get(present), self._places.get(following)
        if then is not None and (now is None or _same(prompt, then.segments) > _same(prompt, now.segments)):
            del self._places[following]
        self._places[present] = _Evaluated((*prompt, Plain(text.strip())))

    def forget(self, conversation: str) -> None:
        """A conversation is held no more."""
        self._places = {place: held for place, held in self._places.items() if place.conversation != conversation}

    def clear(self) -> None:
        """Nothing is held any more: the engine's process has ended."""
        self._places = {}

    def common(self, prompt: Sequence[Segment], tokens: Mapping[Segment, int]) -> int:
        """Tokens of the longest beginning of `prompt` that is held. The engine compares token by token and may find a few more."""
        return max((_common(prompt, held, tokens) for held in self._places.values()), default=0)


def _same(prompt: Sequence[Segment], held: Sequence[Segment]) -> int:
    """How many segments both begin with."""
    pairs = enumerate(zip(prompt, held, strict=False))
    return next((index for index, (mine, theirs) in pairs if mine != theirs), min(len(prompt), len(held)))


def _common(prompt: Sequence[Segment], held: _Evaluated, tokens: Mapping[Segment, int]) -> int:
    same = _same(prompt, held.segments)
    total = sum(tokens[segment] for segment in prompt[:same])
    if held.tokens is None:
        return total
    if same == len(held.segments) - 1 and same < len(prompt):
        mine, theirs = prompt[same], held.segments[same]
        if isinstance(mine, Plain) and isinstance(theirs, Plain) and mine.text.startswith(theirs.text):
            return min(max(total, held.tokens), total + tokens[mine])  # text that is being typed, and has grown since
    return min(total, held.tokens)
