"""The gate before a call (`nemochat.engine.gate`) in one reply of llama.cpp: how likely a call is, and the tokens of the branch."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nemochat.domain.segments import Control
from nemochat.engine.gate import Gate
from nemochat.engine.llama.model import Model
from nemochat.engine.tokens import Tokenizer

_log = logging.getLogger(__name__)


class Gatekeeper:
    """Sees the tokens of a reply come until it is decided whether it calls. chance: how likely that was there, None before."""

    def __init__(self, gate: Gate, model: Model, tokenizer: Tokenizer) -> None:
        self.chance: float | None = None
        self._gate, self._model, self._tokenizer = gate, model, tokenizer

    def sees(self, text: bytes, piece: bytes, logits: npt.NDArray[np.float32], *, ends: bool) -> bool:
        """Take what is seen of a token that was drawn behind a `text` of the reply, and the logits that it is from; whether it is the one
        that decides. ends: it ends the reply."""
        if not ends and not self._gate.decides(self._gate.said(text + piece)):
            return False
        said = self._gate.said(text)
        weights = np.exp(logits - logits.max())
        openers = sorted({opener for left in self._gate.left(said) for opener in self._openers(left, begins=not said)})
        self.chance = float(weights[openers].sum(dtype=np.float64) / weights.sum(dtype=np.float64))
        return True

    @property
    def lets_call(self) -> bool:
        """Whether the reply has to be a call."""
        return self.chance is not None and self._gate.lets_call(self.chance)

    @property
    def keeps_to_words(self) -> bool:
        """Whether no call may be in the reply."""
        return self.chance is not None and self._gate.threshold is not None and not self.lets_call

    @property
    def is_first(self) -> bool:
        """Whether a call can only be the first of a reply."""
        return self._gate.is_first

    def call(self, text: bytes) -> tuple[int, ...]:
        """The tokens that open a call behind what the reply has said; none where the vocabulary cannot spell it."""
        left = self._gate.left(self._gate.said(text))
        tokens = self._tokenizer.tokens(Control(left[0])) if left else ()
        if b"".join(map(self._model.piece, tokens)) != "".join(left[:1]).encode() or not tokens:
            _log.warning("the gate wants a call, but no tokens of the vocabulary open one")
            return ()
        return tokens

    def banned(self, text: bytes) -> Iterator[str]:
        """Texts that open a call, also behind what the reply has begun with."""
        yield from self._gate.opens
        yield from self._gate.left(self._gate.said(text))

    def _openers(self, left: str, *, begins: bool) -> Iterator[int]:
        """The tokens that a call goes on with which still lacks this text: where that begins with a special token or tag, which nothing
        else is spelled with, it alone; else all that stand for a beginning of it. begins: there may be a space before it.
        """
        first = self._tokenizer.tokens(Control(left))[:1]
        if first and self._model.is_special(first[0]):
            yield first[0]
            return
        for lead in ("", " ") if begins else ("",):
            for length in range(1, len(left) + 1):
                tokens = self._tokenizer.spelled(lead + left[:length])
                if len(tokens) == 1:
                    yield tokens[0]
