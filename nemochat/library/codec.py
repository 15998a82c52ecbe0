"""Messages and what is around them as columns and JSON, and back.

What would be there twice is stored once: the words of a message with one text part are in the column `text` alone, and so is the text of
the reply that a record repeats. The exact prompt of a reply is left out, and what it had forgotten is kept as ranges: both grow with the
conversation, so that a long one would be stored over and over.

Every JSON says its version. A newer one is refused (`NewerError`), and its row is left as it is; an earlier one is brought up to date by
`nemochat.library.earlier`. Damage costs what it stands in and nothing else: a column may hold anything.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

from nemochat.domain.chat import Entry, Reading, Waiting
from nemochat.domain.groups import Group
from nemochat.domain.messages import Conversation, Message, Part, Role, TextPart, ToolCallPart, ToolResultPart, ToolSpec
from nemochat.domain.personas import AuthorNote, Persona, UserProfile
from nemochat.domain.replies import ModelRef, ReplyRecord, TurnResult
from nemochat.domain.sampling import Sampling
from nemochat.domain.summaries import Summary
from nemochat.library.errors import NewerError
from nemochat.prompt.replies import FORMAT, written
from nemochat.settings import SamplingSettings

Decoded = TypeVar("Decoded")

VERSION = 3
"""Of the JSON that is written; raised with every change that an earlier program would misread. Version 3 added what several speakers, a
summary and lorebooks of their own need, and changed nothing that was there."""
FIRST_VERSION = 1
"""Of JSON that does not say its version, as nemochat 0.1 wrote it."""
MAX_ID = 1 << 53
LAST_SECOND = 253_402_300_799.0  # of the year 9999
_MAX_FORGOTTEN = 1_000_000


class Roleplay(msgspec.Struct, frozen=True, omit_defaults=True):
    """The roleplay of a conversation, the documents that are searched for it, what is asked of its sampling, summaries and memory."""

    persona: Persona | None = None
    user: UserProfile | None = None
    note: AuthorNote | None = None
    seed: int = 0
    collections: tuple[str, ...] = ()
    sampling: SamplingSettings | None = None
    group: Group | None = None
    variables: dict[str, str] = {}
    readings: dict[str, Reading] = {}
    lorebooks: tuple[str, ...] = ()
    summaries: tuple[Summary, ...] = ()
    remembered: tuple[str, ...] = ()
    v: int = FIRST_VERSION


ROLEPLAY = tuple(field for field in Roleplay.__struct_fields__ if field != "v")
"""What of a Chat is in a Roleplay: the same names there."""


class _Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """A Conversation without messages."""

    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    contexts: tuple[str, ...] = ()
    v: int = FIRST_VERSION


class _Queue(msgspec.Struct, frozen=True, omit_defaults=True):
    waiting: tuple[Waiting, ...] = ()
    v: int = FIRST_VERSION


class _Version(msgspec.Struct, frozen=True):
    v: int = FIRST_VERSION


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ReplyRecord. repeated: its text is that of the message. forgotten: starts and stops."""

    result: TurnResult
    sampling: Sampling
    model: ModelRef
    repeated: bool = False
    forgotten: tuple[tuple[int, int], ...] = ()


class _Rest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the columns of a message leave. parts: None for one text part. taken: the words of the only part among them that has any are
    in the column."""

    parts: tuple[Part, ...] | None = None
    taken: bool = False
    pinned: bool = False
    excluded: bool = False
    example: bool = False
    interrupted: bool = False
    speaker: str = ""
    at: float = 0.0
    record: _Record | None = None
    v: int = FIRST_VERSION


class ReadEntry(msgspec.Struct, frozen=True):
    """A message out of its columns. whole: all of it could be read, else it has its words alone. is_earlier: its JSON is of an earlier
    version, so it is not as today's are yet."""

    entry: Entry
    whole: bool = True
    is_earlier: bool = False


def to_columns(entry: Entry) -> tuple[str, str, str]:
    """role, text and rest of a message."""
    message = entry.message
    text = message.text
    parts: tuple[Part, ...] | None = message.parts
    words = [part for part in message.parts if isinstance(part, TextPart | ToolResultPart)]
    taken = len(words) == 1 and _encodable(text)
    if taken:
        is_plain = len(message.parts) == 1 and isinstance(words[0], TextPart)
        parts = None if is_plain else tuple(msgspec.structs.replace(part, text="") if part is words[0] else part for part in message.parts)
    rest = _Rest(
        parts,
        taken and parts is not None,
        message.pinned,
        message.excluded,
        message.example,
        entry.interrupted,
        entry.speaker,
        entry.at,
        None if entry.record is None else _to_record(entry.record, text),
        VERSION,
    )
    return message.role.value, storable(text), to_json(rest)


