"""Tool calls are read from a reply however they are written and however the stream is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.messages import Message, Role, TextPart, ToolCall, ToolCallPart
from nemochat.prompt.calls import MAX_CHARACTERS, MAX_DEPTH
from nemochat.prompt.format import as_text
from nemochat.prompt.nemotron import message_segments
from nemochat.prompt.replies import CLOSE_TAG, OPEN_TAG, ReplyPart, StreamParser, as_generated, parse_reply
from tests.calls import call_part

ADD = '{"name": "add", "arguments": {"a": 1, "b": [2.5, null]}}'
NOW = '{"name": "now", "arguments": {}}'
ADD_CALL = ToolCall("add", {"a": 1, "b": [2.5, None]})
NOW_CALL = ToolCall("now", {})

property_settings = settings(derandomize=True, deadline=None, max_examples=200)

FRAGMENTS = (
    OPEN_TAG, CLOSE_TAG, "<tool", "call>", "</", "<", ">", '"', "'", "\\", '\\"', "{", "}", "[", "]", ",", ":", " ", "\n",
    ADD, NOW, '{"name": "say", "arguments": {"text": "</toolcall>"}}', '"name"', "True", "12", "hello",
    "é😀", f"{OPEN_TAG} {ADD} {CLOSE_TAG}",
)  # fmt: skip
replies = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=25).map("".join)


def calls_of(text: str) -> list[ToolCall]:
    return [call for part in parse_reply(text) if isinstance(part, ToolCallPart) for call in part.calls]


def joined(parts: list[ReplyPart]) -> list[ReplyPart]:
    result: list[ReplyPart] = []
    for part in parts:
        if isinstance(part, TextPart) and result and isinstance(result[-1], TextPart):
            result[-1] = TextPart(result[-1].text + part.text)
        else:
            result.append(part)
    return result


def test_text_around_calls_is_kept_exactly() -> None:
    parts = parse_reply(f"Let me see. <toolcall> {ADD} </toolcall>\nand\n<toolcall>{NOW}</toolcall> ")
    assert parts == (
        TextPart("Let me see. "),
        call_part(f" {ADD} ", (ADD_CALL,)),
        TextPart("\nand\n"),
        call_part(NOW, (NOW_CALL,)),
        TextPart(" "),
    )


def test_a_reply_without_tags_is_one_text() -> None:
    assert parse_reply("a <tool> b </toolcall> <tool") == (TextPart("a <tool> b </toolcall> <tool"),)
    assert parse_reply("") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<toolcall> {ADD}, {NOW} </toolcall>", [ADD_CALL, NOW_CALL]),
        (f"<toolcall> {ADD} {NOW} </toolcall>", [ADD_CALL, NOW_CALL]),
        (f"<toolcall> {ADD}\n{NOW}\n</toolcall>", [ADD_CALL, NOW_CALL]),
        (f"<toolcall> [{ADD}, {NOW}] </toolcall>", [ADD_CALL, NOW_CALL]),
        (f"<toolcall>{ADD}</toolcall><toolcall>{NOW}</toolcall>", [ADD_CALL, NOW_CALL]),
        (f"<toolcall> ```json\n{ADD}\n``` </toolcall>", [ADD_CALL]),
        (f"<toolcall> Here's the call: {ADD} </toolcall>", [ADD_CALL]),
        (f"<toolcall> {ADD}", [ADD_CALL]),
        (f"<toolcall> {ADD} </toolc", [ADD_CALL]),
        (f"<toolcall>{OPEN_TAG} {ADD} </toolcall>", [ADD_CALL]),
        (f'<toolcall> {{"type": "function", "function": {ADD}}} </toolcall>', [ADD_CALL]),
        ('<toolcall> {"name": " now ", "parameters": {}} </toolcall>', [NOW_CALL]),
        ('<toolcall> {"name": "now"} </toolcall>', [NOW_CALL]),
        ('<toolcall> {"name": "now", "arguments": null} </toolcall>', [NOW_CALL]),
        ('<toolcall> {"name": "now", "arguments": ""} </toolcall>', [NOW_CALL]),
        ('<toolcall> {"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": [2.5, null]}"} </toolcall>', [ADD_CALL]),
        ("<toolcall> [] </toolcall>", []),
    ],
)
def test_the_usual_shapes(text: str, expected: list[ToolCall]) -> None:
    assert calls_of(text) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"text": "a </toolcall> b"}', {"text": "a </toolcall> b"}),
        ('{"text": "\\"</toolcall>\\" \\\\"}', {"text": '"</toolcall>" \\'}),
        ('{"text": "{[}", "deep": {"er": {"est": []}}}', {"text": "{[}", "deep": {"er": {"est": []}}}),
        ('{"text": "two\nlines\tand a tab"}', {"text": "two\nlines\tand a tab"}),
        ('{"a": 1, "b": [1, 2,],}', {"a": 1, "b": [1, 2]}),
        ("{'text': 'say \"hi\", it\\'s late'}", {"text": 'say "hi", it\'s late'}),
        ('{"text": "it\\\'s"}', {"text": "it's"}),
        ('{"yes": True, "no": False, "nothing": None}', {"yes": True, "no": False, "nothing": None}),
        ('{"words": "True, None"}', {"words": "True, None"}),
        ('{"big": 123456789012345678901234567890}', {"big": 123456789012345678901234567890}),
        ('{"text": "h\\u00e9 \\ud83d\\ude00 😀"}', {"text": "hé 😀 😀"}),
    ],
)
def test_arguments(arguments: str, expected: dict[str, Any]) -> None:
    assert calls_of(f'<toolcall> {{"name": "f", "arguments": {arguments}}} </toolcall> after') == [ToolCall("f", expected)]


def test_closing_brackets_may_be_missing_only_before_a_closing_tag() -> None:
    assert calls_of('<toolcall> {"name": "f", "arguments": {"a": [12, </toolcall>') == [ToolCall("f", {"a": [12]})]
    assert calls_of('<toolcall> {"name": "f", "arguments": {"a": 12') == []
    assert calls_of('<toolcall> {"name": "f", "arguments": {"path": "/ho') == []


def test_a_closing_tag_in_a_string_does_not_end_a_cut_call() -> None:
    text = '<toolcall> {"name": "f", "arguments": {"text": "</toolcall>"}}'
    assert calls_of(text) == [ToolCall("f", {"text": "</toolcall>"})]


def test_a_stray_quote_spoils_only_its_own_call() -> None:
    parts = parse_reply(f'<toolcall> {{"name: "f"}} </toolcall> then <toolcall> {NOW} </toolcall>!')
    assert parts == (call_part(' {"name: "f"} '), TextPart(" then "), call_part(f" {NOW} ", (NOW_CALL,)), TextPart("!"))


@pytest.mark.parametrize(
    "raw",
    [
        "", "add(1, 2)", '"add"', '{"arguments": {}}', '{"name": 3}', '{"name": ""}', '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": 5}', '{"name": "f", "arguments": "a=1"}', '{"name": "f" "arguments": {}}',
        '{"name": "f", "arguments": {"a": }}',
        '{"name": "f", "arguments": {"a": [1}}', '{"name": "f", "arguments": {"a": NaN}}', '{"name": "f", "arguments": {"a": 1e999}}',
        '{"name": "f", "arguments": {"a": "\\ud800"}}', "{'name': 'f', 'arguments': {'a': 'it's'}}", '[["f"]]', "[1]", '{"function": 1}',
        f"{ADD} {{", '{"name": "f", "arguments": {"a": ' + "9" * 5000 + "}}",
        '{"name": "f", "arguments": ' + '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH + "}", "[" * 50_000, '{"name":' * 50_000,
        '{"name": "f", "arguments": {"a": "' + "x" * MAX_CHARACTERS + '"}}',
    ],
)  # fmt: skip
def test_what_is_malformed_is_kept_and_calls_nothing(raw: str) -> None:
    assert parse_reply(f"<toolcall>{raw}</toolcall>") == (call_part(raw),)


def test_one_malformed_call_among_several_calls_nothing() -> None:
    assert calls_of(f'<toolcall> {ADD}, {{"name": 1}} </toolcall>') == []


def test_text_is_shown_as_soon_as_it_cannot_be_a_tag() -> None:
    parser = StreamParser()
    assert parser.push("Hi <tool") == (TextPart("Hi "),)
    assert parser.push("s> ") == (TextPart("<tools> "),)
    assert parser.push("<toolcall> ") == ()
    assert parser.push(f"{NOW} </toolcal") == ()
    assert parser.push("l> done <") == (call_part(f" {NOW} ", (NOW_CALL,)), TextPart(" done "))
    assert parser.finish() == (TextPart("<"),)


@property_settings
@given(text=replies, data=st.data())
def test_any_chunking_gives_the_same_parts(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    parser = StreamParser()
    parts: list[ReplyPart] = []
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        parts += parser.push(text[start:stop])
    assert joined([*parts, *parser.finish()]) == list(parse_reply(text))


def test_an_escape_that_is_cut_in_two_is_still_an_escape() -> None:
    parser = StreamParser()
    raw = '{"name": "say", "arguments": {"text": "\\"</toolcall>\\""}}'
    parts = [part for character in f"{OPEN_TAG}{raw}{CLOSE_TAG}" for part in parser.push(character)]
    assert parts == [call_part(raw, (ToolCall("say", {"text": '"</toolcall>"'}),))]


@property_settings
@given(text=replies)
def test_one_character_at_a_time_gives_the_same_parts(text: str) -> None:
    parser = StreamParser()
    parts = [part for character in text for part in parser.push(character)]
    assert joined([*parts, *parser.finish()]) == list(parse_reply(text))


@property_settings
@given(text=replies)
def test_rendering_the_parts_gives_the_reply_back(text: str) -> None:
    rendered = as_text(message_segments(Message(Role.ASSISTANT, parse_reply(text))))
    closed = f"<extra_id_1>Assistant\n{text.strip()}\n"
    assert rendered in (closed, f"<extra_id_1>Assistant\n{text.lstrip()}{CLOSE_TAG}\n")


@property_settings
@given(text=replies)
def test_no_opening_tag_is_ever_shown(text: str) -> None:
    assert not any(OPEN_TAG in part.text for part in parse_reply(text) if isinstance(part, TextPart))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@property_settings
@given(
    name=st.text(min_size=1).map(str.strip).filter(bool),
    arguments=st.dictionaries(st.text(), json_values, max_size=4),
    style=st.sampled_from("jap"),
)
def test_every_call_that_is_written_is_read(name: str, arguments: dict[str, Any], style: str) -> None:
    raw = {
        "j": json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False),
        "a": json.dumps({"name": name, "arguments": json.dumps(arguments)}),
        "p": json.dumps([{"name": name, "parameters": arguments}], indent=1),
    }[style]
    assert parse_reply(f"x{OPEN_TAG}{raw}{CLOSE_TAG}") == (TextPart("x"), call_part(raw, (ToolCall(name, arguments),)))


@property_settings
@given(text=st.text() | replies)
def test_garbage_never_raises_and_nothing_is_lost(text: str) -> None:
    assert as_generated(parse_reply(f"{OPEN_TAG}{text}")) in (f"{OPEN_TAG}{text}", f"{OPEN_TAG}{text}{CLOSE_TAG}")
