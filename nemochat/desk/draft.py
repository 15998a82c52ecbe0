"""What is on its way to a message: the text as it is being typed, the pictures beside it, and what of both survives a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from nemochat.chat import ChatSession
from nemochat.chat.pictures import OpenedPicture, open_picture, picture_name
from nemochat.chat.recall import DraftFile, KeptDraft
from nemochat.desk.port import Complained, DraftLoaded, DraftPutBack, PicturesChanged, Port, Said, TokenAdded, TokenChanged, TokenRemoved
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart, Message, Role, TextPart
from nemochat.domain.sanitize import sanitize
from nemochat.errors import EngineError, NemochatError
from nemochat.numbers import count

SAVE_SECONDS = 0.5
_LONGEST_NAME = 32


@dataclass
class Incoming:
    """A picture of the draft or of a message that waits. source: a path or a data URI, "" for one that is neither yet.

    part: what a message has of it, there as soon as the file is read; its tokens are there when a model has counted them. task: reads it
    and has it counted; it is the draft's, and whoever waits for it shields it.
    """

    key: str
    name: str
    source: str
    number: int = 0
    part: ImagePart | None = None
    state: str = "reading"
    task: asyncio.Task[ImagePart] | None = None

    @property
    def tokens(self) -> int:
        """What it takes in the prompt, 0 while that is not known."""
        return self.part.tokens if self.part is not None else 0

    @property
    def label(self) -> str:
        """The token that stands for it in the prompt."""
        size = f" {self.part.width}x{self.part.height}" if self.part is not None else ""
        state = f"{count(self.tokens)} tokens" if self.tokens else self.state
        name = self.name if len(self.name) <= _LONGEST_NAME else f"{self.name[: _LONGEST_NAME - 1]}…"
        # Brackets end the token, so a name must not hold any.
        return f"[image {self.number}: {name.replace('[', '(').replace(']', ')')}{size}, {state}]"


class Keeps(Protocol):
    """Where the draft's pictures go, and who counts them."""

    async def ready(self) -> ChatSession:
        """The session, as soon as its model is loaded."""

    def keep(self, picture: OpenedPicture) -> str:
        """Put a picture into the album, ready to be shown; its digest. Called in a thread."""

    def original(self, digest: str) -> Original | None:
        """The file of a picture that was put there, None where it cannot be had. Called in a thread."""

    def draft_changed(self, *, is_picture: bool) -> None:
        """The draft would make another message."""