def from_columns(id_: int, role: object, text: object, rest: object) -> ReadEntry:
    """The message. Raises NewerError."""
    words = as_text(text)
    try:
        read, is_earlier = _read_rest(rest)
        record = None if read.record is None else _from_record(read.record, words)
        who, whole = Role(as_text(role)), isinstance(text, str)
    except ValueError:
        read, record, whole, is_earlier = _Rest(), None, False, False
        who = Role.USER if role == Role.USER.value else Role.ASSISTANT
    parts: tuple[Part, ...] = (TextPart(words),) if read.parts is None else read.parts
    if read.taken:
        parts = tuple(
            msgspec.structs.replace(part, text=words) if isinstance(part, TextPart | ToolResultPart) else part for part in parts
        )
    message = Message(who, parts, read.pinned, read.excluded, read.example)
    return ReadEntry(Entry(message, record, read.interrupted, read.speaker, id_, read.at), whole, is_earlier)


def scene_to_json(frame: Conversation, roleplay: Roleplay) -> tuple[str, str]:
    """The columns of what is around the messages."""
    written = _Frame(frame.system, frame.tools, frame.contexts, VERSION)
    return to_json(written), to_json(msgspec.structs.replace(roleplay, v=VERSION))


def scene_from_json(frame: object, roleplay: object) -> tuple[Conversation, Roleplay, bool]:
    """What is around the messages, and whether all of it could be read. Raises NewerError."""
    whole = True
    around, role = Conversation(), Roleplay()
    try:
        read = versioned(frame, _Frame)
        around = Conversation(read.system, read.tools, read.contexts)
    except ValueError:
        whole = False
    try:
        role = msgspec.structs.replace(versioned(roleplay, Roleplay), v=FIRST_VERSION)
    except ValueError:
        whole = False
    return around, role, whole


def waiting_to_json(waiting: tuple[Waiting, ...]) -> str:
    """The column of what waits."""
    return to_json(_Queue(waiting, VERSION)) if waiting else ""


def waiting_from_json(text: object) -> tuple[tuple[Waiting, ...], bool]:
    """What waits, each once, and whether it could be read. Raises NewerError."""
    if text == "":
        return (), True
    try:
        read = versioned(text, _Queue).waiting
    except ValueError:
        return (), False
    kept = {each.id: each for each in read if can_wait(each)}
    return tuple(kept.values()), len(kept) == len(read)


def can_wait(waiting: Waiting) -> bool:
    """Whether it is what the library would write."""
    return 0 < waiting.id < MAX_ID and waiting.message.role is Role.USER and math.isfinite(waiting.when)


def storable(text: str) -> str:
    """A text that a column takes: lone surrogates become question marks."""
    return text if _encodable(text) else text.encode(errors="replace").decode()


def as_text(value: object) -> str:
    """A text out of any column."""
    if isinstance(value, str):
        return value
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def as_int(value: object, default: int = 0) -> int:
    """A number out of any column: `default` for what is none, or none that the library would write."""
    return value if isinstance(value, int) and 0 <= value < MAX_ID else default


def as_seconds(value: object) -> float:
    """A time out of any column."""
    return min(as_int(value) / 1000, LAST_SECOND)


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


def versioned(text: object, kind: type[Decoded]) -> Decoded:
    """The value of JSON that says its version. Raises ValueError, and NewerError for a newer one."""
    _version(text)
    return from_json(as_text(text), kind)


def _version(text: object) -> int:
    if not isinstance(text, str):
        raise ValueError("this is no text")
    version = from_json(text, _Version).v
    if version > VERSION:
        raise NewerError.of_conversation()
    return version


def _read_rest(rest: object) -> tuple[_Rest, bool]:
    """The rest, and whether it is of an earlier version. Raises ValueError and NewerError."""
    is_earlier = _version(rest) == FIRST_VERSION
    return (_modern(as_text(rest)) if is_earlier else from_json(as_text(rest), _Rest)), is_earlier


def _modern(rest: str) -> _Rest:
    """What version 1 wrote. It had calls as the text that the model wrote, and the model by its name."""
    content = from_json(rest, dict[str, Any])
    record = content.get("record")
    if isinstance(record, dict) and isinstance(record.get("model"), str):
        content["record"] = record | {"model": {"name": record["model"]}}
    parts = content.get("parts")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and part.get("type") == "tool_call" and isinstance(part.get("raw"), str):
            part |= {"verbatim": part.pop("raw"), "format": FORMAT}
    try:
        read = msgspec.convert(content, _Rest)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    kept = tuple(
        msgspec.structs.replace(part, verbatim="", format="")
        if isinstance(part, ToolCallPart) and part.calls and part.verbatim == written(ToolCallPart(part.calls))
        else part
        for part in read.parts or ()
    )
    return read if read.parts is None else msgspec.structs.replace(read, parts=kept)


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
