"""The gate before a call: how likely it is where the reply begins, what comes of a threshold, and that looking costs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from nemochat.domain.events import Finished, FinishReason, TextDelta
from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolCallPart, ToolSpec
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Plain, Segment
from nemochat.engine.client import WorkerEngine
from nemochat.engine.gate import Gate
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.engine.scripted import Reply as Line
from nemochat.engine.scripted import Script, ScriptedBackend
from nemochat.models import catalogue
from nemochat.prompt.grammar import tool_call_grammar
from nemochat.prompt.nemotron import render
from nemochat.prompt.replies import parse_reply
from nemochat.settings import EngineSettings, KvType
from tests.engine.llama_harness import ANSWER, Reply, after, gather, loaded, never, question
from tests.engine.processes import reply as told_by
from tests.engine.test_llama_guessing import Eager, Moody, with_pace
from tests.engine.test_llama_sequences import matches
from tests.material import material
from tests.prompt.call_templates import EVERY
from tests.tiny_gguf import write_language_model, write_recurrent_model

CALCULATOR = ToolSpec(
    "calculator",
    "Works out an arithmetic expression exactly.",
    {"type": "object", "properties": {"expression": {"type": "string", "maxLength": 20}}, "required": ["expression"]},
)
GRAMMAR = tool_call_grammar([CALCULATOR]).text
MARKER = ("<toolcall>",)
DEMO = Path(catalogue.DEMO.model_path)
EXACT = EngineSettings(threads=1, context_length=1024, kv_type=KvType.F16, flash_attention=False)


@pytest.fixture(scope="module")
def demo() -> Iterator[LlamaBackend]:
    backend = loaded(DEMO, settings=EXACT)
    yield backend
    backend.close()


def prompt(text: str) -> tuple[Segment, ...]:
    message = Message(Role.USER, (TextPart(text),))
    return tuple(render(Conversation(system="You are a helpful assistant.", tools=(CALCULATOR,), messages=(message,))))


def ask(
    backend: LlamaBackend | ScriptedBackend,
    segments: Sequence[Segment],
    gate: Gate | None,
    grammar: str = GRAMMAR,
    conversation: str = "",
    **sampling: Any,
) -> Reply:
    wanted = Sampling(**{"temperature": 0.0, "max_tokens": 40, **sampling})
    trigger = gate.opens[0] if gate is not None else MARKER[0]
    return gather(backend.generate(GenerateRequest(tuple(segments), wanted, grammar, trigger, conversation, gate=gate), never))


def distribution(path: Path, tokens: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What follows these tokens, by llama.cpp alone."""
    model = llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, n_gpu_layers=0, verbose=False)
    try:
        model.eval(tokens)
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), (model.n_vocab(),)).astype(np.float64)
        weights = np.exp(logits - logits.max())
        shares: np.ndarray[Any, np.dtype[np.float64]] = weights / weights.sum()
        return shares
    finally:
        model.close()


def tokens_of(backend: LlamaBackend, segments: Sequence[Segment]) -> list[int]:
    return [cell for cell in backend._prompt(segments).cells if isinstance(cell, int)]


SAMPLINGS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 3, "repeat_penalty": 1.2, "dry_multiplier": 0.8},
)
QUESTIONS = ("What is 12 * 7?", "Hello!", "What is TTFT?")


@pytest.mark.parametrize("text", QUESTIONS)
def test_of_one_token_it_is_the_probability_that_llama_cpp_gives_it(demo: LlamaBackend, text: str) -> None:
    segments = prompt(text)
    assert demo._loaded is not None
    token = demo._loaded.model.single_token("<toolcall>")
    assert token is not None
    direct = distribution(DEMO, tokens_of(demo, segments))[token]
    for _ in range(2):  # read anew, and held
        chance = ask(demo, segments, Gate(MARKER)).finished.call_chance
        assert chance == pytest.approx(direct, rel=1e-2)


