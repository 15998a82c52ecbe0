"""How the next token is chosen and where a reply ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

UNSET: Literal["auto"] = "auto"
"""How a person writes that a value is left to the model."""
Unset = Literal["auto"]


class Sampling(msgspec.Struct, frozen=True):
    """What a request asks for; None leaves it to the model, or to its engine where the model says nothing.

    What is set is explicit on each request, because the defaults of the libraries drift. temperature: 0 is greedy and repeatable. top_k: 0
    is off. top_p: 1 is off. min_p: 0 is off. repeat_penalty: 1 is off; it looks back over the last `repeat_last_n` tokens. seed: None draws
    a new one each time. max_tokens: the longest reply, in tokens, reserved in the context window. stop: further strings that end the reply.
    """

    temperature: float | None = 0.0
    top_k: int | None = 40
    top_p: float | None = 0.95
    min_p: float | None = 0.05
    repeat_penalty: float | None = 1.0
    repeat_last_n: int | None = 64
    seed: int | None = None
    max_tokens: int | None = 512
    stop: tuple[str, ...] = ()

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

    def asking(self, values: Mapping[str, Any]) -> Sampling:
        """With other values, as people write them: UNSET leaves one to the model, None changes nothing."""
        said = {name: None if value == UNSET else value for name, value in values.items() if value is not None}
        return msgspec.structs.replace(self, **said)


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

    def asked(self, sampling: Sampling) -> Settled:
        """With everything that is asked for."""
        wanted = msgspec.structs.asdict(sampling)
        return msgspec.structs.replace(self, **{name: value for name, value in wanted.items() if value is not None})
