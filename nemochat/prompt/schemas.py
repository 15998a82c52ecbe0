"""JSON Schemas made plain for the grammar: local references followed, what must hold together merged into one schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urljoin

Schema = dict[str, Any]
NEVER: Schema = {"enum": []}
"""What nothing fits."""

ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "nullable", "contentMediaType",
     "contentEncoding", "contentSchema", "$comment", "$id", "$schema", "$anchor", "$defs", "definitions", "$vocabulary"}
)  # fmt: skip
"""Keywords that no value can fail."""
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_MAPS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
_DATA = {"const", "enum", "default", "examples", "example"}
_UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}


class UnknownReference(LookupError):
    """A ``$ref`` that leads out of the schema, or nowhere."""


class References:
    """A schema and what its references lead to: pointers, anchors and ids within it. Nothing is ever fetched."""

    def __init__(self, schema: Schema) -> None:
        """schema: from outside. Raises RecursionError."""
        self._places: dict[str, object] = {}
        self.root: Schema = self._whole(schema, "")
        """The schema with each reference written out as a whole address."""
        self._places[""] = self.root

    def follow(self, reference: object) -> object:
        """What a reference in `root` points at. Raises UnknownReference."""
        address, _, pointer = str(reference).partition("#")
        if pointer and not pointer.startswith("/"):
            address, pointer = str(reference), ""
        if address not in self._places:
            raise UnknownReference(f"{reference!r} leads out of the schema, or nowhere.")
        place = self._places[address]
        for step in unquote(pointer[1:]).split("/") if pointer else ():
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict) and name in place:
                place = place[name]
            elif isinstance(place, list) and name.isdecimal() and int(name) < len(place):
                place = place[int(name)]
            else:
                raise UnknownReference(f"{reference!r} leads nowhere.")
        return place

    def _whole(self, value: Any, base: str) -> Any:
        if isinstance(value, list):
            return [self._whole(each, base) for each in value]
        if not isinstance(value, dict):
            return value
        whole: Schema = {}
        if isinstance(named := value.get("$id"), str):
            address = _joined(base, named).removesuffix("#")
            base = base if named.startswith("#") else address
            self._places[address] = whole
        if isinstance(anchor := value.get("$anchor"), str):
            self._places[f"{base}#{anchor}"] = whole
        for key, below in value.items():
            if key == "$ref" and isinstance(below, str):
                whole[key] = _joined(base, below)
            elif key in _MAPS and isinstance(below, dict):
                whole[key] = {name: self._whole(each, base) for name, each in below.items()}
            else:
                whole[key] = below if key in _DATA else self._whole(below, base)
        return whole


def _joined(base: str, reference: str) -> str:
    if reference.startswith("#"):
        return f"{base}{reference}"
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


def as_schema(value: object) -> Schema:
    """A schema as an object: true and what is none allow everything, false nothing."""
    if value is False:
        return NEVER
    return value if isinstance(value, dict) else {}


def mapping(value: object) -> Mapping[str, Any]:
    """An object in a schema; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> Sequence[Any]:
    """A list in a schema; an empty one in place of anything else."""
    return value if isinstance(value, list) else ()


def merge(one: Schema, other: Schema, give_up: Callable[[str], None]) -> Schema:
    """A schema for what fits both. `give_up` is told each keyword that cannot be merged; the first one's then stands alone."""
    merged = dict(one)
    for key, value in other.items():
        if key not in one:
            merged[key] = value
        elif one[key] != value and key not in ANNOTATIONS:
            merged[key] = _both(key, one[key], value, give_up)
    for schema in (one, other):
        if schema.get("additionalProperties") is False and isinstance(merged.get("properties"), dict):
            own = mapping(schema.get("properties"))
            merged["properties"] = {name: value for name, value in merged["properties"].items() if name in own}
    if "const" in merged and not _is_listed(merged["const"], listing(merged.get("enum", [merged["const"]]))):
        return NEVER
    return NEVER if merged.get("type") == [] else merged


def names(value: object) -> list[str]:
    """The names that a ``type`` or ``required`` keyword holds, one or several."""
    return [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]


def has_type(value: object, types: list[str]) -> bool:
    """Whether a JSON value is of one of these types."""
    match value:
        case bool():
            return "boolean" in types
        case int():
            return "integer" in types or "number" in types
        case float():
            return "number" in types or ("integer" in types and value.is_integer())
        case str():
            return "string" in types
        case None:
            return "null" in types
        case list():
            return "array" in types
    return "object" in types


