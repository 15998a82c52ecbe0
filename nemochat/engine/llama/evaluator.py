"""Brings the KV cache to hold a prompt, evaluating only what it does not hold yet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from nemochat.domain.events import Progress, Stage
from nemochat.domain.images import RgbImage
from nemochat.engine.backend import NO_MATTER, Cancelled, Waiting
from nemochat.engine.llama.context import Aborted, CacheFull
from nemochat.engine.llama.kv_cache import KvCache
from nemochat.engine.llama.ledger import Cell, ImageSpan, KvSequence, tokens_of
from nemochat.engine.llama.projector import Embedding, Picture, Projector
from nemochat.engine.lru import LruCache
from nemochat.engine.protocol import Place
from nemochat.engine.stride import Stride
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
    """Evaluates prompts and replies into the KV cache, with a cache of image embeddings beside it."""

    def __init__(self, cache: KvCache, projector: Projector | None, *, image_cache_mb: int) -> None:
        self.cache = cache
        self.context = cache.context
        self._projector = projector
        self._stride = Stride(self.context.batch_size)
        self._embeddings: LruCache[ImageSpan, Embedding] = LruCache(image_cache_mb * _MIB, weigh=lambda embedding: len(embedding) * 4)

    def evaluate(
        self, prompt: Prompt, place: Place, outcome: Outcome, cancelled: Cancelled, *, with_logits: bool
    ) -> Iterator[Progress]:
        """Evaluate a prompt for which somebody waits, yielding progress from 0 to all; `outcome` is filled in on the way.

        What the cache holds beyond a prompt that it holds as a whole is left there.
        `with_logits`: leave the distribution after the last cell ready for sampling. Raises EngineError when llama.cpp fails.
        """
        step = self.context.batch_size
        yield from self._evaluate(prompt, place, outcome, cancelled, cancelled, step, with_logits=with_logits, waiting=NO_MATTER)

    def read_ahead(self, prompt: Prompt, place: Place, outcome: Outcome, cancelled: Cancelled, waiting: Waiting) -> Iterator[Progress]:
        """Evaluate a prompt for which nobody waits yet, in pieces of about half a second.

        When `cancelled` turns true it ends after the piece in hand, which stays; a piece of the prompt after the next is given up when a
        reply is waited for, because that has no use for it. When all is read, what other conversations have read is kept on the disk.
        The last cell is left to the reply where nothing can be taken back: it needs the distribution there, and would read all anew.
        Raises EngineError when llama.cpp fails.
        """
        if not self.context.can_take_back:
            prompt = msgspec.structs.replace(prompt, cells=prompt.cells[:-1])
        aborts = partial(_both, cancelled, waiting.for_reply) if place.is_next else None
        yield from self._evaluate(prompt, place, outcome, cancelled, aborts, 0, with_logits=False, waiting=waiting)
        if not outcome.aborted:
            self.cache.keep_others(cancelled)

    def _evaluate(
        self,
        prompt: Prompt,
        place: Place,
        outcome: Outcome,
        cancelled: Cancelled,
        aborts: Cancelled | None,
        step: int,
        *,
        with_logits: bool,
        waiting: Waiting,
    ) -> Iterator[Progress]:
        """`aborts`: stops an evaluation in the middle, whose work is lost then. `step`: tokens of a piece, 0 for what the stride says."""
        sequence = self.cache.take(place, prompt.cells)
        kept = self.cache.cut(sequence, prompt.cells, with_logits=with_logits)
        todo = prompt.cells[kept:]
        begun = sequence.ledger.begun(todo[0]) if todo else 0
        outcome.reused = tokens_of(prompt.cells[:kept]) + begun
        total = tokens_of(todo) - begun
        try:
            embeddings: dict[ImageSpan, Embedding] = {}
            yield from self._encode(prompt, todo, embeddings, outcome, cancelled, waiting)
            if todo:
                yield Progress(Stage.PREFILL, 0, total)
            for run in _runs(todo):
                work = (
                    self._read_picture(sequence, prompt.pictures[run.digest][1], run, embeddings[run], step, aborts)
                    if isinstance(run, ImageSpan)
                    else self._read_text(sequence, run, step, aborts)
                )
                started = time.perf_counter()
                for tokens in work:
                    outcome.prefill_ms += (time.perf_counter() - started) * 1000
                    outcome.evaluated += tokens
                    yield Progress(Stage.PREFILL, outcome.evaluated, total)
                    if cancelled() and outcome.evaluated < total:
                        raise Aborted
                    started = time.perf_counter()
        except Aborted:
            outcome.aborted = True
        except CacheFull:
            if step:
                raise
            outcome.aborted = True  # what is read ahead may stay incomplete

    def append(self, token: int) -> None:
        """Evaluate a generated token."""
        sequence = self.cache.active
        self.cache.fill(sequence, partial(self.context.decode_one, token, sequence.ledger.position, sequence.number))
        sequence.ledger.append(token)

    def append_all(self, tokens: Sequence[int]) -> None:
        """Evaluate a generated token and guesses of what follows it, with the distribution after each."""
        sequence = self.cache.active
        decode = partial(self.context.decode, tokens, sequence.ledger.position, sequence.number, None, all_rows=True)
        self.cache.fill(sequence, decode)
        sequence.ledger.extend(tokens)

    def take_back(self, count: int) -> None:
        """Remove the last `count` tokens."""
        self.cache.take_back(count)

    @property
    def position(self) -> int:
        """The position of the next token of the reply."""
        return self.cache.active.ledger.position

    def _read_text(self, sequence: KvSequence, tokens: Sequence[int], step: int, aborts: Cancelled | None) -> Iterator[int]:
        """Evaluate text, yielding the tokens of each piece. Without `step` the pieces are as the stride has it."""
        done = 0
        while done < len(tokens):
            size = step or self._stride.tokens
            # None of one token alone, for the reason that `is_lone` gives.
            piece = tokens[done : done + size - (size > 2 and len(tokens) - done == size + 1)]
            started = time.perf_counter()
            self.cache.fill(sequence, partial(self.context.decode, piece, sequence.ledger.position, sequence.number, aborts))
            self._stride.took(len(piece), time.perf_counter() - started)
            sequence.ledger.extend(piece)
            done += len(piece)
            yield len(piece)

    def _read_picture(
        self, sequence: KvSequence, picture: Picture, span: ImageSpan, embedding: Embedding, step: int, aborts: Cancelled | None
    ) -> Iterator[int]:
        """Evaluate a picture, yielding the tokens of each piece."""
        vision, context, ledger = self._vision(), self.context, sequence.ledger
        if not vision.goes_in_pieces(picture, span):
            placement = picture.placements[span]
            self.cache.fill(sequence, partial(vision.decode, context, placement, embedding, ledger.position, sequence.number, aborts))
            ledger.append(span)
            yield span.tokens
            return
        done = ledger.begun(span)
        while done < span.tokens:
            stop = min(span.tokens, done + (step or self._stride.tokens))
            started = time.perf_counter()
            piece = partial(vision.decode_piece, context, embedding, done, stop, ledger.position, sequence.number, aborts)
            self.cache.fill(sequence, piece)
            self._stride.took(stop - done, time.perf_counter() - started)
            if stop == span.tokens:
                ledger.append(span)
            else:
                ledger.begin(span, stop)
            yield stop - done
            done = stop

    def _encode(
        self,
        prompt: Prompt,
        todo: Sequence[Cell],
        embeddings: dict[ImageSpan, Embedding],
        outcome: Outcome,
        cancelled: Cancelled,
        waiting: Waiting,
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
            dropped = partial(_both, cancelled, partial(waiting.drops, digest))
            with self.context.first.of("encoder"):
                encoded = self._vision().encode(prompt.pictures[digest][0], dropped)
            outcome.encode_ms += (time.perf_counter() - started) * 1000
            outcome.encoded_images += 1
            for span, embedding in encoded.items():
                self._embeddings.put(span, embedding)
            embeddings |= encoded
        if missing:
            yield Progress(Stage.ENCODE, len(missing), len(missing))
        if missing and cancelled():
            raise Aborted

    def _vision(self) -> Projector:
        if self._projector is None:
            raise EngineError("This model cannot see pictures: it was loaded without a projector.")
        return self._projector


def _both(first: Cancelled, second: Cancelled) -> bool:
    return first() and second()


def _runs(cells: Sequence[Cell]) -> Iterator[list[int] | ImageSpan]:
    """Text tokens in a row, and pictures one by one."""
    run: list[int] = []
    for cell in cells:
        if isinstance(cell, ImageSpan):
            if run:
                yield run
            yield cell
            run = []
        else:
            run.append(cell)
    if run:
        yield run
