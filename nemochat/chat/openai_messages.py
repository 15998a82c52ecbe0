"""Conversations in the OpenAI chat shape: messages with a role and content, strictly checked, turned into domain values.

Source: the request body of OpenAI's Chat Completions API; the system turn, tools and contexts follow the Nemotron template.

Choices where the two differ:
- The Nemotron format has one System turn, at the start. System messages, wherever they stand, are joined to it in order,
  with an empty line between them.
- A picture's ``url`` is a data URI or a path on this machine (see `nemochat.chat.pictures`).
- An Assistant's ``tool_calls`` become one ``<toolcall>`` each; ``<toolcall>`` text in its content is read as a call as well, so the
  ``text`` of an earlier reply can be handed back as it came.
- A result that names no call answers the first call before it that has no answer yet.
- ``reasoning_content`` becomes a part of its own, which no prompt has. ``name`` says who speaks (`speakers`); the prompt has none.
- A null stands for a field that is not there.
- ``is_error`` of a tool's message is nemochat's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from nemochat.domain.messages import (
    Conversation,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    with_call_ids,
)
from nemochat.errors import ConversationError
from nemochat.prompt.replies import parse_reply
from nemochat.reading import check_json


class TextContent(msgspec.Struct, frozen=True, tag_field="type", tag="text", forbid_unknown_fields=True):
    """A piece of text."""

    text: str


class ImageUrl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a picture is: a data URI or a path. `detail` is accepted and has no effect."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImageContent(msgspec.Struct, frozen=True, tag_field="type", tag="image_url", forbid_unknown_fields=True):
    """A picture."""

    image_url: ImageUrl


class FunctionCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call; the arguments are a JSON object, or one written out as a string."""

    name: str
    arguments: str | dict[str, Any]


class ToolCallEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of an Assistant's ``tool_calls``."""

    function: FunctionCall
    id: str | None = ""
    type: Literal["function"] = "function"


class SystemMessage(msgspec.Struct, frozen=True, tag_field="role", tag="system", forbid_unknown_fields=True):
    """Instructions."""

    content: str | tuple[TextContent, ...]
    name: str = ""


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user", forbid_unknown_fields=True):
    """What the user says and shows."""

    content: str | tuple[TextContent | ImageContent, ...]
    name: str = ""


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant", forbid_unknown_fields=True):
    """A reply: text, calls or both."""

    content: str | tuple[TextContent, ...] | None = None
    tool_calls: tuple[ToolCallEntry, ...] = ()
    reasoning_content: str | None = None
    name: str = ""


class ToolMessage(msgspec.Struct, frozen=True, tag_field="role", tag="tool", forbid_unknown_fields=True):
    """The result of a call."""

    content: str | tuple[TextContent | ImageContent, ...]
    tool_call_id: str = ""
    name: str = ""
    is_error: bool = False


AnyMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage


class NamedContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A retrieved text with the name of its source; the model reads ``name: text``."""

    name: str
    text: str


class ConversationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole conversation. `tools` are full OpenAI tools or bare function objects."""

    messages: tuple[AnyMessage, ...] = ()
    system: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    contexts: tuple[str | NamedContext, ...] = ()


Decoded = TypeVar("Decoded")
_AS_IT_IS = {"id", "parameters", "arguments", "schema"}


def decode(data: bytes, kind: type[Decoded], name: str) -> Decoded:
    """Decode JSON strictly. `name` is what errors call the whole. Raises ConversationError with the path of the bad field."""
    try:
        check_json(data)
        return msgspec.convert(_without_nulls(msgspec.json.decode(data)), kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise _wrong(str(error), name) from error
    except RecursionError:
        raise ConversationError(f"{name}: it is nested too deeply.") from None


def _without_nulls(value: Any) -> Any:
    """A body without its nulls, which in OpenAI's stand for what is not there; those in what only tools read stay."""
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: each if key in _AS_IT_IS else _without_nulls(each) for key, each in value.items() if each is not None or key in _AS_IT_IS}


def image_sources(messages: Iterable[AnyMessage]) -> list[str]:
    """The pictures of the messages, in order: data URIs and paths."""
    shows = (message.content for message in messages if isinstance(message, UserMessage | ToolMessage))
    lists = (content for content in shows if not isinstance(content, str))
    return [piece.image_url.url for pieces in lists for piece in pieces if isinstance(piece, ImageContent)]


def speakers(messages: Iterable[AnyMessage]) -> tuple[str, ...]:
    """Who speaks in each message of the conversation, "" where that is not said."""
    return tuple("" if isinstance(message, ToolMessage) else message.name for message in messages if not isinstance(message, SystemMessage))