def are_disjoint(one: Schema, other: Schema) -> bool:
    """Whether plainly no value fits both: other types, other listed values, or objects told apart by a property of that kind."""
    listed, others = (_listed(schema) for schema in (one, other))
    if listed is not None and others is not None:
        return not any(_is_listed(value, others) for value in listed)
    types, other_types = (names(schema.get("type")) for schema in (one, other))
    if types and other_types and not _common_types(types, other_types):
        return True
    if listed is not None and other_types:
        return not any(has_type(value, other_types) for value in listed)
    if others is not None and types:
        return not any(has_type(value, types) for value in others)
    if types == other_types == ["object"]:
        shared = set(names(one.get("required"))) & set(names(other.get("required")))
        mine, theirs = mapping(one.get("properties")), mapping(other.get("properties"))
        return any(are_disjoint(as_schema(mine.get(name)), as_schema(theirs.get(name))) for name in shared)
    return False


def _listed(schema: Schema) -> list[object] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _both(key: str, one: Any, other: Any, give_up: Callable[[str], None]) -> Any:
    match key:
        case "properties":
            shared = {name: {"allOf": [one[name], value]} if name in one else value for name, value in mapping(other).items()}
            return {**mapping(one), **shared}
        case "required":
            return list(dict.fromkeys([*names(one), *names(other)]))
        case "type":
            return _common_types(names(one), names(other))
        case "enum":
            return [value for value in listing(one) if _is_listed(value, listing(other))]
        case "items":
            return {"allOf": [one, other]}
        case "additionalProperties":
            return False if one is False or other is False else {"allOf": [one, other]}
        case _ if key in _UPPER and _are_numbers(one, other):
            return min(one, other)
        case _ if key in _LOWER and _are_numbers(one, other):
            return max(one, other)
    give_up(key)
    return one


def _common_types(one: list[str], other: list[str]) -> list[str]:
    mine = [name for name in one if name in other or (name == "integer" and "number" in other)]
    return mine + [name for name in other if name == "integer" and "number" in one and name not in mine]


def _is_listed(value: object, values: Sequence[object]) -> bool:
    """Whether a value is among others, as JSON sees it: true is not 1."""
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


class Known:
    """What a schema says plainly of one value, or what its references lead to. values: what is said of it, in several places."""

    def __init__(self, values: Sequence[object], references: References) -> None:
        self._values, self._references = values, references

    @property
    def types(self) -> set[str] | None:
        """The types that it may have; None where that is not said."""
        each = [_types_of(value, self._references, _MAX_FOLLOWED) for value in self._values]
        return None if None in each or not each else set().union(*(types for types in each if types is not None))

    def below(self, name: str) -> Known:
        """The same of one property of it, or, for "item", of one of its items."""
        parts = list(self._parts())
        said = [mapping(part.get("properties"))[name] for part in parts if name in mapping(part.get("properties"))]
        items = [part["items"] for part in parts if name == "item" and "items" in part]
        return Known(said or items, self._references)

    def _parts(self) -> Iterator[Schema]:
        """What is said of it, with what that refers to or chooses from."""
        waiting, room = list(self._values), _MAX_FOLLOWED
        while waiting and room:
            part, room = as_schema(waiting.pop(0)), room - 1
            yield part
            waiting += [each for key in ("allOf", "anyOf", "oneOf") for each in listing(part.get(key))]
            with suppress(UnknownReference):
                waiting += [self._references.follow(part["$ref"])] if "$ref" in part else []


def known_of(schema: Schema) -> Known:
    """What a whole schema says; nothing where it is nested without end."""
    try:
        references = References(as_schema(schema))
    except RecursionError:
        references = References({})
    return Known([references.root], references)


_MAX_FOLLOWED = 16


def _types_of(value: object, references: References, room: int) -> set[str] | None:
    schema = as_schema(value)
    if not room:
        return None
    if "type" in schema:
        return set(names(schema["type"])) | ({"null"} if schema.get("nullable") is True else set())
    if (listed := _listed(schema)) is not None:
        return {name for name in TYPES for value in listed if has_type(value, [name])}
    if "$ref" in schema:
        try:
            return _types_of(references.follow(schema["$ref"]), references, room - 1)
        except UnknownReference:
            return None
    for key in ("anyOf", "oneOf"):
        each = [_types_of(part, references, room - 1) for part in listing(schema.get(key))]
        if each:
            return None if None in each else set().union(*(types for types in each if types is not None))
    known = [types for part in listing(schema.get("allOf")) if (types := _types_of(part, references, room - 1)) is not None]
    return set.intersection(*known) if known else None
