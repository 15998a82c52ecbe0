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
from nemochat.domain.chat import Chat, Waiting
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart
from nemochat.errors import ConversationError

MAX_BYTES = 256 * 1024 * 1024


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
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConversationError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise ConversationError(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB.")
    if data.lstrip()[:1] == b"[":
        return ConversationFile(messages=decode(data, tuple[AnyMessage, ...], path.name))
    return decode(data, ConversationFile, path.name)


def read_conversation(path: Path) -> tuple[Chat, dict[str, Original]]:
    """The conversation in a file, and the files of its pictures by digest. Raises ConversationError and ImageError."""
    body = read_body(path)
    waiting = [UserMessage(each.content) for each in body.waiting]
    originals: dict[str, Original] = {}
    parts: dict[str, ImagePart] = {}
    for source in image_sources((*body.messages, *waiting)):
        picture = open_picture(source)
        if picture.original is not None:
            originals[picture.original.digest] = picture.original
            parts[source] = ImagePart(picture.original.digest, picture_name(source), picture.image.width, picture.image.height)
    chat = Chat.of(to_conversation(body, parts), speakers(body.messages)).named(path.stem)
    for each, message in zip(body.waiting, to_conversation(ConversationBody(tuple(waiting)), parts).messages, strict=True):
        chat = chat.queued(Waiting(message.text, message.images, each.when))
    return chat, originals
