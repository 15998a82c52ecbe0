"""Messages and what is around them as columns and JSON, and back.

What would be there twice is stored once: the words of a message with one text part are in the column `text` alone, and so is the text of
the reply that a record repeats. The exact prompt of a reply is left out, and what it had forgotten is kept as ranges: both grow with the
conversation, so that a long one would be stored over and over.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from nemochat.domain.chat import Entry, Waiting
from nemochat.domain.messages import Conversation, Message, Part, Role, TextPart
from nemochat.domain.personas import AuthorNote, Persona, UserProfile
from nemochat.domain.replies import ReplyRecord, TurnResult
from nemochat.domain.sampling import Sampling

Decoded = TypeVar("Decoded")

_MAX_FORGOTTEN = 1_000_000


class Roleplay(msgspec.Struct, frozen=True, omit_defaults=True):
    """The roleplay of a conversation, and the documents that are searched for it."""

    persona: Persona | None = None
    user: UserProfile | None = None
    note: AuthorNote | None = None
    seed: int = 0
    collections: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ReplyRecord. repeated: its text is that of the message. forgotten: starts and stops."""

    result: TurnResult
    sampling: Sampling
    model: str
    repeated: bool = False
    forgotten: tuple[tuple[int, int], ...] = ()


class _Rest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the columns of a message leave. parts: None for one text part. taken: the words of the only text part among them are in the
    column."""

    parts: tuple[Part, ...] | None = None
    taken: bool = False
    pinned: bool = False
    excluded: bool = False
    example: bool = False
    interrupted: bool = False
    speaker: str = ""
    record: _Record | None = None


def to_columns(entry: Entry) -> tuple[str, str, str]:
    """role, text and rest of a message."""
    message = entry.message
    text = message.text
    parts: tuple[Part, ...] | None = message.parts
    words = [part for part in message.parts if isinstance(part, TextPart)]
    taken = len(words) == 1 and _encodable(text)
    if taken:
        parts = None if len(message.parts) == 1 else tuple(TextPart("") if part is words[0] else part for part in message.parts)
    rest = _Rest(
        parts,
        taken and parts is not None,
        message.pinned,
        message.excluded,
        message.example,
        entry.interrupted,
        entry.speaker,
        None if entry.record is None else _to_record(entry.record, text),
    )
    return message.role.value, storable(text), to_json(rest)


def from_columns(id_: int, role: str, text: str, rest: str) -> tuple[Entry, bool]:
    """The message, and whether all of it could be read; else it has its words alone."""
    try:
        read = from_json(rest, _Rest)
        record = None if read.record is None else _from_record(read.record, text)
        who, whole = Role(role), True
    except ValueError:
        read, record, whole = _Rest(), None, False
        who = Role.USER if role == Role.USER.value else Role.ASSISTANT
    parts: tuple[Part, ...] = (TextPart(text),) if read.parts is None else read.parts
    if read.taken:
        parts = tuple(TextPart(text) if isinstance(part, TextPart) else part for part in parts)
    message = Message(who, parts, read.pinned, read.excluded, read.example)
    return Entry(message, record, read.interrupted, read.speaker, id_), whole


def scene_to_json(frame: Conversation, roleplay: Roleplay) -> tuple[str, str]:
    """The columns of what is around the messages."""
    return to_json(frame), to_json(roleplay)


def storable(text: str) -> str:
    """A text that a column takes: lone surrogates become question marks."""
    return text if _encodable(text) else text.encode(errors="replace").decode()


def to_json(value: object) -> str:
    """JSON. Lone surrogates, which a model can write into a tool call, are kept as escapes."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value))


def from_json(text: str | bytes, kind: type[Decoded]) -> Decoded:
    """The value. Raises ValueError."""
    try:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError:  # it knows no lone surrogates
            return msgspec.convert(json.loads(text if isinstance(text, str) else text.decode(errors="replace")), kind)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _to_record(record: ReplyRecord, text: str) -> _Record:
    result = record.result
    repeated = result.text == text
    runs: list[tuple[int, int]] = []
    for index in result.forgotten:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    bare = msgspec.structs.replace(result, text="" if repeated else result.text, forgotten=())
    return _Record(bare, record.sampling, record.model, repeated, tuple(runs))


def _from_record(record: _Record, text: str) -> ReplyRecord:
    if sum(max(0, stop - start) for start, stop in record.forgotten) > _MAX_FORGOTTEN:
        raise ValueError("the ranges are too long")
    forgotten = tuple(index for start, stop in record.forgotten for index in range(start, stop))
    result = msgspec.structs.replace(record.result, text=text if record.repeated else record.result.text, forgotten=forgotten)
    return ReplyRecord(result, record.sampling, record.model, ())


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
