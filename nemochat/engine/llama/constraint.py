"""A grammar that holds the sampler from a trigger in the reply on: every tool call then parses, whatever the temperature.

llama.cpp has lazy grammars of its own. They are not used, because they look for the trigger in tokens or whole words, take a token that
reaches over the trigger's end as it is (and raise a C++ exception when it does not fit), let control tokens stand for text inside a
string, and take any byte for the continuation of a character.

The grammar has the first word and the sampling parameters the second: a token is drawn as usual and taken when the grammar allows it;
otherwise one is drawn from those that the grammar allows. That is the same distribution, but the grammar, which is slow, seldom has to
look at the whole vocabulary.
"""

from __future__ import annotations

import codecs
import logging
from collections import deque
from collections.abc import Iterable, Sequence

import llama_cpp

from nemochat.engine.llama.candidates import Candidates
from nemochat.engine.llama.context import Context
from nemochat.engine.llama.model import Model
from nemochat.engine.llama.native_log import native_log
from nemochat.engine.llama.sampler import Sampler
from nemochat.engine.tokens import Tokenizer
from nemochat.errors import EngineError

_log = logging.getLogger(__name__)
_MAX_GRAMMAR_BYTES = 1024 * 1024
_WORDS = ("q", "~", '"')
"""What can stand in any words, or right behind them."""
_QUICK_TRIES = 16
"""Draws after which all candidates are looked at, instead of removing those that were drawn in vain one by one."""


class Grammar:
    """A handle over llama.cpp's grammar sampler: which token may come next, from the root of the grammar on."""

    def __init__(self, model: Model, text: str) -> None:
        """Parse a grammar. Raises EngineError when llama.cpp refuses it."""
        data = text.encode("utf-8", "replace")
        log = native_log()
        log.forget_errors()
        if b"\0" in data or len(data) > _MAX_GRAMMAR_BYTES:
            raise EngineError("The grammar for tool calls is too large, or holds what no grammar can hold.")
        self._vocab = model.vocab
        self._pointer = llama_cpp.llama_sampler_init_grammar(self._vocab, data, b"root")
        if not self._pointer:
            raise EngineError(f"llama.cpp refused the grammar for tool calls: {log.reason}.")
        self._end = llama_cpp.llama_vocab_eos(self._vocab)

    def allows(self, token: int) -> bool:
        """Whether a token may come next."""
        candidates = Candidates.only(token)
        candidates.restrict(self._pointer)
        return len(candidates) > 0

    def restrict(self, candidates: Candidates) -> None:
        """Keep only the candidates that may come next."""
        candidates.restrict(self._pointer)

    def accept(self, token: int) -> None:
        """Go on behind a token, which must be allowed: llama.cpp ends the process over one that is not."""
        llama_cpp.llama_sampler_accept(self._pointer, token)

    @property
    def is_complete(self) -> bool:
        """Whether the text may end here."""
        return self._end >= 0 and self.allows(self._end)

    def ends_with(self, token: int) -> bool:
        """Whether a token may come next and the text may end behind it."""
        return self._end >= 0 and self.allows_behind(token, [self._end])

    def allows_behind(self, token: int, others: Sequence[int]) -> bool:
        """Whether a token may come next, and one of others behind it."""
        if not self.allows(token):
            return False
        clone = llama_cpp.llama_sampler_clone(self._pointer)
        try:
            llama_cpp.llama_sampler_accept(clone, token)
            candidates = Candidates.only(*others)
            candidates.restrict(clone)
            return len(candidates) > 0
        finally:
            llama_cpp.llama_sampler_free(clone)

    def reset(self) -> None:
        """Begin again at the root."""
        llama_cpp.llama_sampler_reset(self._pointer)

    def close(self) -> None:
        """Free it."""
        if self._pointer:
            llama_cpp.llama_sampler_free(self._pointer)
            self._pointer = None


