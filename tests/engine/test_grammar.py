"""Tool calls held by a grammar in llama.cpp: with the built-in model, which knows none of these tools, and with scripted ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import nemochat
from nemochat.domain.events import FinishReason, TextDelta
from nemochat.domain.messages import ToolCall, ToolCallPart, ToolSpec
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, Plain, Segment
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.engine.scripted import Script, ScriptedBackend
from nemochat.prompt.grammar import json_grammar, tool_call_grammar
from nemochat.prompt.replies import ReplyPart, StreamParser, parse_reply, written
from nemochat.settings import EngineSettings
from tests.engine.llama_harness import Reply, after, gather, loaded, never, question
from tests.prompt.call_templates import EVERY
from tests.prompt.tool_schemas import varied_tools
from tests.tiny_gguf import write_language_model

DEMO = Path(nemochat.__file__).parent / "models" / "demo" / "nemochat-demo.gguf"
SCHEMAS, CALLS_EACH = 50, int(os.environ.get("CALLS_PER_SCHEMA", "1"))
"""20 calls for each schema, a thousand in all, take minutes; they have been made, and here some of them are made again.

The first 50 schemas hold every construct that the later ones hold."""
FREE: dict[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Sampling from the whole vocabulary: nothing but the grammar keeps a call in order."""
CALCULATOR = ToolSpec(
    "calculator",
    "Calculates.",
    {"type": "object", "properties": {"expression": {"type": "string", "maxLength": 12}}, "required": ["expression"]},
)
GRAMMAR = tool_call_grammar([CALCULATOR]).text


@pytest.fixture(scope="module")
def demo() -> Iterator[LlamaBackend]:
    backend = loaded(DEMO, settings=EngineSettings(threads=1, context_length=2048))
    yield backend
    backend.close()


def ask(backend: LlamaBackend, segments: Sequence[Segment], grammar: str = GRAMMAR, trigger: str = "<toolcall>", **sampling: Any) -> Reply:
    return gather(backend.generate(GenerateRequest(tuple(segments), Sampling(**{"temperature": 0.0, **sampling}), grammar, trigger), never))


def first_call(backend: LlamaBackend, grammar: str, **sampling: Any) -> ToolCallPart:
    """The call that follows a prompt in which it has just begun; what the model says behind it is not waited for."""
    parser = StreamParser()
    parts = [*parser.push("<toolcall>")]
    request = GenerateRequest(BEGUN, Sampling(**{"temperature": 0.0, **sampling}), grammar)
    events = backend.generate(request, lambda: bool(parts))
    parts += [part for event in events if isinstance(event, TextDelta) for part in parser.push(event.text)]
    part = next(iter([*parts, *parser.finish()]))
    assert isinstance(part, ToolCallPart)
    return part


def calls_of(text: str) -> tuple[ToolCall, ...]:
    return tuple(call for part in parse_reply(text) if isinstance(part, ToolCallPart) for call in part.calls)


BEGUN = (*question("What is 2 + 2?"), Control("<toolcall>"))
"""A prompt behind which a call has just begun. That it names no tools makes it short, and the demo model could not use them anyway."""


