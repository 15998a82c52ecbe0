"""Grammars for tool calls: what they let through fits the schema, and what they cannot hold to is named."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemochat.domain.messages import ToolCallPart, ToolSpec
from nemochat.prompt.gbnf import integer_between
from nemochat.prompt.grammar import Grammar, tool_call_grammar
from nemochat.prompt.replies import parse_reply, written
from tests.prompt.gbnf_sampler import GbnfSampler, reader
from tests.prompt.tool_schemas import varied_tools


def grammar_of(schema: Any) -> Grammar:
    return tool_call_grammar([ToolSpec("tool", "", schema)])


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
        grammar = tool_call_grammar([tool])
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
        ({"type": "array", "maxItems": 5000}, "maxItems"),
        ({"type": "string", "maxLength": 5000}, "maxLength"),
        ({"type": "object", "properties": {"a": {}}, "minProperties": 1}, "minProperties"),
        ({"type": "object", "patternProperties": {"^a": {}}}, "patternProperties"),
        ({"type": "object", "properties": {"a": {}}, "propertyNames": {"maxLength": 2}}, "propertyNames"),
        ({"type": "file"}, "type"),
        ({"not": {"type": "string"}}, "not"),
        ({"if": {"type": "string"}, "then": {"minLength": 2}}, "if"),
        ({"$ref": "https://example.org/schema"}, "$ref"),
        ({"$ref": "#/$defs/nowhere"}, "$ref"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"enum": ["a", "bb"], "maxLength": 1}, "maxLength"),
        ({"allOf": [{"pattern": "a", "type": "string"}, {"pattern": "b"}]}, "pattern"),
        ({"type": "number", "minimum": 1e-300, "maximum": 1}, "minimum"),
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


def reads(grammar: Grammar, value: Any) -> bool:
    """Whether the call with this value as its argument can be written, as Python writes JSON."""
    call = json.dumps({"name": "tool", "arguments": {"x": value}}, ensure_ascii=False)
    return reader(grammar.text).fullmatch(f" {call} </toolcall>") is not None


ANYTHING, INTEGER, NUMBER = (property_grammar(schema) for schema in ({}, {"type": "integer"}, {"type": "number"}))
INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([2**63 - 1, -(2**63), 2**64 - 1, 725653563933458432, 10**30])
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(number=INTEGERS)
def test_every_integer_can_be_said(number: int) -> None:
    for grammar in (INTEGER, NUMBER, ANYTHING):
        assert reads(grammar, number)


@settings(max_examples=80, deadline=None)
@given(number=DOUBLES)
@example(number=1.7976931348623157e308)
@example(number=5e-324)
@example(number=1.2345678901234567e-07)
def test_every_double_can_be_said(number: float) -> None:
    assert reads(NUMBER, number)
    assert reads(ANYTHING, number)


@settings(max_examples=40, deadline=None)
@given(bounds=st.tuples(INTEGERS, INTEGERS).map(sorted), number=INTEGERS, seed=st.integers(0, 99))
def test_integers_between_bounds_of_any_size_can_be_said_and_no_others(bounds: list[int], number: int, seed: int) -> None:
    low, high = bounds
    grammar = property_grammar({"type": "integer", "minimum": low, "maximum": high})
    assert not grammar.uncovered
    for value in (low, high, number, low - 1, high + 1, (low + high) // 2):
        assert reads(grammar, value) is (low <= value <= high)
    assert all(low <= arguments["x"] <= high for arguments in spoken(grammar, 10, seed))


@settings(max_examples=40, deadline=None)
@given(
    bounds=st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)).map(sorted),
    number=st.decimals(-(10**9), 10**9, places=7),
    kinds=st.tuples(st.booleans(), st.booleans()),
)
@example(bounds=[0.0, 1.0], number=Decimal("0.25"), kinds=(True, True))
@example(bounds=[-0.5, 0.0], number=Decimal(0), kinds=(False, True))
def test_numbers_between_bounds_can_be_said_and_no_others(bounds: list[float], number: Decimal, kinds: tuple[bool, bool]) -> None:
    low, high = bounds
    if low == high and any(kinds):
        return
    names = ["exclusiveMinimum" if kinds[0] else "minimum", "exclusiveMaximum" if kinds[1] else "maximum"]
    grammar = property_grammar({"type": "number", names[0]: low, names[1]: high})
    if grammar.uncovered:  # a bound of too many digits
        return
    for value in (number, Decimal(repr(low)), Decimal(repr(high)), (Decimal(repr(low)) + Decimal(repr(high))) / 2):
        fits = (value > Decimal(repr(low)) if kinds[0] else value >= Decimal(repr(low))) and (
            value < Decimal(repr(high)) if kinds[1] else value <= Decimal(repr(high))
        )
        written_out = f'{{"name":"tool","arguments":{{"x":{value or Decimal(0):f}}}}}</toolcall>'
        assert (reader(grammar.text).fullmatch(written_out) is not None) is fits, (value, grammar.text)


@pytest.mark.parametrize(("schema", "number"), [
    ({"minimum": 0}, 1e300), ({"minimum": 0, "maximum": 1}, 1e-07), ({"exclusiveMinimum": 0}, 2.5e-300),
    ({"maximum": 0}, -1e22), ({"minimum": -1, "maximum": 0}, -3e-09), ({"minimum": 1}, 1e16), ({"maximum": 100}, -1.5e200),
])  # fmt: skip
def test_an_exponent_is_no_way_around_a_bound_but_stands_where_it_keeps_it(schema: Any, number: float) -> None:
    grammar = property_grammar({"type": "number", **schema})
    assert reads(grammar, number)
    assert not reads(grammar, -number)


@pytest.mark.parametrize("schema", [
    {"type": "string"}, {}, {"type": "string", "minLength": 5000}, {"anyOf": [{"type": "string"}, {"type": "null"}]},
])  # fmt: skip
def test_a_string_has_no_end_of_ours(schema: Any) -> None:
    grammar = property_grammar(schema)
    assert not grammar.uncovered
    assert all(reads(grammar, text * 7000) for text in ("ab", "é ", '"\\'))
    assert reads(grammar, "a" * 4999) is (schema.get("minLength") is None)


@pytest.mark.parametrize("schema", [
    {"type": "array"}, {"type": "array", "items": {"type": "integer"}}, {},
    {"type": "array", "minItems": 2000, "items": {"type": "integer"}},
])  # fmt: skip
def test_an_array_has_no_end_of_ours(schema: Any) -> None:
    assert reads(property_grammar(schema), list(range(2000)))
    assert reads(property_grammar(schema), list(range(1999))) is ("minItems" not in schema)


@pytest.mark.parametrize(("schema", "keys", "fits"), [
    ({"type": "object"}, [f"a rather long name of a property, {number}" for number in range(200)], True),
    ({"type": "object", "minProperties": 2, "maxProperties": 3}, ["a", "b"], True),
    ({"type": "object", "minProperties": 2, "maxProperties": 3}, ["a"], False),
    ({"type": "object", "minProperties": 2, "maxProperties": 3}, ["a", "b", "c", "d"], False),
    ({"type": "object", "propertyNames": {"maxLength": 2}}, ["ab", "é"], True),
    ({"type": "object", "propertyNames": {"maxLength": 2}}, ["abc"], False),
    ({"properties": {"b": {"const": 1}}, "additionalProperties": {"type": "integer"}}, ["b", "a", "bc", ""], True),
    ({"properties": {"ab": {"const": 9}, "ac-]": {}}, "additionalProperties": {"type": "integer"}}, ["ab"], False),
    ({"properties": {"ab": {"const": 9}, "ac-]": {"const": 9}}, "additionalProperties": True}, ["a", "ac", "ac-]]", "b"], True),
    ({"properties": {"ab": {}}}, ["c"], False),
])  # fmt: skip
def test_free_keys_have_no_end_of_ours_and_take_no_declared_name(schema: Any, keys: list[str], fits: bool) -> None:
    grammar = property_grammar(schema)
    assert not grammar.uncovered
    assert reads(grammar, dict.fromkeys(keys, 1)) is fits


def test_deep_values_and_deep_trees_can_be_said() -> None:
    deep: Any = 1
    for _ in range(4):
        deep = {"a": [deep]}
    assert reads(ANYTHING, deep)
    node = {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}, "right": {"$ref": "#/$defs/n"}}}
    tree: Any = {}
    for _ in range(10):
        tree = {"left": tree, "right": {}}
    grammar = grammar_of({"type": "object", "properties": {"x": {"$ref": "#/$defs/n"}}, "$defs": {"n": node}})
    assert reads(grammar, tree)


def test_references_by_id_and_anchor_are_followed_within_the_schema() -> None:
    place = {"$id": "https://example.org/place", "$defs": {"name": {"$anchor": "n", "const": "here"}}, "$ref": "#n"}
    plain = {"$anchor": "plain", "enum": [1, 2]}
    properties = {"a": {"$ref": "place"}, "b": {"$ref": "#plain"}, "c": {"$ref": "https://example.org/place#/$defs/name"}}
    schema = {"$id": "https://example.org/root", "type": "object", "properties": properties, "$defs": {"p": place, "q": plain}}
    grammar = grammar_of({**schema, "required": ["a", "b", "c"]})
    assert not grammar.uncovered
    for arguments in spoken(grammar, 10):
        assert (arguments["a"], arguments["c"]) == ("here", "here")
        assert arguments["b"] in (1, 2)


@pytest.mark.parametrize("day", ["2024-02-29", "2000-02-29", "9999-12-31", "0001-01-01", "1999-02-28"])
def test_every_day_can_be_said(day: str) -> None:
    grammar = property_grammar({"type": "string", "format": "date"})
    assert reads(grammar, day)
    assert not any(reads(grammar, wrong) for wrong in ("2023-02-29", "1900-02-29", "2024-02-30", "2024-13-01"))


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
