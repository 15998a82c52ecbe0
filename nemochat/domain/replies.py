"""What came of a turn, and how a reply was made. Pure values."""

from __future__ import annotations

import msgspec

from nemochat.domain.events import FinishReason, Timings, Usage
from nemochat.domain.messages import ToolCall
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Segment

ALL_THOUGHT = (
    "The model only thought, and said nothing: its thoughts took all that is kept for a reply. "
    "Let the reply be longer (max_tokens in F4), or switch thinking off: /think off."
)
"""What the user is told of a reply that was nothing but reasoning."""


class TurnResult(msgspec.Struct, frozen=True):
    """The last event of a turn: what was said and what it cost.

    text: as generated, tool-call tags included, without terminal escapes and without what was only thought. tool_calls: those of this reply
    that could be read.
    timings: as the user waited: load_ms is the time this turn waited for the model to load, first_token_ms what was left of the
    TTFT after load, encode and prefill. ttft_ms: from Enter to the first text that is no thought, None when there was none;
    first_thought_ms: to the first thought. is_all_thought: the model thought, and said nothing.
    forgotten: indices into the conversation's messages that the model did not see. misfits: why each of `tool_calls` does not run as it is,
    "" where it may. unread: why a call in the text is none of them: it was cut, or cannot be read; "" where there is no such call.
    note: what else the user is to know of the turn, a sentence or "". call_chance: how likely the model was to call a tool, where the reply
    began and some were offered. gate: from which of these on it had to call, None where it did as it liked.
    """

    text: str
    reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    timings: Timings
    ttft_ms: float | None
    forgotten: tuple[int, ...]
    misfits: tuple[str, ...] = ()
    unread: str = ""
    first_thought_ms: float | None = None
    is_all_thought: bool = False
    note: str = ""
    call_chance: float | None = None
    gate: float | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each call that does not run."""
        return tuple(each for each in (*self.misfits, self.unread) if each)


class ModelRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which model it is. server: where it runs, "" for this machine. format: the chat format that it was prompted in, "" for its own."""

    name: str = ""
    server: str = ""
    format: str = ""

    def __str__(self) -> str:
        """What people call it, and what lists and filters know it by."""
        return f"{self.server}/{self.name}" if self.server else self.name


class ReplyRecord(msgspec.Struct, frozen=True):
    """How a reply was made: its result, the sampling, the model, and the exact prompt (empty once it has been stored and read back)."""

    result: TurnResult
    sampling: Sampling
    model: ModelRef
    prompt: tuple[Segment, ...]
