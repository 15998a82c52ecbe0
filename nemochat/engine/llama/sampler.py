"""How the next token is drawn: llama.cpp's sampler chain with every parameter explicit."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Callable, Mapping, Sequence

import llama_cpp

from nemochat.domain.sampling import Settled
from nemochat.engine.llama.candidates import Candidates, NativeSampler
from nemochat.engine.llama.context import Context
from nemochat.engine.llama.model import Model

_DEFAULT_SEED = llama_cpp.LLAMA_DEFAULT_SEED
"""The largest 32-bit number: llama.cpp takes it to mean "draw one"."""
_MIROSTAT_TOKENS = 100
"""The likeliest tokens by which Mirostat 1 estimates, as its paper has it."""
_REMEMBER = {"penalties", "dry"}


class Samplers:
    """Makes the samplers of one model's replies."""

    def __init__(self, model: Model, spell: Callable[[str], Sequence[int]], context_length: int) -> None:
        """`spell`: the tokens of a text. `context_length`: how far DRY looks back where it is not told."""
        self._model, self._spell, self._context_length = model, spell, context_length
        self._dry: tuple[object, NativeSampler] | None = None

    def sampler(self, sampling: Settled, history: Sequence[int]) -> Sampler:
        """A sampler of one reply, to be closed. `history`: the text tokens of the prompt."""
        seed = secrets.randbelow(_DEFAULT_SEED) if sampling.seed is None else sampling.seed % _DEFAULT_SEED
        sampler = Sampler({name: self._stage(name, sampling, seed) for name in sampling.chain}, self._looks_back(sampling))
        sampler.remember(history)
        return sampler

    def close(self) -> None:
        """Free what was kept."""
        if self._dry is not None:
            llama_cpp.llama_sampler_free(self._dry[1])
            self._dry = None

    def _looks_back(self, sampling: Settled) -> int:
        dry = self._dry_looks_back(sampling) if "dry" in sampling.chain else 0
        return max(dry, sampling.repeat_last_n if "penalties" in sampling.chain else 0)

    def _dry_looks_back(self, sampling: Settled) -> int:
        wanted = sampling.dry_penalty_last_n
        return self._context_length if wanted < 0 else min(wanted, self._context_length)

    def _stage(self, name: str, sampling: Settled, seed: int) -> NativeSampler:
        vocab_size = self._model.vocab_size
        match name:
            case "logit_bias":
                return self._bias(sampling)
            case "penalties":
                penalties = sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty
                return llama_cpp.llama_sampler_init_penalties(vocab_size, sampling.repeat_last_n, *penalties)
            case "dry":
                return self._dry_stage(sampling)
            case "top_n_sigma":
                return llama_cpp.llama_sampler_init_top_n_sigma(sampling.top_n_sigma)
            case "top_k":
                return llama_cpp.llama_sampler_init_top_k(sampling.top_k)
            case "typical_p":
                return llama_cpp.llama_sampler_init_typical(sampling.typical_p, 1)
            case "top_p":
                return llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1)
            case "min_p":
                return llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1)
            case "xtc":
                return llama_cpp.llama_sampler_init_xtc(sampling.xtc_probability, sampling.xtc_threshold, 1, seed)
            case "temperature" if sampling.dynatemp_range > 0:
                return llama_cpp.llama_sampler_init_temp_ext(sampling.temperature, sampling.dynatemp_range, sampling.dynatemp_exponent)
            case "temperature":
                return llama_cpp.llama_sampler_init_temp(sampling.temperature)
            case "mirostat" if sampling.mirostat == 1:
                numbers = vocab_size, seed, sampling.mirostat_tau, sampling.mirostat_eta, _MIROSTAT_TOKENS
                return llama_cpp.llama_sampler_init_mirostat(*numbers)
            case "mirostat":
                return llama_cpp.llama_sampler_init_mirostat_v2(seed, sampling.mirostat_tau, sampling.mirostat_eta)
            case "draw":
                return llama_cpp.llama_sampler_init_dist(seed)
        return llama_cpp.llama_sampler_init_greedy()

    def _dry_stage(self, sampling: Settled) -> NativeSampler:
        """Which tokens break a sequence takes a look at the whole vocabulary: the next reply with the same wishes gets a copy."""
        numbers = sampling.dry_multiplier, sampling.dry_base, sampling.dry_allowed_length, self._dry_looks_back(sampling)
        breakers = [text.encode("utf-8", "replace") for text in sampling.dry_sequence_breakers if text and "\0" not in text]
        if self._dry is None or self._dry[0] != (numbers, breakers):
            self.close()
            array = (ctypes.c_char_p * len(breakers))(*breakers)
            self._dry = (numbers, breakers), llama_cpp.llama_sampler_init_dry(self._model.vocab, *numbers, array, len(breakers))
        return llama_cpp.llama_sampler_clone(self._dry[1])

    def _bias(self, sampling: Settled) -> NativeSampler:
        """Each token of a text gets what is asked for the text, as llama.cpp's server has it."""
        wanted: dict[int, float] = {}
        for text, bias in sampling.logit_bias.items():
            for token in self._spell(text):
                wanted[token] = wanted.get(token, 0.0) + bias
        biases = (llama_cpp.llama_logit_bias * len(wanted))(*(llama_cpp.llama_logit_bias(token, bias) for token, bias in wanted.items()))
        return llama_cpp.llama_sampler_init_logit_bias(self._model.vocab_size, len(wanted), biases)


class Sampler:
    """The chain of one reply: its stages in order."""

    def __init__(self, stages: Mapping[str, NativeSampler], looks_back: int) -> None:
        """The chain owns the stages from now on. `looks_back`: so many tokens matter to those of them that remember any."""
        params = llama_cpp.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain = llama_cpp.llama_sampler_chain_init(params)
        for stage in stages.values():
            llama_cpp.llama_sampler_chain_add(self._chain, stage)
        self._remembering = [stage for name, stage in stages.items() if name in _REMEMBER]
        self._looks_back = looks_back

    def remember(self, history: Sequence[int]) -> None:
        """Look back into these tokens and no others from now on."""
        said = history[-self._looks_back :] if self._looks_back else ()
        for stage in self._remembering:
            llama_cpp.llama_sampler_reset(stage)
            for token in said:
                llama_cpp.llama_sampler_accept(stage, token)

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