class Constraint:
    """Draws the tokens of one reply with a sampler: freely up to the trigger, then by the grammar until it is complete, and so on."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        *,
        grammar: str,
        trigger: str,
        banned: Iterable[int],
        own: Iterable[int] = (),
        is_open: bool,
    ) -> None:
        """`banned`: tokens never to stand inside a call; `own`: the special ones that calls are made of. `is_open`: the prompt ends with
        the trigger. Raises EngineError."""
        self._model = model
        self._tokenizer = tokenizer
        self._grammar = Grammar(model, grammar)
        self._trigger = trigger.encode()
        self._banned, self._own = frozenset(banned), frozenset(own)
        self._words = {text: spelled[0] for text in _WORDS if len(spelled := tokenizer.spelled(text)) == 1}
        self._forced: deque[int] = deque()
        self._tail = b""
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self.is_open = is_open

    def sample(self, sampler: Sampler, context: Context, row: int = -1) -> int:
        """Draw the next token, from a row as Context.distribution has it. `is_open` tells whether the grammar holds the one after it."""
        if self.is_open and (held := self._held_token(sampler, context, row)) is not None:
            return held
        if self._forced:
            token = self._forced.popleft()
            sampler.accept(token)
        else:
            token = sampler.sample(context, row)
        return self.watched(token)

    def go_back(self, said: bytes) -> None:
        """What was drawn freely behind this text, in which no call was begun, is drawn again."""
        self._forced.clear()
        self._tail = said[-(len(self._trigger) - 1) :] if len(self._trigger) > 1 else b""
        self.is_open = False

    def close(self) -> None:
        """Free the grammar."""
        self._grammar.close()

    def watched(self, token: int) -> int:
        """Look for the trigger in a token drawn freely. One that reaches over the trigger's end is replaced by those that do not."""
        if not self._trigger or self._model.ends_generation(token) or token in self._banned:
            return token
        piece = self._model.piece(token)
        text = self._tail + piece
        found = text.find(self._trigger)
        if found < 0:
            self._tail = text[-(len(self._trigger) - 1) :] if len(self._trigger) > 1 else b""
            return token
        end = found + len(self._trigger) - len(self._tail)
        if end < len(piece):
            head = self._tokenizer.spelled(piece[:end].decode("utf-8", "replace"))
            if not head:
                _log.warning("a tool call goes without its grammar: no token of the vocabulary ends where it begins")
                self._tail = b""
                return token
            self._forced.extend(head[1:])
            return self.watched(head[0])
        self._open()
        return token

    def _open(self) -> None:
        self._grammar.reset()
        self._utf8.reset()
        self._tail = b""
        self.is_open = True

    def _held_token(self, sampler: Sampler, context: Context, row: int) -> int | None:
        """Draw a token that the grammar allows and take it; None when there is none, and the grammar is given up.

        Where it holds the whole reply, one that ends the reply may come as soon as it is complete.
        """
        candidates = Candidates.after(context, row)
        token = sampler.choose(candidates)
        if not (self._may_stand(token) and self._grammar.allows(token)):
            candidates.remove(token)
            self._grammar.restrict(candidates)
            chosen = self._chosen(sampler, candidates)
            if chosen is None:
                _log.warning("no token of the vocabulary fits the grammar; the reply goes on without it")
                self.is_open = False
                return None
            token = chosen
        sampler.accept(token)
        if self._model.ends_generation(token):
            return token
        self._grammar.accept(token)
        self._utf8.decode(self._model.piece(token))
        self.is_open = not (self._trigger and self._grammar.is_complete)
        return token

    def _chosen(self, sampler: Sampler, candidates: Candidates) -> int | None:
        """Draw one of the candidates that the grammar left and that may stand in a call."""
        for _ in range(_QUICK_TRIES):
            if not len(candidates):
                return None
            token = sampler.choose(candidates)
            if self._may_stand(token):
                return token
            candidates.remove(token)
        candidates.keep(self._may_stand)
        return sampler.choose(candidates) if len(candidates) else None

    def _may_stand(self, token: int) -> bool:
        """Whether a token may be part of a call: text in whole characters, and no structure but the call's own."""
        if self._model.ends_generation(token):
            return not self._trigger and self._grammar.is_complete
        if token in self._banned or self._model.is_unknown(token):
            return False
        piece = self._model.piece(token)
        if self._model.is_marker(token) and not (self._grammar.ends_with(token) or self._frames(token)):
            return False
        state = self._utf8.getstate()
        try:
            self._utf8.decode(piece)
            return _can_be_completed(self._utf8.getstate()[0])
        except UnicodeDecodeError:
            return False
        finally:
            self._utf8.setstate(state)

    def _frames(self, token: int) -> bool:
        """Whether one of the call's own markers stands between words, and not within them, where its name is text like any other: within
        them something else could go on behind its first character, and goes on behind the whole of it."""
        if token not in self._own or not self._grammar.allows(token):
            return False
        piece = self._model.piece(token).decode("utf-8", "replace")
        begins = self._tokenizer.spelled(piece[:1])
        if len(begins) != 1:
            return False
        others = [word for text, word in self._words.items() if text != piece[1:2]]
        is_within = self._grammar.allows_behind(begins[0], others) and self._grammar.allows_behind(token, list(self._words.values()))
        return not is_within


def _can_be_completed(begun: bytes) -> bool:
    """Whether bytes are the beginning of a character. Python's decoder sees some errors, such as half a surrogate pair, only at the end."""
    return not begun or any(_is_text(begun + filler * count) for filler in (b"\x80", b"\xbf") for count in (1, 2, 3))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
