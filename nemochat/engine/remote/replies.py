"""A reply of llama-server: how it is asked for, and what its events mean."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control
from nemochat.engine.cutter import Cutter
from nemochat.engine.protocol import GenerateRequest
from nemochat.engine.remote.prompts import ServerPrompt
from nemochat.engine.remote.vocabulary import ServerVocabulary
from nemochat.prompt.grammar import behind_trigger
from nemochat.reading import member

KEPT_FIELDS = ("content", "tokens", "stop", "stop_type", "id_slot", "tokens_cached", "tokens_evaluated", "timings")
"""Of the last event of a request, which would hold the whole prompt again."""
_RANDOM_SEED = 0xFFFFFFFF
"""llama.cpp takes it to mean "draw one"."""
_OTHERWISE = ("seed", "max_tokens", "stop", "think", "logit_bias", "banned_strings")
"""What goes by another name or in another shape, or the server has not got."""
_TOKEN, _PATTERN = 0, 2
"""Kinds of triggers of a grammar, as llama.cpp numbers them."""
_SPECIAL = re.compile(r"[.^$|()\[\]{}*+?\\/]")
"""What means something in its patterns."""


def sampled(sampling: Sampling) -> dict[str, Any]:
    """The values that are asked for, by the names of the server, which are ours but for some; what is left open is left to it."""
    asked = {name: getattr(sampling, name) for name in Sampling.__struct_fields__ if name not in _OTHERWISE}
    asked["seed"] = None if sampling.seed is None else sampling.seed % _RANDOM_SEED
    asked["n_predict"] = sampling.max_tokens
    asked["logit_bias"] = list(sampling.logit_bias.items()) if sampling.logit_bias else None
    return {name: value for name, value in asked.items() if value is not None}


def formed(request: GenerateRequest, special: Mapping[int, str]) -> dict[str, Any]:
    """What a request says of the reply's form: where it ends, what of it is shown, and the grammar.

    special: of the request's stops and markers those that are tokens. With a grammar the server looks for no stop strings, because none may
    end a reply within a call: those that are tokens are part of the grammar, and the others are looked for here (`Reply`).
    """
    stops = dict.fromkeys((*request.stops, *(request.sampling.stop or ())))
    form: dict[str, Any] = {
        "stream": True,
        "cache_prompt": True,
        "return_tokens": True,
        "return_progress": True,
        "timings_per_token": True,
        "response_fields": KEPT_FIELDS,
        "preserved_tokens": list(special.values()),
        "stop": [] if request.grammar else [stop for stop in stops if stop],
    }
    if not request.grammar:
        return form
    trigger, last = request.grammar_trigger, request.segments[-1]
    if not trigger:
        return form | {"grammar": request.grammar}
    ends = {token: name for token, name in special.items() if name in request.stops}
    is_open = isinstance(last, Control) and last.text.endswith(trigger)
    form["grammar"] = behind_trigger(request.grammar, trigger, tuple(ends.values()), is_open=is_open)
    if not is_open:
        tokens = {**ends, **{token: name for token, name in special.items() if name == trigger}}
        triggers: list[dict[str, Any]] = [{"type": _TOKEN, "value": name, "token": token} for token, name in tokens.items()]
        if trigger not in tokens.values():
            triggers.append({"type": _PATTERN, "value": _SPECIAL.sub(r"\\\g<0>", trigger)})
        form["grammar_triggers"] = triggers
        form["grammar_lazy"] = True
    return form


class Read(msgspec.Struct, frozen=True):
    """What an event says of the prompt, in tokens and milliseconds. tokens_cached: all that the slot holds now."""

    id_slot: int | None = None
    tokens_cached: int | None = None
    cache_n: int = 0
    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_ms: float = 0.0


def read_of(said: Any) -> Read | None:
    """None where it says nothing of it."""
    timings = member(said, dict, "timings")
    if timings is None:
        return None
    prompt_n = max(0, member(timings, int, "prompt_n") or 0)
    cache_n = member(timings, int, "cache_n")
    if cache_n is None:
        cache_n = (member(said, int, "tokens_evaluated") or prompt_n) - prompt_n
    slot = member(said, int, "id_slot")
    return Read(
        id_slot=slot if slot is not None and slot >= 0 else None,
        tokens_cached=member(said, int, "tokens_cached"),
        cache_n=max(0, cache_n),
        prompt_n=prompt_n,
        prompt_ms=max(0.0, member(timings, float, "prompt_ms") or 0.0),
        predicted_ms=max(0.0, member(timings, float, "predicted_ms") or 0.0),
    )


class Reply:
    """A reply as it comes. special: the control tokens that it may show or that end it, by id. tokens: those that it is made of, without
    the one that ended it; shown: its text. is_over: nothing more is to come. slot, held: where it was made, and how many tokens are there
    now; None is not known."""

    def __init__(self, request: GenerateRequest, special: dict[int, str], started: float) -> None:
        self.special = special
        self.tokens: list[int] = []
        self.shown = ""
        self.is_over = False
        self.slot: int | None = None
        self.held: int | None = None
        self._reason = FinishReason.CANCELLED
        self._ends = {token for token, name in special.items() if name in request.stops}
        self._cutter = Cutter((*request.stops, *(request.sampling.stop or ())))
        self._is_formed = bool(request.grammar)
        self._call = _Call(request)
        self._started = started
        self._first_ms = 0.0
        self._is_held_back = False
        self._has_ended = False
        self._read = Read()

    def events(self, data: Mapping[str, Any], vocabulary: ServerVocabulary) -> list[EngineEvent]:
        """What an event of the server means; the vocabulary learns what tokens look like."""
        self._read = read_of(data) or self._read
        progress = member(data, dict, "prompt_progress")
        if progress is not None:
            total, cached, done = (member(progress, int, name) or 0 for name in ("total", "cache", "processed"))
            return [Progress(Stage.PREFILL, max(0, min(done, total) - cached), max(0, total - cached))]
        text = member(data, str, "content") or ""
        if member(data, bool, "stop"):
            return self._last(data, text)
        for token in member(data, list, "tokens") or ():
            if isinstance(token, int) and not self._has_ended:
                self._take(token, text, vocabulary)
        return [] if self._has_ended else self._deltas(text)

    def finished(self, prompt: ServerPrompt, load_ms: float) -> Finished:
        """How it ended, and what it cost."""
        read = self._read
        usage = Usage(
            prompt_tokens=read.cache_n + read.prompt_n,
            image_tokens=prompt.image_tokens,
            reused_tokens=read.cache_n,
            evaluated_tokens=read.prompt_n,
            completion_tokens=len(self.tokens),
            encoded_images=prompt.images_from(read.cache_n),
        )
        timings = Timings(load_ms, prefill_ms=read.prompt_ms, decode_ms=read.predicted_ms, first_token_ms=self._first_ms)
        return Finished(self._reason, usage, timings)

    def _take(self, token: int, text: str, vocabulary: ServerVocabulary) -> None:
        if token in self._ends:
            self._has_ended = True
            return
        if text and not self._is_held_back:
            vocabulary.learn(token, text)
        self._is_held_back = not text
        self.tokens.append(token)

    def _deltas(self, text: str) -> list[EngineEvent]:
        data = text.encode("utf-8", "replace")
        found = (self._cutter.pass_on if self._call.holds(text) else self._cutter.push)(data)
        if self._cutter.stopped:
            self._has_ended = True
            if self._is_formed:  # the server does not know of it and writes on
                self.is_over, self._reason = True, FinishReason.STOP
        return self._shows(found)

    def _shows(self, text: str) -> list[EngineEvent]:
        if not text:
            return []
        self._first_ms = self._first_ms or (time.perf_counter() - self._started) * 1000
        self.shown += text
        return [TextDelta(text)]

    def _last(self, data: Mapping[str, Any], text: str) -> list[EngineEvent]:
        """The event that ends the reply. A text in it is what the server had held back."""
        self.is_over = True
        self.slot, self.held = self._read.id_slot, self._read.tokens_cached
        stop_type = member(data, str, "stop_type")
        if stop_type == "eos" and not self._has_ended and self.tokens:
            self.tokens.pop()
        self._reason = FinishReason.STOP if self._has_ended or stop_type in ("eos", "word") else FinishReason.LENGTH
        events = [] if self._has_ended else self._deltas(text)
        return [*events, *self._shows(self._cutter.finish())]


class _Call:
    """Whether the reply is within a call, which no stop string ends: from the trigger of its grammar to the next marker of the format."""

    def __init__(self, request: GenerateRequest) -> None:
        self._trigger = request.grammar_trigger if request.grammar else ""
        self._closers = tuple(marker for marker in request.markers if marker and marker != self._trigger)
        last = request.segments[-1] if request.segments else None
        self._is_open = bool(request.grammar) and (
            not self._trigger or (isinstance(last, Control) and last.text.endswith(self._trigger))
        )
        self._longest = max(map(len, (self._trigger, *self._closers)), default=0)
        self._tail = ""

    def holds(self, text: str) -> bool:
        """Take the next piece of the reply; whether it is part of a call."""
        was_open = self._is_open
        if not self._trigger:
            return was_open
        self._tail += text
        while True:
            sought = self._closers if self._is_open else (self._trigger,)
            ends = [at + len(name) for name in sought if (at := self._tail.find(name)) >= 0]
            if not ends:
                break
            self._tail = self._tail[min(ends) :]
            self._is_open = not self._is_open
        self._tail = self._tail[-self._longest :] if self._longest else ""
        return was_open or self._is_open