@pytest.mark.parametrize("marker", ["<tool_call>", '{"name":', "I will"])
def test_of_several_tokens_it_is_that_of_all_that_begin_them(demo: LlamaBackend, marker: str) -> None:
    segments = prompt("What is your name?")
    assert demo._loaded is not None
    model = demo._loaded.model
    shares = distribution(DEMO, tokens_of(demo, segments))
    pieces = {token: model.piece(token).decode("utf-8", "replace") for token in range(model.vocab_size) if not model.is_special(token)}
    begin = [token for token, piece in pieces.items() if piece.strip() and marker.startswith(piece.removeprefix(" "))]
    begin = [token for token in begin if demo._loaded.tokenizer.spelled(pieces[token]) == (token,)]  # others stand for single bytes
    assert begin
    assert ask(demo, segments, Gate((marker,))).finished.call_chance == pytest.approx(shares[begin].sum(), rel=1e-2)


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("grammar", [GRAMMAR, ""])
def test_at_0_it_always_calls_and_at_1_never(demo: LlamaBackend, text: str, grammar: str) -> None:
    for sampling in SAMPLINGS:
        called = ask(demo, prompt(text), Gate(MARKER, 0.0), grammar, **sampling)
        assert called.text.startswith("<toolcall>")
        words = ask(demo, prompt(text), Gate(MARKER, 1.0), grammar, **sampling)
        assert words.text.strip()
        assert not any(isinstance(part, ToolCallPart) for part in parse_reply(words.text))
        assert matches(demo)


def test_between_them_the_probability_decides(demo: LlamaBackend) -> None:
    sum_, greeting = (ask(demo, prompt(text), Gate(MARKER, 0.5)) for text in QUESTIONS[:2])
    assert sum_.text == '<toolcall> {"name": "calculator", "arguments": {"expression": "12 * 7"}} </toolcall>'
    assert greeting.text == ask(demo, prompt(QUESTIONS[1]), None).text
    chance = greeting.finished.call_chance
    assert chance is not None
    assert ask(demo, prompt(QUESTIONS[1]), Gate(MARKER, chance)).text.startswith("<toolcall>")
    assert not ask(demo, prompt(QUESTIONS[1]), Gate(MARKER, math.nextafter(chance, 1))).text.startswith("<toolcall>")


def test_only_looking_changes_neither_reply_nor_cache(demo: LlamaBackend) -> None:
    """Nor where the prompt is held, nor with a sampler that remembers what was said."""
    for text in QUESTIONS:
        for sampling in SAMPLINGS:
            without, looked = (ask(demo, prompt(text), gate, **sampling) for gate in (None, Gate(MARKER)))
            again = ask(demo, prompt(text), None, **sampling)
            assert looked.text == without.text == again.text
            assert looked.finished.usage == again.finished.usage
            assert (without.finished.call_chance, looked.finished.call_chance is None) == (None, False)


def test_nothing_is_read_for_it_and_the_next_prompt_finds_the_reply(demo: LlamaBackend) -> None:
    segments = prompt("What is 3 + 4?")
    ask(demo, segments, None)
    for gate in (None, Gate(MARKER), Gate(MARKER, 0.0), Gate(MARKER, 1.0)):
        reply = ask(demo, segments, gate)
        assert (reply.finished.usage.evaluated_tokens, reply.finished.usage.completion_tokens > 0) == (2, True)
        used = ask(demo, (*segments, Plain(reply.text.strip()), ANSWER), None, max_tokens=1).finished.usage
        assert used.reused_tokens >= sum(demo.count(segments))


@pytest.mark.parametrize("name", [name for name, style in EVERY.items() if style.call_openings and name != "deepseek"])
def test_every_style_that_can_be_held_to_it_is(demo: LlamaBackend, name: str) -> None:
    """By a model that knows none of them. DeepSeek's marks are tokens of its own, and no other vocabulary can spell them."""
    style = EVERY[name]
    grammar = tool_call_grammar([CALCULATOR], style).text
    for threshold, calls in ((0.0, True), (1.0, False)):
        for text in QUESTIONS[:2]:
            gate = Gate(style.call_openings, threshold, style.text[0], style.reasoning, style.begins_in_reasoning, style.calls_first)
            said = ask(demo, prompt(text), gate, grammar, temperature=1.5, seed=2, max_tokens=120).text
            parts = parse_reply(said, style, (CALCULATOR,))
            assert any(isinstance(part, ToolCallPart) for part in parts[:1]) is calls, said
            assert any(isinstance(part, ToolCallPart) for part in parts) is calls, said


# -- where it is decided


