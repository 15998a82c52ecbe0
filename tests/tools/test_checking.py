"""The check behind every call: each keyword of JSON Schema, in bounds, and nothing is ever fetched."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nemochat.tools.checking import complaint

PLACE = {"$id": "https://example.org/place", "$defs": {"name": {"$anchor": "n", "const": "here"}}, "$ref": "#n"}
BY_ID = {"$id": "https://example.org/root", "properties": {"x": {"$ref": "place"}}, "$defs": {"p": PLACE}}


def of(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}}


@pytest.mark.parametrize(("schema", "right", "wrong"), [
    (of({"pattern": "^a+$"}), "aa", "ab"),
    (of({"multipleOf": 7}), 14, 15),
    (of({"uniqueItems": True}), [1, 2], [1, 1]),
    (of({"if": {"type": "string"}, "then": {"minLength": 2}}), "ab", "a"),
    (of({"minProperties": 1}), {"a": 1}, {}),
    (of({"propertyNames": {"maxLength": 1}}), {"a": 1}, {"ab": 1}),
    (of({"oneOf": [{"type": "integer"}, {"minimum": 5}]}), 3, 6),
    (of({"minLength": 5000}), "a" * 5000, "a" * 4999),
    (of({"type": "integer", "maximum": 10**20}), 10**20, 10**20 + 1),
    (of({"contains": {"const": 1}}), [0, 1], [0]),
    (of({"not": {"type": "null"}}), 1, None),
    (of({"dependentRequired": {"a": ["b"]}}), {"a": 1, "b": 2}, {"a": 1}),
    (of({"patternProperties": {"^s": {"type": "string"}}}), {"s": "x"}, {"s": 1}),
    (of({"unevaluatedProperties": False, "properties": {"a": {}}}), {"a": 1}, {"b": 1}),
    ({**of({"$ref": "#word"}), "$defs": {"w": {"$anchor": "word", "type": "string"}}}, "a", 1),
    (BY_ID, "here", "there"),
    ({"$schema": "http://json-schema.org/draft-07/schema#", **of({"items": [{"type": "integer"}], "additionalItems": False})}, [1], [1, 2]),
    (of({"items": [{"type": "integer"}]}), [1], ["a"]),
    (of({"type": "integer", "minimum": 3, "exclusiveMinimum": True}), 4, 3),
])  # fmt: skip
def test_each_keyword_counts(schema: Any, right: Any, wrong: Any) -> None:
    assert complaint({"x": right}, schema) == ""
    assert complaint({"x": wrong}, schema)


@pytest.mark.parametrize("schema", [
    False, {"enum": []}, {"type": "integer", "minimum": 5, "maximum": 3}, {"allOf": [{"type": "string"}, {"type": "null"}]},
])  # fmt: skip
def test_nothing_fits_what_cannot_be_fulfilled(schema: Any) -> None:
    values: list[Any] = [None, 1, 4, "a", [], {}]
    assert all(complaint({"x": value}, of(schema)) for value in values)


@pytest.mark.parametrize("reference", ["https://example.org/other", "other.json", "file:///etc/passwd", "#nowhere", "#/$defs/none"])
def test_a_reference_that_leads_out_is_not_followed(reference: str) -> None:
    assert "cannot be used" in complaint({"x": 1}, of({"$ref": reference}))


def test_a_schema_that_takes_for_ever_takes_seconds() -> None:
    """A few lines that lead to two to the power of forty checks, and a pattern that goes back and forth."""
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}}
    began = time.monotonic()
    assert "TimeoutError" in complaint({"x": 1}, {**of({"$ref": "#/$defs/d0"}), "$defs": doubling})
    assert "TimeoutError" in complaint({"x": "a" * 40 + "b"}, of({"pattern": "^(a|a)*$"}))
    assert time.monotonic() - began < 20


def test_a_schema_that_is_none_is_said_to_be_broken() -> None:
    assert "own schema is broken" in complaint({"x": 1}, of({"type": "dict"}))
