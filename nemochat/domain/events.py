"""What happens while a reply is made, one value per event, in the order in which it happens."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nemochat.domain.messages import Part


class Stage(StrEnum):
    """What the engine is busy with before the first token; COMPILE: a device gets its programs for what it has not done before; SERVER: a
    server has it, which does not tell."""

    LOAD = "load"
    COMPILE = "compile"
    ENCODE = "encode"
    PREFILL = "prefill"
    SERVER = "server"


class FinishReason(StrEnum):
    """Why a reply ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    TOOL_CALLS = "tool_calls"


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """`done` of `total`: thousandths of the file for LOAD, pictures for ENCODE, tokens for PREFILL (reused ones not counted).

    For COMPILE and SERVER they say nothing.
    """

    stage: Stage
    done: int
    total: int


class TextDelta(msgspec.Struct, frozen=True, omit_defaults=True, tag="text"):
    """A piece of the reply: whole UTF-8 characters, never any stop text.

    parts: what is certain of the reply by now and was not before: visible text, thoughts, whole calls. The engine knows nothing of those.
    """

    text: str
    parts: tuple[Part, ...] = ()


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds, by the engine's own clock.

    load_ms: loading the model, when this request had to wait for it, else 0. encode_ms: pictures through the vision encoder.
    prefill_ms: evaluating the prompt. decode_ms: from the end of the prefill to the last token.
    first_token_ms: from the arrival of the request in the engine to the first text. is_split: the parts are known; else all but the load
    is in first_token_ms, because a server alone knows what it did until then.
    """

    load_ms: float = 0.0
    encode_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    first_token_ms: float = 0.0
    is_split: bool = True


class Usage(msgspec.Struct, frozen=True):
    """Tokens (KV positions for pictures). prompt_tokens = reused_tokens + evaluated_tokens; image_tokens is the share of pictures.

    encoded_images: how many runs of the vision encoder the request needed.
    """

    prompt_tokens: int = 0
    image_tokens: int = 0
    reused_tokens: int = 0
    evaluated_tokens: int = 0
    completion_tokens: int = 0
    encoded_images: int = 0


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The last event of a generation that did not fail. call_chance: how likely a call was, None where nobody asked."""

    reason: FinishReason
    usage: Usage
    timings: Timings
    call_chance: float | None = None


EngineEvent = Progress | TextDelta | Finished
