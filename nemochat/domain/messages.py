"""What is said in a conversation: messages made of parts. Pure values; identity is the library's concern."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Role(StrEnum):
    """Who speaks. The system text is not a message: it belongs to the conversation."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Plain text, as typed or generated."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image"):
    """A picture, by the digest of its final pixels (see `nemochat.domain.images.RgbImage`).

    The rest is for people: the file's name, the size of the picture in it, what it takes in the prompt. 0 is not known.
    """

    digest: str
    name: str = ""
    width: int = 0
    height: int = 0
    tokens: int = 0


class ToolCall(msgspec.Struct, frozen=True):
    """One function call that the model asks for."""

    name: str
    arguments: dict[str, Any]


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call"):
    """What stood in one pair of ``<toolcall>`` tags: the text exactly as generated, and the calls read from it (none when malformed)."""

    raw: str
    calls: tuple[ToolCall, ...] = ()


class ContextPart(msgspec.Struct, frozen=True, tag="context"):
    """Knowledge that was put beside the user's words when they were sent: a lorebook entry that fired, a passage of a document.

    source: where it comes from. reason: why it is there, in a few words.
    """

    text: str
    source: str = ""
    reason: str = ""


Part = TextPart | ImagePart | ToolCallPart | ContextPart


class Message(msgspec.Struct, frozen=True):
    """One message. A Tool message holds the result of the calls in the Assistant message before it.

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
        """The text parts joined; tool calls, pictures and contexts left out."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The pictures, in order."""
        return tuple(part for part in self.parts if isinstance(part, ImagePart))

    @property
    def contexts(self) -> tuple[ContextPart, ...]:
        """What was put beside the words, in order."""
        return tuple(part for part in self.parts if isinstance(part, ContextPart))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of all tool-call parts, in order."""
        return tuple(call for part in self.parts if isinstance(part, ToolCallPart) for call in part.calls)


class ToolSpec(msgspec.Struct, frozen=True):
    """A function that is offered to the model; `parameters` is a JSON Schema of type object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})


class Conversation(msgspec.Struct, frozen=True):
    """All that a prompt is made of: system text, offered tools, retrieved contexts and the messages in order."""

    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    contexts: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
