"""Pictures on their way into the next message: read, fitted, given to the engine, each with its state for the pane and the prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nemochat.chat import Attachment, ChatSession
from nemochat.chat.pictures import OpenedPicture
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.tui.numbers import count

_LONGEST_NAME = 32


@dataclass
class Incoming:
    """A picture of the draft. `size` is the picture's own, not that of the pixels that the model gets."""

    key: str
    name: str
    number: int = 0
    size: tuple[int, int] | None = None
    attachment: Attachment | None = None
    state: str = "reading"
    task: asyncio.Task[Attachment] | None = None

    @property
    def label(self) -> str:
        """The token that stands for it in the prompt."""
        size = f" {self.size[0]}x{self.size[1]}" if self.size else ""
        state = f"{count(self.attachment.tokens)} tokens" if self.attachment else self.state
        name = self.name if len(self.name) <= _LONGEST_NAME else f"{self.name[: _LONGEST_NAME - 1]}…"
        # Brackets end the token, so a name must not hold any.
        return f"[image {self.number}: {name.replace('[', '(').replace(']', ')')}{size}, {state}]"


class Incomings:
    """The pictures of the draft, in their order. `changed` is called with the one whose label or state changed."""

    def __init__(
        self,
        session_ready: Callable[[], Awaitable[ChatSession]],
        changed: Callable[[Incoming], None],
        failed: Callable[[Incoming, NemochatError], None],
    ) -> None:
        self._session_ready = session_ready
        self._changed = changed
        self._failed = failed
        self._items: dict[str, Incoming] = {}
        self._made = 0

    @property
    def items(self) -> list[Incoming]:
        """In the order in which the message will hold them."""
        return list(self._items.values())

    def add(self, name: str, read: Callable[[], OpenedPicture]) -> Incoming:
        """Begin to read a picture; `read` runs in a thread."""
        self._made += 1
        item = Incoming(f"a{self._made}", sanitize(name, strict=True), len(self._items) + 1)
        self._items[item.key] = item
        item.task = asyncio.create_task(self._attach(item, read))
        item.task.add_done_callback(lambda task: self._settled(item, task))
        return item

    def remove(self, key: str) -> Incoming | None:
        """Take a picture out of the draft."""
        item = self._items.pop(key, None)
        if item is not None and item.task is not None:
            item.task.cancel()
        self._renumber()
        return item

    def arrange(self, keys: list[str]) -> None:
        """Put the pictures into this order; those that are not named go."""
        for key in [key for key in self._items if key not in keys]:
            self.remove(key)
        self._items = {key: self._items[key] for key in keys if key in self._items}
        self._renumber()

    def take(self, keys: list[str]) -> list[Incoming]:
        """Take these pictures out of the draft, in this order: they belong to a message now. They go on being read."""
        taken = [self._items.pop(key) for key in keys if key in self._items]
        for number, item in enumerate(taken, 1):
            item.number = number
        self._renumber()
        return taken

    def put_back(self, items: list[Incoming]) -> None:
        """The message was not sent: its pictures belong to the draft again."""
        self._items = {item.key: item for item in [*items, *self.items]}
        self._renumber()

    def _renumber(self) -> None:
        for number, item in enumerate(self._items.values(), 1):
            if item.number != number:
                item.number = number
                self._changed(item)

    async def _attach(self, item: Incoming, read: Callable[[], OpenedPicture]) -> Attachment:
        picture = await asyncio.to_thread(read)
        item.size = picture.image.width, picture.image.height
        item.state = "waiting for the model"
        self._changed(item)
        session = await self._session_ready()
        item.attachment = await session.attach(picture.image, item.name, picture.original)
        item.state = "ready"
        self._changed(item)
        return item.attachment

    def _settled(self, item: Incoming, task: asyncio.Task[Attachment]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, NemochatError):
            item.state = f"failed: {error.message}"
            self._failed(item, error)
        elif error is not None:
            raise error


async def parts_of(items: list[Incoming]) -> list[Attachment]:
    """The attachments of all items, waiting for those that are still being read. Raises NemochatError of the first that failed."""
    attached = []
    for item in items:
        if item.attachment is None and item.task is not None:
            await item.task
        if item.attachment is not None:
            attached.append(item.attachment)
    return attached
