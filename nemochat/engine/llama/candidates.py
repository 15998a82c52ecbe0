"""The tokens that may come next, with their logits: what llama.cpp's sampler stages work on, within reach of Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import llama_cpp
import numpy as np
import numpy.typing as npt

from nemochat.engine.llama.context import Context

TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""The layout of `llama_token_data`."""
NativeSampler = object
"""A pointer to a sampler or to a chain of them."""


class Candidates:
    """A set of tokens with their logits. Applying a sampler leaves it as it is, except for `restrict`."""

    def __init__(self, tokens: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        self._tokens = tokens

    @staticmethod
    def after(context: Context, row: int = -1) -> Candidates:
        """The whole vocabulary, as the distribution after an evaluated token has it (see Context.distribution)."""
        return Candidates.of(context.distribution(row))

    @staticmethod
    def of(logits: npt.NDArray[np.float32]) -> Candidates:
        """The whole vocabulary with these logits."""
        tokens = np.empty(len(logits), TOKEN_DATA)
        tokens["id"] = np.arange(len(logits), dtype=np.int32)
        tokens["logit"] = logits
        tokens["p"] = 0.0
        return Candidates(tokens)

    @staticmethod
    def only(*tokens: int) -> Candidates:
        """These tokens, as likely as can be."""
        return Candidates(np.array([(token, 0.0, 0.0) for token in tokens], TOKEN_DATA))

    @property
    def tokens(self) -> list[int]:
        """Which there are."""
        return [int(token) for token in self._tokens["id"]]

    def __len__(self) -> int:
        return len(self._tokens)

    def apply(self, sampler: NativeSampler) -> int:
        """Let a sampler choose."""
        tokens = self._tokens.copy()
        array = _run(sampler, tokens)
        return int(array.data[array.selected].id)

    def restrict(self, sampler: NativeSampler) -> None:
        """Keep only what a sampler that moves nothing (a grammar) leaves possible."""
        _run(sampler, self._tokens)
        self._tokens = self._tokens[np.isfinite(self._tokens["logit"])]

    def remove(self, token: int) -> None:
        """Take one token out."""
        self._tokens = self._tokens[self._tokens["id"] != token]

    def keep(self, is_wanted: Callable[[int], bool]) -> None:
        """Keep the tokens that a function wants. It is asked about each of them, which takes its time."""
        wanted = np.fromiter((is_wanted(int(token)) for token in self._tokens["id"]), np.bool_, len(self._tokens))
        self._tokens = self._tokens[wanted]


def _run(sampler: NativeSampler, tokens: np.ndarray[tuple[int], np.dtype[np.void]]) -> llama_cpp.llama_token_data_array:
    """Apply a sampler in place. It does not grow the array, but may let it begin further behind (XTC does)."""
    data = ctypes.cast(tokens.ctypes.data, llama_cpp.llama_token_data_p)
    array = llama_cpp.llama_token_data_array(data=data, size=len(tokens), selected=-1, sorted=False)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    return array
