"""Grammars for tool calls: what they let through fits the schema, and what they cannot hold to is named."""

from __future__ import annotations

import random
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemochat.domain.messages import ToolCallPart, ToolSpec
from nemochat.prompt.gbnf import integer_between
from nemochat.prompt.grammar import Grammar, Limits, tool_call_grammar
from nemochat.prompt.toolcalls import parse_reply, written
from tests.prompt.gbnf_sampler import GbnfSampler
from tests.prompt.tool_schemas import varied_tools

SHORT = Limits(string=12, items=3, keys=3)


def grammar_of(schema: Any, limits: Limits = SHORT) -> Grammar:
    return tool_call_grammar([ToolSpec("tool", "", schema)], limits)


def property_grammar(schema: Any) -> Grammar:
    """The grammar of a tool with one argument, which must be given."""
    return grammar_of({"type": "object", "properties": {"x": schema}, "required": ["x"], "$defs": {"a": {"type": "boolean"}}})


def spoken(grammar: Grammar, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """The arguments of calls made up at random."""
    sampler = GbnfSampler(grammar.text, random.Random(seed))
    return [call.arguments for _ in range(count) for call in calls_of(sampler.sample())]


def calls_of(text: str) -> Any:
    (part,) = parse_reply("<toolcall>" + text)
    assert isinstance(part, ToolCallPart)
    assert len(part.calls) == 1, text
    assert "\n" not in written(part).strip(), text
    return part.calls


def values_of(schema: Any, count: int = 200) -> list[Any]:
    return [arguments["x"] for arguments in spoken(property_grammar(schema), count)]


def check(schema: Any, value: Any) -> None:
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(value)


def test_the_text_for_a_small_tool() -> None:
    schema = {"type": "object", "properties": {"expression": {"type": "string", "maxLength": 9}}, "required": ["expression"]}
    lines = tool_call_grammar([ToolSpec("calculator", "", schema)]).text.splitlines()
    assert lines[0] == 'root ::= [ \\n]? (r3) ws "</toolcall>"'
    assert lines[-3:] == [
        'r1 ::= "\\"" char{0,9} "\\""',
        'r2 ::= "{" "\\"expression\\"" ":" ws r1 "}"',
        'r3 ::= "{\\"name\\":" ws "\\"calculator\\"" "," ws "\\"arguments\\":" ws r2 "}"',
    ]


def test_a_name_goes_with_its_own_arguments() -> None:
    tools = [ToolSpec("now"), ToolSpec("say", "", {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]})]
    sampler = GbnfSampler(tool_call_grammar(tools).text, random.Random(3))
    calls = [call for _ in range(50) for call in calls_of(sampler.sample())]
    assert {call.name: call.arguments for call in calls} == {"now": {}, "say": {"a": 1}}
    assert all((call.arguments == {}) is (call.name == "now") for call in calls)


def test_every_call_fits_its_schema() -> None:
    """100 varied schemas; without format checks a wrong date would pass, so they are on."""
    for number, tool in enumerate(varied_tools(100)):
        grammar = tool_call_grammar([tool], SHORT)
        assert grammar.text
        assert not grammar.uncovered
        sampler = GbnfSampler(grammar.text, random.Random(number))
        for _ in range(20):
            (call,) = calls_of(sampler.sample())
            assert call.name == tool.name
            check(tool.parameters, call.arguments)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"enum": [1, "a\"b\\", None, True, {"k": [1.5]}]}, [1, "a\"b\\", None, True, {"k": [1.5]}]),
        ({"type": "string", "enum": ["x", 5, None]}, ["x"]),
        ({"type": ["boolean", "null"]}, [True, False, None]),
        ({"type": "integer", "minimum": 3, "maximum": 5}, [3, 4, 5]),
        ({"type": "integer", "exclusiveMinimum": -2, "exclusiveMaximum": 1.5}, [-1, 0, 1]),
        ({"type": "array", "items": {"const": 1}, "minItems": 1, "maxItems": 3}, [[1], [1, 1], [1, 1, 1]]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False}, [[], [1], [1, 2]]),
        ({"$ref": "#/$defs/a"}, [True, False]),
        ({"allOf": [{"type": ["string", "boolean"]}, {"$ref": "#/$defs/a"}]}, [True, False]),
        ({"anyOf": [{"const": 1}, {"const": "a"}]}, [1, "a"]),
        ({"oneOf": [{"const": 1}, {"type": "null"}]}, [1, None]),
        ({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}}, [{}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}]),
        (
            {"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}, "required": ["b"]},
            [{"b": 2}, {"a": 1, "b": 2}, {"b": 2, "c": 3}, {"a": 1, "b": 2, "c": 3}],
        ),
        ({"type": "object", "properties": {"a": {"const": 1}}, "anyOf": [{"required": ["a"]}, {"maxProperties": 1}]}, [{"a": 1}, {}]),
        ({"const": {"a": False}}, [{"a": False}]),
    ],
)
def test_all_that_is_asked_for_can_be_said_and_nothing_else(schema: Any, expected: list[Any]) -> None:
    assert not property_grammar(schema).uncovered
    assert {repr(value) for value in values_of(schema)} == {repr(value) for value in expected}


