"""The slots of a llama-server: each holds what it has read of one prompt. A chat keeps its slot for as long as that holds its prompt.

The server itself gives a request the slot that holds most of its prompt, or the one that was not used for longest with what it has put
aside of the prompt. It passes over slots at work, also over ours that has not yet noticed that we left; it lets two chats that begin alike
take one slot in turns; and it knows nothing of a prompt that is read ahead beside another one. There the slot is named here. With one store
for all slots (``--kv-unified``) the server empties slots that are idle: what is not there any more is left to the server to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nemochat.engine.protocol import Place
from nemochat.engine.remote.prompts import ServerPrompt, common

_MOST_KNOWN = 64
"""Prompts that are known to be held, of the chats used last."""


class Slot(msgspec.Struct, frozen=True):
    """A slot as the server describes it. n_prompt_tokens: what it holds, also while it is idle; None where nothing was ever read."""

    id: int
    is_processing: bool = False
    n_prompt_tokens: int | None = None


class Held(msgspec.Struct):
    """A prompt that was read in a slot. tokens: all that the slot held then, None where we left before the end; slot: None is not known."""

    prompt: ServerPrompt
    slot: int | None
    tokens: int | None

    def is_in(self, slot: Slot) -> bool:
        """Whether a slot still holds it, or is still at work at what we have left."""
        if slot.is_processing:
            return self.tokens is None
        return self.tokens is None or slot.n_prompt_tokens in (None, self.tokens)


class Slots:
    """What is known to be held of which prompt. count: of slots. keeps_both: whether a slot stays as it is while another one is at work;
    None until that was tried."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.keeps_both: bool | None = None if count > 1 else False
        self._held: dict[Place, Held] = {}

    def held(self, place: Place) -> Held | None:
        """The prompt at a place."""
        return self._held.get(place)

    def read(self, place: Place, held: Held) -> None:
        """A prompt was read. Whatever else was known of its slot is gone."""
        for other in [other for other, each in self._held.items() if other == place or (each.slot == held.slot and held.slot is not None)]:
            del self._held[other]
        self._held[place] = held
        while len(self._held) > _MOST_KNOWN:
            del self._held[next(iter(self._held))]

    def forget(self, conversation: str) -> list[Held]:
        """What was held of a conversation."""
        places = [Place(conversation), Place(conversation, is_next=True)]
        return [self._held.pop(place) for place in places if place in self._held]

    def drop(self, place: Place) -> None:
        """Nothing is held there."""
        self._held.pop(place, None)

    def take(self, place: Place, prompt: ServerPrompt) -> Held | None:
        """What a prompt goes on from: its own place, or what was read ahead for it, which then is its own."""
        own = self._held.get(place)
        if place.is_next:
            return own
        ahead = Place(place.conversation, is_next=True)
        following = self._held.get(ahead)
        if following is not None and (own is None or common(following.prompt, prompt) > common(own.prompt, prompt)):
            del self._held[ahead]
            self._held[place] = own = following
        return own

    def may_hold(self, slots: Sequence[Slot], prompt: ServerPrompt) -> bool:
        """Whether a slot that we know nothing of may hold much of a prompt, from an earlier run."""
        known = {held.slot for held in self._held.values()}
        return any(slot.id not in known and 2 * (slot.n_prompt_tokens or 0) >= prompt.tokens for slot in slots)

    def choose(self, place: Place, prompt: ServerPrompt, slots: Sequence[Slot]) -> int | None:
        """The slot that a prompt is to be read in, once it was taken; None leaves it to the server."""
        if not place.conversation or len(slots) < 2:
            return None
        own = self._held.get(place)
        by_id = {slot.id: slot for slot in slots}
        if own is not None and own.slot in by_id:
            if own.is_in(by_id[own.slot]):
                return own.slot
            if not place.is_next:
                return None  # the server may have put it aside
        if not place.is_next and self.may_hold(slots, prompt):
            return None  # the server knows which
        taken = {held.slot for held in self._held.values()}
        free = [slot for slot in slots if not slot.is_processing and slot.id not in taken]
        empty = next((slot.id for slot in free if not slot.n_prompt_tokens), None)
        if empty is not None or not place.is_next:
            return empty
        present = self._held.get(Place(place.conversation))
        others = [slot for slot in slots if not slot.is_processing and (present is None or slot.id != present.slot)]
        return next((slot.id for slot in (*free, *others)), None)


def slots_of(said: Any) -> list[Slot]:
    """Slots as a server describes them; none where it does not."""
    try:
        return msgspec.convert(said, list[Slot])
    except msgspec.ValidationError:
        return []
