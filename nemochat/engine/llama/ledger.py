"""What the KV cache holds, and how much of it a new prompt can use. Pure: the cache itself is llama.cpp's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class ImageSpan(msgspec.Struct, frozen=True):
    """An encoded picture, or the `index`-th tile of one that the projector splits.

    tokens: KV cells that it fills. positions: how far the position of the next token moves on, fewer than tokens with M-RoPE.
    """

    digest: str
    index: int
    tokens: int
    positions: int


Cell = int | ImageSpan
"""A text token's id, or a picture that is either held as a whole or not at all."""


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


class Ledger:
    """The cells of the KV cache in order. Kept equal to the cache by whoever evaluates: written only after llama.cpp has succeeded."""

    def __init__(self) -> None:
        self._cells: list[Cell] = []
        self._position = 0
        self._tokens = 0

    @property
    def cells(self) -> Sequence[Cell]:
        """What is held, oldest first."""
        return self._cells

    @property
    def position(self) -> int:
        """The position of the next token."""
        return self._position

    @property
    def tokens(self) -> int:
        """KV cells in use."""
        return self._tokens

    def append(self, cell: Cell) -> None:
        """One more cell was evaluated."""
        self._cells.append(cell)
        self._position += 1 if isinstance(cell, int) else cell.positions
        self._tokens += 1 if isinstance(cell, int) else cell.tokens

    def extend(self, cells: Sequence[Cell]) -> None:
        """More cells were evaluated."""
        for cell in cells:
            self.append(cell)

    def cut(self, count: int) -> None:
        """Only the first `count` cells are left."""
        del self._cells[count:]
        self._position = positions_of(self._cells)
        self._tokens = tokens_of(self._cells)
