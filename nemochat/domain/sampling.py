"""How the next token is chosen and where a reply ends: who asks for what, and which of it is in force."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

UNSET: Literal["auto"] = "auto"
"""How a person writes that a value is left to the model."""
Unset = Literal["auto"]


class Source(StrEnum):
    """Who can ask for a value, in words. Of those that do, the first in this order is heeded."""

    REQUEST = "this request"
    COMMAND_LINE = "the command line"
    ENVIRONMENT = "the environment"
    CHAT = "this chat"
    PERSONA = "the persona"
    MODEL_SETTING = "the model's settings"
    CONFIG = "config.toml"
    MODEL_FILE = "the model's file"
    DEFAULT = "nemochat's default"


_OF_THE_MODEL = (Source.MODEL_SETTING, Source.MODEL_FILE)


class Sampling(msgspec.Struct, frozen=True):
    """What a request asks for; None leaves it to the model, or to its engine where the model says nothing.

    What is set is explicit on each request, because the defaults of the libraries drift. temperature: 0 is greedy and repeatable. top_k: 0
    is off. top_p: 1 is off. min_p: 0 is off. repeat_penalty: 1 is off; it looks back over the last `repeat_last_n` tokens. seed: None draws
    a new one each time. max_tokens: the longest reply, in tokens, reserved in the context window. stop: further strings that end the reply.
    think: whether a model that can think before it speaks does so; the prompt tells it, as far as its chat template has a switch.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    think: bool | None = None

    def another(self, others: int) -> Sampling:
        """For a reply beside so many others: what always takes the likeliest token, or a seed that stays, would make one of them again."""
        if not others:
            return self
        usual = Settled()
        return msgspec.structs.replace(
            self,
            seed=None if self.seed is None else (self.seed + others) % (1 << 32),
            temperature=usual.temperature if self.temperature == 0 else self.temperature,
            top_k=usual.top_k if self.top_k == 1 else self.top_k,
        )


class Settled(msgspec.Struct, frozen=True):
    """The same when nothing is left open; the values are those that llama.cpp takes by itself, without a bound for the reply."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    seed: int | None = None
    max_tokens: int = 1 << 30
    stop: tuple[str, ...] = ()
    think: bool | None = None

    def asked(self, sampling: Sampling) -> Settled:
        """With everything that is asked for."""
        wanted = msgspec.structs.asdict(sampling)
        return msgspec.structs.replace(self, **{name: value for name, value in wanted.items() if value is not None})


_OPEN = Sampling(**(msgspec.structs.asdict(Settled()) | {"max_tokens": None}))
DEFAULT = msgspec.structs.replace(_OPEN, max_tokens=512)
"""What holds where nobody says anything."""

# What a model's maker recommends stands under these names in its file (llama.cpp's llama-arch.cpp), none above these bounds.
SAMPLING_KEYS = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "repeat_penalty": "general.sampling.penalty_repeat",
    "repeat_last_n": "general.sampling.penalty_last_n",
}
_MOST = {"temperature": 10.0, "top_k": 1e6, "top_p": 1.0, "min_p": 1.0, "repeat_penalty": 10.0, "repeat_last_n": 1e6}


def recommended(said: Mapping[str, float]) -> Sampling:
    """What a model's file says of sampling, by the names of the values; one that makes no sense is passed over."""
    fitting = {name: value for name, value in said.items() if math.isfinite(value) and 0 <= value <= _MOST[name]}
    whole: dict[str, Any] = {name: int(value) if name in ("top_k", "repeat_last_n") else value for name, value in fitting.items()}
    return Sampling(**whole)


Layers = Mapping[Source, msgspec.Struct | None]
"""What the sources ask for, in structs that have some of the fields of `Sampling`: None in a field says nothing, "auto" leaves it to the
model."""


class InForce(msgspec.Struct, frozen=True):
    """What a request to the engine asks for, and of each value by its name who has set it.

    Of the values three can be None: seed, for another one each time, max_tokens, for as long as there is room, and think, for what the
    model does by itself. With a server any of them can: it has defaults of its own.
    """

    sampling: Sampling
    sources: Mapping[str, Source]

    def words(self, name: str) -> str:
        """A line about one value: "top_k: 20 (the persona)"."""
        return f"{name}: {in_words(name, getattr(self.sampling, name))} ({self.sources[name]})"


def in_words(name: str, value: object) -> str:
    """A value that is in force, as it is shown."""
    if value is None:
        said = {"seed": "another each time", "think": "as the model does by itself", "max_tokens": "as long as there is room"}
        return said.get(name, "left to the server")
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return msgspec.json.encode(value).decode() if value else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_force(layers: Layers, *, is_served: bool = False) -> InForce:
    """Each value as the first source that speaks of it has it. is_served: what nobody speaks of is left to the server that runs the model,
    but for the length of the reply.

    "auto" passes over what others say for all models: the model's own settings and its file are heeded, then nemochat's default; but the
    length of a reply that is left to the model has no bound.
    """
    default = Sampling(max_tokens=DEFAULT.max_tokens) if is_served else DEFAULT
    opened = Sampling() if is_served else _OPEN
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in Sampling.__struct_fields__:
        left_by: Source | None = None
        values[name], sources[name] = getattr(default, name), Source.DEFAULT
        for source in Source:
            said = getattr(layers.get(source), name, None)
            if said == UNSET:
                left_by = left_by or source
            elif said is not None and (left_by is None or source in _OF_THE_MODEL):
                values[name], sources[name] = said, source
                break
        else:
            if left_by is not None and getattr(opened, name) != values[name]:
                values[name], sources[name] = getattr(opened, name), left_by
    return InForce(Sampling(**values), sources)
