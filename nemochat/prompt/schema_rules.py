"""From a JSON Schema to GBNF rules. What a schema asks beyond them is noted, not refused; whatever the schema is, nothing raises but
`TooLargeError` (and RecursionError).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from math import ceil, floor
from typing import NamedTuple, TypeGuard

from nemochat.domain.messages import ToolSpec
from nemochat.prompt import gbnf
from nemochat.prompt.calls import ITEM
from nemochat.prompt.gbnf import Notation, Rules, TooLargeError
from nemochat.prompt.schemas import (
    ANNOTATIONS,
    NEVER,
    TYPES,
    References,
    Schema,
    UnknownReference,
    are_disjoint,
    as_schema,
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
RECURSIONS = (12, 3)
"""How often a definition may stand within itself; the smaller one where the larger would be too much."""
_LONGEST_LEAST = gbnf.MAX_REPEAT * gbnf.MAX_REPEAT
_ANY_NESTING = 8
_ELEMENTS = 4
"""How deep elements stand in one another."""

_COMPOSITES = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_COVERED = {
    "object": {"properties", "required", "additionalProperties", "propertyNames"},
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


class Parameter(NamedTuple):
    """One argument of a tool."""

    name: str
    schema: Schema
    is_required: bool


class Compiler:
    """Turns the schema of one tool into rules. Expressions are None for what nothing fits, or nothing that ends soon enough."""

    def __init__(
        self, tool: ToolSpec, rules: Rules, recursion: int, uncovered: dict[str, None], notation: Notation = gbnf.JSON
    ) -> None:
        self._tool = tool
        self._notation = notation
        self._references = References(as_schema(tool.parameters))
        self._rules = rules
        self._recursion = recursion
        self._uncovered = uncovered
        self._known: dict[object, str | None] = {}
        self._path: list[str] = []
        self._entered: Counter[str] = Counter()
        self._nesting = 0
        self._steps = 0

    def whole(self) -> str:
        """A value that fits the schema; any object where nothing does."""
        expression = self._expression(self._references.root)
        if expression is None:
            self._give_up("the whole schema")
        return expression or self._any(_ANY_NESTING)

    def arguments(self) -> str:
        """The tool's arguments: an object, without any properties when the schema names none."""
        schema = {**self._references.root, "type": "object"}
        if not any(schema.get(key) for key in (*_COMPOSITES, "properties", "required")):
            schema.setdefault("additionalProperties", False)
        expression = self._expression(schema)
        if expression is None:
            self._give_up("the whole schema")
            expression = self._expression({"type": "object"})
        return expression or '"{}"'

    def parameters(self) -> list[Parameter]:
        """The arguments that the schema declares, each on its own, in its order, and behind them those that must be there all the same."""
        schema = self._flat({**self._references.root, "type": "object"}, [])
        for key in sorted(schema.keys() & {"anyOf", "oneOf", "not", "if", "patternProperties", "minProperties", "maxProperties"}):
            self._give_up(key)
        declared = dict(mapping(schema.get("properties")))
        required = names(schema.get("required"))
        declared.update({name: schema.get("additionalProperties", True) for name in required if name not in declared})
        return [Parameter(name, as_schema(value), name in required) for name, value in declared.items()]

    def give_up(self, parameter: Parameter) -> None:
        """Note that one argument cannot be said."""
        with self._at(parameter.name):
            self._give_up("its name" if parameter.is_required else "its name, so it is left out")

    def value(self, parameter: Parameter) -> str | None:
        """What fits one argument, as JSON; None where nothing does."""
        with self._at(parameter.name):
            return self._expression(parameter.schema)

    def text(self, parameter: Parameter, stop: str) -> str | None:
        """The texts that fit one argument, without quotes, none of which holds `stop`; None where no text does."""
        with self._at(parameter.name):
            schema = self._flat(parameter.schema, [])
            alternatives = [as_schema(part) for key in ("anyOf", "oneOf") for part in listing(schema.get(key))]
            return self._choice([self._text(part, stop) for part in alternatives or [schema]])

    def _text(self, schema: Schema, stop: str) -> str | None:
        schema = self._flat(schema, [])
        if "enum" in schema or "const" in schema:
            values = [schema["const"]] if "const" in schema else listing(schema["enum"])
            return self._choice([gbnf.literal(value) for value in values if isinstance(value, str) and stop not in value])
        if "string" not in names(schema.get("type")):
            return None
        if "pattern" in schema:
            self._give_up("pattern")
        kind = schema.get("format")
        if isinstance(kind, str) and kind in gbnf.FORMATS:
            return self._rules.add(gbnf.FORMATS[kind])
        if kind is not None:
            self._give_up("format")
        low, high = self._bounds(schema, "minLength", "maxLength")
        if high is not None and high < low:
            return None
        if low or high is not None:
            return self._rules.add(self._repeated(self._rules.add(gbnf.other_char(stop)), low, high))
        return gbnf.without(stop, self._rules)

    def element(self, parameter: Parameter, opens: str, closes: str, last: str) -> str | None:
        """One argument as an element (see `CallStyle`): text, JSON, or elements in it. None where nothing fits."""
        return self._element(parameter.name, parameter.schema, (opens, closes, last), _ELEMENTS)

    def _element(self, name: str, schema: Schema, around: tuple[str, str, str], room: int) -> str | None:
        opens, closes, last = around
        stop = f"{closes}{name}{last}"
        with self._at(name):
            flat = self._flat(schema, [])
            parts = [self._flat(as_schema(part), []) for key in ("anyOf", "oneOf") for part in listing(flat.get(key))] or [flat]
            texts = [self._text(part, stop) for part in parts]
            # Where a text may stand, elements would be read as one.
            room = room if all(text is None for text in texts) else 0
            content = self._choice([*texts, *(self._content(part, around, room) for part in parts)])
        return None if content is None else self._rules.add(f"{gbnf.literal(f'{opens}{name}{last}')} ({content}) {gbnf.literal(stop)}")

    def _content(self, schema: Schema, around: tuple[str, str, str], room: int) -> str | None:
        """What stands in an element besides text; what is nested deeper than there is room for is said in JSON."""
        types = names(schema.get("type"))
        if "enum" in schema or "const" in schema:
            values = [schema["const"]] if "const" in schema else listing(schema["enum"])
            return self._expression({"enum": [value for value in values if not isinstance(value, str)]})
        if "string" in types:
            others = [name for name in types if name != "string"]
            return self._expression({**schema, "type": others}) if others else None
        if not room:
            return self._expression(schema)
        if types == ["object"] and (declared := mapping(schema.get("properties"))):
            required = names(schema.get("required"))
            elements = [(name, self._element(name, as_schema(below), around, room - 1)) for name, below in declared.items()]
            if any(each is None and name in required for name, each in elements):
                return None
            return " ".join(each if name in required else f"({each})?" for name, each in elements if each is not None)
        if types == ["array"] and (item := self._element(ITEM, as_schema(schema.get("items", {})), around, room - 1)) is not None:
            low, high = self._bounds(schema, "minItems", "maxItems")
            return gbnf.repeated(item, low, high)
        return self._expression(schema)

    def pairs(self, pairs: Sequence[tuple[str, bool]]) -> str:
        """Expressions in their order with commas between those that are there; each may be left out that is not required."""
        return self._pairs(pairs, None)

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
        schema = as_schema(value)
        is_reference = schema.keys() - ANNOTATIONS == {"$ref"}
        # Where it stands counts only by how much room is left.
        key = (str(schema["$ref"]), self._nesting, frozenset((+self._entered).items())) if is_reference else None
        if key is None or key not in self._known:
            self._known[key] = self._entered_expression(schema)
        return self._known[key]

    def _entered_expression(self, schema: Schema) -> str | None:
        references: list[str] = []
        flat = self._flat(schema, references)
        self._entered.update(references)
        try:
            if any(self._entered[reference] > self._recursion for reference in references):
                return None
            return self._flat_expression(flat)
        finally:
            self._entered.subtract(references)

    def _flat(self, schema: Schema, references: list[str]) -> Schema:
        """The schema with its own reference followed and all of ``allOf`` merged in; the references on the way are noted."""
        plain = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        parts = list(listing(schema.get("allOf")))
        if "$ref" in schema:
            reference = str(schema["$ref"])
            if references.count(reference) > self._recursion:
                return NEVER
            references.append(reference)
            try:
                parts.append(self._references.follow(reference))
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
        types = [name for name in dict.fromkeys(names(schema.get("type"))) if name in TYPES]
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
                literals.append(self._notation.literal(value))
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

    def _string(self, schema: Schema) -> str | None:
        kind = schema.get("format")
        if isinstance(kind, str):
            if kind in gbnf.FORMATS:
                for key in sorted(schema.keys() & {"minLength", "maxLength"}):
                    self._give_up(key)
                return self._rules.add(self._notation.quoted(gbnf.FORMATS[kind]))
            self._give_up("format")
        low, high = self._bounds(schema, "minLength", "maxLength")
        if high is not None and high < low:
            return None
        return self._rules.add(self._notation.quoted(self._repeated(self._notation.char, low, high)))

    def _bounds(self, schema: Schema, least: str, most: str) -> tuple[int, int | None]:
        """The smallest and the largest number of characters, items or properties; None where there is no largest."""
        low, high = (value if _is_count(value := schema.get(key)) else None for key in (least, most))
        low = max(0, low or 0)
        if high is not None and high < low:
            return low, high
        if low > _LONGEST_LEAST:
            self._give_up(least)
            low = 0
        if high is not None and high > gbnf.MAX_REPEAT:
            self._give_up(most)
            high = None
        return low, high

    def _repeated(self, name: str, low: int, high: int | None) -> str:
        """A rule so often; a smallest number that is too large for llama.cpp is told in blocks."""
        if low <= gbnf.MAX_REPEAT:
            return gbnf.repeated(name, low, high)
        blocks, rest = divmod(low, gbnf.MAX_REPEAT)
        block = self._rules.add(f"{name}{{{gbnf.MAX_REPEAT}}}")
        return f"{block}{{{blocks}}} {gbnf.repeated(name, rest, None)}"

    def _number(self, name: str, schema: Schema) -> str | None:
        bounds = {key: value for key in sorted(_COVERED[name]) if (value := _decimal(schema.get(key))) is not None}
        for key in [key for key, bound in bounds.items() if not gbnf.is_writable(bound)]:
            self._give_up(key)
            del bounds[key]
        if not bounds:
            return name
        low, high = bounds.get("minimum"), bounds.get("maximum")
        above, below = bounds.get("exclusiveMinimum"), bounds.get("exclusiveMaximum")
        is_above = above is not None and (low is None or above >= low)
        is_below = below is not None and (high is None or below <= high)
        low, high = (above if is_above else low), (below if is_below else high)
        if name == "number":
            if low is not None and high is not None and (low > high or (low == high and (is_above or is_below))):
                return None
            return self._rules.add(gbnf.number_between(low, high, above=is_above, below=is_below))
        first = None if low is None else ceil(low) + (is_above and low == ceil(low))
        last = None if high is None else floor(high) - (is_below and high == floor(high))
        if first is not None and last is not None and first > last:
            return None
        return self._rules.add(gbnf.integer_between(first, last))

    def _array(self, schema: Schema) -> str | None:
        items = schema.get("items", True)
        first = listing(schema.get("prefixItems")) or listing(items)
        if isinstance(items, list):
            items = schema.get("additionalItems", True)
        low, high = self._bounds(schema, "minItems", "maxItems")
        first = first[:high]
        with self._at("[]"):
            heads = [self._expression(part) for part in first]
            item = self._expression(items) if high is None or high > len(heads) else None
        terms = list(itertools.takewhile(bool, heads))
        if item is None or len(terms) < len(first):
            high = len(terms)
        if high is not None and high < low:
            return None
        separated = [term if not index else f'"," ws {term}' for index, term in enumerate(terms)]
        body = self._tail(item, low - len(terms), None if high is None else high - len(terms), has_head=bool(terms))
        for index in range(len(separated) - 1, -1, -1):
            body = f"{separated[index]} {body}".strip()
            body = body if index < low else f"({body})?"
        return self._rules.add(f'"[" {body} "]"')

    def _tail(self, item: str | None, low: int, high: int | None, *, has_head: bool) -> str:
        """From `low` to `high` items, or pairs, behind those of a fixed place."""
        low = max(0, low)
        if item is None or (high is not None and high <= 0):
            return ""
        more = self._rules.add(f'"," ws {item}')
        if has_head:
            return self._repeated(more, low, high)
        rest = self._repeated(more, max(0, low - 1), None if high is None else high - 1)
        return f"{item} {rest}" if low else f"({item} {rest})?"

    def _object(self, schema: Schema) -> str | None:
        declared = dict(mapping(schema.get("properties")))
        required = names(schema.get("required"))
        others = schema.get("additionalProperties", True)
        declared.update({name: others for name in required if name not in declared})
        if declared and "additionalProperties" not in schema:
            others = False
        pairs: list[tuple[str, bool]] = []
        for name, value in declared.items():
            with self._at(name):
                expression = self._expression(value)
            if expression is None and name in required:
                return None
            if expression is not None and (key := self._key(name)):
                pairs.append((f"{key} ws {expression}", name in required))
        with self._at("*"):
            other = self._other_pair(schema, others, declared)
        if not pairs:
            low, high = self._bounds(schema, "minProperties", "maxProperties")
            if (high is not None and high < low) or (other is None and low > 0):
                return None
            return self._rules.add(f'"{{" {self._tail(other, low, high, has_head=False)} "}}"')
        self._check_size(schema, len(pairs), len(set(required)), has_others=other is not None)
        return self._rules.add(f'"{{" {self._pairs(pairs, other)} "}}"')

    def _other_pair(self, schema: Schema, others: object, declared: Iterable[str]) -> str | None:
        """A pair whose name is not declared; None where there is none."""
        value = self._expression(others) if others is not False else None
        if value is None:
            return None
        if "propertyNames" in schema:
            named: Schema = {"type": ["string"]}
            key = self._expression({"allOf": [named, schema["propertyNames"]]})
        else:
            key = self._rules.add(self._notation.other_key(declared))
        return None if key is None else self._rules.add(f'{key} ":" ws {value}')

    def _check_size(self, schema: Schema, declared: int, required: int, *, has_others: bool) -> None:
        """Name what is not held to about the number of properties, and of the names of those that are declared."""
        least, most = schema.get("minProperties", 0), schema.get("maxProperties")
        if not _is_count(least) or least > required:
            self._give_up("minProperties")
        if most is not None and (not _is_count(most) or most < declared or has_others):
            self._give_up("maxProperties")
        for key in ("propertyNames", "unevaluatedProperties"):
            if key in schema:
                self._give_up(key)

    def _key(self, name: str) -> str:
        try:
            return f'{self._notation.key(name)} ":"'
        except ValueError:
            self._give_up("properties")
            return ""

    def _pairs(self, pairs: Sequence[tuple[str, bool]], other: str | None) -> str:
        """The pairs in their order, the optional ones there or not, and any number of others, with commas between those that are.

        `first` is what may follow while none is written, `after` what may follow behind one.
        """
        first, after = (self._tail(other, 0, None, has_head=has_head) for has_head in (False, True))
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
        scalar = self._rules.add(f"{self._notation.quoted(f'{self._notation.char}*')} | number | boolean | null")
        if not nesting:
            return scalar
        inner = self._any(nesting - 1)
        pair = self._rules.add(f'{self._notation.other_key(())} ":" ws {inner}')
        pairs, items = (self._tail(each, 0, None, has_head=False) for each in (pair, inner))
        return self._rules.add(f'{scalar} | "{{" {pairs} "}}" | "[" {items} "]"')


def _is_count(value: object) -> TypeGuard[int]:
    """Whether a schema's value is a whole number; true and false are none, though Python takes them for 1 and 0."""
    return isinstance(value, int) and not isinstance(value, bool)


def _decimal(value: object) -> Decimal | None:
    """A number of a schema, exactly as it was written, zero without a sign; None for what is no number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    number = Decimal(str(value or 0))
    return number if number.is_finite() else None
