"""How a template wants calls and reasoning is found from what it renders; replies in every such style are read whole and streamed, and the
grammar of each holds calls to their schemas."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.messages import Part, ReasoningPart, TextPart, ToolCall, ToolCallPart, ToolSpec
from nemochat.prompt.call_styles import CALL, GENERAL, QUESTION, REPLY, SECOND, THOUGHT, TOOL, Renderings, find, opened_by
from nemochat.prompt.calls import CallStyle
from nemochat.prompt.grammar import tool_call_grammar
from nemochat.prompt.replies import (
    ReplyPart,
    ReplyStyle,
    StreamParser,
    as_generated,
    as_left_open,
    ends_open,
    parse_reply,
    written,
)
from tests.material import each, material
from tests.prompt.call_templates import BEGUN, EVERY, HARMONY, KINDS, STYLES, TEMPLATES, THINKING
from tests.prompt.gbnf_sampler import GbnfSampler
from tests.prompt.known_renderings import renderings
from tests.prompt.llama_cases import Case, cases
from tests.prompt.tool_schemas import varied_tools

property_settings = settings(derandomize=True, deadline=None, max_examples=20)


def calls_of(parts: tuple[ReplyPart, ...]) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for part in parts if isinstance(part, ToolCallPart) for call in part.calls]


def joined(parts: list[ReplyPart]) -> list[ReplyPart]:
    """Adjacent pieces of text, or of reasoning, as one."""
    result: list[ReplyPart] = []
    for part in parts:
        last = result[-1] if result else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            result[-1] = TextPart(last.text + part.text)
        elif isinstance(part, ReasoningPart) and isinstance(last, ReasoningPart):
            result[-1] = ReasoningPart(last.text + part.text)
        else:
            result.append(part)
    return result


def reply_of(source: str, rendering: str) -> str:
    """What the model says in a rendering of one of the short templates."""
    return rendering.rpartition("<|assistant|>")[2].removesuffix("<|end|>")


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_class_of_calls_is_found_and_what_the_template_writes_is_read_back(name: str) -> None:
    said, style = renderings(TEMPLATES[name]), STYLES[name]
    assert style.calls is not None
    assert style.calls.kind == KINDS[name]
    one, two = (parse_reply(reply_of(TEMPLATES[name], rendering), style, (TOOL,)) for rendering in (said.call, said.calls))
    assert calls_of(one) == [(CALL.name, CALL.arguments)]
    assert calls_of(two) == [(call.name, call.arguments) for call in (CALL, SECOND)]
    assert all(isinstance(part, ToolCallPart) or not part.text.strip() for part in (*one, *two))


def test_no_two_styles_have_the_same_name() -> None:
    """By its name a chat knows that what another model wrote is not in the form of this one."""
    names = Counter(style.calls.name for style in EVERY.values() if style.calls is not None)
    assert names.most_common(1)[0][1] == 1, names


@pytest.mark.parametrize("name", EVERY)
def test_what_a_style_writes_is_what_it_reads(name: str) -> None:
    """A chat that another model began goes on with calls that have no text of their own."""
    style = EVERY[name]
    parts = (ToolCallPart((ToolCall("known_name", {"first_key": "a\nb</c> \"d\" 'e'", "second_key": 2, "third_key": {"x": [1, None]}}),)),)
    again = parse_reply(as_generated(parts, style), style, (TOOL,))
    assert calls_of(again) == calls_of(parts)
    assert as_generated(again, style) == as_generated(parts, style)


def samples(style: ReplyStyle) -> list[str]:
    call = ToolCallPart((ToolCall("known_name", {"first_key": "5 <b> ]", "second_key": 2}),))
    parts: list[tuple[Part, ...]] = [
        (TextPart("Hello."),),
        (TextPart("Well.\n"), call),
        (call,),
        (ReasoningPart("So <em>so</em>.\n"), TextPart("Hello.")),
        (ReasoningPart("Hm.\n"), call),
    ]
    whole = [as_generated(each, style) for each in parts]
    return [*whole, *(text[:-4] for text in whole), "", " ", "<", "{", "[1]", '{"a": 1}']


@pytest.mark.parametrize("name", EVERY)
def test_however_a_reply_is_cut_its_parts_are_the_same_and_no_tag_is_shown(name: str) -> None:
    style = EVERY[name]
    for text in samples(style):
        whole = list(parse_reply(text, style, (TOOL,)))
        for size in (1, 2, 7):
            parser = StreamParser(style, (TOOL,))
            parts = [part for start in range(0, len(text), size) for part in parser.push(text[start : start + size])]
            assert joined([*parts, *parser.finish()]) == whole, text
        for at in range(len(text)):
            parser = StreamParser(style, (TOOL,))
            assert joined([*parser.push(text[:at]), *parser.push(text[at:]), *parser.finish()]) == whole, (text, at)


FRAGMENTS = {
    name: st.lists(
        st.sampled_from([*style.markers, *samples(style), '{"name": "x"', "}", '"', "\n", " ", "ab", "known_name", "<", "</"])
        | st.text(max_size=3),
        max_size=12,
    ).map("".join)
    for name, style in EVERY.items()
}


@pytest.mark.parametrize("name", EVERY)
@property_settings
@given(data=st.data())
def test_garbage_never_raises_is_the_same_in_pieces_and_is_read_again_as_it_was(name: str, data: st.DataObject) -> None:
    style = EVERY[name]
    text = data.draw(FRAGMENTS[name])
    parts = parse_reply(text, style, (TOOL,))
    parser = StreamParser(style, (TOOL,))
    assert joined([part for char in text for part in parser.push(char)] + list(parser.finish())) == list(parts)
    if not (style.hidden or style.headers or style.text[0] or style.reasoning):
        given_back = as_generated(parts, style)
        begun = style.calls.before.strip() if style.calls is not None else ""
        assert begun or given_back in (text, text + (style.calls.closes if style.calls else "")), text


@pytest.mark.parametrize("name", EVERY)
def test_no_reply_takes_long_to_read(name: str) -> None:
    """Without bounds on what is tried again, white space, brackets or tags without end would take minutes."""
    calls = EVERY[name].calls
    assert calls is not None
    key = f"{calls.before}known_name{calls.after}{calls.key_opens}first_key{calls.key_closes}"
    for filler in (" ", "\n", "{", '{"a":', "a", "a ", "<", '"', "{ ", "[ ", ",", calls.before or "x", calls.key_opens or "y"):
        many = filler * (20_000 // len(filler))
        for text in (many, key + many, f"{key}{{{many}"):
            parse_reply(f"{calls.opens}{text}{calls.closes}", EVERY[name], (TOOL,))


@pytest.mark.parametrize("filler", ["[", "{", '{"known_name":', "known_name first_key first value second_key 2 third_key {} ", "<", " "])
def test_no_template_takes_long_to_look_at(filler: str) -> None:
    for size in (7_000, 500_000):
        said = "known_name" + filler * (size // len(filler))
        find(Renderings("", QUESTION, QUESTION + REPLY, QUESTION + said, QUESTION + said, QUESTION + said))


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"bare"}))
def test_what_is_malformed_stays_whole(name: str) -> None:
    style = EVERY[name]
    assert style.calls is not None
    raw = ' nothing {"that": is a call '
    (part,) = parse_reply(style.calls.opens.removeprefix(style.starts) + raw + style.calls.closes, style)
    assert isinstance(part, ToolCallPart)
    assert not part.calls
    assert part.verbatim == raw


@pytest.mark.parametrize(
    "text", ['{"answer": 42}', '{"name": "x"', "[1, 2]", '{"name": 1, "parameters": {}}', "{}", '{"type": "object"} and more']
)
def test_json_that_is_no_call_is_text(text: str) -> None:
    assert parse_reply(text, STYLES["bare"]) == (TextPart(text),)


def test_json_that_can_be_no_call_is_shown_at_once() -> None:
    parser = StreamParser(STYLES["bare"])
    assert parser.push('{"na') == ()
    assert parser.push('tion": ') == (TextPart('{"nation": '),)


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "string"}, "12", "12"), ({"type": "integer"}, "12", 12), ({}, "12", 12), ({}, "twelve", "twelve"),
        ({"type": "string"}, "true", "true"),
        ({"type": ["string", "null"]}, "null", None), ({"type": ["null", "string"]}, "12", "12"), ({"enum": ["1", "2"]}, "1", "1"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "12", 12), ({"type": "object"}, "{'a': True}", {"a": True}),
        ({"type": "integer"}, "twelve", "twelve"), ({"$ref": "#/$defs/text"}, "1.50", "1.50"), ({"type": "string"}, " a\n\nb ", " a\n\nb "),
        ({"type": "array"}, "[1, [2]]", [1, [2]]), ({"type": "string"}, "</function> </tool_call>", "</function> </tool_call>"),
    ],
)  # fmt: skip
def test_the_schema_says_what_a_value_in_tags_is(schema: dict[str, Any], text: str, expected: object) -> None:
    tool = ToolSpec("f", "", {"type": "object", "properties": {"x": schema}, "$defs": {"text": {"type": "string"}}})
    reply = f"<tool_call>\n<function=f>\n<parameter=x>\n{text}\n</parameter>\n</function>\n</tool_call>"
    assert calls_of(parse_reply(reply, STYLES["tagged"], (tool,))) == [("f", {"x": expected})]


def test_a_word_that_opens_calls_does_so_only_where_a_reply_begins() -> None:
    style = ReplyStyle(CallStyle("word", "functools", is_list=True))
    call = '[{"name": "f", "arguments": {}}]'
    assert parse_reply(f" functools{call}", style) == (TextPart(" "), ToolCallPart((ToolCall("f", {}),)))
    assert parse_reply("Use functools.cache [1].", style) == (TextPart("Use functools.cache [1]."),)


def test_a_call_without_its_opening_tag_is_a_call() -> None:
    reply = "Let me see.\n<function=known_name>\n<parameter=second_key>\n2\n</parameter>\n</function>\n</tool_call>"
    assert calls_of(parse_reply(reply, STYLES["tagged"], (TOOL,))) == [("known_name", {"second_key": 2})]


def thinking(reply: str, *, begins: bool = False) -> tuple[ReplyPart, ...]:
    return parse_reply(reply, find(renderings(BEGUN if begins else THINKING)))


def test_reasoning_is_a_part_of_its_own_wherever_it_was_opened() -> None:
    assert thinking("<think>\nHm.\n</think>\n\nYes.") == (ReasoningPart("\nHm.\n"), TextPart("\n\nYes."))
    assert thinking("Hm.\n</think>\n\nYes.", begins=True) == (ReasoningPart("Hm.\n"), TextPart("\n\nYes."))
    assert thinking("<think>\nHm.</think>Yes.", begins=True) == (ReasoningPart("\nHm."), TextPart("Yes."))
    assert thinking("Hm", begins=True) == (ReasoningPart("Hm"),)
    assert thinking("<think>\n\n</think>\n\nYes.") == (TextPart("\n\nYes."),)
    assert thinking("Yes. </think>") == (TextPart("Yes. </think>"),)


def test_a_call_that_the_model_only_thinks_of_is_none_and_one_that_begins_a_line_is_made() -> None:
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert not calls_of(thinking(f"<think>I could say {call} now.</think>No."))
    assert thinking(f"<think>I do.\n{call}") == (ReasoningPart("I do.\n"), ToolCallPart((ToolCall("f", {}),)))


@pytest.mark.parametrize("begins", [False, True])
def test_a_reply_that_was_cut_goes_on_where_it_ended(begins: bool) -> None:
    style = find(renderings(BEGUN if begins else THINKING))
    opened = "" if begins else "<think>"
    thought, words = (ReasoningPart("Hm."),), (ReasoningPart("Hm."), TextPart("Yes"))
    assert ends_open(thought, style)
    assert not ends_open(words, style)
    assert as_left_open(thought, style) == f"{opened}Hm."
    assert as_left_open(words, style) == f"{opened}Hm.</think>Yes"
    assert as_generated((TextPart("Yes"),), style) == ("</think>Yes" if begins else "Yes")
    assert as_generated(words) == "Yes"


def test_a_call_that_is_forced_ends_the_reasoning_that_the_prompt_has_begun() -> None:
    style = find(renderings(BEGUN))
    assert style.forced_call == "</think><tool_call>"
    call = '\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert parse_reply(style.forced_call + call, style) == (ToolCallPart((ToolCall("f", {}),)),)
    functionary = EVERY["functionary"]
    assert not functionary.trigger  # its prompts end with the text that would be it
    assert parse_reply(functionary.forced_call + "f\n{}", functionary) == (ToolCallPart((ToolCall("f", {}),)),)


def test_the_channels_of_harmony() -> None:
    start = "<|start|>assistant"
    thought = "<|channel|>analysis<|message|>Hm.<|end|>"
    assert parse_reply(f"{thought}{start}<|channel|>final<|message|>Yes.", HARMONY) == (ReasoningPart("Hm."), TextPart("Yes."))
    for head in (f"{start}<|channel|>commentary to=functions.f <|constrain|>json", f"{start} to=functions.f<|channel|>commentary json"):
        assert calls_of(parse_reply(f'{thought}{head}<|message|>{{"a": 1}}<|call|>', HARMONY)) == [("f", {"a": 1})]
    assert parse_reply("<|channel|>final<|message|>Say  to=functions.f {}", HARMONY) == (TextPart("Say  to=functions.f {}"),)
    assert calls_of(parse_reply(' to=functions.f<|channel|>commentary json<|message|>{"a": 1}', HARMONY)) == [("f", {"a": 1})]


def test_the_prompt_says_whether_it_has_opened_the_reasoning() -> None:
    style = find(renderings(THINKING))
    assert style.reasoning == ("<think>", "</think>")
    assert opened_by(style, "<|assistant|><think>\n").begins_in_reasoning
    assert not opened_by(style, "<|assistant|><think>\n\n</think>\n\n").begins_in_reasoning


def test_a_template_without_tools_gets_the_general_form() -> None:
    assert find(renderings("{% for m in messages %}{{ m.content }}{% endfor %}")).calls == GENERAL


@pytest.mark.parametrize("name", EVERY)
def test_calls_made_up_from_the_grammar_fit_their_schemas(name: str) -> None:
    """In every style; a text in tags that the grammar lets through is read as that text."""
    style = EVERY[name]
    assert style.calls is not None
    for number, tool in enumerate(varied_tools(4)):
        grammar = tool_call_grammar([tool], style)
        if grammar.uncovered:
            continue  # what it cannot say
        assert grammar.text
        sampler = GbnfSampler(grammar.text, random.Random(number))
        for _ in range(3):
            said = sampler.sample()
            (part,) = parse_reply(style.forced_call + said, style, (tool,))
            assert isinstance(part, ToolCallPart), said
            assert part.calls, said
            for call in part.calls:
                assert call.name == tool.name
                jsonschema.validate(call.arguments, tool.parameters, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
            assert written(part, style) == (style.calls.opens if style.calls.is_bare else "") + said.removesuffix(style.calls.closes)


@pytest.mark.parametrize("path", each("templates/*.jinja"))
def test_the_calls_of_real_templates_are_read_back(path: Path) -> None:
    said = renderings(path.read_text())
    style = find(said)
    assert style.calls is not None
    if not said.call:
        return
    for rendering, expected in ((said.call, [CALL]), (said.calls, [CALL, SECOND])):
        reply = rendering.rpartition(QUESTION)[2]
        if all(str(call.arguments["first_key"]) in reply for call in expected):
            reply = reply[reply.index(style.calls.opens) :] if not style.starts else reply.partition(style.starts)[2]
            calls = calls_of(parse_reply(reply, ReplyStyle(style.calls, starts=style.starts), (TOOL,)))
            assert calls == [(call.name, call.arguments) for call in expected]
    if style.reasoning and style.reasoning[0] + THOUGHT in said.reasoned.replace("\n", ""):
        parts = parse_reply(said.reasoned.rpartition(QUESTION)[2], opened_by(style, ""))
        assert [part.text.strip() for part in parts if isinstance(part, ReasoningPart)] == [THOUGHT]
        assert REPLY in "".join(part.text for part in parts if isinstance(part, TextPart))


def test_llama_cpps_own_expectations() -> None:
    """Of 344 cases that are read and are about a whole reply, at least so many agree (benchmarks/templates.py says which do not)."""
    agree = Counter(is_right for _, is_right in judged(material("tests/test-chat.cpp").read_text(), material("templates")))
    assert agree[True] >= 332, agree


def judged(source: str, folder: Path) -> Iterator[tuple[Case, bool]]:
    """The cases that are about a whole reply, and whether it is read as llama.cpp reads it. folder: of the templates."""
    styles: dict[tuple[str, bool], ReplyStyle] = {}
    for case in cases(source):
        if not isinstance(case, Case) or case.settings.keys() & {"messages", "continue_final_message"}:
            continue
        if case.settings.get("is_partial") and case.calls:
            continue
        thinks = case.settings.get("enable_thinking", True)
        if (key := (case.template, thinks)) not in styles:
            styles[key] = find(renderings((folder / case.template).read_text(), enable_thinking=thinks))
        yield case, agrees(case, parse_reply(case.reply, styles[key], case.tools))


def agrees(case: Case, parts: tuple[ReplyPart, ...]) -> bool:
    content, reasoning = ("".join(part.text for part in parts if isinstance(part, kind)).strip() for kind in (TextPart, ReasoningPart))
    if calls_of(parts) != case.calls:
        return False
    if content == case.content.strip() and reasoning == case.reasoning.strip():
        return True
    asks_for_text = str(case.settings.get("reasoning_format", "NONE")).endswith("NONE")
    return asks_for_text and not case.reasoning and (content == case.content.strip() or reasoning in case.content)
