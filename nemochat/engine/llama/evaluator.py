"""Brings the KV cache to hold a prompt, evaluating only what it does not hold yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from nemochat.domain.events import Progress, Stage
from nemochat.domain.images import RgbImage
from nemochat.engine.backend import Cancelled, Drops
from nemochat.engine.llama.context import Aborted, CacheFull, Context
from nemochat.engine.llama.ledger import Cell, ImageSpan, positions_of, removed, reusable, tokens_of
from nemochat.engine.llama.lru import LruCache
from nemochat.engine.llama.projector import Embedding, Picture, Projector
from nemochat.engine.llama.sequences import KvSequence, Sequences
from nemochat.engine.llama.stride import Stride
from nemochat.engine.protocol import Place
from nemochat.engine.states import StateFolder
from nemochat.errors import EngineError

_MIB = 1024 * 1024
_PIECE_TO_DROP = 64
"""Cells of what was read ahead that make room at a time."""
_log = logging.getLogger(__name__)

Replies = list[tuple[str, tuple[int, ...]]]


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


class Kept(msgspec.Struct, frozen=True):
    """What is said with the state of a conversation on the disk: its cells, and the replies in it that are known by heart."""

    cells: list[Cell]
    replies: Replies


class Evaluator:
    """A context with the ledgers of its sequences and the cache of image embeddings. A ledger always equals what the KV cache holds.

    replies_in: the replies in some cells that are known by heart, to be kept with them. shifts: what the window forgot is taken out of
    the cache, instead of evaluating what follows anew.
    """

    def __init__(
        self,
        context: Context,
        projector: Projector | None,
        *,
        image_cache_mb: int,
        shifts: bool = False,
        states: StateFolder | None = None,
        replies_in: Callable[[Sequence[Cell]], Replies] = lambda _: [],
    ) -> None:
        self.context = context
        self.sequences = Sequences(context.sequences)
        self._projector = projector
        self._shifts = shifts and context.can_shift
        if shifts and not self._shifts:
            _log.warning("the KV cache cannot be shifted (it would have to be f16): when the window forgets, the rest is read anew")
        self._states = states
        self._replies_in = replies_in
        self._stride = Stride(context.batch_size)
        self._embeddings: LruCache[ImageSpan, Embedding] = LruCache(image_cache_mb * _MIB, weigh=lambda embedding: len(embedding) * 4)
        self._active: KvSequence | None = None

    @property
    def active(self) -> KvSequence:
        """The sequence of the prompt that was evaluated last."""
        assert self._active is not None
        return self._active

    # -- evaluation

    def evaluate(
        self, prompt: Prompt, place: Place, outcome: Outcome, cancelled: Cancelled, *, with_logits: bool
    ) -> Iterator[Progress]:
        """Evaluate a prompt for which somebody waits, yielding progress from 0 to all; `outcome` is filled in on the way.

        What the cache holds beyond a prompt that it holds as a whole is left there.
        `with_logits`: leave the distribution after the last cell ready for sampling. Raises EngineError when llama.cpp fails.
        """
        yield from self._evaluate(prompt, place, outcome, cancelled, cancelled, with_logits=with_logits)

    def read_ahead(self, prompt: Prompt, place: Place, outcome: Outcome, cancelled: Cancelled, drops: Drops) -> Iterator[Progress]:
        """Evaluate a prompt for which nobody waits yet, in pieces of about a quarter of a second.

        When `cancelled` turns true it ends after the piece in hand, which stays. `drops`: whether the encoder may give up on a picture
        then. When all is read, what other conversations have read is kept on the disk. Raises EngineError when llama.cpp fails.
        """
        yield from self._evaluate(prompt, place, outcome, cancelled, None, with_logits=False, drops=drops)
        if not outcome.aborted:
            for other in [each for each in self.sequences if each is not self.active]:
                if cancelled():
                    return
                self._keep_on_disk(other)

    def _evaluate(
        self,
        prompt: Prompt,
        place: Place,
        outcome: Outcome,
        cancelled: Cancelled,
        aborts: Cancelled | None,
        *,
        with_logits: bool,
        drops: Drops = lambda _: True,
    ) -> Iterator[Progress]:
        """`aborts`: stops an evaluation in the middle, whose work is lost then; without it the pieces are small."""
        self._active = sequence = self._sequence_for(place, prompt.cells)
        kept = self._cut(sequence, prompt.cells, with_logits=with_logits)
        todo = prompt.cells[kept:]
        begun = sequence.ledger.begun(todo[0]) if todo else 0
        outcome.reused = tokens_of(prompt.cells[:kept]) + begun
        total = tokens_of(todo) - begun
        try:
            embeddings: dict[ImageSpan, Embedding] = {}
            yield from self._encode(prompt, todo, embeddings, outcome, cancelled, drops)
            if todo:
                yield Progress(Stage.PREFILL, 0, total)
            step = self.context.batch_size if aborts else 0
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
            if aborts is not None:
                raise
            outcome.aborted = True  # what is read ahead may stay incomplete

    def append(self, token: int) -> None:
        """Evaluate a generated token."""
        sequence = self.active
        self._in_cache(sequence, partial(self.context.decode_one, token, sequence.ledger.position, sequence.number))
        sequence.ledger.append(token)

    def _read_text(self, sequence: KvSequence, tokens: Sequence[int], step: int, aborts: Cancelled | None) -> Iterator[int]:
        """Evaluate text, yielding the tokens of each piece. Without `step` the pieces are as the stride has it."""
        done = 0
        while done < len(tokens):
            piece = tokens[done : done + (step or self._stride.tokens)]
            started = time.perf_counter()
            self._in_cache(sequence, partial(self.context.decode, piece, sequence.ledger.position, sequence.number, aborts))
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
            self._in_cache(sequence, partial(vision.decode, context, placement, embedding, ledger.position, sequence.number, aborts))
            ledger.append(span)
            yield span.tokens
            return
        done = ledger.begun(span)
        while done < span.tokens:
            stop = min(span.tokens, done + (step or self._stride.tokens))
            started = time.perf_counter()
            piece = partial(vision.decode_piece, context, embedding, done, stop, ledger.position, sequence.number, aborts)
            self._in_cache(sequence, piece)
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
        drops: Drops,
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
            encoded = self._vision().encode(prompt.pictures[digest][0], partial(_both, cancelled, partial(drops, digest)))
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

    # -- sequences

    def forget(self, conversation: str) -> None:
        """Remove the sequences of a conversation."""
        for sequence in self.sequences.of(conversation):
            self._drop(sequence)

    def kept_replies(self, conversation: str) -> Replies:
        """The replies that were known by heart when a conversation was kept on the disk; none while it is in the cache."""
        if self._states is None or not conversation or self.sequences.of(conversation):
            return []
        kept = self._kept(conversation)
        return kept.replies if kept is not None else []

    def keep_all(self) -> None:
        """Keep what all conversations have read on the disk, the one used last as the newest."""
        for sequence in sorted(self.sequences, key=lambda each: each.used):
            self._keep_on_disk(sequence)

    def _sequence_for(self, place: Place, wanted: Sequence[Cell]) -> KvSequence:
        """The sequence in which a prompt is evaluated: its own, the one read ahead when the prompt begins as that does, or a new one."""
        sequence = self.sequences.at(place)
        following = None if place.is_next else self.sequences.at(Place(place.conversation, is_next=True))
        if following is not None and following.reused(wanted) > (sequence.reused(wanted) if sequence is not None else 0):
            if sequence is not None:
                self._drop(sequence)
            following.place, following.is_kept, sequence = place, False, following
        sequence = sequence or self._new(place, wanted)
        self.sequences.touch(sequence)
        return sequence

    def _new(self, place: Place, wanted: Sequence[Cell]) -> KvSequence:
        """A sequence that holds as much of a prompt as is held anywhere: in another sequence, or on the disk."""
        if self.sequences.is_full:
            self._evict(self.sequences.oldest)
        source = self.sequences.best(wanted)
        common = source.reused(wanted) if source is not None else 0
        sequence = self.sequences.add(place)
        if not place.is_next and self._load(sequence, wanted, common):
            return sequence
        if source is not None:
            cells = source.ledger.cells[:common]
            if self.context.fork(source.number, sequence.number, positions_of(cells)):
                sequence.ledger.extend(cells)
        return sequence

    def _load(self, sequence: KvSequence, wanted: Sequence[Cell], common: int) -> bool:
        """Read the state of a conversation from the disk when it holds more than `common` cells of a prompt."""
        conversation = sequence.place.conversation
        if self._states is None or not conversation or (kept := self._kept(conversation)) is None:
            return False
        if reusable(kept.cells, wanted, with_logits=False) <= common or (path := self._states.open(conversation)) is None:
            return False
        try:
            self._with_room(sequence, partial(self.context.load, sequence.number, path))
        except EngineError as error:
            _log.warning("%s", error.message)
            return False
        if self.context.held_positions(sequence.number) != positions_of(kept.cells):
            self.context.clear(sequence.number)
            return False
        sequence.ledger.extend(kept.cells)
        sequence.is_kept = True
        return True

    def _kept(self, conversation: str) -> Kept | None:
        payload = self._states.read(conversation) if self._states is not None else None
        if payload is None:
            return None
        try:
            return msgspec.msgpack.decode(payload, type=Kept)
        except msgspec.DecodeError as error:
            _log.warning("a kept state cannot be read: %s", error)
            return None

    def _keep_on_disk(self, sequence: KvSequence) -> None:
        place, ledger = sequence.place, sequence.ledger
        if self._states is None or not place.conversation or place.is_next or sequence.is_kept or not ledger.cells:
            return
        if ledger.position != positions_of(ledger.cells):  # a picture that is begun is told by no cell
            self._keep(sequence, len(ledger.cells))
        cells = list(ledger.cells)
        payload = msgspec.msgpack.encode(Kept(cells, self._replies_in(cells)))
        size = self.context.state_size(sequence.number)
        sequence.is_kept = self._states.write(place.conversation, payload, size, partial(self.context.save, sequence.number))

    def _cut(self, sequence: KvSequence, wanted: Sequence[Cell], *, with_logits: bool) -> int:
        """Take out of a sequence what a prompt does not begin with; returns how many cells of the prompt are left."""
        held = sequence.ledger.cells
        kept = reusable(held, wanted, with_logits=with_logits)
        if kept == len(wanted):
            return kept
        if self._shifts and kept < len(held) and (stop := removed(held, wanted, kept)) is not None:
            self._shift(sequence, kept, stop)
            kept = reusable(held, wanted, with_logits=with_logits)
        is_begun = sequence.ledger.position != positions_of(held)
        if kept < len(held) or (is_begun and not sequence.ledger.begun(wanted[kept])):
            self._keep(sequence, kept)
        return len(sequence.ledger.cells)

    def _shift(self, sequence: KvSequence, start: int, stop: int) -> None:
        """Take the cells from `start` to `stop` out and move what follows. Sequences that share any of it go: positions belong to cells."""
        ledger = sequence.ledger
        self._keep(sequence, len(ledger.cells))
        for other in [each for each in self.sequences if each is not sequence and each.reused(ledger.cells) > start]:
            self._evict(other)
        self.context.shift(sequence.number, positions_of(ledger.cells[:start]), positions_of(ledger.cells[:stop]))
        ledger.take_out(start, stop)
        sequence.is_kept = False

    def _keep(self, sequence: KvSequence, count: int) -> None:
        """Cut a sequence and its ledger back to the first `count` cells, or to none where the architecture cannot."""
        sequence.is_kept = sequence.is_kept and count == len(sequence.ledger.cells)
        sequence.ledger.cut(count)
        if not self.context.keep(sequence.number, sequence.ledger.position):
            sequence.ledger.cut(0)

    def _drop(self, sequence: KvSequence) -> None:
        self.context.clear(sequence.number)
        self.sequences.remove(sequence)

    def _evict(self, sequence: KvSequence) -> None:
        self._keep_on_disk(sequence)
        self._drop(sequence)

    def _in_cache(self, sequence: KvSequence, evaluation: Callable[[], None]) -> None:
        """Evaluate something into a sequence. Should it fail or be aborted, what it left in the cache beyond the ledger is removed."""
        sequence.is_kept = False
        try:
            self._with_room(sequence, evaluation)
        except (Aborted, EngineError):
            self._drop_rest(sequence)
            raise

    def _with_room(self, sequence: KvSequence, work: Callable[[], None]) -> None:
        """Do something that fills cells of the cache; while there are too few, others make room for it."""
        while True:
            try:
                work()
            except CacheFull:
                if not self._make_room(sequence):
                    raise
                self._drop_rest(sequence)
            else:
                return

    def _make_room(self, sequence: KvSequence) -> bool:
        """Let go of another conversation, else of the end of what was read ahead of this one. False when all is needed."""
        conversation = sequence.place.conversation
        others = [each for each in self.sequences if each.place.conversation != conversation]
        if others:
            self._evict(min(others, key=lambda each: each.used))
            return True
        following = self.sequences.at(Place(conversation, is_next=True))
        if following is None or following is sequence:
            return False
        held = len(following.ledger.cells)
        if held > _PIECE_TO_DROP:
            self._keep(following, held - _PIECE_TO_DROP)
        else:
            self._drop(following)
        return True

    def _drop_rest(self, sequence: KvSequence) -> None:
        if not self.context.keep(sequence.number, sequence.ledger.position):
            sequence.ledger.cut(0)


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
