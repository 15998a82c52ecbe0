"""What the sequences of the KV cache hold, how much of it a new prompt can use, which one serves it, and which one has to go.

Pure: the cache itself is llama.cpp's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from nemochat.engine.protocol import Place


class ImageSpan(msgspec.Struct, frozen=True):
    """An encoded picture, or the `index`-th tile of one that the projector splits.

    tokens: KV cells that it fills. positions: how far the position of the next token moves on, fewer than tokens with M-RoPE.
    """

    digest: str
    index: int
    tokens: int
    positions: int


_TELLING = 16
"""Cells in a row that have to agree to be taken for the same place of a conversation."""

Cell = int | ImageSpan
"""A text token's id, or a picture."""


def tokens_of(cells: Sequence[Cell]) -> int:
    """KV cells that a sequence fills."""
    return sum(1 if isinstance(cell, int) else cell.tokens for cell in cells)


def positions_of(cells: Sequence[Cell]) -> int:
    """Positions that a sequence spans, counted from 0."""
    return sum(1 if isinstance(cell, int) else cell.positions for cell in cells)


def image_tokens_of(cells: Sequence[Cell]) -> int:
    """KV cells that pictures fill."""
    return sum(cell.tokens for cell in cells if not isinstance(cell, int))


def reusable(held: Sequence[Cell], wanted: Sequence[Cell], *, with_logits: bool) -> int:
    """How many of the first cells of `wanted` need no evaluation: the longest common prefix.

    `with_logits`: at least the last cell is evaluated again, because the distribution of the next token comes from there.
    """
    limit = len(wanted) - 1 if with_logits else len(wanted)
    count = 0
    for have, want in zip(held, wanted[: max(limit, 0)], strict=False):
        if have != want:
            break
        count += 1
    return count


def is_lone(wanted: Sequence[Cell], kept: int) -> bool:
    """Whether what is to be evaluated behind the first `kept` cells begins with a single token, and one before it could go with it.

    A token that is evaluated alone takes other kernels than two or more, and with some weights (F16) gives slightly other numbers: with
    two at least, a prompt gives the same in whatever pieces it is evaluated.
    """
    alone = isinstance(wanted[kept], int) and (kept + 1 == len(wanted) or not isinstance(wanted[kept + 1], int))
    return alone and kept > 0 and isinstance(wanted[kept - 1], int)


def removed(held: Sequence[Cell], wanted: Sequence[Cell], kept: int) -> int | None:
    """Where `held` goes on as `wanted` does behind their common first `kept` cells: the end of what was taken out of the middle.

    None where nothing was taken out, or so little follows that it may be chance.
    """
    beginning = list(wanted[kept : kept + _TELLING])
    if len(beginning) < _TELLING:
        return None
    for at in range(kept + 1, len(held) - _TELLING + 1):
        if held[at] == beginning[0] and list(held[at : at + _TELLING]) == beginning:
            return at
    return None


class Ledger:
    """The cells of a sequence in order. Kept equal to the cache by whoever evaluates: written only after llama.cpp has succeeded.

    The last thing in it may be a picture of which only the first tokens are held, which is no cell yet.
    """

    def __init__(self) -> None:
        self._cells: list[Cell] = []
        self._position = 0
        self._tokens = 0
        self._begun: ImageSpan | None = None
        self._begun_tokens = 0

    @property
    def cells(self) -> Sequence[Cell]:
        """What is held, oldest first."""
        return self._cells

    @property
    def position(self) -> int:
        """The position behind the last cell, or within the picture that is begun."""
        return self._position + self._begun_tokens

    @property
    def tokens(self) -> int:
        """KV cells in use."""
        return self._tokens + self._begun_tokens

    def begun(self, cell: Cell) -> int:
        """How many tokens of `cell` are held behind the last cell."""
        return self._begun_tokens if cell == self._begun else 0

    def append(self, cell: Cell) -> None:
        """One more cell was evaluated; a picture that was begun was that cell."""
        self._begun, self._begun_tokens = None, 0
        self._cells.append(cell)
        self._position += 1 if isinstance(cell, int) else cell.positions
        self._tokens += 1 if isinstance(cell, int) else cell.tokens

    def extend(self, cells: Sequence[Cell]) -> None:
        """More cells were evaluated."""
        for cell in cells:
            self.append(cell)

    def begin(self, picture: ImageSpan, tokens: int) -> None:
        """The first `tokens` of a picture were evaluated, one position each."""
        self._begun, self._begun_tokens = picture, tokens

    def drop(self, count: int) -> None:
        """The last `count` cells, which are tokens of text, are gone."""
        del self._cells[len(self._cells) - count :]
        self._position -= count
        self._tokens -= count

    def cut(self, count: int) -> None:
        """Only the first `count` cells are left, and nothing of a picture that was begun."""
        self._begun, self._begun_tokens = None, 0
        del self._cells[count:]
        self._position = positions_of(self._cells)
        self._tokens = tokens_of(self._cells)

    def take_out(self, start: int, stop: int) -> None:
        """The cells from `start` to `stop` are gone and what follows has moved down."""
        del self._cells[start:stop]
        self._position = positions_of(self._cells)
        self._tokens = tokens_of(self._cells)


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
