"""How the next token is chosen and where a reply ends: who asks for what, and which of it is in force."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

from nemochat.settings import SamplingSettings

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
    SERVER = "the model's server"
    DEFAULT = "nemochat's default"


_OF_THE_MODEL = (Source.MODEL_SETTING, Source.MODEL_FILE, Source.SERVER)


class Sampling(msgspec.Struct, frozen=True):
    """What a request asks for; None leaves it to the model, or to its engine where the model says nothing.

    What is set is explicit on each request, because the defaults of the libraries drift. temperature: 0 is greedy and repeatable. top_k: 0
    is off. top_p: 1 is off. min_p: 0 is off. repeat_penalty: 1 is off; it looks back over the last `repeat_last_n` tokens. seed: None draws
    a new one each time. max_tokens: the longest reply, in tokens, reserved in the context window. stop: further strings that end the reply.
    think: whether a model that can think before it speaks does so; the prompt tells it, as far as its chat template has a switch.

    The rest is as llama.cpp has it, with the same names. presence_penalty, frequency_penalty: 0 is off; they look back as far as
    repeat_penalty. dry_*: against repeating runs of tokens, off where dry_multiplier is 0; dry_penalty_last_n: -1 looks back over the whole
    window; dry_sequence_breakers: texts that no run reaches over. top_n_sigma: 0 is off. typical_p: 1 is off. xtc_*: with
    xtc_probability (0 is off), all tokens above xtc_threshold but the least likely of them are left out. dynatemp_range: 0 is off, else
    the temperature is between that much less and that much more. mirostat: 0 is off, 1 and 2 are its versions; it then stands in place of
    all that chooses among the likeliest. logit_bias: added to the logits of the tokens of each text. banned_strings: texts that a reply
    never holds, whatever their case: when one has come, the reply goes back to where it began.
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
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    top_n_sigma: float | None = None
    typical_p: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    logit_bias: dict[str, float] | None = None
    banned_strings: tuple[str, ...] | None = None

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
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    top_n_sigma: float = 0.0
    typical_p: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: dict[str, float] = {}
    banned_strings: tuple[str, ...] = ()

    @property
    def chain(self) -> tuple[str, ...]:
        """The stages that a token goes through, in llama.cpp's order, by the value that switches each on; how it is taken is the last."""
        looks_back = self.repeat_last_n > 0 and (self.repeat_penalty != 1 or bool(self.presence_penalty) or bool(self.frequency_penalty))
        before = {"logit_bias": bool(self.logit_bias), "penalties": looks_back, "dry": self.dry_multiplier > 0}
        if self.temperature <= 0:
            return (*_on(before), "likeliest")
        if self.mirostat:
            return (*_on(before), "temperature", "mirostat")
        among = {
            "top_n_sigma": self.top_n_sigma > 0,
            "top_k": self.top_k > 0,
            "typical_p": self.typical_p < 1,
            "top_p": self.top_p < 1,
            "min_p": self.min_p > 0,
            "xtc": self.xtc_probability > 0 and self.xtc_threshold <= _MOST_XTC,
        }
        return (*_on({**before, **among}), "temperature", "draw")

    def asked(self, sampling: Sampling) -> Settled:
        """With everything that is asked for."""
        wanted = msgspec.structs.asdict(sampling)
        return msgspec.structs.replace(self, **{name: value for name, value in wanted.items() if value is not None})


_MOST_XTC = 0.5
"""Above this threshold no two tokens can be, so XTC leaves out none."""


def _on(stages: Mapping[str, bool]) -> list[str]:
    return [name for name, is_on in stages.items() if is_on]


_SETTLED = Settled()
_ALWAYS_SAID = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "stop")
_OPEN = Sampling(**{name: getattr(_SETTLED, name) for name in _ALWAYS_SAID})
DEFAULT = msgspec.structs.replace(_OPEN, max_tokens=512)
"""What holds where nobody says anything; what is off by itself is not even said."""

