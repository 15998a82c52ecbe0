"""A conversation out of a JSON file of OpenAI messages, as `nemochat.chat.export` writes it, or as anybody may."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nemochat.chat.openai_messages import (
    AnyMessage,
    ConversationBody,
    ImageContent,
    TextContent,
    UserMessage,
    decode,
    image_sources,
    speakers,
    to_conversation,
)
from nemochat.chat.pictures import open_picture, picture_name
from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart, Part, TextPart
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import ConversationError, ImageError
from nemochat.files import reason
from nemochat.reading import read_regular

MAX_BYTES = 128 * 1024 * 1024


class ReadConversation(msgspec.Struct, frozen=True):
    """pictures: their files by digest. problems: a sentence for each picture that cannot be read; words stand in its place."""

    chat: Chat
    pictures: dict[str, Original]
    problems: tuple[str, ...] = ()


class _Waiting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of the user that nobody has answered yet. when: in seconds since the epoch."""

    content: str | tuple[TextContent | ImageContent, ...]
    when: float = 0.0


class ConversationFile(ConversationBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A conversation with what waits in it."""

    waiting: tuple[_Waiting, ...] = ()


def read_body(path: Path) -> ConversationFile:
    """A list of OpenAI messages, or an object with messages, system, tools, contexts and what waits. Raises ConversationError."""
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise ConversationError(f"{shown(path)} cannot be read: {reason(error)}.") from error
    return body_of(data, path.name)


def body_of(data: bytes, name: str) -> ConversationFile:
    """The same out of the bytes of a file. Raises ConversationError."""
    if data.lstrip()[:1] == b"[":
        return ConversationFile(messages=decode(data, tuple[AnyMessage, ...], name))
    return decode(data, ConversationFile, name)


def read_conversation(path: Path) -> ReadConversation:
    """The conversation in a file. Raises ConversationError."""
    body = read_body(path)
    waiting = [UserMessage(each.content) for each in body.waiting]
    originals: dict[str, Original] = {}
    parts: dict[str, Part] = {}
    problems: list[str] = []
    for source in dict.fromkeys(image_sources((*body.messages, *waiting))):
        name = picture_name(source)
        try:
            picture = open_picture(source)
        except ImageError as error:
            parts[source] = TextPart(f"[picture that cannot be read: {sanitize(name, strict=True)}]")
            problems.append(error.message)
            continue
        if picture.original is not None:
            originals[picture.original.digest] = picture.original
            parts[source] = ImagePart(picture.original.digest, name, picture.image.width, picture.image.height)
    chat = Chat.of(to_conversation(body, parts), speakers(body.messages)).named(path.stem)
    for each, message in zip(body.waiting, to_conversation(ConversationBody(tuple(waiting)), parts).messages, strict=True):
        chat = chat.queued(message, when=each.when)
    return ReadConversation(chat, originals, tuple(problems))