def test_sampled_calls_parse_and_fit_their_schemas(demo: LlamaBackend) -> None:
    """At temperature 1.5, every other call from the whole vocabulary. The demo model was trained on none of these tools."""
    seen, cut = set(), []
    for number, tool in enumerate(varied_tools(SCHEMAS)):
        grammar = tool_call_grammar([tool])
        assert not grammar.uncovered
        validator = jsonschema.Draft202012Validator(tool.parameters, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        for seed in range(CALLS_EACH):
            sampling = {} if (number + seed) % 2 else FREE
            part = first_call(demo, grammar.text, temperature=1.5, seed=number * 100 + seed, max_tokens=1500, **sampling)
            if not part.calls:  # a tree that grew until the reply was over
                cut.append(part.verbatim)
                continue
            (call,) = part.calls
            assert call.name == tool.name
            validator.validate(call.arguments)
            seen.add(written(part))
    assert len(cut) <= 1 + SCHEMAS * CALLS_EACH * 0.02, cut
    assert len(seen) > SCHEMAS * CALLS_EACH * 0.5


BOOKING = ToolSpec(
    "book-a.table",
    "Books a table.",
    {
        "type": "object",
        "properties": {
            "place": {"type": "string", "maxLength": 12},
            "note": {"type": "string", "enum": ["<b>", "no note"]},
            "guests": {"type": "integer", "minimum": 1, "maximum": 12},
            "wishes": {"type": "object", "properties": {"outside": {"type": "boolean"}, "at": {"type": "string", "maxLength": 5}}},
            "free": {"type": "string"},
        },
        "required": ["place", "guests", "wishes"],
    },
)


@pytest.mark.parametrize("name", EVERY)
def test_every_style_of_calls_is_held_by_llama_cpp(demo: LlamaBackend, name: str) -> None:
    """Its grammars are taken, and at temperature 1.5 a model that knows none of them says a call that fits."""
    style = EVERY[name]
    assert style.calls is not None
    for tool in (BOOKING, ToolSpec("now")):
        grammar = tool_call_grammar([tool], style)
        assert not grammar.uncovered
        parts: list[ReplyPart] = []
        parser = StreamParser(style, (tool,))
        parts += parser.push(style.forced_call)
        request = GenerateRequest(BEGUN, Sampling(temperature=1.5, seed=3, max_tokens=400), grammar.text)
        events = demo.generate(request, lambda: bool(parts))  # noqa: B023
        parts += [part for event in events if isinstance(event, TextDelta) for part in parser.push(event.text)]
        part = next(iter([*parts, *parser.finish()]))
        assert isinstance(part, ToolCallPart), part
        if not part.calls and (tool is BOOKING or style.calls.has_several or style.calls.is_list or style.calls.kind == "python"):
            continue  # the free text, or call upon call, went on until the reply was over
        assert part.calls[0].name == tool.name
        jsonschema.validate(part.calls[0].arguments, tool.parameters)


def test_without_the_grammar_the_same_calls_are_rubbish(demo: LlamaBackend) -> None:
    """The demo model does not just happen to write what fits."""
    parts = [first_call(demo, "", temperature=1.5, seed=1, max_tokens=60, **FREE) for tool in varied_tools(20)]
    assert not any(call.name == tool.name for part, tool in zip(parts, varied_tools(20), strict=True) for call in part.calls)


def scripted(tmp_path: Path, script: Sequence[str]) -> LlamaBackend:
    return loaded(write_language_model(tmp_path / "scripted.gguf", script=script))


def test_the_grammar_begins_where_the_model_opens_a_call_and_begins_again_with_the_next(tmp_path: Path) -> None:
    backend = scripted(tmp_path, ["hello", "<toolcall>", "a", "b"])
    reply = ask(backend, question("x"), max_tokens=300)
    assert reply.text.startswith("hello<toolcall>")
    calls = calls_of(reply.text)
    assert len(calls) > 2
    assert {call.name for call in calls} == {"calculator"}
    # What the model wanted to say in the call became the argument.
    assert calls[0].arguments == {"expression": "abbbbbbbbbbb"}
    assert ask(backend, question("x"), "", max_tokens=6).text == "hello<toolcall>abbb"
    backend.close()


@pytest.mark.parametrize("trigger", ["go:h", "go:", "g", "go:hell"])
def test_no_token_reaches_over_the_end_of_the_trigger(tmp_path: Path, trigger: str) -> None:
    """The word of the script begins before the trigger's end or at it, and what of it stands behind does not fit the grammar."""
    backend = scripted(tmp_path, ["g", "o", ":", "hello", "a", "</s>"])
    reply = ask(backend, question("x"), 'root ::= "123"', trigger, max_tokens=12)
    assert reply.text.startswith(trigger + "123"), reply.text
    backend.close()


REFUSED = ["root ::= (", 'x ::= "a"', 'root ::= root "a"', "root ::= nobody", 'root ::= ("a"{0,1500}){0,1500}', "\0", "x" * 2_000_000]


@pytest.mark.parametrize("grammar", REFUSED, ids=range(len(REFUSED)))
def test_a_grammar_that_llama_cpp_refuses_is_done_without(tmp_path: Path, grammar: str, caplog: pytest.LogCaptureFixture) -> None:
    backend = scripted(tmp_path, ["<toolcall>", "a", "b", "</s>"])
    assert ask(backend, question("x"), grammar, max_tokens=9).text == "<toolcall>ab"
    assert "without a grammar" in caplog.text
    backend.close()


def test_a_grammar_that_nothing_in_the_vocabulary_fits_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = scripted(tmp_path, ["<toolcall>", "a", "b", "</s>"])
    assert ask(backend, question("x"), 'root ::= "<tool>"[^\\x00-\\U0010FFFF]', max_tokens=20).text.startswith("<toolcall><tool>")
    assert "goes on without it" in caplog.text
    backend.close()


@pytest.mark.parametrize("marker", ["<extra_id_1>", "</s>", "<tool>", "</toolcall>", "<note>"])
def test_no_marker_stands_in_a_string(tmp_path: Path, marker: str) -> None:
    """A control token where its name would be a fine argument: it is not drawn, and neither ends the reply nor hides in the call."""
    backend = scripted(tmp_path, ["<toolcall>", marker, "a", "b"])
    reply = ask(backend, question("x"), 'root ::= "\\"" [^\\"]{4,9} "\\"" "</toolcall>"', max_tokens=30)
    body = reply.text.removeprefix("<toolcall>").partition("</toolcall>")[0]
    assert len(body) >= 6
    assert (body[0], body[-1]) == ('"', '"')
    assert marker not in body
    assert reply.finished.usage.completion_tokens > 6
    backend.close()


OWN = ("<toolcall>", "<tool>", "</tool>", "<note>")
"""Markers of a style: special tokens of the tiny vocabulary."""


@pytest.mark.parametrize(
    ("grammar", "script", "own"),
    [
        ('root ::= "<tool>" [a-z]{1,9} "</tool>" "123" "</toolcall>"', ["<tool>", "a", "</tool>"], ["<tool>", "</tool>"]),
        ('root ::= [^<]{2,5} "</tool>" "<note>" "12" "</toolcall>"', ["a", "b", "</tool>", "<note>"], ["</tool>", "<note>"]),
        # What closes words that may hold anything else.
        ('root ::= "<tool>" text "</tool>" [ ]? "1</toolcall>"\ntext ::= ([^<] | "<" [^/])*', ["<tool>", "a", "</tool>"], OWN[1:3]),
    ],
)
def test_the_styles_own_markers_stand_in_a_call_as_the_tokens_that_they_are(
    tmp_path: Path, grammar: str, script: Sequence[str], own: Sequence[str]
) -> None:
    """They used to be spelled with ordinary tokens, which no model of that style has ever seen."""
    backend = scripted(tmp_path, ["<toolcall>", *script])
    request = GenerateRequest(tuple(question("x")), Sampling(temperature=0.0, max_tokens=40), grammar, markers=OWN)
    reply = gather(backend.generate(request, never))
    used = backend._model().evaluator.cache.active.ledger.cells
    for marker in own:
        tokens = used.count(backend._model().model.single_token(marker))
        # The last token of a reply is not evaluated.
        assert 0 < tokens <= reply.text.count(marker) <= tokens + reply.text.rstrip().endswith(marker), reply.text
    backend.close()


@pytest.mark.parametrize("marker", ["<tool>", "</tool>", "<note>"])
@pytest.mark.parametrize("string", ['[^\\"]{4,40}', '[^\\"]*', '([^<\\"] | "<" [a-z/] | "<" [^a-z/])*'])
def test_a_marker_of_the_style_is_no_token_within_words(tmp_path: Path, marker: str, string: str) -> None:
    backend = scripted(tmp_path, ["<toolcall>", marker, "a", "b"])
    grammar = f'root ::= "\\"" {string} "\\"" "</toolcall>"'
    request = GenerateRequest(tuple(question("x")), Sampling(temperature=0.0, max_tokens=30), grammar, markers=OWN)
    reply = gather(backend.generate(request, never))
    used = backend._model().evaluator.cache.active.ledger.cells
    assert used.count(backend._model().model.single_token(marker)) == 0, reply.text
    backend.close()


def test_neither_stop_strings_nor_spelled_markers_end_a_call(tmp_path: Path) -> None:
    backend = scripted(tmp_path, ["<toolcall>", "a", "b", "</s>"])
    grammar = 'root ::= "<extra_id_1>END" "</toolcall>"'
    reply = ask(backend, question("x"), grammar, max_tokens=40, stop=("END",))
    assert reply.text.startswith("<toolcall><extra_id_1>END</toolcall>")
    backend.close()


def test_characters_are_whole_however_their_bytes_are_drawn(tmp_path: Path) -> None:
    """Random weights choose among bytes freely; llama.cpp itself would take a quote for the rest of a character."""
    backend = loaded(write_language_model(tmp_path / "random.gguf"))
    grammar = 'root ::= "\\"" [^\\x00-\\x7F]{3} "\\"" "</toolcall>"'
    for seed in range(30):
        reply = ask(backend, (*question("x"), Control("<toolcall>")), grammar, max_tokens=30, temperature=1.5, seed=seed, **FREE)
        body = reply.text.partition("</toolcall>")[0]
        assert len(body) == 5, body
        assert "\ufffd" not in body
    backend.close()


def test_the_limit_and_a_cancel_cut_a_call(demo: LlamaBackend) -> None:
    reply = ask(demo, BEGUN, max_tokens=5)
    assert (reply.finished.reason, reply.finished.usage.completion_tokens) == (FinishReason.LENGTH, 5)
    assert not calls_of("<toolcall>" + reply.text)
    request = GenerateRequest(BEGUN, Sampling(temperature=0.0, max_tokens=512), GRAMMAR)
    assert gather(demo.generate(request, after(12))).finished.reason is FinishReason.CANCELLED
    assert calls_of("<toolcall>" + ask(demo, BEGUN, max_tokens=200).text)


@pytest.mark.parametrize("tokens", [300, 900])
def test_a_string_is_as_long_as_the_reply_may_be_and_a_cut_call_holds_no_call(tmp_path: Path, tokens: int) -> None:
    """A string used to be closed behind 1,000 characters, and the call said less than the model meant."""
    tool = ToolSpec("write_file", "", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})
    path = write_language_model(tmp_path / "scripted.gguf", script=["<toolcall>", "a", "hello"])
    backend = loaded(path)
    reply = ask(backend, question("x"), tool_call_grammar([tool]).text, max_tokens=tokens)
    assert reply.finished.reason is FinishReason.LENGTH
    assert reply.text.endswith("hello" * (tokens - 100))
    (part,) = parse_reply(reply.text)
    assert isinstance(part, ToolCallPart)
    assert not part.calls
    backend.close()


