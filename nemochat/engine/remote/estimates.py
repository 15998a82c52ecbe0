"""What a prompt will cost on a server that does not count it: guessed from its letters at first, then learnt from what others have cost."""

from __future__ import annotations

from collections.abc import Sequence

from nemochat.domain.segments import ImageSlot, Segment

_LETTERS_A_TOKEN = 4.0
"""Of the Latin script and code."""
_TOKENS_A_SIGN = 0.7
"""Of all others: most have about as many tokens as letters, some half."""
_PIXELS_A_TOKEN = 28 * 28
_GUESSED = (64, 2048)
"""Tokens that a picture is guessed to take at least and at most, before one was seen."""
_LIKELY = (0.2, 5.0)
"""How far from the guess what is learnt may be; a server that says something else does not count what we count."""


class Estimates:
    """Tokens of texts and pictures, by what one server says of its prompts. is_learnt: it has said something."""

    def __init__(self) -> None:
        self.is_learnt = False
        self._factor = 1.0
        self._areas: dict[str, int] = {}
        self._pictures: dict[str, int] = {}
        self._pixels_a_token = 0.0

    def saw(self, digest: str, area: int) -> None:
        """A picture, and how many pixels the server gets of it."""
        self._areas[digest] = area

    def picture(self, digest: str) -> int:
        """Tokens of a picture."""
        if digest in self._pictures:
            return self._pictures[digest]
        area = self._areas.get(digest, 0)
        if self._pixels_a_token:
            return max(1, round(area / self._pixels_a_token))
        return min(max(_GUESSED[0], area // _PIXELS_A_TOKEN), _GUESSED[1])

    def of(self, segments: Sequence[Segment], total: int | None = None) -> list[int]:
        """Tokens of each segment. total: of all of them without the pictures, where the server has counted that."""
        texts = iter(spread([letters(segment.text) for segment in segments if not isinstance(segment, ImageSlot)], total, self._factor))
        return [self.picture(segment.digest) if isinstance(segment, ImageSlot) else next(texts) for segment in segments]

    def learn(self, segments: Sequence[Segment], tokens: int, text_tokens: int | None = None) -> None:
        """A prompt has cost so many tokens. text_tokens: of them, for what is no picture, where that is known."""
        weight = sum(letters(segment.text) for segment in segments if not isinstance(segment, ImageSlot))
        shown = [segment.digest for segment in segments if isinstance(segment, ImageSlot)]
        new = [digest for digest in shown if digest not in self._pictures]
        known = sum(self._pictures[digest] for digest in shown if digest in self._pictures)
        if new:
            text = round(weight * self._factor) if text_tokens is None else text_tokens
            self._learn_pictures(new, tokens - text - known)
        elif weight > 0 and text_tokens is None and _LIKELY[0] <= (tokens - known) / weight <= _LIKELY[1]:
            self._factor = (tokens - known) / weight
            self.is_learnt = True

    def _learn_pictures(self, new: Sequence[str], tokens: int) -> None:
        """What these pictures have cost together, each by its share of their pixels."""
        area = sum(self._areas.get(digest, 1) for digest in new)
        if tokens < len(new):
            return
        self._pixels_a_token = area / tokens
        self.is_learnt = True
        for digest, cost in zip(new, spread([float(self._areas.get(digest, 1)) for digest in new], tokens), strict=True):
            self._pictures[digest] = cost


def letters(text: str) -> float:
    """Tokens that a text has most likely."""
    latin = len(text.encode("ascii", "ignore"))
    return latin / _LETTERS_A_TOKEN + (len(text) - latin) * _TOKENS_A_SIGN


def spread(weights: Sequence[float], total: int | None, factor: float = 1.0) -> list[int]:
    """Whole numbers in the proportion of the weights that add up to `total`, or to `factor` of all of them, as near as can be."""
    whole = sum(weights)
    by = factor if total is None else total / whole if whole > 0 else 0.0
    parts: list[int] = []
    before, exact = 0, 0.0
    for weight in weights:
        exact += weight * by
        parts.append(round(exact) - before)
        before += parts[-1]
    return parts
