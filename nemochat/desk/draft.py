"""What is on its way to a message: the text as it is being typed, the pictures beside it, and what of both survives a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import msgspec

from nemochat import images
from nemochat.chat import ChatSession
from nemochat.chat.pictures import OpenedPicture, open_picture, picture_name
from nemochat.chat.recall import DraftFile, KeptDraft, PromptHistory
from nemochat.desk.port import Complained, DraftLoaded, DraftPutBack, PicturesChanged, Port, Said, TokenAdded, TokenChanged, TokenRemoved
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart, Message, Role, TextPart
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.errors import EngineError, ImageError, NemochatError
from nemochat.numbers import count

SAVE_SECONDS = 0.5
_LONGEST_NAME = 32


@dataclass
class Incoming:
    """A picture of the draft or of a message that waits. source: a path or a data URI, "" for one that is neither yet.

    larger: as it was, with its source, each time before it was made smaller. part: what a message has of it, there as soon as the file is
    read; its tokens are there when a model has counted them. is_read: set when it is there, or cannot be. is_exact: the tokens are what it
    takes, not only near that. task: reads it and has it counted; it is the draft's, and whoever waits for it shields it.
    """

    key: str
    name: str
    source: str
    number: int = 0
    larger: list[tuple[ImagePart, str]] = field(default_factory=list)
    part: ImagePart | None = None
    state: str = "reading"
    is_exact: bool = True
    is_read: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[ImagePart] | None = None

    @property
    def tokens(self) -> int:
        """What it takes in the prompt, 0 while that is not known."""
        return self.part.tokens if self.part is not None else 0

    @property
    def kept_in(self) -> str:
        """Where it can be found again, as far as that is known; a smaller copy that is still being made is found as what it is made of."""
        return self.source or (self.larger[-1][1] if self.larger else "")

    @property
    def label(self) -> str:
        """The token that stands for it in the prompt."""
        size = f" {self.part.width}x{self.part.height}" if self.part is not None else ""
        state = f"{count(self.tokens, is_exact=self.is_exact)} tokens" if self.tokens else self.state
        name = shortened(self.name, _LONGEST_NAME)
        # Brackets end the token, so a name must not hold any.
        return f"[image {self.number}: {name.replace('[', '(').replace(']', ')')}{size}, {state}]"


@dataclass
class _Leaving:
    """What has left the prompt, until it is on the disk elsewhere. has_text, has_pictures: whether its words are, and its pictures."""

    text: str
    pictures: Sequence[Incoming]
    sources: Sequence[str]
    has_text: Callable[[], bool]
    has_pictures: Callable[[], bool]

    def named(self) -> list[str]:
        """Its pictures, as far as they are in files."""
        return [*self.sources, *(item.kept_in for item in self.pictures if item.kept_in)]


@dataclass
class _Returned:
    """What was sent and has come back to the prompt. at: when it was sent."""

    at: float
    text: str
    keys: list[str]


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
    """Owns the draft. The prompt shows it: `typed` is what it holds now, and what is changed here is told to it.

    Its file holds all that the user wrote and that is nowhere else on the disk: what stands in the prompt, and what has left it (`leave`).
    """

    def __init__(self, port: Port, keeps: Keeps, file: DraftFile, history: PromptHistory) -> None:
        self._port, self._keeps, self._file, self._history = port, keeps, file, history
        self._items: dict[str, Incoming] = {}
        self._leaving: list[_Leaving] = []
        self._returned: list[_Returned] = []
        """In the order in which they were sent. They begin the text, as long as the user leaves them there."""
        self._made = 0
        self._timer: asyncio.TimerHandle | None = None
        self._has_complained = False
        self.text = ""
        """Without the tokens of pictures."""
        self.dialogs: Callable[[], str] = str
        """What is being typed elsewhere, which a crash must not take either."""
        self.editing: int | None = None
        """The id of the message that is being edited, None for a new one."""

    # -- the text

    def typed(self, text: str) -> None:
        """The prompt holds this text now."""
        if text == self.text:
            return
        self.text = text
        self.save_soon()
        self._keeps.draft_changed(is_picture=False)

    def load(self, text: str) -> None:
        """The prompt is to hold this text and the pictures that there are."""
        self.text = text
        self._port.tell(DraftLoaded(text, self._tokens(self.items)))
        self.save_soon()
        self._keeps.draft_changed(is_picture=False)

    def put_back(self, text: str, items: Sequence[Incoming] = (), at: float = 0.0) -> None:
        """What was sent is there again, before what was typed since and behind what was sent before it and has come back as well.

        Pictures that failed are left out. at: when it was sent; any time.
        """
        good = [item for item in items if not item.state.startswith("failed")]
        returned = _joined(each.text for each in self._returned)
        if not f"{self.text}\n".startswith(f"{returned}\n" if returned else ""):
            self._returned = []
        before = [each for each in self._returned if each.at <= at]
        self._returned = sorted([*self._returned, _Returned(at, text, [item.key for item in good])], key=lambda each: each.at)
        lead = _joined(each.text for each in before)
        first = [item for each in before for key in each.keys if (item := self._items.get(key)) is not None]
        self._items = {item.key: item for item in [*first, *good, *self.items]}
        self._renumber()
        self.text = put_between(lead, text, self.text)
        self._port.tell(DraftPutBack(text, self._tokens([*first, *good]), lead))
        self.save()  # at once, since it is nowhere else any more
        self._keeps.draft_changed(is_picture=bool(good))

    def leave(
        self,
        text: str,
        has_text: Callable[[], bool],
        pictures: Sequence[Incoming] = (),
        has_pictures: Callable[[], bool] | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        """A message has left the prompt. It stays in the draft's file until `has_text` says that it is on the disk elsewhere, and files
        that were made for its pictures stay until `has_pictures` says that of them. `settle` asks."""
        self._leaving.append(_Leaving(text, pictures, sources, has_text, has_pictures or has_text))
        self.save_soon()

    def settle(self) -> None:
        """Something was written: what has left and is there goes from the draft's file."""
        if any(each.has_text() for each in self._leaving):
            self.save()

    def give_up_edit(self) -> None:
        """The message that is being edited stays as it was; the words stay in the prompt."""
        self.editing = None
        self._port.tell(Said("The message was not changed."))
        self._keeps.draft_changed(is_picture=False)

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
        self.save_soon()
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
            self.save_soon()
            self._keeps.draft_changed(is_picture=False)
        self._port.tell(PicturesChanged())

    def shrink(self, key: str) -> None:
        """Let a picture that was counted take about half of its tokens: the message gets a smaller copy of it."""
        item = self._items.get(key)
        if item is not None and item.part is not None and item.tokens and item.task is not None and item.task.done():
            item.larger.append((item.part, item.source))
            item.source, item.state, item.is_read = "", "being made smaller", asyncio.Event()
            self._begin(item, self._shrunk(item, item.part))
            self._news(item)

    def grow(self, key: str) -> None:
        """Take back a `shrink`."""
        item = self._items.get(key)
        if item is not None and item.larger and item.task is not None and item.task.done():
            part, item.source = item.larger.pop()
            self._count_anew(item, part)
            self.save_soon()

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
        if kept.dialogs:
            self._history.add(kept.dialogs)
            self._port.tell(Said("What you wrote in a dialog is kept: Up in the empty prompt brings it."))

    def close(self) -> None:
        """The program ends: what was typed is kept for the next one."""
        self.save()
        for item in self._items.values():
            if item.task is not None:
                item.task.cancel()

    def rescue(self) -> str:
        """The program has ended: a draft that cannot be written to its place goes to another. A sentence for the user, "" for none."""
        if self.save():
            return ""
        try:
            return f"The draft could not be saved: the next start takes it from {self._file.save_elsewhere(self._kept())}."
        except NemochatError as error:
            return f"The draft is lost. {error.message} {error.hint}"

    def save_soon(self) -> None:
        """However long the typing goes on, a crash takes no more of it than this."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_SECONDS, self.save)

    def save(self) -> bool:
        """Write what is nowhere else on the disk; whether that could be done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._leaving = [each for each in self._leaving if not (each.has_text() and each.has_pictures())]
        larger = [source for item in self.items for _, source in item.larger if source]
        try:
            self._file.save(self._kept(), [*larger, *(source for each in self._leaving for source in each.named())])
        except NemochatError as error:
            # Once is enough: the disk will not be less full at the next letter.
            if not self._has_complained:
                self._has_complained = True
                self._port.tell(Said(error.message))
            return False
        self._has_complained = False
        return True

    def _kept(self) -> KeptDraft:
        homeless = [each for each in self._leaving if not each.has_text()]
        text = _joined((*(unsaid(each.text) for each in homeless), self._history.to_keep(self.text)))
        named = [*(source for each in homeless for source in each.named()), *(item.kept_in for item in self.items if item.kept_in)]
        return KeptDraft(text, tuple(named), self.dialogs())

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
        if not item.source or item.source.startswith("data:"):
            if kept := await asyncio.to_thread(self._keep_file, digest):
                item.source = kept
                self._file.take_over(kept)
            self.save_soon()
        item.part = ImagePart(digest, item.name, picture.image.width, picture.image.height)
        item.is_read.set()
        item.state = "waiting for the model"
        self._news(item)
        return await self._count(item, item.part)

    async def _shrunk(self, item: Incoming, part: ImagePart) -> ImagePart:
        """A smaller copy in its place; where that would take as many tokens, it stays as it was."""
        smaller = await self._read(item, partial(_halved, self._keeps, part.digest))
        if smaller.tokens and smaller.tokens >= part.tokens:
            item.part, item.source = item.larger.pop()
            item.state = "ready"
            self._port.tell(Said(f"A smaller copy of {item.name} would take {count(smaller.tokens)} tokens as well, so it stays as it is."))
            self._news(item)
            self._keeps.draft_changed(is_picture=True)
        assert item.part is not None
        return item.part

    def _count_anew(self, item: Incoming, part: ImagePart) -> None:
        item.part = msgspec.structs.replace(part, tokens=0)
        item.is_read.set()
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
                item.state, item.is_exact = "ready", asked.reader.counts_pictures
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
        item.is_read.set()
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


def _halved(keeps: Keeps, digest: str) -> OpenedPicture:
    """A copy with half of the pixels. Raises ImageError."""
    original = keeps.original(digest)
    if original is None:
        raise ImageError("This picture cannot be found any more.", "Attach its file again.")
    return OpenedPicture(images.halved(images.load(original.data, "the picture")))


def said(text: str) -> str:
    """Two slashes at the beginning stand for one that begins no command."""
    return text[1:] if text.startswith("//") else text


def unsaid(text: str) -> str:
    """What is to stand in the prompt so that this text is sent: no message is taken for a command because it has come back."""
    return f"/{text}" if text.startswith("/") else text


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


def put_between(lead: str, text: str, since: str) -> str:
    """`since` with `text` on lines of its own before it, behind the lines `lead` where it begins with those."""
    if not lead or not f"{since}\n".startswith(f"{lead}\n"):
        return _joined((text, since))
    return _joined((lead, text, since[len(lead) + 1 :]))


def _joined(texts: Iterable[str]) -> str:
    """Each on lines of its own."""
    return "\n".join(text for text in texts if text)