@pytest.mark.parametrize("schema", [
    {"type": "integer", "minimum": -(10**25), "maximum": 10**25},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1.7976931348623157},
    {"type": "string", "minLength": 5000},
    {"type": "array", "minItems": 5000, "items": {"type": "object", "additionalProperties": {"type": "number"}}},
    {"properties": {"größe": {}, "a-b]": {}, 'q"': {}}, "additionalProperties": True},
    {"type": "object", "properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}},
    {},
])  # fmt: skip
def test_llama_cpp_takes_the_grammar_of_any_schema(demo: LlamaBackend, schema: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    grammar = tool_call_grammar([ToolSpec("tool", "", {"type": "object", "properties": {"x": schema}, "required": ["x"]})])
    assert ask(demo, BEGUN, grammar.text, max_tokens=12).text.replace(" ", "").startswith('{"name":"tool"')
    assert not caplog.text


def test_a_seed_repeats_a_call(demo: LlamaBackend) -> None:
    grammar = tool_call_grammar(varied_tools(1)).text
    calls = [first_call(demo, grammar, max_tokens=99, temperature=1.5, seed=seed % 2, repeat_penalty=1.1, **FREE) for seed in range(4)]
    texts = {written(call) for call in calls}
    assert len(texts) == 2


def test_without_a_trigger_the_grammar_holds_the_reply_from_its_first_token(demo: LlamaBackend) -> None:
    assert ask(demo, question("What is 2 + 2?"), 'root ::= "maybe" "!"', "", max_tokens=20).text.startswith("maybe!")


@pytest.mark.parametrize("schema", [
    {"properties": {"a": {"enum": ["x", "y"]}, "n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["a", "n"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
    {"type": "integer", "minimum": 10, "maximum": 99},
])  # fmt: skip
def test_a_reply_that_is_to_be_json_is_that_and_nothing_behind_it(demo: LlamaBackend, schema: dict[str, Any]) -> None:
    for seed in range(3):
        reply = ask(demo, question("What is 2 + 2?"), json_grammar(schema).text, "", max_tokens=60, temperature=1.0, seed=seed)
        assert reply.finished.reason is FinishReason.STOP
        jsonschema.validate(json.loads(reply.text), schema)


def test_a_constrained_call_is_reused_in_the_next_prompt(demo: LlamaBackend) -> None:
    """The tokens that the grammar chose are those that the next prompt has for the same text."""
    part = first_call(demo, GRAMMAR, temperature=1.5, seed=4, max_tokens=200)
    held = sum(demo.count(BEGUN))
    again = (*BEGUN, Plain(written(part)), Control("</toolcall>"), Control("\n<extra_id_1>Tool\n"))
    usage = ask(demo, again, "", max_tokens=1).finished.usage
    assert usage.reused_tokens >= held + demo.count([Plain(written(part))])[0]


def test_the_scripted_engine_shows_what_it_was_sent() -> None:
    backend = ScriptedBackend(Script())
    backend.load(LoadRequest("scripted", "", None, EngineSettings()), lambda _: None)
    gather(backend.generate(GenerateRequest(question("x"), Sampling(temperature=0.0, max_tokens=512), GRAMMAR), never))
    assert backend.asked is not None
    assert (backend.asked.grammar, backend.asked.grammar_trigger) == (GRAMMAR, "<toolcall>")
