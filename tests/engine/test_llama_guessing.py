"""Prompt lookup in a real llama.cpp: whatever is guessed, tried or rehearsed, the reply and the cache are what they are without it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nemochat.domain.events import FinishReason, TextDelta
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import ImageSlot, Plain
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.llama.ledger import Cell
from nemochat.engine.llama.lookup import MOST_ROWS, Guess, Pace, Plan
from nemochat.engine.protocol import GenerateRequest
from nemochat.models.catalogue import DEMO
from nemochat.settings import EngineSettings, KvType
from tests.engine.llama_harness import ANSWER, HEAD, Reply, after, ask, gather, loaded, never, picture, question
from tests.tiny_gguf import write_language_model

SCRIPT = ["hello", "a", "b", "the", "c", "d", "e", "f", "g", "▁", "k", "l", "m", "and", "n", "</s>", "z"]
SAID = "helloabthecdefg klmandn"
GREEDY = Sampling(temperature=0.0, max_tokens=12)
WARM: dict[str, Any] = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 7}


class Eager(Pace):
    """Tries all of every guess."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[Plan] = []

    def plan(self, guess: Guess, held: int) -> Plan:
        plan = self.choose(guess, held)
        self.plans.append(plan)
        return plan

    def choose(self, guess: Guess, held: int) -> Plan:
        return Plan(len(guess.tokens) + 1)


class Moody(Eager):
    """Tries some of a guess, or rehearses it, as the dice fall."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)

    def choose(self, guess: Guess, held: int) -> Plan:
        rows = self.random.randint(1, len(guess.tokens) + 1)
        return Plan(rows, is_rehearsal=rows > 1 and self.random.random() < 0.3)


class Fixed(Eager):
    """Tries batches of one size."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def choose(self, guess: Guess, held: int) -> Plan:
        return Plan(min(self.rows, len(guess.tokens) + 1))


def with_pace(backend: LlamaBackend, pace: Pace | None) -> LlamaBackend:
    assert backend._loaded is not None
    backend._loaded.pace = pace
    return backend


def held(backend: LlamaBackend) -> list[Cell]:
    """What the cache holds, which must be what its ledger says."""
    assert backend._loaded is not None
    sequence = backend._loaded.cache.active
    assert sequence.ledger.position == backend._loaded.cache.context.held_positions(sequence.number)
    return list(sequence.ledger.cells)


def told(reply: Reply) -> tuple[str, FinishReason, int]:
    return reply.text, reply.finished.reason, reply.finished.usage.completion_tokens


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaBackend]:
    backend = loaded(write_language_model(tmp_path_factory.mktemp("guessing") / "scripted.gguf", script=SCRIPT))
    yield backend
    backend.close()


@pytest.mark.parametrize("sampling", [{}, WARM, {"repeat_penalty": 1.3, "repeat_last_n": 16}, {**WARM, "repeat_penalty": 1.2}])
@pytest.mark.parametrize("seed", range(4))
def test_a_reply_is_the_same_whatever_is_guessed(tiny_backend: LlamaBackend, seed: int, sampling: dict[str, Any]) -> None:
    image = picture(1)
    tiny_backend.add_image(image)
    segments = (HEAD, Plain("the red hen and "), ImageSlot(image.digest), Plain(f"the red hen and {seed} the red"), ANSWER)
    plain = ask(with_pace(tiny_backend, None), segments, max_tokens=80, **sampling)
    cells = held(tiny_backend)
    for pace in (Eager(), Moody(seed), Moody(seed + 100), Pace()):
        reply = ask(with_pace(tiny_backend, pace), segments, max_tokens=80, **sampling)
        assert told(reply) == told(plain)
        assert held(tiny_backend) == cells
    assert any(plan.rows > 1 for plan in pace.plans) if isinstance(pace, Eager) else True


def test_a_text_that_repeats_its_source_takes_few_evaluations(scripted: LlamaBackend) -> None:
    pace = Eager()
    reply = ask(with_pace(scripted, pace), question(f"{SAID}?"), max_tokens=40)
    assert (reply.text, reply.finished.reason) == (SAID, FinishReason.STOP)
    assert len(pace.plans) <= len(SCRIPT) / 3