class Draft:
    """Owns the draft. The prompt shows it: `typed` is what it holds now, and what is changed here is told to it."""

    def __init__(self, port: Port, keeps: Keeps, file: DraftFile) -> None:
        self._port, self._keeps, self._file = port, keeps, file
        self._items: dict[str, Incoming] = {}
        self._made = 0
        self._timer: asyncio.TimerHandle | None = None
        self._has_complained = False
        self.text = ""
        """Without the tokens of pictures."""
        self.editing: int | None = None
        """The id of the message that is being edited, None for a new one."""

    # -- the text

    def typed(self, text: str) -> None:
        """The prompt holds this text now."""
        if text == self.text:
            return
        self.text = text
        self._save_soon()
        self._keeps.draft_changed(is_picture=False)

    def load(self, text: str) -> None:
        """The prompt is to hold this text and the pictures that there are."""
        self.text = text
        self._port.tell(DraftLoaded(text, self._tokens(self.items)))
        self._save_soon()
        self._keeps.draft_changed(is_picture=False)

    def put_back(self, text: str, items: Sequence[Incoming] = ()) -> None:
        """What was sent is there again, before what was typed since; pictures that failed are left out."""
        good = [item for item in items if not item.state.startswith("failed")]
        self._items = {item.key: item for item in [*good, *self.items]}
        self._renumber()
        self.text = "\n".join(each for each in (text, self.text) if each)
        self._port.tell(DraftPutBack(text, self._tokens(good)))
        self._save()  # at once, since it is nowhere else any more
        self._keeps.draft_changed(is_picture=bool(good))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost when something else is put there."""
        return not self.text.strip() and not self._items

    def message(self) -> Message:
        """What it would send as far as its pictures are counted; a command sends nothing."""
        text = self.text.lstrip()
        text = "" if text.startswith("/") and not text.startswith("//") else said(text)
        return message_of(text, [item.part for item in self.items if item.part is not None and item.tokens])

    @property
    def picture_tokens(self) -> int:
        """What its pictures cost, as far as they are counted."""
        return sum(item.tokens for item in self.items)

    # -- the pictures

    @property
    def items(self) -> list[Incoming]:
        """In the order in which the message will hold them."""
        return list(self._items.values())

    def add_source(self, source: str) -> Incoming:
        """A path or a data URI."""
        return self.add(picture_name(source), partial(open_picture, source), source)

    def add(self, name: str, read: Callable[[], OpenedPicture], source: str = "") -> Incoming:
        """Begin to read a picture; `read` runs in a thread."""
        return self._added(self.take_in(name, read, source))

    def add_part(self, part: ImagePart) -> Incoming:
        """A picture of the conversation once more."""
        return self._added(self.take_in_part(part))

    def _added(self, item: Incoming) -> Incoming:
        self._items[item.key] = item
        self._renumber()
        self._port.tell(TokenAdded(item.key, item.label))
        self._port.tell(PicturesChanged())
        self._save_soon()
        return item

    def take_in(self, name: str, read: Callable[[], OpenedPicture], source: str = "") -> Incoming:
        """The same for a picture of a message that was sent already."""
        self._made += 1
        item = Incoming(f"a{self._made}", sanitize(name, strict=True), source)
        self._begin(item, self._read(item, read))
        return item

    def take_in_part(self, part: ImagePart) -> Incoming:
        """One that was read already."""
        self._made += 1
        item = Incoming(f"a{self._made}", sanitize(part.name, strict=True) or "picture", "")
        self._count_anew(item, part)
        return item

    def take_in_source(self, source: str) -> Incoming:
        """A path or a data URI of a message that was sent already."""
        return self.take_in(picture_name(source), partial(open_picture, source), source)

    def model_opened(self) -> None:
        """Another model has other figures for the pictures."""
        for item in self.items:
            if item.part is not None and item.task is not None and item.task.done():
                self._count_anew(item, item.part)

    def remove(self, key: str) -> None:
        """Take a picture out."""
        item = self._items.pop(key, None)
        self._port.tell(TokenRemoved(key))
        if item is not None:
            if item.task is not None:
                item.task.cancel()  # nobody else waits for a picture of the draft
            self._renumber()
            self._save_soon()
            self._keeps.draft_changed(is_picture=False)
        self._port.tell(PicturesChanged())

    def move(self, key: str, offset: int) -> None:
        """Change the order; the tokens in the prompt follow."""
        keys = list(self._items)
        if key not in keys:
            return
        at = keys.index(key)
        to = min(max(at + offset, 0), len(keys) - 1)
        keys.insert(to, keys.pop(at))
        self._items = {each: self._items[each] for each in keys}
        self._renumber()
        self.load(self.text)
        self._port.tell(PicturesChanged())

    def take(self, keys: Sequence[str]) -> list[Incoming]:
        """What was sent leaves the draft: the text, and these pictures in this order. They go on being read."""
        taken = [self._items.pop(key) for key in dict.fromkeys(keys) if key in self._items]
        for number, item in enumerate(taken, 1):
            item.number = number
        self._renumber()
        self._port.tell(PicturesChanged())
        return taken

    # -- what survives

    def restore(self) -> None:
        """Bring back what a program that ended badly has left, behind what was typed already."""
        kept = self._file.load()
        for source in kept.pictures:
            self.add_source(source)
        if kept.text:
            self.put_back(kept.text)

    def sent(self) -> None:
        """What was sent is safe elsewhere: the draft on the disk is what is left."""
        self._save()

    def close(self) -> None:
        """The program ends: what was typed is kept for the next one."""
        self._save()
        for item in self._items.values():
            if item.task is not None:
                item.task.cancel()

    def _save_soon(self) -> None:
        """Once the typing pauses."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(SAVE_SECONDS, self._save)

    def _save(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._file.save(KeptDraft(self.text, tuple(item.source for item in self._items.values() if item.source)))
        except NemochatError as error:
            # Once is enough: the disk will not be less full at the next letter.
            if not self._has_complained:
                self._has_complained = True
                self._port.tell(Said(error.message))

    def _keep_file(self, digest: str) -> str:
        """Of a picture that is no file elsewhere: its path; "" where the disk is full, which is told when the draft itself is saved."""
        original = self._keeps.original(digest)
        try:
            return self._file.keep_picture(original) if original is not None else ""
        except NemochatError:
            return ""

    # -- within

    def _tokens(self, items: Sequence[Incoming]) -> tuple[tuple[str, str], ...]:
        return tuple((item.key, item.label) for item in items)

    def _renumber(self) -> None:
        for number, item in enumerate(self._items.values(), 1):
            if item.number != number:
                item.number = number
                self._port.tell(TokenChanged(item.key, item.label))

    def _news(self, item: Incoming) -> None:
        if item.key in self._items:
            self._port.tell(TokenChanged(item.key, item.label))
        self._port.tell(PicturesChanged())

    def _begin(self, item: Incoming, work: Coroutine[None, None, ImagePart]) -> None:
        item.task = asyncio.create_task(work)
        item.task.add_done_callback(lambda task: self._settled(item, task))

    async def _read(self, item: Incoming, read: Callable[[], OpenedPicture]) -> ImagePart:
        picture = await asyncio.to_thread(read)
        digest = await asyncio.to_thread(self._keeps.keep, picture)
        if not item.source:
            item.source = await asyncio.to_thread(self._keep_file, digest)
            self._save_soon()
        item.part = ImagePart(digest, item.name, picture.image.width, picture.image.height)
        item.state = "waiting for the model"
        self._news(item)
        return await self._count(item, item.part)

    def _count_anew(self, item: Incoming, part: ImagePart) -> None:
        item.part = msgspec.structs.replace(part, tokens=0)
        item.state = "waiting for the model"
        self._begin(item, self._count(item, item.part))
        self._news(item)

    async def _count(self, item: Incoming, part: ImagePart) -> ImagePart:
        """With its tokens, and the model knows it. It stays as it is when the engine fails: whoever needs the engine next says why."""
        session = await self._keeps.ready()
        while True:
            asked = session
            try:
                part = msgspec.structs.replace(part, tokens=await asked.reader.tokens_of(part.digest))
                item.state = "ready"
                break
            except EngineError:
                session = await self._keeps.ready()
                if session is asked:
                    item.state = "not counted"
                    break
        item.part = part
        self._news(item)
        if item.key in self._items:
            self._keeps.draft_changed(is_picture=True)
        return part

    def _settled(self, item: Incoming, task: asyncio.Task[ImagePart]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, NemochatError):
            item.state = f"failed: {error.message}"
            if item.key in self._items:
                # One that was sent is told of by its turn.
                self.remove(item.key)
                self._port.tell(Complained(error))
        elif error is not None:
            raise error


def said(text: str) -> str:
    """Two slashes at the beginning stand for one that begins no command."""
    return text[1:] if text.startswith("//") else text


def message_of(text: str, pictures: Sequence[ImagePart]) -> Message:
    """The user's message of a text and pictures."""
    return Message(Role.USER, (*pictures, *((TextPart(text),) if text else ())))


async def parts_of(items: Sequence[Incoming]) -> list[ImagePart]:
    """The pictures of a message, waiting for those that are still being read. Raises NemochatError of the first that failed."""
    parts: list[ImagePart] = []
    for item in items:
        assert item.task is not None
        parts.append(await asyncio.shield(item.task))
    return parts


