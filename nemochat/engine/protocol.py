"""What every engine offers. The chat core knows only this."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from nemochat.domain.events import EngineEvent, Progress
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, Role
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Segment
from nemochat.engine.gate import Gate
from nemochat.settings import EngineSettings


class LoadRequest(msgspec.Struct, frozen=True):
    """Which files to load, and how. `name` is what people call the model. Paths are absolute: the engine runs in a folder of its own.

    server: the name of the server that runs it, with which `name` begins then (``server/model``) and model_path is ""; "" for this machine.
    states_path: the folder for what conversations were read to (their KV state), within the budget of the settings; None keeps none.
    format: the chat format that somebody chose: "nemotron", "template", a file of a template; "" is the one that the model's file says.
    picture_tokens: the most tokens that a picture is to take, for projectors of dynamic resolution; 0 leaves it to the file.
    vocabulary_only: nothing will be asked but how many tokens texts have: the weights and the projector stay where they are.
    """

    name: str
    model_path: str
    mmproj_path: str | None
    settings: EngineSettings
    states_path: str | None = None
    format: str = ""
    picture_tokens: int = 0
    server: str = ""
    vocabulary_only: bool = False


class ModelInfo(msgspec.Struct, frozen=True):
    """What the loaded model is. `context_length` is the window in force, in tokens, 0 where only the vocabulary is loaded.

    From its file: architecture; chat_template, a text that nobody has checked, "" for none; begin_text and end_text, the names of the
    tokens that begin and end a text; adds_begin: every prompt begins with the begin token, and one that says so itself is not given two;
    recommended: the sampling that it asks for. can_take_back: what was read can be cut back anywhere. Where it cannot (recurrent models), a
    prompt that does not go on from all that was read is read anew as a whole, so only what will stand should be read ahead. devices: the
    names of those that have layers of it, none for the processor alone.
    takes_messages: the engine lays conversations out by itself: it is asked in messages (`Asked`), and segments are there to be counted.
    Of those, takes_tools: it can be told of tools in a place of their own; has_think_switch: it can be told whether the model is to think;
    leaves_open: a reply can be left open, so that the model goes on from its last word, where others are asked to in words; takes_sampling:
    the names of the values of `Sampling` that it can be asked for, None for all.
    """

    name: str
    context_length: int
    has_vision: bool
    vocab_size: int
    load_ms: float
    chat_template: str = ""
    begin_text: str = ""
    end_text: str = ""
    adds_begin: bool = False
    architecture: str = ""
    recommended: Sampling = Sampling()
    can_take_back: bool = True
    takes_messages: bool = False
    takes_tools: bool = True
    has_think_switch: bool = False
    leaves_open: bool = True
    takes_sampling: tuple[str, ...] | None = None
    devices: tuple[str, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where in the KV cache a prompt belongs: to a conversation, and there to the prompt itself or to the one that will follow it.

    conversation: its id in the library; its state is kept on the disk under it, so that it opens warm. "" is one that is kept nowhere.
    is_next: the prompt as it will be when the window has forgotten its oldest turns; it is evaluated beside the present one, which stays.
    """

    conversation: str = ""
    is_next: bool = False


UNNAMED = Place()
"""The prompt of a conversation that is kept nowhere."""


class Counts(StrEnum):
    """Where an engine's counts come from: its tokenizer, what earlier replies of it have cost, or the length of the text alone."""

    EXACT = "exact"
    LEARNT = "learnt"
    ESTIMATED = "estimated"


class Capabilities(msgspec.Struct, frozen=True):
    """What an engine can do beyond generating text, as far as it is known by now: a server's are known once it is loaded.

    keeps_words_apart: nobody's words can become control tokens; where they can, known markers in them are broken visibly. tells_stages:
    what of the TTFT is loading, encoding and prefill is known. can_hold_to_grammar: a grammar of GBNF is held to. can_hold_next: the prompt
    after the next is held beside the present one (`Place.is_next`). can_gate: `GenerateRequest.gate` is heeded.
    """

    can_prepare: bool = True
    counts: Counts = Counts.EXACT
    keeps_words_apart: bool = True
    tells_stages: bool = True
    can_hold_to_grammar: bool = True
    can_hold_next: bool = True
    can_gate: bool = True


