"""What is said in a conversation: messages made of parts. Pure values; identity is the library's concern."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable
from enum import StrEnum
from typing import Any

import msgspec


class Role(StrEnum):
    """Who speaks. The system text is not a message: it belongs to the conversation."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Speaker(StrEnum):
    """As whose words a text enters the prompt; the system's are knowledge beside a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Plain text, as typed or generated."""

    text: str


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning"):
    """What the model thought before it spoke: shown folded, never part of a message's words. None is not known."""

    text: str
    seconds: float | None = None
    tokens: int | None = None


class ImagePart(msgspec.Struct, frozen=True, tag="image"):
    """A picture, by the digest of what the user gave (see `nemochat.domain.images.Original`). A model gets what fits it.

    The rest is for people: the file's name, the size of the picture in it, what it takes in the prompt. 0 is not known.
    """

    digest: str
    name: str = ""
    width: int = 0
    height: int = 0
    tokens: int = 0


class ToolCall(msgspec.Struct, frozen=True):
    """One function call that the model asks for. id: by which its result names it, within the conversation."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call"):
    """Calls that were asked for together; none where they could not be read.

    verbatim: what the model wrote, where the chat format `format` would write these calls otherwise, or has no other way to say them; that
    format repeats it letter for letter, so that what the engine has read stays valid. "" where there is no need.
    """

    calls: tuple[ToolCall, ...] = ()
    verbatim: str = ""
    format: str = ""


class ToolResultPart(msgspec.Struct, frozen=True, tag="tool_result"):
    """What came of one call. call: the id of the call, "" for one that could not be read. is_error: it failed, and `text` says why.
    is_refused: it did not run, for the user did not allow it.
    """

    call: str
    text: str
    is_error: bool = False
    images: tuple[ImagePart, ...] = ()
    is_refused: bool = False


class ContextPart(msgspec.Struct, frozen=True, tag="context"):
    """Knowledge that was put beside the user's words when they were sent: a lorebook entry that fired, a passage of a document.

    source: where it comes from. reason: why it is there, in a few words. entry: by which its lorebook knows it again, "" for what is from
    elsewhere. depth: it is to stand so many messages before this one. speaker: as whose words.
    """

    text: str
    source: str = ""
    reason: str = ""
    entry: str = ""
    depth: int = 0
    speaker: Speaker = Speaker.SYSTEM


Part = TextPart | ReasoningPart | ImagePart | ToolCallPart | ToolResultPart | ContextPart


def with_call_ids(parts: Iterable[Part], beginning: str, taken: Container[str] = ()) -> tuple[Part, ...]:
    """The parts with an id for each call that has none: `beginning` and a number, but none of those that are `taken`."""
    free = (id_ for n in itertools.count(1) if (id_ := f"{beginning}_{n}") not in taken)
    return tuple(
        msgspec.structs.replace(part, calls=tuple(call if call.id else msgspec.structs.replace(call, id=next(free)) for call in part.calls))
        if isinstance(part, ToolCallPart)
        else part
        for part in parts
    )


class Message(msgspec.Struct, frozen=True):
    """One message. A Tool message holds a result for each call in the Assistant message before it.

    `pinned`: stays in the window when older turns are forgotten. `excluded`: the user took it out, so the model does not see it.
    `example`: not said in this conversation: a persona's example of how it might go, the first to be forgotten.
    """

    role: Role
    parts: tuple[Part, ...]
    pinned: bool = False
    excluded: bool = False
    example: bool = False

    @property
    def text(self) -> str:
        """Its words: the text parts joined, and a line break between the results of tools."""
        words = "".join([part.text for part in self.parts if isinstance(part, TextPart)])
        if self.role is not Role.TOOL:
            return words
        return words + "\n".join([part.text for part in self.parts if isinstance(part, ToolResultPart)])

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The pictures, in order, those that tools gave among them."""
        if self.role is not Role.TOOL:
            return tuple([part for part in self.parts if isinstance(part, ImagePart)])
        return tuple(image for part in self.parts for image in _images_of(part))

    @property
    def contexts(self) -> tuple[ContextPart, ...]:
        """What was put beside the words, in order."""
        return tuple(part for part in self.parts if isinstance(part, ContextPart))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of all tool-call parts, in order."""
        return tuple(call for part in self.parts if isinstance(part, ToolCallPart) for call in part.calls)


def _images_of(part: Part) -> tuple[ImagePart, ...]:
    match part:
        case ImagePart():
            return (part,)
        case ToolResultPart():
            return part.images
    return ()


class ToolSpec(msgspec.Struct, frozen=True):
    """A function that is offered to the model; `parameters` is a JSON Schema of type object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})


class Conversation(msgspec.Struct, frozen=True):
    """All that a prompt is made of: system text, offered tools, retrieved contexts and the messages in order.

    memory: what the user wants to be remembered, behind the system text.
    """

    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    contexts: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    memory: str = ""