def scripted(folder: Path, *script: str) -> LlamaBackend:
    return loaded(write_language_model(folder / "scripted.gguf", script=script))


SPELLED = ("[use]",)
"""A marker that the tiny vocabulary has no token for."""


def test_a_marker_of_several_tokens_is_forced_and_kept_out(tmp_path: Path) -> None:
    calls = scripted(tmp_path, "[", "u", "s", "e", "]", "a", "b", "</s>")
    assert ask(calls, question("x"), None, "").text == "[use]ab"
    looked = ask(calls, question("x"), Gate(SPELLED), "")
    assert looked.text == "[use]ab"
    assert looked.finished.call_chance == pytest.approx(1, abs=1e-3)
    assert "[use]" not in ask(calls, question("x"), Gate(SPELLED, 1.0), "", max_tokens=30).text
    assert matches(calls)
    speaks = scripted(tmp_path, "hello", "a", "b", "</s>")
    assert ask(speaks, question("x"), Gate(SPELLED, 0.0), 'root ::= "abc"').text.startswith("[use]abc")
    assert matches(speaks)
    calls.close()
    speaks.close()


def test_white_space_decides_nothing(tmp_path: Path) -> None:
    backend = scripted(tmp_path, "▁", "<toolcall>", "a", "</s>")
    assert ask(backend, question("x"), Gate(MARKER), "").finished.call_chance == pytest.approx(1, abs=1e-3)
    assert "<toolcall>" not in ask(backend, question("x"), Gate(MARKER, 1.0), "").text
    backend.close()


@pytest.mark.parametrize("is_thinking", [False, True])
def test_a_model_that_thinks_first_decides_behind_its_thoughts(tmp_path: Path, is_thinking: bool) -> None:
    thought = ["a", "b", "]", "▁"]
    backend = scripted(tmp_path, *([] if is_thinking else ["["]), *thought, "hello", "c", "</s>")
    reasoning = ("[", "]")
    looked = ask(backend, question("x"), Gate(MARKER, None, "", reasoning, is_thinking), "")
    assert looked.finished.call_chance == pytest.approx(0, abs=1e-3)
    forced = ask(backend, question("x"), Gate(MARKER, 0.0, "", reasoning, is_thinking), GRAMMAR, max_tokens=80)
    before, _, call = forced.text.partition("] ")
    assert before.endswith("ab")
    assert isinstance(part := parse_reply(call)[0], ToolCallPart)
    assert part.calls[0].name == "calculator"
    assert ask(backend, question("x"), Gate(MARKER, 1.0, "", reasoning, is_thinking), "").text == looked.text
    cut = ask(backend, question("x"), Gate(MARKER, 0.0, "", reasoning, is_thinking), "", max_tokens=3)
    assert (cut.finished.call_chance, cut.finished.reason) == (None, FinishReason.LENGTH)
    backend.close()


def test_where_words_and_calls_begin_alike_the_first_difference_decides(tmp_path: Path) -> None:
    gate = Gate(("{tools}",), words="{say}")
    for script, chance in ((("{", "s", "a", "y", "}", "hello"), 0), (("{", "t", "o", "hello"), 1)):
        backend = scripted(tmp_path, *script, "</s>")
        assert ask(backend, question("x"), gate, "").finished.call_chance == pytest.approx(chance, abs=1e-3)
        other = ask(backend, question("x"), Gate(gate.opens, float(chance), gate.words), "", max_tokens=20)
        assert other.text.startswith("{tools}") is not bool(chance)
        backend.close()


def test_a_text_that_is_a_call_only_at_the_beginning_may_stand_behind_words(tmp_path: Path) -> None:
    backend = scripted(tmp_path, "hello", "[", "u", "s", "e", "]", "a", "</s>")
    assert "[use]" in ask(backend, question("x"), Gate(SPELLED, 1.0, is_first=True), "").text
    assert "[use]" not in ask(backend, question("x"), Gate(SPELLED, 1.0), "", max_tokens=30).text
    backend.close()
    calls = scripted(tmp_path, "▁", "[", "u", "s", "e", "]", "a", "</s>")
    assert not ask(calls, question("x"), Gate(SPELLED, 1.0, is_first=True), "", max_tokens=30).text.lstrip().startswith("[use]")
    calls.close()


