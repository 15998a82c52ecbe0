"""The decode loop of one reply."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from nemochat.domain.events import FinishReason
from nemochat.domain.sampling import Settled
from nemochat.domain.segments import Control
from nemochat.engine.backend import Cancelled
from nemochat.engine.cutter import Cutter
from nemochat.engine.llama.constraint import Constraint
from nemochat.engine.llama.evaluator import Prompt
from nemochat.engine.llama.guessing import Guesser
from nemochat.engine.llama.ledger import tokens_of
from nemochat.engine.llama.loaded import Loaded
from nemochat.engine.llama.sampler import Sampler
from nemochat.engine.protocol import GenerateRequest
from nemochat.errors import EngineError

_log = logging.getLogger(__name__)


class Reply:
    """The decode loop of one reply: draws tokens, evaluates them, and turns them into text."""

    def __init__(self, loaded: Loaded, request: GenerateRequest, prompt: Prompt) -> None:
        self.tokens: list[int] = []
        self.reason = FinishReason.LENGTH
        self._loaded = loaded
        self._sampling = Settled().asked(loaded.model.recommended).asked(request.sampling)
        self._limit = min(self._sampling.max_tokens, loaded.context_length - tokens_of(prompt.cells))
        self._prompt = prompt
        self._request = request
        self._stops = loaded.special_tokens(request.stops)
        self._markers = loaded.special_tokens(request.markers)
        self._shown: list[int] = []

    def texts(self, cancelled: Cancelled) -> Iterator[str]:
        """Pieces of text, none empty. When exhausted, `tokens` and `reason` are final; the tokeniser remembers the reply in any case."""
        cutter = Cutter((*self._request.stops, *self._sampling.stop))
        constraint = self._constraint()
        history = [cell for cell in self._prompt.cells if isinstance(cell, int)]
        sampler = Sampler(self._sampling, self._loaded.model.vocab_size, history)
        guesser = self._guesser()
        shown: list[str] = []
        try:
            for text in self._draw(sampler, constraint, guesser, cutter, cancelled):
                shown.append(text)
                yield text
            if rest := cutter.finish():
                shown.append(rest)
                yield rest
        finally:
            if guesser is not None:
                guesser.finish()
            sampler.close()
            if constraint is not None:
                constraint.close()
            self._loaded.tokenizer.remember_reply(self._shown, "".join(shown))

    def _constraint(self) -> Constraint | None:
        """What holds the reply's tool calls to the grammar of the request, if it has one that llama.cpp takes."""
        request = self._request
        if not request.grammar:
            return None
        last, trigger = request.segments[-1], request.grammar_trigger
        try:
            return Constraint(
                self._loaded.model,
                self._loaded.tokenizer,
                grammar=request.grammar,
                trigger=trigger,
                banned=self._stops,
                own=self._markers,
                is_open=not trigger or (isinstance(last, Control) and last.text.endswith(trigger)),
            )
        except EngineError as error:
            _log.warning("the reply goes without a grammar: %s", error.message)
            return None

    def _guesser(self) -> Guesser | None:
        pace = self._loaded.pace
        if pace is None:
            return None
        return Guesser(self._loaded.evaluator, pace, (cell if isinstance(cell, int) else None for cell in self._prompt.cells))

    def _draw(
        self, sampler: Sampler, constraint: Constraint | None, guesser: Guesser | None, cutter: Cutter, cancelled: Cancelled
    ) -> Iterator[str]:
        model, evaluator = self._loaded.model, self._loaded.evaluator
        context, row = evaluator.context, -1
        while len(self.tokens) < self._limit:
            if cancelled():
                self.reason = FinishReason.CANCELLED
                return
            if self.tokens and guesser is not None:
                row = guesser.row_after(self.tokens[-1], self._limit - len(self.tokens))
            elif self.tokens:
                evaluator.append(self.tokens[-1])
            is_held = constraint is not None and constraint.is_open
            token = sampler.sample(context, row) if constraint is None else constraint.sample(sampler, context, row)
            if token in self._stops or model.ends_generation(token):
                self.reason = FinishReason.STOP
                return
            self.tokens.append(token)
            if model.is_unseen(token) and token not in self._markers:
                continue
            self._shown.append(token)
            if text := (cutter.pass_on if is_held else cutter.push)(model.piece(token)):
                yield text
            if cutter.stopped:
                self.reason = FinishReason.STOP
                return
