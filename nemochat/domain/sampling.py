"""How the next token is chosen and where a reply ends."""

from __future__ import annotations

import msgspec


class Sampling(msgspec.Struct, frozen=True):
    """Every value is explicit on each request, because the defaults of the libraries drift.

    temperature: 0 is greedy and repeatable. top_k: 0 is off. top_p: 1 is off. min_p: 0 is off.
    repeat_penalty: 1 is off; it looks back over the last `repeat_last_n` tokens. seed: None draws a new one each time.
    max_tokens: the longest reply, in tokens, reserved in the context window. stop: further strings that end the reply.
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    seed: int | None = None
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
