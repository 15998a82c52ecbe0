"""Brings the KV cache to hold a prompt, evaluating only what it does not hold yet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from nemochat.domain.events import Progress, Stage
from nemochat.domain.images import RgbImage
from nemochat.engine.backend import Cancelled
from nemochat.engine.llama.context import Aborted, Context
from nemochat.engine.llama.ledger import Cell, ImageSpan, Ledger, reusable, tokens_of
from nemochat.engine.llama.lru import LruCache
from nemochat.engine.llama.projector import Embedding, Picture, Projector
from nemochat.errors import EngineError

_MIB = 1024 * 1024


class Prompt(msgspec.Struct, frozen=True):
    """What is to be in the cache: cells in order, and the pictures among them by digest."""

    cells: tuple[Cell, ...]
    pictures: dict[str, tuple[RgbImage, Picture]]


class Outcome(msgspec.Struct):
    """What an evaluation did: tokens, pictures encoded, milliseconds. `aborted`: it was cancelled before the end."""

    reused: int = 0
    evaluated: int = 0
    encoded_images: int = 0
    encode_ms: float = 0.0
    prefill_ms: float = 0.0
    aborted: bool = False


class Evaluator:
    """A context with its ledger and the cache of image embeddings. The ledger always equals what the KV cache holds."""

    def __init__(self, context: Context, projector: Projector | None, *, image_cache_mb: int) -> None:
        self.context = context
        self._projector = projector
        self._ledger = Ledger()
        self._embeddings: LruCache[ImageSpan, Embedding] = LruCache(image_cache_mb * _MIB, weigh=lambda embedding: len(embedding) * 4)

    @property
    def held(self) -> Sequence[Cell]:
        """What the KV cache holds."""
        return self._ledger.cells

    def evaluate(self, prompt: Prompt, outcome: Outcome, cancelled: Cancelled, *, with_logits: bool) -> Iterator[Progress]:
        """Evaluate a prompt, yielding progress from 0 to all; `outcome` is filled in on the way.

        What the cache holds beyond a prompt that it holds as a whole is left there.
        `with_logits`: leave the distribution after the last cell ready for sampling. Raises EngineError when llama.cpp fails.
        """
        kept = reusable(self._ledger.cells, prompt.cells, with_logits=with_logits)
        if kept < len(prompt.cells):
            kept = self._keep(kept)
        outcome.reused = tokens_of(prompt.cells[:kept])
        todo = prompt.cells[kept:]
        total = tokens_of(todo)
        try:
            embeddings: dict[ImageSpan, Embedding] = {}
            yield from self._encode(prompt, todo, embeddings, outcome, cancelled)
            if todo:
                yield Progress(Stage.PREFILL, 0, total)
            for piece in _pieces(todo, self.context.batch_size):
                started = time.perf_counter()
                self._evaluate_piece(prompt, piece, embeddings, cancelled)
                outcome.prefill_ms += (time.perf_counter() - started) * 1000
                outcome.evaluated += tokens_of(piece)
                yield Progress(Stage.PREFILL, outcome.evaluated, total)
        except Aborted:
            outcome.aborted = True

    def append(self, token: int) -> None:
        """Evaluate a generated token."""
        try:
            self.context.decode_one(token, self._ledger.position)
        except EngineError:
            self._drop_rest()
            raise
        self._ledger.append(token)

    def _keep(self, count: int) -> int:
        """Cut cache and ledger back to the first `count` cells, or to none where the architecture cannot; returns how many are left."""
        if count == len(self._ledger.cells):
            return count
        self._ledger.cut(count)
        if not self.context.keep(self._ledger.position):
            self._ledger.cut(0)
        return len(self._ledger.cells)

    def _encode(
        self, prompt: Prompt, todo: Sequence[Cell], embeddings: dict[ImageSpan, Embedding], outcome: Outcome, cancelled: Cancelled
    ) -> Iterator[Progress]:
        """Collect the embeddings of all spans to be evaluated, running the encoder for pictures whose embeddings are not cached."""
        missing: dict[str, None] = {}
        for span in todo:
            if isinstance(span, int):
                continue
            embedding = self._embeddings.get(span)
            if embedding is None:
                missing[span.digest] = None
            else:
                embeddings[span] = embedding
        for number, digest in enumerate(missing):
            yield Progress(Stage.ENCODE, number, len(missing))
            if cancelled():
                raise Aborted
            started = time.perf_counter()
            encoded = self._vision().encode(prompt.pictures[digest][0])
            outcome.encode_ms += (time.perf_counter() - started) * 1000
            outcome.encoded_images += 1
            for span, embedding in encoded.items():
                self._embeddings.put(span, embedding)
            embeddings |= encoded
        if missing:
            yield Progress(Stage.ENCODE, len(missing), len(missing))

    def _evaluate_piece(self, prompt: Prompt, piece: Sequence[Cell], embeddings: dict[ImageSpan, Embedding], cancelled: Cancelled) -> None:
        if cancelled():
            raise Aborted
        position = self._ledger.position
        try:
            if isinstance(piece[0], ImageSpan):
                span = piece[0]
                placement = prompt.pictures[span.digest][1].placements[span]
                self._vision().decode(self.context, placement, embeddings[span], position, cancelled)
            else:
                self.context.decode([cell for cell in piece if isinstance(cell, int)], position, cancelled)
        except (Aborted, EngineError):
            self._drop_rest()
            raise
        self._ledger.extend(piece)

    def _drop_rest(self) -> None:
        """An evaluation failed or was aborted: remove what it left in the cache beyond the ledger."""
        if not self.context.keep(self._ledger.position):
            self._ledger.cut(0)

    def _vision(self) -> Projector:
        if self._projector is None:
            raise EngineError("This model cannot see pictures: it was loaded without a projector.")
        return self._projector


def _pieces(cells: Sequence[Cell], size: int) -> Iterator[Sequence[Cell]]:
    """Runs of at most `size` text tokens, and pictures one by one."""
    run: list[Cell] = []
    for cell in cells:
        if isinstance(cell, ImageSpan):
            if run:
                yield run
            yield [cell]
            run = []
            continue
        run.append(cell)
        if len(run) == size:
            yield run
            run = []
    if run:
        yield run
