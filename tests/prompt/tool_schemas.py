"""Tools with varied schemas, the same ones in every run: what real tools ask for, and every construct that the grammar knows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from nemochat.domain.messages import ToolSpec

Schema = dict[str, Any]
NAMES = ("city", "unit", "when", "how many", "größe", "a\"b", "c\\d", "to", "tags", "x-y", "名前", "id", "limit", "path", "note", "$ref")
WORDS = ("celsius", "fahrenheit", "a b", "say \"hi\"", "back\\slash", "naïve", "<b>", "line\nbreak", "", "null", "</toolcall>")
MAX_CHARACTERS = 8


def varied_tools(count: int, *, depth: int = 3, seed: int = 5) -> list[ToolSpec]:
    """So many tools, each with a schema of its own, with so many objects and arrays in one another."""
    chance = random.Random(seed)
    return [_tool(chance, number, depth) for number in range(count)]


def _tool(chance: random.Random, number: int, depth: int) -> ToolSpec:
    name = chance.choice(("get", "find", 'weird "name"', "größe", "a.b-c")) + f"_{number}"
    schema = _object(chance, depth)
    schema["$defs"] = {
        "leaf": _scalar(chance),
        "node": {
            "type": "object",
            "properties": {
                "value": {"$ref": "#/$defs/leaf"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value"],
            "additionalProperties": False,
        },
    }
    return ToolSpec(name, "", schema)


def _any_schema(chance: random.Random, depth: int) -> Schema:
    kinds: list[Callable[[], Schema]] = [
        *[lambda: _scalar(chance)] * 6,
        lambda: {"$ref": chance.choice(("#/$defs/leaf", "#/$defs/node"))},
    ]
    if depth:
        kinds += [
            lambda: _object(chance, depth - 1),
            lambda: _array(chance, depth - 1),
            lambda: {"anyOf": [_any_schema(chance, depth - 1), {"type": "null"}]},
            lambda: {"oneOf": [{"type": "string", "maxLength": 4}, _tagged(chance, "circle", depth), _tagged(chance, "square", depth)]},
            lambda: {"allOf": [_object(chance, depth - 1), {"type": "object"}]},
            lambda: {"type": "object", "additionalProperties": _scalar(chance), "propertyNames": {"maxLength": 8}, "maxProperties": 2},
        ]
    return chance.choice(kinds)()


def _tagged(chance: random.Random, tag: str, depth: int) -> Schema:
    properties = {"kind": {"const": tag}, "size": _any_schema(chance, depth - 1)}
    return {"type": "object", "properties": properties, "required": ["kind"], "additionalProperties": False}


def _object(chance: random.Random, depth: int) -> Schema:
    names = chance.sample(NAMES, chance.randint(0 if depth < 2 else 1, 5))
    schema: Schema = {"type": "object", "properties": {name: _any_schema(chance, depth) for name in names}}
    schema["required"] = [name for name in names if chance.random() < 0.5]
    if chance.random() < 0.5:
        schema["additionalProperties"] = False
    return schema


def _array(chance: random.Random, depth: int) -> Schema:
    if chance.random() < 0.2:
        return {"type": "array", "prefixItems": [_scalar(chance), _scalar(chance)], "items": False, "minItems": chance.randint(0, 2)}
    low = chance.randint(0, 2)
    return {"type": "array", "items": _any_schema(chance, depth), "minItems": low, "maxItems": low + chance.randint(0, 3)}


def _scalar(chance: random.Random) -> Schema:
    low = chance.choice((-1000, -7, 0, 1, 5, 18, 99, 1000))
    high = low + chance.choice((0, 1, 6, 94, 1234, 10**6))
    options: tuple[Schema, ...] = (
        {"type": "string", "maxLength": MAX_CHARACTERS},
        {"type": "string", "minLength": 2, "maxLength": 5},
        {"type": "string", "enum": chance.sample(WORDS, chance.randint(1, 4))},
        {"type": "string", "format": chance.choice(("date", "time", "date-time", "uuid", "ipv4"))},
        {"enum": [1, "one", None, True, 2.5, [1, 2], {"a": "b"}]},
        {"const": chance.choice(WORDS)},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        {"type": "integer", "minimum": low, "maximum": high},
        {"type": "integer", chance.choice(("minimum", "exclusiveMinimum")): low, chance.choice(("maximum", "exclusiveMaximum")): 2**63},
        {"type": "number", "minimum": -1e18, "maximum": 1e18},
        {"type": "number", "minimum": low / 8, "maximum": high / 8 + 0.5},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        {"type": "number", "minimum": -(2**63), chance.choice(("maximum", "exclusiveMaximum")): low + 0.25},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["integer", "null"], "minimum": low, "maximum": 10**25},
        {"type": ["string", "boolean", "number"], "maxLength": MAX_CHARACTERS, "minimum": 1, "maximum": 99},
    )
    return chance.choice(options)
