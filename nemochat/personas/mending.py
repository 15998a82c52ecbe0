"""Fields of the wrong type, put right where it is plain what was meant: cards are written by many programs, and by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nemochat.personas.files import MAX_ITEMS, Unreadable

_LARGEST = 1_000_000_000
_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def text(value: object, field: str) -> str:
    """A text; none is "", a number its digits, a list of texts one text with a line each."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            raise wrong(value, field, "a text")
        case int() | float():
            return _digits(value)
        case list() if all(isinstance(item, str) for item in value):
            return "\n".join(value)
    raise wrong(value, field, "a text")


def texts(value: object, field: str, *, commas: bool = False) -> tuple[str, ...]:
    """Several texts; a single one counts, with `commas` also several in one. A mapping is a list keyed by index."""
    if isinstance(value, str):
        pieces = [piece.strip() for piece in value.split(",")] if commas else [value]
        found = tuple(piece for piece in pieces if piece)
    else:
        found = tuple(text(item, field) for item in items(value, field) if item is not None)
    if len(found) > MAX_ITEMS:
        raise Unreadable(f"the field “{field}” holds {len(found):,} items, more than {MAX_ITEMS:,}")
    return found


def items(value: object, field: str) -> list[object]:
    """The items of a list, of a list written as a mapping by index, of a single value or of nothing."""
    match value:
        case None | "":
            return []
        case list():
            return value
        case dict():
            return [value[key] for key in sorted(value, key=_by_index)]
        case int() | float():
            return [value]
    raise wrong(value, field, "a list")


def number(value: object, field: str) -> int | None:
    """A whole number, None for nothing. Text may spell it; what is beyond any use is brought into reach."""
    match value:
        case None | "":
            return None
        case int() | float():
            found = float(max(-_LARGEST, min(_LARGEST, value)))
        case str():
            try:
                found = float(value)
            except ValueError:
                raise wrong(value, field, "a number") from None
        case _:
            raise wrong(value, field, "a number")
    return None if math.isnan(found) else round(max(-_LARGEST, min(_LARGEST, found)))


def flag(value: object, field: str) -> bool | None:
    """True or False, None for nothing; 0, 1 and words count."""
    match value:
        case None | "":
            return None
        case bool():
            return value
        case int() | float():
            return value != 0
        case str() if value.strip().lower() in _YES | _NO:
            return value.strip().lower() in _YES
    raise wrong(value, field, "true or false")


def mapping(value: object, field: str) -> dict[str, object]:
    """Named values; nothing and an empty list, which some languages write for an empty mapping, are none."""
    match value:
        case None | "" | []:
            return {}
        case dict():
            return dict(value)
    raise wrong(value, field, "named values")


def wrong(value: object, field: str, wanted: str) -> Unreadable:
    """The complaint about a field whose value says nothing plain."""
    return Unreadable(f"the field “{field}” holds {_kind(value)} where {wanted} belongs")


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "named values"
        case _:
            return "a list"


def _digits(value: float) -> str:
    return str(round(value)) if isinstance(value, int) or (math.isfinite(value) and value == round(value)) else str(value)


def _by_index(key: str) -> tuple[int, str]:
    return (int(key), "") if key.isascii() and key.isdigit() and len(key) < 10 else (_LARGEST, key)
