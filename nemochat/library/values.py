"""What the library takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.replies import ModelRef


class Saved(msgspec.Struct, frozen=True):
    """Where a conversation is, and the version to name at the next save."""

    id: str
    version: int


class StoredChat(msgspec.Struct, frozen=True):
    """A conversation as it is in the library.

    created, updated: seconds since the epoch. deleted: it is in the bin. damaged: how much could not be
    read: messages of which the words alone are left, or nothing; what is around them; how they hang together.
    """

    id: str
    version: int
    chat: Chat
    model: ModelRef
    tags: tuple[str, ...]
    archived: bool
    deleted: bool
    created: float
    updated: float
    damaged: int = 0


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which conversations, newest first. archived: None is both. deleted: those in the bin instead, whether archived or not."""

    archived: bool | None = False
    deleted: bool = False
    tag: str = ""
    persona: str = ""
    limit: int = 200
    offset: int = 0


class ReplyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which replies. "" and None are all of them. model: that made the reply. since: stored then or later, in seconds since the epoch."""

    model: str = ""
    since: float | None = None
    conversation: str = ""


class RepairReport(msgspec.Struct, frozen=True):
    """What was recovered, all of it into new conversations. incomplete: ids of those in which messages or settings are missing.

    problems: sentences about conversations and pictures that could not be.
    """

    conversations: tuple[str, ...]
    messages: int
    incomplete: tuple[str, ...]
    problems: tuple[str, ...] = ()


class ImportReport(msgspec.Struct, frozen=True):
    """added: ids under which conversations are new here. skipped: how many were here already. problems: sentences for the user.

    lost: how many conversations could not be taken in; other problems are about a part of one, a picture, say.
    """

    added: tuple[str, ...]
    skipped: int
    problems: tuple[str, ...]
    lost: int = 0


class ExportReport(msgspec.Struct, frozen=True):
    """conversations: how many are in the file. problems: sentences for the user about those that are not, or not whole."""

    conversations: int
    problems: tuple[str, ...] = ()


class ForeignChat(msgspec.Struct, frozen=True):
    """A conversation from elsewhere. created, updated: seconds since the epoch, None where the file does not say. problems: what could not
    be read of it. meaningless: what was read and has no meaning here.

    user, character: their names, "" where the file does not say. opening: which of the character's greetings comes before the first
    message, 0 the first; None where it is among the messages. scenario: in place of the character's. book: the name of its lorebook; lore:
    a lorebook in the form of its program. variables: of its macros. mark: a digest by which it is known again, where that is not to hang
    on what lay beside the file; b"" for that of its messages.
    """

    chat: Chat
    model: ModelRef = ModelRef()
    created: float | None = None
    updated: float | None = None
    problems: tuple[str, ...] = ()
    meaningless: tuple[str, ...] = ()
    user: str = ""
    character: str = ""
    opening: int | None = None
    scenario: str = ""
    book: str = ""
    lore: Mapping[str, Any] = {}
    variables: Mapping[str, str] = {}
    mark: bytes = b""
