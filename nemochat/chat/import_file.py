"""A conversation out of a JSON file of OpenAI messages, as `nemochat.chat.export` writes it, or as anybody may."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nemochat.chat.openai_messages import AnyMessage, ConversationBody, decode, image_sources, to_conversation
from nemochat.chat.pictures import open_picture, picture_name
from nemochat.domain.chat import Chat
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart
from nemochat.errors import ConversationError

MAX_BYTES = 256 * 1024 * 1024


def read_body(path: Path) -> ConversationBody:
    """A list of OpenAI messages, or an object with messages, system, tools and contexts. Raises ConversationError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConversationError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise ConversationError(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB.")
    if data.lstrip()[:1] == b"[":
        return ConversationBody(messages=decode(data, tuple[AnyMessage, ...], path.name))
    return decode(data, ConversationBody, path.name)


def read_conversation(path: Path) -> tuple[Chat, dict[str, RgbImage]]:
    """The conversation in a file, and the pixels of its pictures by digest. Raises ConversationError and ImageError."""
    body = read_body(path)
    pictures: dict[str, RgbImage] = {}
    parts: dict[str, ImagePart] = {}
    for source in image_sources(body.messages):
        picture = open_picture(source).image
        pictures[picture.digest] = picture
        parts[source] = ImagePart(picture.digest, picture_name(source))
    return msgspec.structs.replace(Chat.of(to_conversation(body, parts)), name=path.stem), pictures
