"""How much is evaluated at a time when something more urgent may come: pieces of about half a second, where that is enough to be quick."""

from __future__ import annotations

_WANTED_SECONDS = 0.5
_LEAST = 32
"""Fewer tokens at a time take markedly longer each: 8 together are read at half the rate of 32 (Q4_0 of the full shape, two cores)."""


class Stride:
    """The size of the next piece, from how long those before took. A power of two."""

    def __init__(self, most: int) -> None:
        """`most`: the largest piece, in tokens."""
        self._most = most
        self._tokens = _LEAST

    @property
    def tokens(self) -> int:
        """The size of the next piece."""
        return min(self._tokens, self._most)

    def took(self, tokens: int, seconds: float) -> None:
        """A piece of `tokens` took so long. Short pieces tell nothing of long ones."""
        if tokens < self.tokens:
            return
        if seconds > 2 * _WANTED_SECONDS and self._tokens > _LEAST:
            self._tokens //= 2
        elif seconds < _WANTED_SECONDS / 2 and self._tokens < self._most:
            self._tokens *= 2
