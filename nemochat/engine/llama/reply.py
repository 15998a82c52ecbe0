"""The decode loop of one reply."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from nemochat.domain.events import FinishReason
from nemochat.domain.sampling import Settled
from nemochat.domain.segments import Control
from nemochat.engine.backend import Cancelled
from nemochat.engine.cutter import Cutter
from nemochat.engine.llama.banned import Banned, Drawn
from nemochat.engine.llama.candidates import Candidates
from nemochat.engine.llama.constraint import Constraint
from nemochat.engine.llama.evaluator import Prompt
from nemochat.engine.llama.gatekeeper import Gatekeeper
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
        self._history = [cell for cell in prompt.cells if isinstance(cell, int)]
        self._guesser: Guesser | None = None
        self._gate = Gatekeeper(request.gate, loaded.model, loaded.tokenizer) if request.gate is not None else None
        self._forced: deque[int] = deque()
        """Tokens that come next in any case."""
        self._banned: Banned | None = None
        self._bans_beginning = False
        """Whether what is banned is so because no call may come first, which is settled with the first word."""

    @property
    def call_chance(self) -> float | None:
        """How likely a call was where the words began, None where that was not asked or not come to."""
        return self._gate.chance if self._gate is not None else None

    def texts(self, cancelled: Cancelled) -> Iterator[str]:
        """Pieces of text, none empty. When exhausted, `tokens` and `reason` are final; the tokeniser remembers the reply in any case."""
        cutter = Cutter((*self._request.stops, *self._sampling.stop))
        constraint = self._constraint()
        sampler = self._loaded.samplers.sampler(self._sampling, self._history)
        self._guesser = self._new_guesser()
        shown: list[str] = []
        try:
            for text in self._draw(sampler, constraint, cutter, cancelled):
                shown.append(text)
                yield text
            if rest := cutter.finish():
                shown.append(rest)
                yield rest
        finally:
            if self._guesser is not None:
                self._guesser.finish()
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

    def _new_guesser(self) -> Guesser | None:
        pace = self._loaded.pace
        if pace is None:
            return None
        prompt = (cell if isinstance(cell, int) else None for cell in self._prompt.cells)
        return Guesser(self._loaded.evaluator, pace, itertools.chain(prompt, tuple(self.tokens)))

    def _draw(self, sampler: Sampler, constraint: Constraint | None, cutter: Cutter, cancelled: Cancelled) -> Iterator[str]:
        for drawn in self._staying(sampler, constraint, cancelled):
            if not drawn.piece:
                continue
            self._shown.append(drawn.token)
            if text := (cutter.push if drawn.is_free else cutter.pass_on)(drawn.piece):
                yield text
            if cutter.stopped:
                self.reason = FinishReason.STOP
                return

    def _staying(self, sampler: Sampler, constraint: Constraint | None, cancelled: Cancelled) -> Iterator[Drawn]:
        """The tokens of the reply, each as soon as it is certain that it stays."""
        evaluator = self._loaded.evaluator
        context, row = evaluator.context, -1
        if any(self._sampling.banned_strings):
            self._ban()
        again: Drawn | None = None
        while len(self.tokens) < self._limit:
            if cancelled():
                self.reason = FinishReason.CANCELLED
                break
            if again is not None:
                drawn = self._drawn_again(again, sampler, constraint)
            else:
                if self.tokens and self._guesser is not None:
                    row = self._guesser.row_after(self.tokens[-1], self._limit - len(self.tokens))
                elif self.tokens:
                    evaluator.append(self.tokens[-1])
                is_free = constraint is None or not constraint.is_open
                token = self._forced_token(sampler, constraint) if self._forced else self._token(sampler, constraint, row)
                logits = context.distribution(row).copy() if self._banned is not None else None
                drawn = Drawn(token, is_free=is_free, logits=logits)
            again, banned = None, self._banned
            token = drawn.token
            if self._ends(token):
                self.reason = FinishReason.STOP
                break
            self.tokens.append(token)
            drawn.piece = self._piece(token)
            if banned is None:
                yield drawn
            elif not drawn.is_free:
                yield from (*banned.release(everything=True), drawn)
            elif count := banned.push(drawn):
                again = banned.go_back(count)
                self._go_back(count, sampler)
            else:
                certain = banned.release()
                yield from certain
                if self._has_begun_so(certain):
                    self._ban()
        if self._banned is not None:
            yield from self._banned.release(everything=True)

    def _token(self, sampler: Sampler, constraint: Constraint | None, row: int) -> int:
        """Draw the next token, or let the gate have its say about it."""
        context = self._loaded.evaluator.context
        token = sampler.sample(context, row) if constraint is None else constraint.sample(sampler, context, row)
        gate = self._gate
        if gate is None or gate.chance is not None:
            return token
        said = b"".join(map(self._piece, self.tokens))
        piece = b"" if self._ends(token) else self._piece(token)
        if gate.sees(said, piece, context.distribution(row), ends=self._ends(token)):
            if gate.lets_call:
                self._forced.extend(gate.call(said))
            if gate.keeps_to_words:
                self._ban(*gate.banned(said))
                self._bans_beginning = gate.is_first
        if not self._forced:
            return token
        if constraint is not None:
            constraint.go_back(said)
        sampler.remember([*self._history, *self.tokens])
        return self._forced_token(sampler, constraint)

    def _forced_token(self, sampler: Sampler, constraint: Constraint | None) -> int:
        token = self._forced.popleft()
        sampler.accept(token)
        return token if constraint is None else constraint.watched(token)

    def _ban(self, *texts: str) -> None:
        """From here on none of these may be in the reply, nor what the request bans."""
        held = self._banned.held if self._banned is not None else ()
        every = (*self._sampling.banned_strings, *texts)
        self._banned = Banned(every, can_go_back=self._loaded.evaluator.context.can_take_back, held=held)

    def _has_begun_so(self, certain: Iterable[Drawn]) -> bool:
        """Whether the reply has begun with these words, which are no call."""
        has_begun = self._bans_beginning and any(drawn.piece.strip() for drawn in certain)
        self._bans_beginning = self._bans_beginning and not has_begun
        return has_begun

    def _ends(self, token: int) -> bool:
        """Whether a token ends the reply."""
        return token in self._stops or self._loaded.model.ends_generation(token)

    def _piece(self, token: int) -> bytes:
        """What is seen of a token."""
        model = self._loaded.model
        return model.piece(token) if not model.is_unseen(token) or token in self._markers else b""

    def _go_back(self, count: int, sampler: Sampler) -> None:
        """Take the last tokens back, of which the very last was not evaluated yet."""
        del self.tokens[-count:]
        self._forced.clear()
        if self._guesser is not None:
            self._guesser.finish()
            self._guesser = self._new_guesser()
        if count > 1:
            self._loaded.evaluator.take_back(count - 1)
        sampler.remember([*self._history, *self.tokens])

    def _drawn_again(self, again: Drawn, sampler: Sampler, constraint: Constraint | None) -> Drawn:
        """A token in the place of one that led to a banned text."""
        assert again.logits is not None
        candidates = Candidates.of(again.logits)
        for token in again.banned:
            candidates.remove(token)
        said = b"".join(map(self._loaded.model.piece, self.tokens))
        while True:
            token = sampler.choose(candidates)
            if constraint is not None:
                constraint.go_back(said)
                if constraint.watched(token) != token:  # one that reaches into a call, whose first part may be what is banned
                    candidates.remove(token)
                    continue
            sampler.accept(token)
            return msgspec.structs.replace(again, token=token)
