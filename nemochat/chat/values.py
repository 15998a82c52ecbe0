"""Values of the chat core: what a turn brings, how a message came to be, and how the window is filled. No I/O."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from nemochat.domain.events import FinishReason, Progress, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart, Message, ToolCall
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Segment


class Attachment(msgspec.Struct, frozen=True):
    """A picture that the engine knows: the part for a message, the very pixels that the model gets, and their cost in tokens."""

    part: ImagePart
    pixels: RgbImage
    tokens: int


class TurnResult(msgspec.Struct, frozen=True):
    """The last event of a turn: what was said and what it cost.

    text: exactly as generated, tool-call tags included, without terminal escapes. tool_calls: those of this reply that could be read.
    timings: as the user waited: load_ms is the time this turn waited for the model to load, first_token_ms what was left of the
    TTFT after load, encode and prefill. ttft_ms: from Enter to the first text, None when there was no text.
    forgotten: indices into the conversation's messages that the model did not see.
    """

    text: str
    reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    timings: Timings
    ttft_ms: float | None
    forgotten: tuple[int, ...]


ChatEvent = Progress | TextDelta | TurnResult


class ReplyRecord(msgspec.Struct, frozen=True):
    """How a reply was made: its result, the sampling, the model, and the exact prompt."""

    result: TurnResult
    sampling: Sampling
    model: str
    prompt: tuple[Segment, ...]


class Entry(msgspec.Struct, frozen=True):
    """A message of the conversation with how it came to be.

    record: of the Assistant's replies that were made in this run. interrupted: the engine failed in the middle of this reply.
    """

    message: Message
    record: ReplyRecord | None = None
    interrupted: bool = False


class ContextView(msgspec.Struct, frozen=True):
    """How the next prompt will fill the window, in tokens.

    history: text of messages, turn markers included. reserve: kept free for the reply. cached: what of the next prompt the KV cache
    holds; to_read: what must still be evaluated. forgotten: indices of messages that the window leaves out, forgotten_tokens their
    size. excluded: indices of those that the user took out. trims: sending now makes the window forget more.
    """

    limit: int
    system: int = 0
    tools: int = 0
    documents: int = 0
    history: int = 0
    images: int = 0
    draft: int = 0
    reserve: int = 0
    cached: int = 0
    to_read: int = 0
    forgotten: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    forgotten_tokens: int = 0
    trims: bool = False

    @property
    def used(self) -> int:
        """The prompt, without the reply's reserve."""
        return self.system + self.tools + self.documents + self.history + self.images + self.draft

    @property
    def free(self) -> int:
        """What is neither used nor reserved."""
        return max(0, self.limit - self.used - self.reserve)


class ToolState(StrEnum):
    """How far a tool call is."""

    ASKED = "asked"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


class ToolRun(msgspec.Struct, frozen=True):
    """A call of a tool, as the tools pane shows it. `result` is None until there is one."""

    name: str
    arguments: dict[str, Any]
    result: str | None
    state: ToolState
    elapsed_ms: float | None = None
