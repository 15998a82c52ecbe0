"""What a chat format is: how a conversation is laid out for one family of models, and how their replies are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from itertools import chain
from typing import Literal, Protocol

import msgspec

from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolSpec
from nemochat.domain.segments import Control, ImageSlot, Segment
from nemochat.prompt.replies import ReplyStyle

IMAGE_TAG = "<image>"
"""How a picture is written where a prompt is shown to people."""


class Label(StrEnum):
    """What a piece of the prompt is there for."""

    TEMPLATE = "template"
    SYSTEM = "system"
    MEMORY = "memory"
    TOOL = "tool"
    CONTEXT = "context"
    HISTORY = "history"
    PICTURE = "picture"
    REASONING = "reasoning"


class Piece(msgspec.Struct, frozen=True):
    """A segment and what it is. part: which of the message's parts has these words (an index), None for the format's own."""

    segment: Segment
    label: Label
    part: int | None = None


class Layout(msgspec.Struct, frozen=True):
    """A rendered conversation, still in its groups: what stands before the messages, one group per message, and the head of the reply.

    The head is empty where the last message is itself left open to be continued. words_at: where in the last message's group its words
    begin, or would begin: behind its marker, its pictures and its contexts.
    """

    conversation: Conversation
    system: tuple[Piece, ...]
    messages: tuple[tuple[Piece, ...], ...]
    reply_head: tuple[Piece, ...]
    words_at: int = 0

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The whole prompt, as the engine gets it."""
        return segments_of(self.pieces)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The whole prompt."""
        return (*self.system, *chain.from_iterable(self.messages), *self.reply_head)

    def known(self, parts: int) -> tuple[Segment, ...]:
        """The prompt up to the first `parts` parts of its last message, which is still being written."""
        last = self.messages[-1] if self.messages else ()
        said = (at + 1 for at, piece in enumerate(last) if piece.part is not None and piece.part < parts)
        return segments_of(chain(self.system, *self.messages[:-1], last[: max((self.words_at, *said))]))


class Traits(msgspec.Struct, frozen=True):
    """What a format can say. pictures: as parts of a message, or as a line in its text.

    keeps_reasoning: what the model thought in earlier turns is part of the prompt. reasoning_switch: thinking can be turned on and off.
    writes_begin: the begin token is in the format's own text.
    """

    has_system_role: bool = True
    takes_tools: bool = True
    pictures: Literal["parts", "text"] = "text"
    reasoning_switch: bool = False
    keeps_reasoning: bool = False
    writes_begin: bool = False


class ChatFormat(Protocol):
    """How the conversation becomes a prompt. stops: texts that end a reply, besides the end tokens of the vocabulary."""

    @property
    def name(self) -> str:
        """What people choose it by."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end a reply, besides the end tokens of the vocabulary."""

    @property
    def style(self) -> ReplyStyle:
        """How replies are read."""

    @property
    def traits(self) -> Traits:
        """What it can say."""

    async def lay_out(
        self, conversation: Conversation, *, continue_reply: bool = False, speaks: Role = Role.ASSISTANT, thinks: bool | None = None
    ) -> Layout:
        """Render a conversation up to where the Assistant, or who else `speaks`, is to begin.

        With `continue_reply` the last message must be the Assistant's: it is left open so that the model goes on from its end (ValueError
        otherwise). thinks: whether the model is to think before it speaks, None leaves that to the format.
        """

    async def tool_segments(self, tool: ToolSpec) -> tuple[Segment, ...]:
        """What offering this tool adds to a prompt."""

    async def close(self) -> None:
        """It is not needed any more."""


async def turn_cost(format_: ChatFormat, count: Callable[[Sequence[Segment]], Awaitable[list[int]]]) -> int:
    """Tokens that a format puts around the words of a user and of the reply to them, once a chat goes on; `count` as `Engine.count`."""
    user, reply = Message(Role.USER, (TextPart("Why?"),)), Message(Role.ASSISTANT, (TextPart("So."),))
    layout = await format_.lay_out(Conversation(messages=(user, reply, user, reply, user)))
    counts = await count(layout.segments)
    start = len(layout.system) + sum(map(len, layout.messages[:2]))
    turn = zip((*layout.messages[2], *layout.messages[3]), counts[start:], strict=False)
    return sum(tokens for piece, tokens in turn if isinstance(piece.segment, Control))


def segments_of(pieces: Iterable[Piece]) -> tuple[Segment, ...]:
    """The pieces as the engine gets them."""
    return tuple(piece.segment for piece in pieces)


def as_text(segments: Iterable[Segment]) -> str:
    """The prompt as people read it, with ``<image>`` where a picture stands."""
    return "".join(IMAGE_TAG if isinstance(segment, ImageSlot) else segment.text for segment in segments)
