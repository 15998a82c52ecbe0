"""Whether arguments fit a tool's JSON Schema, said in one sentence. Schemas of MCP servers are not trusted.

This knows no chat format, and it is the last word on every call: the grammar of a format holds to what it can (`nemochat.prompt.grammar`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import regex

from nemochat.domain.sanitize import sanitize

_PATTERN_SECONDS = 0.2
_SECONDS = 2.0
"""For all of a schema: one of a few lines can lead on to itself millions of times."""
_SHOWN = 200


def complaint(arguments: dict[str, Any], schema: dict[str, Any]) -> str:
    """What is wrong with the arguments, "" when nothing is. A schema that is no schema, or takes too long, fits nothing."""
    from jsonschema.exceptions import SchemaError, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # The empty registry keeps "$ref" from fetching anything: what the schema names by an id or an anchor of its own is found.
    registry: Registry[Any] = Registry()
    try:
        kind = _kind(schema)
        found = best_match(kind(schema, registry=registry).iter_errors(arguments))
    except SchemaError as error:
        return f"The tool's own schema is broken: {_short(error.message)}."
    except (Unresolvable, RecursionError, TimeoutError, regex.error, ValueError, TypeError, ArithmeticError) as error:
        return f"The tool's own schema cannot be used ({type(error).__name__})."
    if found is None:
        return ""
    place = ".".join(str(part) for part in found.absolute_path)
    return f"{_short(found.message)}{f' (in {_short(place)})' if place else ''}."


def _kind(schema: dict[str, Any]) -> Any:
    """A validator for the dialect that the schema names, or else the newest in which it is a schema. Raises SchemaError."""
    from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import extend, validator_for

    named = validator_for(schema, default=Draft202012Validator)
    for kind in (named, Draft7Validator, Draft4Validator):
        try:
            kind.check_schema(schema)
            break
        except SchemaError:
            continue
    else:
        named.check_schema(schema)
    # Python's own `re` can be kept busy for hours by a pattern that a server wrote, so a `regex` with a time limit takes its place.
    keywords = {**kind.VALIDATORS, "pattern": _pattern, "patternProperties": _pattern_properties}
    end = time.monotonic() + _SECONDS
    return extend(kind, {name: _until(end, check) for name, check in keywords.items()})  # type: ignore[no-untyped-call]


def _until(end: float, check: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """A check of a keyword that raises TimeoutError when the time for all of them is over."""

    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if time.monotonic() > end:
            raise TimeoutError
        yield from check(validator, value, instance, schema) or ()

    return checked


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
