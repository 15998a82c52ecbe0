"""A conversation that is open: its value, what can be taken back, and the ONE writer of its row in the library."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from nemochat.chat import ChatSession
from nemochat.chat.album import Album
from nemochat.domain.chat import Chat, pictures_of
from nemochat.domain.edits import Edit, applied, taken_back
from nemochat.domain.replies import ModelRef
from nemochat.errors import NemochatError
from nemochat.library import ConflictError, Library, Saved
from nemochat.library.rescue import rescue

_MOST_UNDO = 50
RETRY_SECONDS = 5.0
"""How long after a write that failed the next one is tried, whether or not anything was changed meanwhile."""


class Store(Protocol):
    """What an open conversation tells, and asks for its keeping. Told from the event loop."""

    def changed(self, conversation: OpenConversation) -> None:
        """The user, or what works for the user, has changed it; not its turn."""

    def model_in_use(self) -> ModelRef:
        """The model, which the list of chats shows; nameless while there is none."""

    def stored(self, conversation: OpenConversation, *, is_new: bool) -> None:
        """Its newest value is on the disk; is_new: under an id that it has had for the first time."""

    def not_stored(self, error: NemochatError) -> None:
        """Writing begins to fail. It is tried again by and by, and whenever somebody waits for it."""

    def copied(self) -> None:
        """Another program is at work in it: it goes on as a copy."""


class Around(Protocol):
    """What the parts of the desk need of the rest of it; some need more."""

    @property
    def conversation(self) -> OpenConversation:
        """The one on the desk."""

    def refuse_while_busy(self) -> bool:
        """Whether a reply is being written; says so."""

    def begin(self, chat: Chat) -> bool:
        """Put a new conversation on the desk; False, and the user is told why, while a reply is being written."""

    def opened(self, chat: Chat) -> Chat:
        """A new conversation in which the persona, or everybody of the group, has greeted the user."""

    def free_session(self) -> ChatSession | None:
        """The session when its model is loaded and it has nothing to do for the user."""

    def do(self, work: Callable[[], object]) -> None:
        """Do something that may wait, and say what went wrong with it."""


class OpenConversation:
    """Owns one conversation. All changes are functions of the present value, done at once; the writing follows them by itself.

    A turn holds it (`hold`, `release`) from Enter on: meanwhile nothing else is put on the desk in its place.
    """

    def __init__(
        self,
        library: Library,
        album: Album,
        store: Store,
        chat: Chat,
        saved: Saved | None = None,
        model: ModelRef | None = None,
    ) -> None:
        """saved: where it is in the library, when it is from there and is `chat` there. model: with which it was made."""
        self.chat = chat
        self._library, self._album, self._store = library, album, store
        self._model = model or ModelRef()
        self._saved = saved
        self._written = chat if saved is not None else None
        self._refused: Chat | None = None
        """The value that could not be written, until the next try."""
        self._retry: asyncio.TimerHandle | None = None
        self._is_failing = False
        self._kept_pictures: set[str] = set()
        self._writer: asyncio.Task[None] | None = None
        self.is_guest = False
        """Whether what waits in it is another program's: with the first change it goes on as a copy, in which nothing of that waits."""
        self._parts = False
        self._done: deque[tuple[Chat, Chat]] = deque(maxlen=_MOST_UNDO)
        self._holders = 0

    @property
    def id(self) -> str:
        """Its id in the library, "" before it has been written: what the engine knows it by."""
        return self._saved.id if self._saved is not None else ""

    # -- changes

    def change(self, edit: Callable[[Chat], Chat], *, can_undo: bool = True) -> bool:
        """What the user does to it; whether that changed anything. Raises ConversationError as `edit` does."""
        if self.is_guest and edit(self.chat) != self.chat:
            self.part()
        before = self.chat
        self.chat = edit(before)
        if self.chat is before or self.chat == before:
            self.chat = before
            return False
        if can_undo:
            self._done.append((before, self.chat))
        self._write_soon()
        self._store.changed(self)
        return True

    def part(self) -> None:
        """Another program is at work in the stored one: go on as a copy, in which nothing of that waits."""
        if not self._parts:
            self.chat = msgspec.structs.replace(self.chat, waiting=())
            self.is_guest, self._parts = False, True

    def apply(self, edit: Edit) -> None:
        """What a turn proposes."""
        self.chat = applied(self.chat, edit)
        self._write_soon()

    def lend(self, ids: int) -> Chat:
        """The value as it is, with so many ids for a turn that works on it."""
        chat = self.chat
        self.chat = chat.lent(ids)
        return chat

    def go_through(self, node: int) -> None:
        """Choose the path through a message; nobody has seen another one yet."""
        self.chat = self.chat.through(node)

    def undo(self) -> bool:
        """Take back the last thing that the user did to its messages or to what is around them; whether there was one."""
        while self._done:
            before, after = self._done.pop()
            if self.change(partial(taken_back, before=before, after=after), can_undo=False):
                return True
        return False

    # -- turns

    def hold(self) -> None:
        """A turn of it waits or runs."""
        self._holders += 1

    def release(self) -> None:
        """That turn is over."""
        self._holders -= 1

    @property
    def is_held(self) -> bool:
        """Whether a turn of it waits or runs."""
        return self._holders > 0

    # -- keeping

    @property
    def is_stored(self) -> bool:
        """Whether the present value is on the disk, or is not worth it, and nothing is being written."""
        return self.is_kept and (self._writer is None or self._writer.done())

    @property
    def is_kept(self) -> bool:
        """Whether the present value is on the disk, or nothing was said."""
        chat = self.chat
        return chat is self._written or (self._saved is None and not (chat.entries or chat.aside or chat.waiting))

    def has_written(self, id_: int) -> bool:
        """Whether a message that was sent here needs no other place on the disk: it is there, or was taken out again."""
        chat, written = self.chat, self._written
        is_gone = all(each.id != id_ for each in chat.waiting) and all(each.id != id_ for each in chat.nodes)
        return is_gone or (written is not None and id_ < written.next_id)

    def has_pictures(self, id_: int, n: int) -> bool:
        """Whether the same holds for its `n` pictures; a message may wait with their names alone."""
        waits = (each for each in (self._written.waiting if self._written is not None else ()) if each.id == id_)
        return self.has_written(id_) and all(len(each.message.images) == n for each in waits)

    async def stored(self) -> None:
        """Wait until the present value, or a newer one, is on the disk or once more cannot be written. The writing goes on if this is
        cancelled."""
        self._write_again()
        if self._writer is not None:
            await asyncio.shield(self._writer)

    async def rescue(self, folders: Sequence[Path]) -> Path:
        """Keep what the library does not take in a file, from which the next start takes it in; the file. Raises LibraryError."""
        chat, at = self.chat, None if self._parts else self._saved
        path = await asyncio.to_thread(rescue, folders, chat, at, self._model, self._album.given.get)
        self._written = chat
        return path

    def _write_soon(self) -> None:
        if not self.is_kept and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    def _write_again(self) -> None:
        self._refused = None
        self._write_soon()

    async def _write_all(self) -> None:
        """Write the newest value until there is none that is newer. The library has the last word on every error."""
        while not self.is_kept and self.chat is not self._refused:
            if self._parts:
                self._parts, self._saved, self._written = False, None, None
                self._store.copied()
            chat, was = self.chat, self.id
            try:
                try:
                    await asyncio.to_thread(self._write, chat)
                except ConflictError:
                    self._saved, self._written = None, None
                    await asyncio.to_thread(self._write, chat)
                    self._store.copied()
            except NemochatError as error:
                self._refused = chat
                if self._retry is not None:
                    self._retry.cancel()
                self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._write_again)
                if not self._is_failing:
                    self._is_failing = True
                    self._store.not_stored(error)
                continue
            self._is_failing = False
            self._store.stored(self, is_new=self.id != was)

    def _write(self, chat: Chat) -> None:
        """In a thread of its own; there is never more than one."""
        for digest in {image.digest for image in pictures_of(chat)} - self._kept_pictures:
            original = self._album.given.get(digest)
            if original is not None:
                self._library.put_picture(digest, original)
                self._kept_pictures.add(digest)
        saved = self._saved
        in_use = self._store.model_in_use()
        self._model = in_use if in_use.name else self._model
        self._saved = self._library.save(
            saved.id if saved else None, saved.version if saved else 0, self._written, chat, model=self._model
        )
        self._written = chat
