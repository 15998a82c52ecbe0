"""Whether arguments fit a tool's JSON Schema, said in one sentence. Schemas of MCP servers are not trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import regex

from nemochat.domain.sanitize import sanitize

_PATTERN_SECONDS = 0.2
_SHOWN = 200


def complaint(arguments: dict[str, Any], schema: dict[str, Any]) -> str:
    """What is wrong with the arguments, "" when nothing is. A schema that is no schema fits nothing."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # Python's own `re` can be kept busy for hours by a pattern that a server wrote, so a `regex` with a time limit takes its place.
    # The empty registry keeps "$ref" from fetching anything.
    keywords: dict[str, Any] = {"pattern": _pattern, "patternProperties": _pattern_properties}
    kind = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    registry: Registry[Any] = Registry()
    try:
        kind.check_schema(schema)
        found = best_match(kind(schema, registry=registry).iter_errors(arguments))
    except SchemaError as error:
        return f"The tool's own schema is broken: {_short(error.message)}."
    except (Unresolvable, RecursionError, TimeoutError, regex.error) as error:
        return f"The tool's own schema cannot be used ({type(error).__name__})."
    if found is None:
        return ""
    place = ".".join(str(part) for part in found.absolute_path)
    return f"{_short(found.message)}{f' (in {_short(place)})' if place else ''}."


def _pattern(validator: Any, pattern: str, value: object, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str) and not _found(pattern)(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], value: object, schema: Mapping[str, Any]) -> Iterator[Any]:
    if not isinstance(value, dict):
        return
    for pattern, below in patterns.items():
        is_found = _found(pattern)
        for key, one in value.items():
            if is_found(key):
                yield from validator.descend(one, below, path=key, schema_path=pattern)


def _found(pattern: str) -> Callable[[str], bool]:
    compiled = regex.compile(pattern)
    return lambda text: compiled.search(text, timeout=_PATTERN_SECONDS) is not None


def _short(text: str) -> str:
    clean = sanitize(text, strict=True)
    return clean if len(clean) <= _SHOWN else f"{clean[: _SHOWN // 2]} … {clean[-_SHOWN // 2 :]}"
