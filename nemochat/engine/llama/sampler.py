"""How the next token is drawn: llama.cpp's sampler chain with every parameter explicit."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import llama_cpp

from nemochat.domain.sampling import Settled
from nemochat.engine.llama.candidates import Candidates
from nemochat.engine.llama.context import Context

_DEFAULT_SEED = llama_cpp.LLAMA_DEFAULT_SEED
"""The largest 32-bit number: llama.cpp takes it to mean "draw one"."""


class Sampler:
    """A chain for one reply: repeat penalty, then greedy, or top-k, top-p, min-p, temperature and a seeded draw."""

    def __init__(self, sampling: Settled, vocab_size: int, history: Sequence[int]) -> None:
        """`history`: the text tokens of the prompt; the repeat penalty looks back into them."""
        params = llama_cpp.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain = llama_cpp.llama_sampler_chain_init(params)
        for stage in _stages(sampling, vocab_size):
            llama_cpp.llama_sampler_chain_add(self._chain, stage)
        if _has_penalty(sampling):
            for token in history[-sampling.repeat_last_n :]:
                llama_cpp.llama_sampler_accept(self._chain, token)

    def sample(self, context: Context, row: int = -1) -> int:
        """Draw a token from the distribution after an evaluated one (see Context.distribution), and remember it."""
        return int(llama_cpp.llama_sampler_sample(self._chain, context.pointer, row))

    def choose(self, candidates: Candidates) -> int:
        """Draw one of the candidates, at least one of which must be possible. `accept` then has to follow."""
        return candidates.apply(self._chain)

    def accept(self, token: int) -> None:
        """Remember a token that was chosen."""
        llama_cpp.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Free the chain and its stages."""
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None


def _has_penalty(sampling: Settled) -> bool:
    return sampling.repeat_penalty != 1.0 and sampling.repeat_last_n > 0


def _stages(sampling: Settled, vocab_size: int) -> list[int]:
    stages = []
    if _has_penalty(sampling):
        stages.append(llama_cpp.llama_sampler_init_penalties(vocab_size, sampling.repeat_last_n, sampling.repeat_penalty, 0.0, 0.0))
    if sampling.temperature <= 0.0:
        return [*stages, llama_cpp.llama_sampler_init_greedy()]
    seed = secrets.randbelow(_DEFAULT_SEED) if sampling.seed is None else sampling.seed % _DEFAULT_SEED
    return [
        *stages,
        llama_cpp.llama_sampler_init_top_k(sampling.top_k),
        llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1),
        llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1),
        llama_cpp.llama_sampler_init_temp(sampling.temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ]