def test_a_required_argument_that_is_declared_nowhere_is_there() -> None:
    grammar = grammar_of({"type": "object", "required": ["q"]})
    assert not grammar.uncovered
    assert all(arguments.keys() == {"q"} for arguments in spoken(grammar, 20))
    assert spoken(grammar_of({"type": "object"}), 1) == [{}]


def test_recursion_ends() -> None:
    tree = {
        "type": "object",
        "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "list": {"type": "array", "items": {"$ref": "#"}}},
    }
    grammar = grammar_of(tree)
    values = spoken(grammar, 100)
    assert max(repr(value).count("left") for value in values) > 1
    for value in values:
        check(tree, value)
    assert grammar_of({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}).uncovered == ("tool: the whole schema",)
    assert grammar_of({"$ref": "#"}).uncovered == ("tool: the whole schema",)


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "string", "pattern": "^a+$"}, "pattern"),
        ({"type": "string", "format": "email"}, "format"),
        ({"type": "string", "format": "date", "minLength": 3}, "minLength"),
        ({"type": "integer", "multipleOf": 7}, "multipleOf"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "minItems": 5000}, "minItems"),
        ({"type": "object", "minProperties": 2}, "minProperties"),
        ({"type": "object", "patternProperties": {"^a": {}}}, "patternProperties"),
        ({"type": "object", "propertyNames": {"maxLength": 2}}, "propertyNames"),
        ({"type": "file"}, "type"),
        ({"not": {"type": "string"}}, "not"),
        ({"if": {"type": "string"}, "then": {"minLength": 2}}, "if"),
        ({"$ref": "https://example.org/schema"}, "$ref"),
        ({"$ref": "#/$defs/nowhere"}, "$ref"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"enum": ["a", "bb"], "maxLength": 1}, "maxLength"),
        ({"allOf": [{"pattern": "a", "type": "string"}, {"pattern": "b"}]}, "pattern"),
        ({"type": "number", "minimum": 0.123456789, "maximum": 1}, "minimum"),
    ],
)
def test_what_is_not_covered_is_named_and_the_rest_holds(schema: Any, keyword: str) -> None:
    grammar = property_grammar(schema)
    assert f"tool: {keyword} of x" in grammar.uncovered
    assert spoken(grammar, 5)


def test_a_grammar_that_grows_too_large_is_none() -> None:
    schema = {"type": "object", "properties": {f"p{number}": {"enum": list(range(number, number + 90))} for number in range(3000)}}
    grammar = tool_call_grammar([ToolSpec("now"), ToolSpec("big", "", schema)])
    assert (grammar.text, grammar.uncovered) == ("", ("now: the whole schema", "big: the whole schema"))
    knot = {f"d{a}": {"anyOf": [{"type": "array", "items": {"$ref": f"#/$defs/d{b}"}} for b in range(9)]} for a in range(9)}
    assert not grammar_of({"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": knot}).text
    assert tool_call_grammar([]) == Grammar("")


@settings(max_examples=200, deadline=None)
@given(low=st.integers(-20_000, 20_000), size=st.integers(0, 30_000), seed=st.integers(0, 1000))
def test_integers_keep_their_bounds_and_reach_them(low: int, size: int, seed: int) -> None:
    for first, last in ((low, low + size), (low, low)):
        body = integer_between(first, last)
        assert body
        sampler = GbnfSampler(f"root ::= {body}", random.Random(seed))
        values = [int(sampler.sample()) for _ in range(30)]
        assert min(values) >= first
        assert max(values) <= last
    assert values[0] == low


@settings(max_examples=150, deadline=None)
@given(low=st.decimals(-500, 500, places=2), size=st.decimals("0.01", 800, places=2), seed=st.integers(0, 1000), keyword=st.booleans())
def test_numbers_keep_their_bounds(low: Any, size: Any, seed: int, keyword: bool) -> None:
    names = ("exclusiveMinimum", "exclusiveMaximum") if keyword else ("minimum", "maximum")
    schema = {"type": "number", names[0]: float(low), names[1]: float(low + size)}
    grammar = property_grammar(schema)
    assert not grammar.uncovered
    for arguments in spoken(grammar, 20, seed):
        check(schema, arguments["x"])


KEYWORDS = [
    "type", "properties", "required", "items", "prefixItems", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "minimum",
    "maxLength", "minLength", "minItems", "maxItems", "format", "additionalProperties", "multipleOf", "x", "minProperties",
]  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 50)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "object", "string", "#", "#/x", "a"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(schema=st.dictionaries(st.sampled_from(["type", "properties", "anyOf", "allOf", "$ref", "required", "additionalProperties"]), JSON))
@example(schema={"additionalProperties": {"maxLength": True}})
def test_no_schema_however_wrong_is_an_error(schema: Any) -> None:
    grammar = grammar_of(schema)
    assert msgspec.convert(grammar, Grammar)
    if grammar.text:
        assert spoken(grammar, 2)