class Prepared(msgspec.Struct, frozen=True):
    """What `prepare` found and did, in tokens and milliseconds. `is_complete`: the whole prompt is in the KV cache now."""

    reused_tokens: int
    evaluated_tokens: int
    encoded_images: int
    elapsed_ms: float
    is_complete: bool = True


class Asked(msgspec.Struct, frozen=True):
    """What a reply is wanted to, for an engine that lays it out by itself: what the window has left of the conversation.

    continues, speaks, thinks: as in `ChatFormat.lay_out`. calls: the reply has to begin with a call, of the tool `tool` where one is named.
    schema: it has to be JSON that fits this.
    """

    conversation: Conversation
    continues: bool = False
    speaks: Role = Role.ASSISTANT
    thinks: bool | None = None
    calls: bool = False
    tool: str = ""
    schema: dict[str, Any] | None = None


class GenerateRequest(msgspec.Struct, frozen=True):
    """One reply. The reply's length and the user's stop strings are part of `sampling`; the model's end tokens always stop.

    stops: the chat format's own: turn markers and what else ends a reply, as a special token or spelled out. markers: special tokens, by
    their names, that the reply may show, because they mean something to whoever reads it; all others are left out of its text.
    conversation: whose prompt this is (see Place).
    grammar: GBNF that holds what follows each `grammar_trigger` in the reply (or the one that the prompt itself ends with, as Control
    text) until the grammar is complete; empty for none. Without a trigger it holds the whole reply, which ends with it. No stop string
    ends the reply in between. An engine that cannot hold to it goes on without it, so what comes back is to be checked in any case.
    asked: the same in messages, where `ModelInfo.takes_messages`, else None.
    gate: what decides whether the reply calls a tool; None where the reply cannot, or has to.
    """

    segments: tuple[Segment, ...]
    sampling: Sampling
    grammar: str = ""
    grammar_trigger: str = "<toolcall>"
    conversation: str = ""
    stops: tuple[str, ...] = ("<extra_id_0>", "<extra_id_1>", "<extra_id_2>")
    markers: tuple[str, ...] = ("<toolcall>", "</toolcall>")
    asked: Asked | None = None
    gate: Gate | None = None


class Engine(Protocol):
    """An engine that holds at most one model and makes one reply at a time.

    Every method raises EngineError (EngineDiedError when its process ended); after that the next call starts it again.
    find_image: the pixels of a picture by its digest, None where they cannot be had; asked in a thread, whenever they are needed again.
    """

    find_image: Callable[[str], RgbImage | None]

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""

    @property
    def info(self) -> ModelInfo | None:
        """The loaded model, None before `load`."""

    async def load(self, request: LoadRequest, on_progress: Callable[[Progress], None] | None = None) -> ModelInfo:
        """Load a model, in place of the one loaded before."""

    async def add_image(self, image: RgbImage) -> int:
        """Make pixels known under their digest and say what the picture costs in the prompt, in tokens."""

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        """The number of tokens (KV positions for pictures) of each segment, as exact as `Capabilities.counts` says. Sums are as exact,
        because segments never merge.

        asked: what the segments were laid out of, where the engine lays it out by itself: then they add up to what it makes of that.
        """

    async def prepare(
        self,
        segments: Sequence[Segment],
        on_progress: Callable[[Progress], None] | None = None,
        *,
        place: Place = UNNAMED,
        asked: Asked | None = None,
    ) -> Prepared:
        """Encode pictures and evaluate a prompt ahead of time. asked: the same in messages, where `ModelInfo.takes_messages`.

        `cancel`, or any other request, ends it within one batch; what was evaluated stays, and a request that begins so goes on from there.
        """

    async def forget(self, conversation: str) -> None:
        """Remove what is kept of a conversation, in the KV cache and on the disk."""

    def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """Stream one reply. Closing the iterator early, or `cancel`, stops the engine; what was evaluated stays cached."""

    async def cancel(self) -> None:
        """Stop what is running now; `generate` then ends with FinishReason.CANCELLED. Nothing happens when idle."""

    async def close(self) -> None:
        """Unload and end the engine's process."""
