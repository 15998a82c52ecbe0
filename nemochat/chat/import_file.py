"""A conversation out of a JSON file of OpenAI messages, as `nemochat.chat.export` writes it, or as anybody may."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nemochat.chat.openai_messages import AnyMessage, ConversationBody, decode, image_sources, to_conversation
from nemochat.chat.pictures import check_room, open_picture, picture_name
from nemochat.domain.chat import Chat
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart, Part, TextPart
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ConversationError, ImageError
from nemochat.files import reason
from nemochat.reading import read_regular

MAX_BYTES = 128 * 1024 * 1024


class ReadConversation(msgspec.Struct, frozen=True):
    """pictures: their pixels by digest. problems: a sentence for each picture that cannot be read; words stand in its place."""

    chat: Chat
    pictures: dict[str, RgbImage]
    problems: tuple[str, ...] = ()


def read_body(path: Path) -> ConversationBody:
    """A list of OpenAI messages, or an object with messages, system, tools and contexts. Raises ConversationError."""
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise ConversationError(f"{sanitize(str(path), strict=True)} cannot be read: {reason(error)}.") from error
    return body_of(data, path.name)


def body_of(data: bytes, name: str) -> ConversationBody:
    """The same out of the bytes of a file. Raises ConversationError."""
    if data.lstrip()[:1] == b"[":
        return ConversationBody(messages=decode(data, tuple[AnyMessage, ...], name))
    return decode(data, ConversationBody, name)


def read_conversation(path: Path) -> ReadConversation:
    """The conversation in a file. Raises ConversationError."""
    body = read_body(path)
    pictures: dict[str, RgbImage] = {}
    parts: dict[str, Part] = {}
    problems: list[str] = []
    for source in dict.fromkeys(image_sources(body.messages)):
        name = picture_name(source)
        try:
            picture = open_picture(source).image
            check_room([*pictures.values(), picture])
        except ImageError as error:
            parts[source] = TextPart(f"[picture that cannot be read: {sanitize(name, strict=True)}]")
            problems.append(error.message)
            continue
        pictures[picture.digest] = picture
        parts[source] = ImagePart(picture.digest, name)
    chat = msgspec.structs.replace(Chat.of(to_conversation(body, parts)), name=path.stem)
    return ReadConversation(chat, pictures, tuple(problems))