# What a model's maker recommends stands under these names in its file (llama.cpp's llama-arch.cpp), none above these bounds.
SAMPLING_KEYS = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "repeat_penalty": "general.sampling.penalty_repeat",
    "repeat_last_n": "general.sampling.penalty_last_n",
    "xtc_probability": "general.sampling.xtc_probability",
    "xtc_threshold": "general.sampling.xtc_threshold",
    "mirostat": "general.sampling.mirostat",
    "mirostat_tau": "general.sampling.mirostat_tau",
    "mirostat_eta": "general.sampling.mirostat_eta",
}
_MOST = {
    "temperature": 10.0, "top_k": 1e6, "top_p": 1.0, "min_p": 1.0, "repeat_penalty": 10.0, "repeat_last_n": 1e6, "xtc_probability": 1.0,
    "xtc_threshold": 1.0, "mirostat": 2, "mirostat_tau": 20.0, "mirostat_eta": 1.0,
}  # fmt: skip
_WHOLE = ("top_k", "repeat_last_n", "mirostat")


def recommended(said: Mapping[str, float]) -> Sampling:
    """What a model's file says of sampling, by the names of the values; one that makes no sense is passed over."""
    fitting = {name: value for name, value in said.items() if math.isfinite(value) and 0 <= value <= _MOST[name]}
    whole: dict[str, Any] = {name: int(value) if name in _WHOLE else value for name, value in fitting.items()}
    return Sampling(**whole)


Layers = Mapping[Source, msgspec.Struct | None]
"""What the sources ask for, in structs that have some of the fields of `Sampling`: None in a field says nothing, "auto" leaves it to the
model."""


class InForce(msgspec.Struct, frozen=True):
    """What a request to the engine asks for, and of each value by its name who has set it.

    Where the value of seed is None it is another one each time, with max_tokens the reply is as long as there is room, with think the
    model does as it does by itself; what else is None is left to the engine, where `Settled` says what it does, or, if it `is_served`, to
    the server, which has defaults of its own.
    """

    sampling: Sampling
    sources: Mapping[str, Source]
    is_served: bool = False

    def words(self, name: str) -> str:
        """A line about one value: "top_k: 20 (the persona)"."""
        return f"{name}: {self.value(name)} ({self.sources[name]})"

    def value(self, name: str) -> str:
        """One value, as it is shown."""
        value = getattr(self.sampling, name)
        return "left to the server" if value is None and self.is_served and name not in _UNSAID else in_words(name, value)

    @property
    def said(self) -> tuple[str, ...]:
        """The names of the values without those that are off because nobody asks for them."""
        return tuple(name for name in self.sources if name in _UNSAID or getattr(self.sampling, name) is not None)

    @property
    def order(self) -> str:
        """A line about the stages that a token goes through."""
        if self.is_served:
            return "What nobody asks for is left to the server."
        return f"Order: {' → '.join(Settled().asked(self.sampling).chain)}"


COST = "Cost: none that can be measured; with all stages on, replies come at 1.00 of the rate without (SmolLM2-135M, one thread)."
"""What the stages cost (benchmarks/RESULTS.md)."""
_BY_ITSELF = (Source.DEFAULT, Source.MODEL_FILE, Source.SERVER)


def wanted_by_user(now: InForce) -> SamplingSettings:
    """What the user, or a persona, asks for of what is in force."""
    asked = {name: getattr(now.sampling, name) for name, source in now.sources.items() if source not in _BY_ITSELF}
    return SamplingSettings(**asked)


_UNSAID = {"seed": "another each time", "think": "as the model does by itself", "max_tokens": "as long as there is room"}


def in_words(name: str, value: object) -> str:
    """A value that is in force, as it is shown."""
    if value is None:
        return _UNSAID[name] if name in _UNSAID else in_words(name, getattr(_SETTLED, name))
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | dict):
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
    return InForce(Sampling(**values), sources, is_served)
