"""Conversations for engines that lay them out by themselves: as messages in OpenAI's shape, and as segments, to be counted and shown.

The messages are those that a chat template takes (`nemochat.prompt.adapting`), for it is such a template that the server has. What it does
with a text nobody here can see: it tokenises the whole at once, so a marker in somebody's words would be one. Known ones are broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from nemochat.domain.messages import ContextPart, Conversation, Message, Role, TextPart, ToolCallPart, ToolResultPart, ToolSpec
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt.adapting import Habits, adapt, told_tools
from nemochat.prompt.call_styles import GENERAL
from nemochat.prompt.foreign import Origin, broken
from nemochat.prompt.format import Label, Layout, Piece, Traits, segments_of
from nemochat.prompt.nemotron import tool_json
from nemochat.prompt.replies import ReplyStyle, generated_call

STYLE = ReplyStyle(GENERAL, ("<think>", "</think>"))
"""How replies are written that come from engines of messages, whatever the model writes; what a server lets through is mostly this too."""
GO_ON = "Go on exactly where your last reply ends. Repeat nothing of it, and say nothing about it."
"""What is asked of a server that knows of no reply that is left open."""
SPEAK_AS_USER = "Write what the user says next in this conversation: only these words, in the first person."
"""What is asked of a server for the user's next words, since it lets nobody but the model speak."""


class MessagesFormat:
    """How conversations are shown and counted that a server lays out. takes_tools: it is told of tools in a place of their own.

    has_think_switch: it can be told whether the model is to think.
    """

    name = "messages"
    stops: tuple[str, ...] = ()
    style = STYLE

    def __init__(self, *, takes_tools: bool = True, has_think_switch: bool = False) -> None:
        self.traits = Traits(takes_tools=takes_tools, pictures="parts", reasoning_switch=has_think_switch)

    async def lay_out(
        self, conversation: Conversation, *, continue_reply: bool = False, speaks: Role = Role.ASSISTANT, thinks: bool | None = None
    ) -> Layout:
        """As `ChatFormat.lay_out`: each message under the name of its role, which the server's template says in its own way."""
        groups = [tuple(_message(message)) for message in conversation.messages]
        words_at = next((at for at, piece in enumerate(groups[-1]) if piece.label is Label.HISTORY), len(groups[-1]) - 1) if groups else 0
        system = tuple(self._system(conversation))
        if not continue_reply:
            return Layout(conversation, system, tuple(groups), (Piece(Control(f"[{speaks}]\n"), Label.TEMPLATE),), words_at)
        if not groups or conversation.messages[-1].role is not Role.ASSISTANT:
            raise ValueError("only a reply of the Assistant can be continued")
        return Layout(conversation, system, (*groups[:-1], groups[-1][:-1]), (), words_at)

    async def tool_segments(self, tool: ToolSpec) -> tuple[Segment, ...]:
        """The tool as JSON."""
        return segments_of(_tool(tool))

    async def close(self) -> None:
        """Nothing is open."""

    def _system(self, conversation: Conversation) -> Iterator[Piece]:
        if not (conversation.system.strip() or conversation.memory.strip() or conversation.tools or conversation.contexts):
            return
        yield Piece(Control("[system]\n"), Label.TEMPLATE)
        if text := conversation.system.strip():
            yield Piece(Plain(broken(text)), Label.SYSTEM)
        if text := conversation.memory.strip():
            if conversation.system.strip():
                yield Piece(Control("\n\n"), Label.TEMPLATE)
            yield Piece(Plain(broken(text)), Label.MEMORY)
        if conversation.tools and not self.traits.takes_tools:
            yield Piece(Control(f"\n{told_tools([])}"), Label.TOOL)
        for tool in conversation.tools:
            yield from _tool(tool)
        for context in conversation.contexts:
            yield from _context(context)
        yield Piece(Control("\n\n"), Label.TEMPLATE)


def openai_messages(
    conversation: Conversation,
    picture: Callable[[str], dict[str, Any]],
    *,
    tells_tools: bool = False,
    reasoning: str = "",
    arguments_as_text: bool = True,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages and the tools of a request in OpenAI's shape, with known markers in everybody's words broken.

    picture: the part for a picture, by its digest. tells_tools: tools, calls and results are words, since the server takes no others.
    reasoning: the key of what the model thought, "" to leave that out. arguments_as_text: of a call, not as an object.
    """
    habits = Habits(
        # What no template refuses: users and assistants in turn, the user first.
        alternates=True,
        user_first=True,
        tools=not tells_tools,
        calls=not tells_tools,
        results=not tells_tools,
        arguments="json" if arguments_as_text else "object",
        picture="image",
        tool_pictures="user",
        reasoning=reasoning,
        style=STYLE,
    )
    adapted = adapt(conversation, habits, _Broken())
    left = iter(adapted.pictures)
    messages = []
    for message in adapted.variables["messages"]:
        content = message["content"]
        if isinstance(content, list):
            content = [picture(next(left)[0].digest) if part["type"] == "image" else part for part in content]
        messages.append({**message, "content": content})
    return messages, adapted.variables.get("tools") or []


def asking(conversation: Conversation, words: str) -> Conversation:
    """The conversation with what is asked of the model besides, as the user's next words."""
    return msgspec.structs.replace(conversation, messages=(*conversation.messages, Message(Role.USER, (TextPart(words),))))


class _Broken:
    """Everybody's words with known markers broken, our own as they are (see `adapting.Words`)."""

    def put(self, segment: Segment, origin: Origin) -> str:
        """The text."""
        del origin
        match segment:
            case Plain(text):
                return broken(text)
            case Control(text):
                return text
        return ""

    def json(self, value: Any) -> str:
        """A value as JSON."""
        return json.dumps(value, ensure_ascii=False)


def _tool(tool: ToolSpec) -> Iterator[Piece]:
    yield Piece(Control("\n"), Label.TOOL)
    yield Piece(Plain(broken(tool_json(tool))), Label.TOOL)


def _context(text: str) -> Iterator[Piece]:
    yield Piece(Control("\n<context>"), Label.CONTEXT)
    yield Piece(Plain(f" {broken(text.strip())}"), Label.CONTEXT)
    yield Piece(Control(" </context>"), Label.CONTEXT)


def _message(message: Message) -> Iterator[Piece]:
    yield Piece(Control(f"[{message.role}]\n"), Label.TEMPLATE)
    for image in message.images:
        yield Piece(ImageSlot(image.digest), Label.PICTURE)
    for part in message.parts:
        if isinstance(part, ContextPart):
            yield from _context(part.text)
    for at, part in enumerate(message.parts):
        match part:
            case TextPart(text) | ToolResultPart(text=text):
                words = broken(text)
            case ToolCallPart():
                words = broken(generated_call(part, STYLE))
            case _:
                continue
        if words:
            yield Piece(Plain(words), Label.HISTORY, at)
    yield Piece(Control("\n\n"), Label.TEMPLATE)