def test_a_reply_that_ends_at_once_was_none_of_a_call(tmp_path: Path) -> None:
    for end in ("</s>", "<extra_id_1>"):
        backend = scripted(tmp_path, end, "a")
        looked = ask(backend, question("x"), Gate(MARKER), "")
        assert looked.text == ""
        assert looked.finished.call_chance == pytest.approx(0, abs=1e-3)
        assert ask(backend, question("x"), Gate(MARKER, 0.0), "").text.startswith("<toolcall>")
        backend.close()


def test_what_the_user_bans_goes_before_what_the_gate_wants(tmp_path: Path) -> None:
    backend = scripted(tmp_path, "hello", "a", "b", "</s>")
    reply = ask(backend, question("x"), Gate(MARKER, 0.0), "", banned_strings=("<toolcall>", "ab"))
    assert "<toolcall>" not in reply.text
    assert "ab" not in ask(backend, question("x"), Gate(MARKER, 1.0), "", banned_strings=("ab",)).text
    assert matches(backend)
    backend.close()


def test_a_model_whose_state_cannot_be_taken_back_is_held_to_it_too(tmp_path: Path) -> None:
    backend = loaded(write_recurrent_model(tmp_path / "mamba.gguf"))
    for threshold, calls in ((0.0, True), (1.0, False)):
        for seed in range(4):
            reply = ask(backend, question("x"), Gate(MARKER, threshold), "", temperature=1.5, seed=seed, max_tokens=20)
            assert reply.text.startswith("<toolcall>") is calls
            assert ("<toolcall>" in reply.text) is calls
    backend.close()


# -- beside all else that an engine does


@pytest.mark.parametrize("threshold", [None, 0.0, 0.5, 1.0])
def test_what_is_guessed_of_the_reply_changes_nothing(tmp_path: Path, threshold: float | None) -> None:
    backend = scripted(tmp_path, "<toolcall>", "▁", "{", "a", "b", "c", "}", "</toolcall>", "d", "e", "</s>")
    segments = question("<toolcall> {abc}</toolcall>de {abc} <toolcall> {abc}de")
    grammar = 'root ::= " {" [a-e]{1,4} "}</toolcall>"'
    plain = ask(with_pace(backend, None), segments, Gate(MARKER, threshold), grammar)
    assert plain.text
    for pace in (Eager(), Moody(1), Moody(2)):
        guessed = ask(with_pace(backend, pace), segments, Gate(MARKER, threshold), grammar)
        assert (guessed.text, guessed.finished.call_chance) == (plain.text, plain.finished.call_chance)
        assert matches(backend)
    backend.close()


def test_conversations_beside_each_other_keep_what_they_have_read(demo: LlamaBackend) -> None:
    chances = {}
    for name, text in (("a", QUESTIONS[0]), ("b", QUESTIONS[1])):
        chances[name] = ask(demo, prompt(text), Gate(MARKER), conversation=name).finished.call_chance
    for threshold in (0.0, 1.0):
        for name, text in (("a", QUESTIONS[0]), ("b", QUESTIONS[1])):
            reply = ask(demo, prompt(text), Gate(MARKER, threshold), conversation=name)
            assert reply.finished.usage.evaluated_tokens == 2
            assert reply.finished.call_chance == pytest.approx(chances[name], rel=1e-2)
            assert matches(demo)


@pytest.mark.parametrize("threshold", [None, 0.0, 1.0])
def test_stopped_at_any_token_the_cache_is_in_order(tmp_path: Path, threshold: float | None) -> None:
    backend = scripted(tmp_path, "▁", "[", "u", "s", "e", "]", "a", "b", "</s>")
    gate = Gate(SPELLED, threshold)
    whole = ask(backend, question("x"), gate, "")
    for calls in range(30):
        request = GenerateRequest(question("x"), Sampling(temperature=0.0, max_tokens=40), gate=gate)
        stopped = gather(backend.generate(request, after(calls)))
        assert whole.text.startswith(stopped.text)
        assert matches(backend)
    assert ask(backend, question("x"), gate, "").text == whole.text
    backend.close()


