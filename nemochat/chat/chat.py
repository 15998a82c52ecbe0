"""One conversation as a value, with the changes that a user can make to it. Every change gives a new value; nothing is done in place."""

from __future__ import annotations

import bisect

import msgspec

from nemochat.chat.values import Entry, ReplyRecord
from nemochat.domain.messages import Conversation, Role, TextPart
from nemochat.errors import ConversationError

_TITLE_WORDS = 8
_TITLE_CHARACTERS = 48


class Chat(msgspec.Struct, frozen=True):
    """The entries of a conversation behind its frame (system text, tools, contexts; its own messages stay empty).

    first_kept: index of the entry where the window's unbroken tail begins. name: the user's own title, "" for none.
    """

    frame: Conversation = Conversation()
    entries: tuple[Entry, ...] = ()
    first_kept: int = 0
    name: str = ""

    @classmethod
    def of(cls, conversation: Conversation) -> Chat:
        """A conversation that comes from elsewhere."""
        return cls(msgspec.structs.replace(conversation, messages=()), tuple(Entry(message) for message in conversation.messages))

    @property
    def conversation(self) -> Conversation:
        """Everything in it, also what the model does not see."""
        return msgspec.structs.replace(self.frame, messages=tuple(entry.message for entry in self.entries))

    @property
    def shown(self) -> tuple[int, ...]:
        """Indices of the entries that the user has not taken out."""
        return tuple(index for index, entry in enumerate(self.entries) if not entry.message.excluded)

    @property
    def visible(self) -> Conversation:
        """The conversation of the `shown` entries."""
        return msgspec.structs.replace(self.frame, messages=tuple(self.entries[index].message for index in self.shown))

    @property
    def first_shown(self) -> int:
        """`first_kept` as an index into `shown`."""
        return bisect.bisect_left(self.shown, self.first_kept)

    @property
    def title(self) -> str:
        """The user's name for it, else its first words."""
        if self.name:
            return self.name
        first = next((entry.message for entry in self.entries if entry.message.role is Role.USER), None)
        if first is None:
            return "New chat"
        words = first.text.split()
        text = " ".join(words[:_TITLE_WORDS]) or ", ".join(part.name or "picture" for part in first.images)
        return text if len(text) <= _TITLE_CHARACTERS and len(words) <= _TITLE_WORDS else text[: _TITLE_CHARACTERS - 1].rstrip() + "…"

    def added(self, entry: Entry) -> Chat:
        """With one more entry."""
        return msgspec.structs.replace(self, entries=(*self.entries, entry))

    def cut(self, length: int) -> Chat:
        """Only its first `length` entries."""
        return msgspec.structs.replace(self, entries=self.entries[:length], first_kept=min(self.first_kept, length))

    def recorded(self, record: ReplyRecord) -> Chat:
        """With a record on its last entry."""
        return self.changed(len(self.entries) - 1, msgspec.structs.replace(self.entries[-1], record=record))

    def changed(self, index: int, entry: Entry) -> Chat:
        """With another entry at `index`."""
        return msgspec.structs.replace(self, entries=(*self.entries[:index], entry, *self.entries[index + 1 :]))

    def marked(self, index: int, *, pinned: bool | None = None, excluded: bool | None = None) -> Chat:
        """With a message pinned or not, taken out or not; None leaves it. A tool call and its results are taken out together."""
        chat = self
        for at in range(*self._together(index)) if excluded is not None else (index,):
            entry = chat.entries[at]
            message = entry.message
            message = msgspec.structs.replace(
                message,
                pinned=message.pinned if pinned is None else pinned,
                excluded=message.excluded if excluded is None else excluded,
            )
            chat = chat.changed(at, msgspec.structs.replace(entry, message=message))
        return chat

    def without(self, index: int) -> Chat:
        """Without a message; a tool call goes with its results."""
        start, stop = self._together(index)
        first_kept = self.first_kept - max(0, min(stop, self.first_kept) - start)
        return msgspec.structs.replace(self, entries=(*self.entries[:start], *self.entries[stop:]), first_kept=first_kept)

    def rewritten(self, index: int, text: str) -> Chat:
        """With other words in a message; its pictures stay, its record goes. Raises ConversationError for a message left empty."""
        message = self.entries[index].message
        if not text.strip() and not message.images:
            raise ConversationError("A message cannot be empty.", "Delete it instead.")
        parts = (*message.images, *((TextPart(text),) if text.strip() else ()))
        return self.changed(index, Entry(msgspec.structs.replace(message, parts=parts)))

    def framed(self, system: str) -> Chat:
        """With another system text."""
        return msgspec.structs.replace(self, frame=msgspec.structs.replace(self.frame, system=system))

    def named(self, name: str) -> Chat:
        """With a title of the user's own."""
        return msgspec.structs.replace(self, name=name)

    def _together(self, index: int) -> tuple[int, int]:
        """Start and stop of the messages that go with this one: a reply that calls tools and the results behind it."""
        messages = [entry.message for entry in self.entries]
        start = index
        while start > 0 and messages[start].role is Role.TOOL:
            start -= 1
        stop = start + 1
        while messages[start].tool_calls and stop < len(messages) and messages[stop].role is Role.TOOL:
            stop += 1
        return (start, stop) if index < stop else (index, index + 1)

