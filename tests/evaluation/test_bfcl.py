"""BFCL's comparison of calls, as cases written from its rules; `benchmarks/scoring.py` compares thousands with its own program."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nemochat.domain.messages import ToolCall, ToolSpec
from nemochat.errors import UsageError
from nemochat.evaluation import bfcl
from nemochat.evaluation.values import Kind, Question, Reply

PROPERTIES: dict[str, Any] = {
    "city": {"type": "string"},
    "days": {"type": "integer"},
    "share": {"type": "float"},
    "is_new": {"type": "boolean"},
    "names": {"type": "array", "items": {"type": "string"}},
    "points": {"type": "array", "items": {"type": "float"}},
    "who": {"type": "dict"},
    "all": {"type": "array", "items": {"type": "dict"}},
    "pair": {"type": "tuple", "items": {"type": "integer"}},
    "any": {"type": "any"},
}


def question(*expected: dict[str, dict[str, Any]], tools: tuple[ToolSpec, ...] | None = None) -> Question:
    schema = {"type": "dict", "properties": PROPERTIES, "required": []}
    offered = tools or (ToolSpec("weather.get", "", schema), ToolSpec("other", "", schema))
    return Question("q", "?", tools=offered, answers=tuple(map(json.dumps, expected)), kind=Kind.CALLS)


def is_right(accepted: dict[str, Any], given: dict[str, Any]) -> bool:
    return bfcl.score(question({"weather.get": accepted}), Reply("", (ToolCall("weather.get", given),))).right == 1


@pytest.mark.parametrize(
    ("name", "accepted", "value", "wanted"),
    [
        ("city", ["New York, NY"], "new york ny", True),
        ("city", ["April 1, 2024"], "April-1-2024", True),
        ("city", ["O'Neil"], 'o"neil', True),
        ("city", ["Rome", "Roma"], "roma", True),
        ("city", ["Rome"], "Rom", False),
        ("city", ["Rome"], 3, False),
        ("city", [3], 3, True),  # the accepted values are of another type than the parameter's: taken for a variable
        ("days", [3], 3, True),
        ("days", [3], 3.0, False),
        ("days", [3], "3", False),
        ("days", [3], True, False),
        ("days", ["count"], "count", True),
        ("days", ["count"], "Count", False),  # a variable's name is compared letter for letter
        ("share", [3.0], 3, True),
        ("share", [0.5], 0.5, True),
        ("share", [3.0], "3.0", False),
        ("is_new", [True], True, True),
        ("is_new", [True], "true", False),
        ("is_new", [True], 1, False),
        ("names", [["a b", "c"]], ["A-B", "C"], True),
        ("names", [["a", "c"]], ["c", "a"], False),
        ("names", [["a"]], "a", False),
        ("names", [["a"]], ["a", 1], False),
        ("names", [["a"], ""], [], True),
        ("points", [[1.0, 2.5]], [1, 2.5], False),  # within a list a whole number is no float
        ("points", [[1, 2]], [1, 2], True),
        ("pair", [[1, 2]], [1, 2], True),
        ("who", [{"name": ["Ann"], "age": [3, ""]}], {"name": "ann"}, True),
        ("who", [{"name": ["Ann"], "age": [3, ""]}], {"name": "ann", "age": 3}, True),
        ("who", [{"name": ["Ann"]}], {}, False),
        ("who", [{"name": ["Ann"]}], {"name": "Ann", "more": 1}, False),
        ("who", [{"name": ["Ann"]}, {"name": ["Bob"]}], {"name": "Bob"}, True),
        ("all", [[{"a": [1]}, {"a": [2]}]], [{"a": 1}, {"a": 2}], True),
        ("all", [[{"a": [1]}, {"a": [2]}]], [{"a": 2}, {"a": 1}], False),
        ("all", [[{"a": [1]}]], [], False),
        ("any", ["x"], "X", True),
        ("any", [5], 5, True),
        ("city", [""], "Rome", False),  # it may only be left out
    ],
)
def test_a_value_is_accepted_or_not(name: str, accepted: list[Any], value: Any, wanted: bool) -> None:
    assert is_right({name: accepted}, {name: value}) is wanted


@pytest.mark.parametrize(
    ("accepted", "given", "wanted"),
    [
        ({"city": ["Rome"], "days": [3, ""]}, {"city": "Rome"}, True),
        ({"city": ["Rome"], "days": [3, ""]}, {"city": "Rome", "days": 4}, False),
        ({"city": ["Rome"], "days": [3]}, {"city": "Rome"}, False),
        ({"city": ["Rome"]}, {"city": "Rome", "days": 3}, False),
        ({"city": ["Rome"]}, {"city": "Rome", "unknown": 3}, False),
        ({}, {}, True),
    ],
)
def test_what_may_be_left_out_and_nothing_else(accepted: dict[str, Any], given: dict[str, Any], wanted: bool) -> None:
    assert is_right(accepted, given) is wanted


def test_a_required_parameter_may_not_be_left_out() -> None:
    tools = (ToolSpec("weather", "", {"properties": PROPERTIES, "required": ["city"]}),)
    score = bfcl.score(question({"weather": {"city": ["Rome", ""]}}, tools=tools), Reply("", (ToolCall("weather", {}),)))
    assert (score.right, score.why) == (0, "city is missing")


@pytest.mark.parametrize(
    "schema",
    [{"properties": 5}, {"properties": {"city": 7}}, {"properties": {"city": {"type": "array", "items": 3}}}, {"required": 3},
     {"required": [[1]]}, {"properties": None, "required": None}, {"properties": {"city": {"type": ["string", 3]}}}],
)  # fmt: skip
def test_a_schema_that_is_none_ends_no_run(schema: dict[str, Any]) -> None:
    """Fails when one odd tool of a file costs all questions behind it."""
    asked = question({"weather": {"city": ["Rome"]}}, tools=(ToolSpec("weather", "", schema),))
    for arguments in ({"city": "Rome"}, {"city": ["Rome"]}, {}):
        assert bfcl.score(asked, Reply("", (ToolCall("weather", arguments),))).right in (0, 1)


def test_several_calls_are_right_in_any_order() -> None:
    asked = question({"weather.get": {"city": ["Rome"]}}, {"weather.get": {"city": ["Oslo"]}}, {"other": {"days": [1]}})
    oslo, rome, other = ToolCall("weather.get", {"city": "Oslo"}), ToolCall("weather.get", {"city": "Rome"}), ToolCall("other", {"days": 1})
    assert bfcl.score(asked, Reply("", (other, oslo, rome))).right == 1
    assert bfcl.score(asked, Reply("", (rome, rome, other))).why == 'city is "Rome"'
    assert bfcl.score(asked, Reply("", (rome, oslo))).why == "2 calls instead of 3"
    assert bfcl.score(asked, Reply("", (rome, oslo, other, other))).right == 0
    assert bfcl.score(asked, Reply("I cannot.")).parts == {"with a call": 0}
    twice = question({"weather.get": {"city": ["Rome"]}}, {"weather.get": {"city": ["Rome"]}})
    assert [bfcl.score(twice, Reply("", calls)).right for calls in ((rome, rome), (rome, oslo))] == [1, 0]


def test_another_tool_is_wrong() -> None:
    score = bfcl.score(question({"weather.get": {"days": [1]}}), Reply("", (ToolCall("other", {"days": 1}),)))
    assert (score.right, score.why) == (0, "other is called instead of weather.get")


def test_a_tool_is_also_known_by_underscores_where_it_is_offered_so() -> None:
    offered = (ToolSpec("weather_get", "", {"properties": PROPERTIES}),)
    asked = question({"weather.get": {"days": [1]}}, tools=offered)
    assert bfcl.score(asked, Reply("", (ToolCall("weather_get", {"days": 1}),))).right == 1
    assert bfcl.score(asked, Reply("", (ToolCall("weather.get", {"days": 1}),))).right == 0
    assert bfcl.score(question({"weather.get": {"days": [1]}}), Reply("", (ToolCall("weather_get", {"days": 1}),))).right == 0


def test_where_no_tool_fits_no_call_is_right() -> None:
    asked = Question("q", "?", kind=Kind.NO_CALL)
    scores = [bfcl.score(asked, Reply("No tool does that.")), bfcl.score(asked, Reply("", (ToolCall("other", {}),)))]
    assert [score.right for score in scores] == [1, 0]
    assert bfcl.summary(scores) == {"with a call": 0.5, "calls fit": 0}  # there is no such tool
    assert bfcl.summary([]) == {}


def test_calls_fit_their_schemas_or_not_whether_they_are_the_right_ones_or_not() -> None:
    """What the grammar promises is another figure than what is right. Fails when replies without a call count in it."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    asked = question({"weather.get": {"city": ["Rome"]}}, tools=(ToolSpec("weather.get", "", schema),))
    replies = [(ToolCall("weather.get", {"city": "Oslo"}),), (ToolCall("weather.get", {"city": 5}),), ()]
    scores = [bfcl.score(asked, Reply("", calls)) for calls in replies]
    assert [score.parts.get("calls fit") for score in scores] == [1, 0, None]
    assert bfcl.summary(scores) == {"with a call": 2 / 3, "calls fit": 0.5}


@pytest.mark.parametrize("answers", [(), ("{",), ("[]",), ("{}",), ('{"other": [1]}',), ('{"other": {"days": 1}}',), ('{"unknown": {}}',)])
def test_data_without_calls_that_the_tools_can_make_is_named(answers: tuple[str, ...]) -> None:
    asked = Question("q", "?", tools=question().tools, answers=answers, kind=Kind.CALLS)
    with pytest.raises(UsageError, match='The question "q"'):
        bfcl.expected_calls(asked)


@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_odd_data_is_wrong_and_no_failure(name: str) -> None:
    for accepted in ([{"a": 1}], [3], ["x"], [[3]], [{"a": {"b": [1]}}], [None]):
        for value in ({"a": 1}, [{"a": 1}], [3], "x", None):
            assert is_right({name: accepted}, {name: value}) in (True, False)
