"""Keeps the conversation on the screen in the library as it grows, and never loses it when the disk will not have it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nemochat.domain.chat import Chat, pictures_of
from nemochat.domain.images import Original
from nemochat.domain.replies import ModelRef
from nemochat.errors import NemochatError
from nemochat.library import ConflictError, Library, Saved


@dataclass
class _Place:
    """Where a conversation is kept, and what of it has been written. `wanted` is its newest value that has not."""

    saved: Saved | None = None
    stored: Chat | None = None
    wanted: Chat | None = None
    model: ModelRef = field(default_factory=ModelRef)
    pictures: set[str] = field(default_factory=set)


class Keeper:
    """Writes one conversation at a time, each value as its difference to the last one.

    originals: the files of the pictures in it, by digest. trouble: told once when writing begins to fail; the next
    value that can be written holds all that was missed. copied: told when another program has changed the conversation, which goes on as a
    copy then.
    """

    def __init__(
        self,
        library: Library,
        originals: Callable[[], Mapping[str, Original]],
        trouble: Callable[[NemochatError], None],
        copied: Callable[[], None],
    ) -> None:
        self.library = library
        self._originals = originals
        self._trouble, self._copied = trouble, copied
        self._place = _Place()
        self._lock = asyncio.Lock()
        self._is_failing = False

    @property
    def id(self) -> str:
        """The id of the conversation, "" before it has been written."""
        return self._place.saved.id if self._place.saved is not None else ""

    def begin(self) -> None:
        """What is saved next is another conversation, a new one."""
        self._place = _Place()

    def open(self, saved: Saved, chat: Chat) -> None:
        """What is saved next is a conversation of the library, which is `chat` there."""
        self._place = _Place(saved, chat)

    async def save(self, chat: Chat, model: ModelRef) -> None:
        """Write the conversation; returns when this value, or a newer one, is written or cannot be. Never raises NemochatError."""
        place = self._place
        if place.saved is None and not chat.entries and not chat.aside and not chat.waiting:
            return
        place.wanted, place.model = chat, model if model.name else place.model
        async with self._lock:
            if place.wanted is None or place.wanted is place.stored:
                return
            chat, place.wanted = place.wanted, None
            try:
                try:
                    await asyncio.to_thread(self._write, place, chat)
                except ConflictError:
                    place.saved, place.stored = None, None
                    await asyncio.to_thread(self._write, place, chat)
                    self._copied()
            except NemochatError as error:
                if not self._is_failing:
                    self._trouble(error)
                self._is_failing = True
                return
            self._is_failing = False

    def _write(self, place: _Place, chat: Chat) -> None:
        originals = self._originals()
        for digest in {image.digest for image in pictures_of(chat)} - place.pictures:
            original = originals.get(digest)
            if original is not None:
                self.library.put_picture(digest, original)
            place.pictures.add(digest)
        saved = place.saved
        place.saved = self.library.save(
            saved.id if saved else None, saved.version if saved else 0, place.stored, chat, model=place.model
        )
        place.stored = chat
