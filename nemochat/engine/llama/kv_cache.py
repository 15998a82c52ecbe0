"""The KV cache with all that is in it: sequences of conversations, which share what they have in common, and their states on the disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from nemochat.engine.backend import Cancelled
from nemochat.engine.llama.context import Aborted, CacheFull, Context
from nemochat.engine.llama.ledger import Cell, KvSequence, Sequences, is_lone, positions_of, removed, reusable
from nemochat.engine.protocol import Place
from nemochat.engine.states import StateFolder
from nemochat.errors import EngineError

_PIECE_TO_DROP = 64
"""Cells of what was read ahead that make room at a time."""
_log = logging.getLogger(__name__)

Replies = list[tuple[str, tuple[int, ...]]]
"""Texts with the tokens that they were generated as."""


class Kept(msgspec.Struct, frozen=True):
    """What is said with the state of a conversation on the disk: its cells, and the replies in it that are known by heart."""

    cells: list[Cell]
    replies: Replies


class KvCache:
    """A context with the ledgers of its sequences. A ledger always equals what the cache holds.

    shifts: what the window forgot is taken out of the cache, instead of evaluating what follows anew. replies_in: the replies in some
    cells that are known by heart, to be kept with them.
    """

    def __init__(
        self,
        context: Context,
        *,
        shifts: bool = False,
        states: StateFolder | None = None,
        replies_in: Callable[[Sequence[Cell]], Replies] = lambda _: [],
    ) -> None:
        self.context = context
        self.sequences = Sequences(context.sequences)
        self._shifts = shifts and context.can_shift
        if shifts and not self._shifts:
            _log.warning("the KV cache cannot be shifted (it would have to be f16): when the window forgets, the rest is read anew")
        self._states = states
        self._replies_in = replies_in
        self._active: KvSequence | None = None

    @property
    def active(self) -> KvSequence:
        """The sequence that was taken last."""
        assert self._active is not None
        return self._active

    def take(self, place: Place, wanted: Sequence[Cell]) -> KvSequence:
        """The sequence in which a prompt is evaluated: its own, the one read ahead when the prompt begins as that does, or a new one."""
        sequence = self.sequences.at(place)
        following = None if place.is_next else self.sequences.at(Place(place.conversation, is_next=True))
        # A chat that was read before it had its name is held by another sequence, which may well begin more like the prompt.
        present = sequence or self.sequences.best(wanted)
        if following is not None and following.reused(wanted) > (present.reused(wanted) if present not in (None, following) else 0):
            if sequence is not None:
                self._drop(sequence)
            following.place, following.is_kept, sequence = place, False, following
        sequence = sequence or self._new(place, wanted)
        self.sequences.touch(sequence)
        self._active = sequence
        return sequence

    def cut(self, sequence: KvSequence, wanted: Sequence[Cell], *, with_logits: bool) -> int:
        """Take out of a sequence what a prompt does not begin with; returns how many cells of the prompt are left."""
        held = sequence.ledger.cells
        kept = reusable(held, wanted, with_logits=with_logits)
        if kept == len(wanted):
            return kept
        if self._shifts and kept < len(held) and (stop := removed(held, wanted, kept)) is not None:
            self._shift(sequence, kept, stop)
            if (kept := reusable(held, wanted, with_logits=with_logits)) == len(wanted):
                return kept
        if is_lone(wanted, kept) and self.context.can_take_back:
            kept -= 1
        is_begun = sequence.ledger.position != positions_of(held)
        if kept < len(held) or (is_begun and not sequence.ledger.begun(wanted[kept])):
            self._keep(sequence, kept)
        return len(sequence.ledger.cells)

    def fill(self, sequence: KvSequence, evaluation: Callable[[], None]) -> None:
        """Evaluate something into a sequence. Should it fail or be aborted, what it left in the cache beyond the ledger is removed."""
        sequence.is_kept = False
        try:
            self._with_room(sequence, evaluation)
        except (Aborted, EngineError):
            self._drop_rest(sequence)
            raise

    def take_back(self, count: int) -> None:
        """Remove the last `count` tokens of the active sequence."""
        sequence = self.active
        sequence.ledger.drop(count)
        self._drop_rest(sequence)

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

    def keep_others(self, cancelled: Cancelled) -> None:
        """Keep what conversations other than the active one have read on the disk, until `cancelled` turns true."""
        for other in [each for each in self.sequences if each is not self._active]:
            if cancelled():
                return
            self._keep_on_disk(other)

    def keep_all(self) -> None:
        """Keep what all conversations have read on the disk, the one used last as the newest."""
        for sequence in sorted(self.sequences, key=lambda each: each.used):
            self._keep_on_disk(sequence)

    def _new(self, place: Place, wanted: Sequence[Cell]) -> KvSequence:
        """A sequence that holds as much of a prompt as is held anywhere: in another sequence, or on the disk."""
        if self.sequences.is_full:
            self._evict(self._least_needed(list(self.sequences)))
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
        """Let a sequence go; what was read ahead of a conversation does not stay without it."""
        following = None if sequence.place.is_next else self.sequences.at(Place(sequence.place.conversation, is_next=True))
        if following is not None:
            self._drop(following)
        self._keep_on_disk(sequence)
        self._drop(sequence)

    def _least_needed(self, sequences: Sequence[KvSequence]) -> KvSequence:
        """What was read ahead for another time, else what was used least recently."""
        return min(sequences, key=lambda each: (not each.place.is_next, each.used))

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
            self._evict(self._least_needed(others))
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