def test_closing_the_stream_at_any_event_leaves_the_cache_in_order(demo: LlamaBackend) -> None:
    for threshold in (0.0, 1.0):
        for events in range(1, 6):
            request = GenerateRequest(prompt(QUESTIONS[0]), Sampling(temperature=0.0, max_tokens=20), gate=Gate(MARKER, threshold))
            stream = demo.generate(request, never)
            for _ in zip(stream, range(events), strict=False):
                pass
            stream.close()  # type: ignore[attr-defined]
            assert matches(demo)


async def test_a_state_from_the_disk_tells_the_same(tmp_path: Path) -> None:
    chances = []
    for _ in range(2):
        engine = WorkerEngine(tmp_path / "engine.log", "llama")
        try:
            await engine.load(LoadRequest("demo", str(DEMO), None, EXACT, str(tmp_path / "states")))
            request = GenerateRequest(prompt(QUESTIONS[0]), Sampling(temperature=0.0, max_tokens=4), conversation="c", gate=Gate(MARKER))
            _, finished = await told_by(engine, request)
            chances.append((finished.call_chance, finished.usage.reused_tokens > 0))
        finally:
            await engine.close()
    assert [reused for _, reused in chances] == [False, True]
    assert chances[0][0] == pytest.approx(chances[1][0], rel=1e-2)


def test_a_real_model_that_spells_its_marker_is_held_to_it() -> None:
    backend = loaded(material("SmolLM2-135M-Instruct.Q4_1.gguf"), settings=EngineSettings(context_length=512))
    segments = prompt("What is 12 * 7?")
    for threshold, calls in ((0.0, True), (1.0, False)):
        reply = ask(backend, segments, Gate(("<tool_call>",), threshold), "", max_tokens=30)
        assert reply.text.startswith("<tool_call>") is calls
        assert 0 < (reply.finished.call_chance or 0) < 1
    backend.close()


# -- the scripted engine, and the rule itself


@pytest.mark.parametrize("threshold", [None, 0.0, 0.3, 0.5, 1.0])
def test_the_scripted_engine_heeds_it(threshold: float | None) -> None:
    call, words = '<toolcall> {"name": "calculator", "arguments": {}} </toolcall>', "Hello."
    for text, other, chance in ((call, words, None), (words, call, None), (call, words, 0.4), (words, call, 0.4)):
        backend = ScriptedBackend(Script((Line(text, call_chance=chance, other=other),)))
        backend.load(LoadRequest("scripted", "", None, EngineSettings()), lambda _: None)
        reply = ask(backend, question("x"), Gate(MARKER, threshold))
        share = float(text == call) if chance is None else chance
        wanted = text if threshold is None else call if threshold == 0 or (threshold < 1 and share >= threshold) else words
        assert (reply.text, reply.finished.call_chance) == (wanted, share)


@pytest.mark.parametrize(("reasoning", "is_thinking", "text", "said"), [
    (None, False, "  \n hello", "hello"),
    (("<think>", "</think>"), False, "<think>a</think>\n\nhello", "hello"),
    (("<think>", "</think>"), False, "\n<think>a", ""),
    (("<think>", "</think>"), True, "a</think> hello", "hello"),
    (("<think>\n", "\n</think>"), True, "a", ""),
    (("<think>", "</think>"), True, "a</think><think>b</think>c", "c"),
    (("<think>", "</think>"), False, "hello <think>", "hello <think>"),
])  # fmt: skip
def test_what_a_reply_has_said(reasoning: tuple[str, str] | None, is_thinking: bool, text: str, said: str) -> None:
    assert Gate(MARKER, None, "", reasoning, is_thinking).said(text.encode()) == said.encode()


def test_half_a_mark_of_reasoning_decides_nothing() -> None:
    gate = Gate(("<tool_call>",), reasoning=("<think>", "</think>"))
    assert [gate.decides(text) for text in (b"", b"<", b"<t", b"<th", b"<to", b"h")] == [False, False, False, False, True, True]


def test_the_probability_of_a_reply_that_was_stopped_before_it_began_is_not_known(demo: LlamaBackend) -> None:
    request = GenerateRequest(prompt(QUESTIONS[0]), Sampling(temperature=0.0), gate=Gate(MARKER, 0.0))
    events = list(demo.generate(request, lambda: True))
    assert not any(isinstance(event, TextDelta) for event in events)
    assert isinstance(events[-1], Finished)
    assert events[-1].call_chance is None
