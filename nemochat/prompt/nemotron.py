"""The Nemotron chat format, as segments.

Source: the chat template in Nemotron-Mini-4B-Instruct's tokenizer configuration and the multi-image form of the
Nemovision-4B-Instruct model card (one ``<image>`` line per picture before the user's text).

Every message renders to segments of its own, so token counts of messages add up exactly and an unchanged message always
gives unchanged tokens: that is what lets the engine reuse its KV cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolCallPart, ToolResultPart, ToolSpec
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt.format import Label, Layout, Piece, Traits, segments_of
from nemochat.prompt.replies import CLOSE_TAG, NEMOTRON, OPEN_TAG, ends_open, written

TURN_TAGS = ("<extra_id_0>", "<extra_id_1>", "<extra_id_2>")
"""Turn markers. A reply ends where the model writes one, as a special token or spelled out as text."""

_ROLE_NAMES = {Role.USER: "User", Role.ASSISTANT: "Assistant", Role.TOOL: "Tool"}
_NEWLINE = Control("\n")


class NemotronFormat:
    """The format that Nemovision and Nemotron-Mini were trained on."""

    name = "nemotron"
    stops = TURN_TAGS
    style = NEMOTRON
    traits = Traits()

    async def lay_out(
        self, conversation: Conversation, *, continue_reply: bool = False, speaks: Role = Role.ASSISTANT, thinks: bool | None = None
    ) -> Layout:
        """See `ChatFormat.lay_out`. These models do not think first."""
        return lay_out(conversation, continue_reply=continue_reply, speaks=speaks)

    async def tool_segments(self, tool: ToolSpec) -> tuple[Segment, ...]:
        """The line of one tool in the System turn."""
        return segments_of(_tool(tool))

    async def close(self) -> None:
        """Nothing is open."""


def lay_out(conversation: Conversation, *, continue_reply: bool = False, speaks: Role = Role.ASSISTANT) -> Layout:
    """As `ChatFormat.lay_out`, at once."""
    system = tuple(_system(conversation.system, conversation.tools, conversation.contexts, conversation.memory))
    messages = tuple(tuple(_message(message)) for message in conversation.messages)
    words_at = _words_at(conversation.messages[-1]) if conversation.messages else 0
    if not continue_reply:
        return Layout(conversation, system, messages, (_marker(speaks),), words_at)
    if not messages or conversation.messages[-1].role is not Role.ASSISTANT:
        raise ValueError("only a reply of the Assistant can be continued")
    # Without its last line break, and without the tag that would close a call in the middle of which it ends.
    left_open = messages[-1][: -2 if ends_open(conversation.messages[-1].parts) else -1]
    return Layout(conversation, system, (*messages[:-1], left_open), (), words_at)


def render(conversation: Conversation, *, continue_reply: bool = False) -> list[Segment]:
    """A whole prompt; see `lay_out`."""
    return list(lay_out(conversation, continue_reply=continue_reply).segments)


def system_segments(system: str, tools: Sequence[ToolSpec] = (), contexts: Sequence[str] = ()) -> tuple[Segment, ...]:
    """The System turn of a prompt."""
    return segments_of(_system(system, tools, contexts))


def message_segments(message: Message) -> tuple[Segment, ...]:
    """One turn of a prompt."""
    return segments_of(_message(message))


def tool_json(tool: ToolSpec) -> str:
    """A tool as the JSON that the model was trained on."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


def _system(system: str, tools: Sequence[ToolSpec] = (), contexts: Sequence[str] = (), memory: str = "") -> list[Piece]:
    """The System turn: system text, what is to be remembered, one ``<tool>`` line per tool, one ``<context>`` line per context.

    The space after an opening tag belongs to the text behind it, because the tokenizer joins it with the first word.
    """
    break_ = Piece(_NEWLINE, Label.TEMPLATE)
    pieces = [Piece(Control("<extra_id_0>System"), Label.TEMPLATE)]
    if text := system.strip():
        pieces += [break_, Piece(Plain(text), Label.SYSTEM)]
    if words := memory.strip():
        pieces += [Piece(Control("\n\n"), Label.TEMPLATE) if text else break_, Piece(Plain(words), Label.MEMORY)]
    if (text or words) and (tools or contexts):
        pieces.append(break_)
    for tool in tools:
        pieces += _tool(tool)
    if tools and contexts:
        pieces.append(break_)
    for context in contexts:
        pieces += _context("\n<context>", context, " </context>")
    return [*pieces, Piece(Control("\n\n"), Label.TEMPLATE)]


def _tool(tool: ToolSpec) -> list[Piece]:
    return [Piece(each, Label.TOOL) for each in (Control("\n<tool>"), Plain(f" {tool_json(tool)}"), Control(" </tool>"))]


def _context(opens: str, text: str, closes: str) -> list[Piece]:
    return [Piece(each, Label.CONTEXT) for each in (Control(opens), Plain(f" {text.strip()}"), Control(closes))]


def _marker(speaks: Role) -> Piece:
    return Piece(Control(f"<extra_id_1>{_ROLE_NAMES[speaks]}\n"), Label.TEMPLATE)


def _message(message: Message) -> list[Piece]:
    """One turn: its marker, its pictures and contexts one a line, its stripped text and tool calls, and the newline that closes it.

    Contexts in a turn, not in the System turn where the template has them, leave all that stands before them in the KV cache.
    """
    pieces = [_marker(message.role)]
    words = _words(message)
    for image in message.images:
        pieces += [Piece(ImageSlot(image.digest), Label.PICTURE), Piece(_NEWLINE, Label.HISTORY)]
    for context in message.contexts:
        pieces += _context("<context>", context.text, " </context>\n")
    if len(pieces) > 1 and not words:
        return pieces
    return [*pieces, *words, Piece(_NEWLINE, Label.HISTORY)]


def _words_at(message: Message) -> int:
    return 1 + 2 * len(message.images) + 3 * len(message.contexts)


def _words(message: Message) -> list[Piece]:
    """Text and tool calls in order, without the white space around the whole; the results of tools, a line break between them.

    What the model only thought is never part of a prompt.
    """
    said = [(at, part) for at, part in enumerate(message.parts) if isinstance(part, TextPart | ToolCallPart)]
    if message.role is Role.TOOL and any(isinstance(part, ToolResultPart) for part in message.parts):
        said = [(0, TextPart(message.text))]
    pieces: list[Piece] = []
    for index, (at, part) in enumerate(said):
        if isinstance(part, ToolCallPart):
            pieces += [Piece(each, Label.HISTORY, at) for each in (Control(OPEN_TAG), Plain(written(part)), Control(CLOSE_TAG))]
            continue
        text = part.text.lstrip() if not pieces else part.text
        if all(isinstance(later, TextPart) and not later.text.strip() for _, later in said[index + 1 :]):
            text = text.rstrip()
        if text:
            pieces.append(Piece(Plain(text), Label.HISTORY, at))
    return pieces
