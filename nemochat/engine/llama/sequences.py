"""The sequences that share the KV cache: whose they are, which one serves a prompt, and which one has to go when room is short."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from nemochat.engine.llama.ledger import Cell, Ledger, reusable
from nemochat.engine.protocol import Place


class KvSequence:
    """One sequence: `number` is llama.cpp's name for it. is_kept: what it holds is on the disk as well."""

    def __init__(self, number: int, place: Place) -> None:
        self.number = number
        self.place = place
        self.ledger = Ledger()
        self.is_kept = False
        self.used = 0

    def reused(self, wanted: Sequence[Cell]) -> int:
        """How many of the first cells of a prompt it holds."""
        return reusable(self.ledger.cells, wanted, with_logits=False)


class Sequences:
    """At most one sequence for each place. Pure bookkeeping: whoever drops or forks one does the same in the cache."""

    def __init__(self, most: int) -> None:
        """`most`: how many the cache tells apart."""
        self._most = most
        self._all: list[KvSequence] = []
        self._clock = itertools.count(1)

    def __iter__(self) -> Iterator[KvSequence]:
        return iter(self._all)

    @property
    def is_full(self) -> bool:
        """Whether the cache tells no further one apart."""
        return len(self._all) == self._most

    def at(self, place: Place) -> KvSequence | None:
        """The sequence of a place."""
        return next((each for each in self._all if each.place == place), None)

    def best(self, wanted: Sequence[Cell]) -> KvSequence | None:
        """The one that holds most of the beginning of a prompt; None when none holds any of it."""
        held = max(self._all, key=lambda each: each.reused(wanted), default=None)
        return held if held is not None and held.reused(wanted) else None

    def of(self, conversation: str) -> list[KvSequence]:
        """Those of a conversation."""
        return [each for each in self._all if each.place.conversation == conversation]

    def add(self, place: Place) -> KvSequence:
        """A new, empty one. There must be room for it."""
        taken = {each.number for each in self._all}
        sequence = KvSequence(next(number for number in range(self._most) if number not in taken), place)
        self._all.append(sequence)
        return sequence

    def remove(self, sequence: KvSequence) -> None:
        """It is gone."""
        self._all.remove(sequence)

    def touch(self, sequence: KvSequence) -> None:
        """It was used just now."""
        sequence.used = next(self._clock)
