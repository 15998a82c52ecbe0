"""The Nemotron chat format, as segments.

Source: the chat template in Nemotron-Mini-4B-Instruct's tokenizer configuration and the multi-image form of the
Nemovision-4B-Instruct model card (one ``<image>`` line per picture before the user's text).

Every message renders to segments of its own, so token counts of messages add up exactly and an unchanged message always
gives unchanged tokens: that is what lets the engine reuse its KV cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolCallPart, ToolResultPart, ToolSpec
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt.toolcalls import CLOSE_TAG, OPEN_TAG, ends_open, written

IMAGE_TAG = "<image>"
TURN_TAGS = ("<extra_id_0>", "<extra_id_1>", "<extra_id_2>")
"""Turn markers. A reply ends where the model writes one, as a special token or spelled out as text."""

_ROLE_NAMES = {Role.USER: "User", Role.ASSISTANT: "Assistant", Role.TOOL: "Tool"}
_NEWLINE = Control("\n")
CONTEXT_OPEN, _CONTEXT_CLOSE = Control("<context>"), Control(" </context>\n")
"""Around a context in a message; its text stands between them, as one segment."""


class Layout(msgspec.Struct, frozen=True):
    """A rendered conversation, still in its groups: the System turn, one group per message, and the head of the reply.

    The head is empty where the last message is itself left open to be continued.
    """

    conversation: Conversation
    system: tuple[Segment, ...]
    messages: tuple[tuple[Segment, ...], ...]
    reply_head: tuple[Segment, ...]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The whole prompt."""
        return self.select(range(len(self.messages)))

    def select(self, kept: Iterable[int]) -> tuple[Segment, ...]:
        """The prompt with only the messages of these indices."""
        return (*self.system, *chain.from_iterable(self.messages[index] for index in kept), *self.reply_head)


def lay_out(conversation: Conversation, *, continue_reply: bool = False, speaks: Role = Role.ASSISTANT) -> Layout:
    """Render a conversation up to where the Assistant, or who else `speaks`, is to begin.

    With `continue_reply` the last message must be the Assistant's: it is left open so that the model goes on from its end.
    Raises ValueError otherwise.
    """
    system = tuple(system_segments(conversation.system, conversation.tools, conversation.contexts))
    messages = tuple(tuple(message_segments(message)) for message in conversation.messages)
    if not continue_reply:
        return Layout(conversation, system, messages, tuple(reply_head(speaks)))
    if not messages or conversation.messages[-1].role is not Role.ASSISTANT:
        raise ValueError("only a reply of the Assistant can be continued")
    # Without its last line break, and without the tag that would close a call in the middle of which it ends.
    left_open = messages[-1][: -2 if ends_open(conversation.messages[-1].parts) else -1]
    return Layout(conversation, system, (*messages[:-1], left_open), ())


def render(conversation: Conversation, *, continue_reply: bool = False) -> list[Segment]:
    """Render a whole prompt; see `lay_out`."""
    return list(lay_out(conversation, continue_reply=continue_reply).segments)


def system_segments(system: str, tools: Sequence[ToolSpec] = (), contexts: Sequence[str] = ()) -> list[Segment]:
    """The System turn: system text, one ``<tool>`` line per tool, one ``<context>`` line per context.

    The space after an opening tag belongs to the text behind it, because the tokenizer joins it with the first word.
    """
    segments: list[Segment] = [Control("<extra_id_0>System")]
    if text := system.strip():
        segments += [_NEWLINE, Plain(text)]
        if tools or contexts:
            segments.append(_NEWLINE)
    for tool in tools:
        segments += tool_segments(tool)
    if tools and contexts:
        segments.append(_NEWLINE)
    for context in contexts:
        segments += [Control("\n<context>"), Plain(f" {context.strip()}"), Control(" </context>")]
    return [*segments, Control("\n\n")]


def tool_segments(tool: ToolSpec) -> list[Segment]:
    """The line of one tool in the System turn."""
    return [Control("\n<tool>"), Plain(f" {tool_json(tool)}"), Control(" </tool>")]


def message_segments(message: Message) -> list[Segment]:
    """One turn: its marker, its pictures and contexts one a line, its stripped text and tool calls, and the newline that closes it.

    Contexts in a turn, not in the System turn where the template has them, leave all that stands before them in the KV cache.
    """
    segments: list[Segment] = [Control(f"<extra_id_1>{_ROLE_NAMES[message.role]}\n")]
    content = _content_segments(message)
    for image in message.images:
        segments += [ImageSlot(image.digest), _NEWLINE]
    for context in message.contexts:
        segments += [CONTEXT_OPEN, Plain(f" {context.text.strip()}"), _CONTEXT_CLOSE]
    if len(segments) > 1 and not content:
        return segments
    return [*segments, *content, _NEWLINE]


def reply_head(speaks: Role = Role.ASSISTANT) -> list[Segment]:
    """The marker after which the Assistant, or another, speaks."""
    return [Control(f"<extra_id_1>{_ROLE_NAMES[speaks]}\n")]


def tool_json(tool: ToolSpec) -> str:
    """A tool as the JSON that the model was trained on."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


def as_text(segments: Sequence[Segment]) -> str:
    """The prompt as people read it, with ``<image>`` where a picture stands."""
    return "".join(IMAGE_TAG if isinstance(segment, ImageSlot) else segment.text for segment in segments)


def _content_segments(message: Message) -> list[Segment]:
    """Text and tool calls in order, without the white space around the whole; the results of tools, a line break between them.

    What the model only thought is never part of a prompt.
    """
    pieces = [part for part in message.parts if isinstance(part, TextPart | ToolCallPart)]
    if message.role is Role.TOOL and any(isinstance(part, ToolResultPart) for part in message.parts):
        pieces = [TextPart(message.text)]
    segments: list[Segment] = []
    for index, part in enumerate(pieces):
        if isinstance(part, ToolCallPart):
            segments += [Control(OPEN_TAG), Plain(written(part)), Control(CLOSE_TAG)]
            continue
        text = part.text.lstrip() if not segments else part.text
        if all(isinstance(later, TextPart) and not later.text.strip() for later in pieces[index + 1 :]):
            text = text.rstrip()
        if text:
            segments.append(Plain(text))
    return segments
