"""What the library of conversations tells about them: rows of a list, what a search found. Pure values."""

from __future__ import annotations

import msgspec

from nemochat.domain.messages import Role


class ConversationRow(msgspec.Struct, frozen=True):
    """One conversation in a list.

    updated, created: seconds since the epoch. persona, model: names, "" for none. preview: the first words of its last message.
    deleted: it can still be brought back.
    """

    id: str
    title: str
    n_messages: int = 0
    updated: float = 0.0
    created: float = 0.0
    persona: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    archived: bool = False
    deleted: bool = False
    has_picture: bool = False
    preview: str = ""


class Hit(msgspec.Struct, frozen=True):
    """A message that a search found. node: its id within the conversation, 0 when the title itself was found.

    updated: when the message was written, in seconds since the epoch. snippet: the words around the place. marks: start and stop of each
    of the words that were looked for, as indices into `snippet`.
    """

    conversation: str
    node: int
    title: str
    role: Role
    updated: float
    snippet: str
    marks: tuple[tuple[int, int], ...] = ()


class SearchFilters(msgspec.Struct, frozen=True):
    """What a search is narrowed to. "" and None let everything through.

    since, until: seconds since the epoch; `until` itself is no longer in.
    """

    persona: str = ""
    model: str = ""
    since: float | None = None
    until: float | None = None
    has_picture: bool | None = None
