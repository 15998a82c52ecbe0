"""From a JSON Schema to GBNF rules. What a schema asks beyond them is noted, not refused; whatever the schema is, nothing raises but
`TooLargeError` (and RecursionError).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from math import ceil, floor
from typing import TypeGuard

import msgspec

from nemochat.domain.messages import ToolSpec
from nemochat.prompt import gbnf
from nemochat.prompt.gbnf import Rules, TooLargeError
from nemochat.prompt.schemas import (
    ANNOTATIONS,
    NEVER,
    Schema,
    UnknownReference,
    are_disjoint,
    as_schema,
    follow,
    has_type,
    listing,
    mapping,
    merge,
    names,
)

_MAX_STEPS = 20_000
"""Schemas looked at in making one grammar, those behind references counted each time."""
_MAX_NESTING = 24
"""Objects and arrays within one another; a call may have 32."""
_MAX_RECURSION = 3
"""How often a definition may stand within itself."""
_MAX_REPEAT = 1900
"""llama.cpp refuses to repeat anything 2,000 times."""
_ANY_NESTING = 2

_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_COMPOSITES = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_COVERED = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "additionalItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
}
"""Keywords that the grammar holds to, by the type whose values they are about."""
_NOT_COVERED = {
    "object": {"patternProperties", "dependentRequired", "dependentSchemas", "dependencies"},
    "array": {"contains", "uniqueItems", "unevaluatedItems"},
    "string": {"pattern"},
    "integer": {"multipleOf"},
    "number": {"multipleOf"},
}


class Limits(msgspec.Struct, frozen=True):
    """The largest lengths where a schema asks for no more: characters of a string, items of an array, keys of a free object."""

    string: int = 1000
    items: int = 16
    keys: int = 8


class Compiler:
    """Turns the schema of one tool into rules. Expressions are None for what nothing fits, or nothing short enough."""

    def __init__(self, tool: ToolSpec, rules: Rules, limits: Limits, uncovered: dict[str, None]) -> None:
        self._tool = tool
        self._root = as_schema(tool.parameters)
        self._rules = rules
        self._limits = limits
        self._uncovered = uncovered
        self._path: list[str] = []
        self._entered: Counter[str] = Counter()
        self._nesting = 0
        self._steps = 0

    def arguments(self) -> str:
        """The tool's arguments: an object, without any properties when the schema names none."""
        schema = {**self._root, "type": "object"}
        if not any(schema.get(key) for key in (*_COMPOSITES, "properties", "required")):
            schema.setdefault("additionalProperties", False)
        expression = self._expression(schema)
        if expression is None:
            self._give_up("the whole schema")
            expression = self._expression({"type": "object"})
        return expression or '"{}"'

    def _give_up(self, keyword: str) -> None:
        place = f" of {'.'.join(self._path)}" if self._path else ""
        self._uncovered[f"{self._tool.name}: {keyword}{place}"] = None

    @contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._path.append(step)
        try:
            yield
        finally:
            self._path.pop()

    def _expression(self, value: object) -> str | None:
        """A name or literal for what fits a schema."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise TooLargeError
        references: list[str] = []
        schema = self._flat(as_schema(value), references)
        self._entered.update(references)
        try:
            if any(self._entered[reference] > _MAX_RECURSION for reference in references):
                return None
            return self._flat_expression(schema)
        finally:
            self._entered.subtract(references)

    def _flat(self, schema: Schema, references: list[str]) -> Schema:
        """The schema with its own reference followed and all of ``allOf`` merged in; the references on the way are noted."""
        plain = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        parts = list(listing(schema.get("allOf")))
        if "$ref" in schema:
            reference = str(schema["$ref"])
            if references.count(reference) > _MAX_RECURSION:
                return NEVER
            references.append(reference)
            try:
                parts.append(follow(self._root, schema["$ref"]))
            except UnknownReference:
                self._give_up("$ref")
        for part in parts:
            plain = merge(plain, self._flat(as_schema(part), references), self._give_up)
        return plain

    def _flat_expression(self, schema: Schema) -> str | None:
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._alternatives(schema, key)
        for key in sorted(schema.keys() & {"not", "if", "$dynamicRef", "$recursiveRef"}):
            self._give_up(key)
        if "enum" in schema or "const" in schema:
            return self._listed(schema)
        types = [name for name in dict.fromkeys(names(schema.get("type"))) if name in _TYPES]
        if "type" not in schema:
            types = [name for name in ("object", "array", "string", "number") if schema.keys() & (_COVERED[name] | _NOT_COVERED[name])][:1]
        elif not types and schema["type"] != []:
            self._give_up("type")
        if not types and schema.get("type") != []:
            return self._any(_ANY_NESTING)
        return self._choice([self._typed(name, schema) for name in types if not (name == "integer" and "number" in types)])

    def _alternatives(self, schema: Schema, key: str) -> str | None:
        """``anyOf`` and ``oneOf``: each alternative together with what stands beside them."""
        beside = {name: value for name, value in schema.items() if name != key}
        parts = [as_schema(part) for part in listing(schema[key])]
        if key == "oneOf":
            flat = [self._flat(part, []) for part in parts]
            if not all(are_disjoint(one, other) for index, one in enumerate(flat) for other in flat[:index]):
                self._give_up("oneOf")
        constraining = beside.keys() - ANNOTATIONS
        return self._choice([self._expression({"allOf": [beside, part]} if constraining else part) for part in parts])

    def _choice(self, expressions: Sequence[str | None]) -> str | None:
        possible = list(dict.fromkeys(expression for expression in expressions if expression is not None))
        return self._rules.add(" | ".join(possible)) if len(possible) > 1 else next(iter(possible), None)

    def _listed(self, schema: Schema) -> str | None:
        """``enum`` and ``const``: the values of the right type, one after another."""
        values = [schema["const"]] if "const" in schema else list(listing(schema["enum"]))
        for key in sorted(schema.keys() - ANNOTATIONS - {"enum", "const", "type", "not", "if", "then", "else"}):
            self._give_up(key)
        if "type" in schema:
            values = [value for value in values if has_type(value, names(schema["type"]))]
        literals = []
        for value in values:
            try:
                literals.append(gbnf.json_literal(value))
            except (ValueError, TypeError):
                self._give_up("enum")
        return self._choice(literals)

    def _typed(self, name: str, schema: Schema) -> str | None:
        for key in sorted(schema.keys() & _NOT_COVERED.get(name, set())):
            if schema[key] not in (False, None, {}):
                self._give_up(key)
        match name:
            case "object" | "array":
                if self._nesting >= _MAX_NESTING:
                    return None
                self._nesting += 1
                try:
                    return self._object(schema) if name == "object" else self._array(schema)
                finally:
                    self._nesting -= 1
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(name, schema)
        return name

    def _string(self, schema: Schema) -> str:
        kind = schema.get("format")
        if isinstance(kind, str):
            if kind in gbnf.FORMATS:
                for key in sorted(schema.keys() & {"minLength", "maxLength"}):
                    self._give_up(key)
                return self._rules.add(gbnf.quoted(gbnf.FORMATS[kind]))
            self._give_up("format")
        low, high = self._bounds(schema, "minLength", "maxLength", self._limits.string)
        return self._rules.add(gbnf.quoted(f"char{{{low},{high}}}"))

    def _bounds(self, schema: Schema, least: str, most: str, limit: int) -> tuple[int, int]:
        """The smallest and the largest number of characters or items."""
        low, high = (value if _is_count(value := schema.get(key)) else None for key in (least, most))
        low = max(0, low or 0)
        if low > _MAX_REPEAT or (high is not None and high < low):
            self._give_up(least)
            low = 0
        high = max(low, limit) if high is None else min(high, max(low, limit))
        return low, min(max(0, high), _MAX_REPEAT)

    def _number(self, name: str, schema: Schema) -> str | None:
        bounds = {key: value for key in sorted(_COVERED[name]) if (value := _decimal(schema.get(key))) is not None}
        if not bounds:
            return name
        low, high = bounds.get("minimum"), bounds.get("maximum")
        above, below = bounds.get("exclusiveMinimum"), bounds.get("exclusiveMaximum")
        is_above = above is not None and (low is None or above >= low)
        is_below = below is not None and (high is None or below <= high)
        low, high = (above if is_above else low), (below if is_below else high)
        if name == "number":
            expression = gbnf.number_between(low, high, above=is_above, below=is_below)
        else:
            first = None if low is None else ceil(low) + (is_above and low == ceil(low))
            last = None if high is None else floor(high) - (is_below and high == floor(high))
            expression = gbnf.integer_between(first, last)
        if expression is None:
            for key in bounds:
                self._give_up(key)
            return name
        return self._rules.add(expression)

    def _array(self, schema: Schema) -> str | None:
        items = schema.get("items", True)
        first = listing(schema.get("prefixItems")) or listing(items)
        if isinstance(items, list):
            items = schema.get("additionalItems", True)
        low, high = self._bounds(schema, "minItems", "maxItems", self._limits.items)
        with self._at("[]"):
            heads = [self._expression(part) for part in first[:high]]
            item = self._expression(items) if high > len(heads) else None
        usable = next((index for index, head in enumerate(heads) if head is None), len(heads))
        heads = heads[:usable]
        if item is None or usable < len(first[:high]):
            high = usable
        if high < low:
            return None
        terms = [head or "" for head in heads]
        separated = [term if not index else f'"," ws {term}' for index, term in enumerate(terms)]
        body = self._tail(item, low - len(terms), high - len(terms), has_head=bool(terms))
        for index in range(len(separated) - 1, -1, -1):
            body = f"{separated[index]} {body}".strip()
            body = body if index < low else f"({body})?"
        return self._rules.add(f'"[" {body} "]"')

    def _tail(self, item: str | None, low: int, high: int, *, has_head: bool) -> str:
        """From `low` to `high` items behind those of a fixed place."""
        low = max(0, low)
        if item is None or high <= 0:
            return ""
        if has_head:
            return f'("," ws {item}){{{low},{high}}}'
        rest = f'("," ws {item}){{{max(0, low - 1)},{high - 1}}}'
        return f"{item} {rest}" if low else f"({item} {rest})?"

    def _object(self, schema: Schema) -> str | None:
        declared = dict(mapping(schema.get("properties")))
        required = names(schema.get("required"))
        others = schema.get("additionalProperties", True)
        declared.update({name: others for name in required if name not in declared})
        pairs: list[tuple[str, bool]] = []
        for name, value in declared.items():
            with self._at(name):
                expression = self._expression(value)
            if expression is None and name in required:
                return None
            if expression is not None and (key := self._key(name)):
                pairs.append((f"{key} ws {expression}", name in required))
        self._check_size(schema, declared, required)
        if not declared and others is not False:
            with self._at("*"):
                return self._free_object(self._expression(others))
        return self._rules.add(f'"{{" {self._pairs(pairs)} "}}"')

    def _check_size(self, schema: Schema, declared: Schema, required: Sequence[str]) -> None:
        """Name what is not held to about the number of properties, and the names of those that are not declared."""
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(declared))
        if not _is_count(least) or least > len(set(required)):
            self._give_up("minProperties")
        if not _is_count(most) or most < len(declared) or (not declared and "maxProperties" in schema):
            self._give_up("maxProperties")
        for key in ("propertyNames", "unevaluatedProperties"):
            if not declared and key in schema:
                self._give_up(key)

    def _key(self, name: str) -> str:
        try:
            return f'{gbnf.json_literal(name)} ":"'
        except ValueError:
            self._give_up("properties")
            return ""

    def _free_object(self, value: str | None) -> str:
        if value is None:
            return '"{}"'
        key = self._rules.add(gbnf.quoted("char{1,40}"))
        pair = self._rules.add(f'{key} ":" ws {value}')
        return self._rules.add(f'"{{" ({pair} ("," ws {pair}){{0,{self._limits.keys - 1}}})? "}}"')

    def _pairs(self, pairs: Sequence[tuple[str, bool]]) -> str:
        """The pairs in their order, the optional ones there or not, with commas between those that are.

        `first` is what may follow while none is written, `after` what may follow behind one.
        """
        first = after = ""
        for pair, is_required in reversed(pairs):
            if not is_required:
                # They are mentioned twice from here on: without rules of their own, each step would double the text.
                first, after = (self._rules.add(rest) if rest else "" for rest in (first, after))
            chosen = f"{pair} {after}".strip()
            behind = f'"," ws {chosen}'
            if is_required:
                first, after = chosen, behind
            else:
                first = f"({chosen} | {first})" if first else f"({chosen})?"
                after = f"({behind} | {after})" if after else f"({behind})?"
        return first

    def _any(self, nesting: int) -> str:
        """Any JSON value, with objects and arrays so deep in one another."""
        scalar = self._rules.add(f"{self._string({})} | number | boolean | null")
        if not nesting:
            return scalar
        inner = self._any(nesting - 1)
        more = self._limits.items - 1
        array = self._rules.add(f'"[" ({inner} ("," ws {inner}){{0,{more}}})? "]"')
        return self._rules.add(f"{scalar} | {self._free_object(inner)} | {array}")


def _is_count(value: object) -> TypeGuard[int]:
    """Whether a schema's value is a whole number; true and false are none, though Python takes them for 1 and 0."""
    return isinstance(value, int) and not isinstance(value, bool)


def _decimal(value: object) -> Decimal | None:
    """A number of a schema, exactly as it was written; None for what is no number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Decimal(str(value)) if is_number and Decimal(str(value)).is_finite() else None