def to_conversation(body: ConversationBody, images: Mapping[str, Part]) -> Conversation:
    """The domain value. `images` gives the picture for each of `image_sources`. Raises ConversationError with the path of the bad field."""
    system = [body.system]
    messages: list[Message] = []
    waiting: list[str] = []
    for index, message in enumerate(body.messages):
        if isinstance(message, SystemMessage):
            system.append(_text(message.content))
            continue
        if isinstance(message, ToolMessage):
            call = message.tool_call_id or next(iter(waiting), "")
            waiting = [each for each in waiting if each != call]
            messages.append(Message(Role.TOOL, (_result(message, call, images),)))
            continue
        messages.append(_to_message(message, images, f"messages[{index}]", len(messages) + 1))
        waiting = [call.id for call in messages[-1].tool_calls]
    return Conversation(
        system="\n\n".join(text for text in map(str.strip, system) if text),
        tools=tuple(_to_tool(tool, f"tools[{index}]") for index, tool in enumerate(body.tools)),
        contexts=tuple(context if isinstance(context, str) else f"{context.name}: {context.text}" for context in body.contexts),
        messages=tuple(messages),
    )


def _to_message(message: UserMessage | AssistantMessage, images: Mapping[str, Part], path: str, number: int) -> Message:
    if isinstance(message, AssistantMessage):
        return Message(Role.ASSISTANT, _assistant_parts(message, path, number))
    pieces = (TextContent(message.content),) if isinstance(message.content, str) else message.content
    return Message(
        Role.USER, tuple(TextPart(piece.text) if isinstance(piece, TextContent) else images[piece.image_url.url] for piece in pieces)
    )


def _result(message: ToolMessage, call: str, images: Mapping[str, Part]) -> ToolResultPart:
    pieces = (TextContent(message.content),) if isinstance(message.content, str) else message.content
    parts = [TextPart(piece.text) if isinstance(piece, TextContent) else images[piece.image_url.url] for piece in pieces]
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    return ToolResultPart(call, text, message.is_error, tuple(part for part in parts if isinstance(part, ImagePart)))


def _assistant_parts(message: AssistantMessage, path: str, number: int) -> tuple[Part, ...]:
    if message.content is None and not message.tool_calls:
        raise ConversationError(f"{path}: an assistant message needs content or tool_calls.")
    parts: list[Part] = [ReasoningPart(message.reasoning_content)] if message.reasoning_content else []
    parts += parse_reply(_text(message.content)) if message.content is not None else []
    for index, entry in enumerate(message.tool_calls):
        arguments = _arguments(entry.function.arguments, f"{path}.tool_calls[{index}].function.arguments")
        parts.append(ToolCallPart((ToolCall(entry.function.name, arguments, entry.id or ""),)))
    return with_call_ids(parts, f"call_{number}")


def _arguments(arguments: str | dict[str, Any], path: str) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    try:
        return msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConversationError(f"{path}: the arguments must be a JSON object: {_plain(str(error))}.") from error


def _to_tool(tool: dict[str, Any], path: str) -> ToolSpec:
    """A full OpenAI tool, ``{"type": "function", "function": {...}}``, or the function object alone."""
    function = tool
    if "function" in tool:
        if set(tool) - {"type", "function"} or tool.get("type", "function") != "function":
            raise ConversationError(f'{path}: a tool is {{"type": "function", "function": {{...}}}} and nothing else.')
        function, path = tool["function"], f"{path}.function"
    try:
        return msgspec.convert(function, _Function).to_spec()
    except msgspec.ValidationError as error:
        raise _wrong(str(error), path) from error


class _Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's function object; `strict` is accepted and has no effect."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def to_spec(self) -> ToolSpec:
        return ToolSpec(self.name, self.description) if self.parameters is None else ToolSpec(self.name, self.description, self.parameters)


def _text(content: str | tuple[TextContent, ...]) -> str:
    return content if isinstance(content, str) else "".join(piece.text for piece in content)


def _wrong(problem: str, name: str) -> ConversationError:
    """msgspec's message, ``Expected `str`, got `int` - at `$.messages[0].content` ``, with the place first."""
    sentence, _, place = problem.partition(" - at `$")
    place = place.rstrip("`").lstrip(".")
    return ConversationError(f"{name}: {place}: {_plain(sentence)}." if place else f"{name}: {_plain(sentence)}.")


def _plain(problem: str) -> str:
    sentence = problem.replace("`", "").replace("Object contains", "there is an").rstrip(".")
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]