@pytest.mark.parametrize("stop", ["b", "bthe", "hec", "fg k", "mandn"])
@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
def test_a_stop_string_in_the_middle_of_what_was_guessed_ends_the_reply_there(scripted: LlamaBackend, stop: str, rows: int) -> None:
    reply = ask(with_pace(scripted, Fixed(rows)), question(f"{SAID}?"), max_tokens=40, stop=[stop])
    cells = held(scripted)
    plain = ask(with_pace(scripted, None), question(f"{SAID}?"), max_tokens=40, stop=[stop])
    assert told(reply) == told(plain)
    assert cells == held(scripted)
    assert reply.text == SAID[: SAID.index(stop)]


@pytest.mark.parametrize("limit", range(1, len(SCRIPT)))
def test_the_limit_of_tokens_holds_inside_what_was_guessed(scripted: LlamaBackend, limit: int) -> None:
    segments = question(f"{SAID}?")
    prompt = sum(scripted.count(segments))
    reply = ask(with_pace(scripted, Eager()), segments, max_tokens=limit)
    assert reply.finished.usage.completion_tokens == min(limit, SCRIPT.index("</s>"))
    assert len(held(scripted)) <= prompt + limit
    assert SAID.startswith(reply.text)


def test_no_guess_goes_beyond_the_window(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "m.gguf"), settings=EngineSettings(threads=1, context_length=256, spare_tokens=0))
    frame = sum(backend.count(question("")))
    for room in range(1, 12):
        segments = question("ab" * ((256 - frame - room) // 2) + "x" * ((256 - frame - room) % 2))
        reply = ask(with_pace(backend, Eager()), segments, max_tokens=100)
        assert (reply.finished.reason, reply.finished.usage.completion_tokens) == (FinishReason.LENGTH, room)
        assert len(held(backend)) <= 256
    backend.close()


@pytest.mark.parametrize("calls", range(1, 24))
def test_cancelling_inside_what_was_guessed_leaves_only_what_was_said(scripted: LlamaBackend, calls: int) -> None:
    segments = question(f"{SAID}?")
    prompt = sum(scripted.count(segments))
    scripted.prepare(segments, never, lambda _: None)
    reply = ask(with_pace(scripted, Eager()), segments, after(calls), max_tokens=40)
    assert SAID.startswith(reply.text)
    if reply.finished.reason is FinishReason.CANCELLED:
        assert len(held(scripted)) <= prompt + reply.finished.usage.completion_tokens
    assert ask(with_pace(scripted, None), segments, max_tokens=40).text == SAID


@pytest.mark.parametrize("pace", [Eager(), Moody(1), Moody(2)])
@pytest.mark.parametrize("events", range(3, 14))
def test_closing_the_stream_inside_what_was_guessed_leaves_the_cache_in_order(scripted: LlamaBackend, events: int, pace: Pace) -> None:
    segments = question(f"{SAID}?")
    stream = with_pace(scripted, pace).generate(GenerateRequest(segments, Sampling(temperature=0.0, max_tokens=40)), never)
    said = "".join(event.text for event, _ in zip(stream, range(events), strict=False) if isinstance(event, TextDelta))
    stream.close()  # type: ignore[attr-defined]
    assert SAID.startswith(said)
    # The last event may have come before the token in hand was evaluated.
    assert len(held(scripted)) <= sum(scripted.count(segments)) + events + 1
    assert ask(with_pace(scripted, None), segments, max_tokens=40).text == SAID


GRAMMAR = 'root ::= "{" [a-e]+ "}"'


@pytest.mark.parametrize("sampling", [{}, WARM])
@pytest.mark.parametrize("seed", range(4))
def test_a_grammar_holds_what_was_guessed_too(tiny_backend: LlamaBackend, seed: int, sampling: dict[str, Any]) -> None:
    segments = question("{abc}{abcabc}{edcba}{abcde")
    request = GenerateRequest(segments, Sampling(**{"temperature": 0.0, "max_tokens": 40, **sampling}), grammar=GRAMMAR, grammar_trigger="")
    plain = gather(with_pace(tiny_backend, None).generate(request, never))
    cells = held(tiny_backend)
    for pace in (Eager(), Moody(seed)):
        assert told(gather(with_pace(tiny_backend, pace).generate(request, never))) == told(plain)
        assert held(tiny_backend) == cells
        assert any(plan.rows > 1 for plan in pace.plans)


def test_a_trigger_inside_what_was_guessed_opens_the_grammar(tmp_path: Path) -> None:
    script = ["hello", "a", "b", "<toolcall>", "▁", "{", "e", "z"]
    backend = loaded(write_language_model(tmp_path / "m.gguf", script=script))
    segments = (*question("helloab")[:-1], Plain("helloab"), ANSWER)
    request = GenerateRequest(segments, GREEDY, grammar='root ::= " {" [a-e] "}</toolcall>"', grammar_trigger="<toolcall>")
    plain = gather(with_pace(backend, None).generate(request, never))
    assert plain.text.startswith("helloab<toolcall> {")
    for pace in (Eager(), Moody(3)):
        assert told(gather(with_pace(backend, pace).generate(request, never))) == told(plain)
    backend.close()


def test_the_next_turn_reuses_as_much_as_without_guesses(scripted: LlamaBackend) -> None:
    reused = []
    for pace in (None, Eager()):
        reply = ask(with_pace(scripted, pace), question(f"{SAID}?"), max_tokens=9)
        again = ask(scripted, [*question(f"{SAID}?"), Plain(reply.text), Plain("\nwell?"), ANSWER], max_tokens=1)
        reused.append(again.finished.usage.reused_tokens)
    assert reused[0] == reused[1]


def test_a_size_whose_rows_are_not_what_they_are_alone_is_never_used(scripted: LlamaBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemochat.engine.llama.guessing.np.array_equal", lambda *_: False)
    pace, used = Pace(), []
    decide = pace.plan

    def watched(guess: Guess, held: int) -> Plan:
        used.append(decide(guess, held))
        return used[-1]

    monkeypatch.setattr(pace, "plan", watched)
    for number in range(12):
        ask(with_pace(scripted, pace), question(f"{SAID}?{number}"), max_tokens=40)
    tried = [plan.rows for plan in used if plan.rows > 1]
    assert tried
    assert len(tried) == len(set(tried))
    assert all(plan.is_rehearsal for plan in used if plan.rows > 1)


def test_rehearsals_on_a_real_model_find_sizes_that_are_exact(scripted: LlamaBackend) -> None:
    class Rehearser(Eager):
        def choose(self, guess: Guess, held: int) -> Plan:
            return Plan(min(4, len(guess.tokens) + 1), is_rehearsal=len(guess.tokens) >= 3)

    pace = Rehearser()
    assert ask(with_pace(scripted, pace), question(f"{SAID}?"), max_tokens=40).text == SAID
    assert {rows for rows, _ in pace._exact} == {4}
    assert not pace._inexact


@pytest.mark.parametrize(
    ("settings", "guesses"),
    [
        (EngineSettings(threads=1), True),
        (EngineSettings(threads=1, prompt_lookup=False), False),
        (EngineSettings(threads=1, kv_type=KvType.F16), False),
        (EngineSettings(threads=1, batch=1), True),
    ],
)
def test_guessing_is_off_where_it_is_not_wanted_or_not_exact(tiny_model: Path, settings: EngineSettings, guesses: bool) -> None:
    backend = loaded(tiny_model, settings=settings)
    assert backend._loaded is not None
    assert (backend._loaded.pace is not None) is guesses
    assert ask(backend, question("hello")).finished.usage.completion_tokens == 12
    backend.close()


def test_the_demo_model_says_the_same_with_guesses_and_without() -> None:
    backend = loaded(Path(DEMO.model_path), settings=EngineSettings(threads=1, context_length=1024))
    samplings: list[dict[str, Any]] = [{}, {"temperature": 0.8, "seed": 3}]
    pace = Pace()
    for text in ("hello", "What can you do? What can you do?", "Say it again: I am the demo model. I am the demo model."):
        for sampling in samplings:
            plain = told(ask(with_pace(backend, None), question(text), max_tokens=60, **sampling))
            cells = held(backend)
            for _ in range(3):
                assert told(ask(with_pace(backend, pace), question(text), max_tokens=60, **sampling)) == plain
                assert held(backend) == cells
    backend.close()
