"""Pieces of GBNF, the grammar notation of llama.cpp: literals, JSON strings, and numbers between bounds. Pure text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

MAX_RULES = 3000
MAX_CHARACTERS = 200_000
MAX_DIGITS = 15
"""Digits of an integer: what every reader of JSON keeps exactly."""
_FRACTION_DIGITS = 6
_MAX_DECIMALS = 6

COMMON_RULES = {
    "ws": '" "?',
    "hex": "[0-9a-fA-F]",
    # Half a surrogate pair is no character, and nothing needs a pair: the characters can stand for themselves.
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))',
    "integer": f'"-"? ("0" | [1-9] [0-9]{{0,{MAX_DIGITS - 1}}})',
    "number": f'integer ("." [0-9]{{1,{_FRACTION_DIGITS}}})? ([eE] [-+]? [0-9]{{1,2}})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "month-day": '("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30")'
    ' | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "date": '[12] [0-9]{3} "-" month-day',
    "hour-minute": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]',
    "time": 'hour-minute ":" [0-5] [0-9] ("." [0-9]{1,3})? ("Z" | [-+] hour-minute)',
    "byte": '"25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9]? [0-9]',
}
"""Rules by name; each may be left out where nothing refers to it."""

FORMATS = {
    "date": "date",
    "time": "time",
    "date-time": 'date "T" time',
    "uuid": 'hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}',
    "ipv4": 'byte "." byte "." byte "." byte',
}
"""What stands between the quotes of a string of a format."""

_Digits = tuple[str, ...]
"""A number's digits, each as a GBNF term."""


class TooLargeError(Exception):
    """The grammar would be too large to be of use."""


class Rules:
    """The rules made so far; equal ones are one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._characters = 0

    def add(self, body: str) -> str:
        """The name of a rule with this body."""
        name = self._names.get(body)
        if name is None:
            self._characters += len(body)
            name = self._names[body] = f"r{len(self._names) + 1}"
            if len(self._names) > MAX_RULES or self._characters > MAX_CHARACTERS:
                raise TooLargeError
        return name

    def text(self, root: str) -> str:
        """The whole grammar."""
        named = [("root", root), *COMMON_RULES.items(), *((name, body) for body, name in self._names.items())]
        return "".join(f"{name} ::= {body}\n" for name, body in named)


def literal(text: str) -> str:
    """A GBNF literal for exactly this text."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(char, char if char >= " " else f"\\x{ord(char):02X}") for char in text) + '"'


def json_literal(value: object) -> str:
    """A GBNF literal for a value as JSON. Raises ValueError for what JSON cannot hold (infinity, half a surrogate pair)."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    return literal(text)


def quoted(content: str) -> str:
    """A JSON string whose content is a GBNF expression."""
    return f'"\\"" {content} "\\""'


def integer_between(low: int | None, high: int | None) -> str | None:
    """Integers from `low` to `high` (both included, None is no bound). None when there is none, or none short enough."""
    most = 10**MAX_DIGITS - 1
    low, high = max(-most, -most if low is None else low), min(most, most if high is None else high)
    parts = ['"-" ' + _group(_integers(max(1, -high), -low))] if low < 0 and -low >= max(1, -high) else []
    if high >= max(0, low):
        parts.append(_group(_integers(max(0, low), high)))
    return " | ".join(parts) or None


def number_between(low: Decimal | None, high: Decimal | None, *, above: bool = False, below: bool = False) -> str | None:
    """Numbers from `low` to `high`; `above` and `below`: without the bound itself. None when it cannot be said.

    They have at least as many decimals as the bounds; those right at a bound that is left out are left out too.
    """
    bounds = [bound for bound in (low, high) if bound is not None]
    if not all(bound.is_finite() for bound in bounds):
        return None
    decimals = max((max(0, -int(bound.normalize().as_tuple().exponent)) for bound in bounds), default=0) + (above or below)
    if decimals > _MAX_DECIMALS:
        return None
    scale, most = 10**decimals, Decimal(10**9)
    first = int((max(-most, -most if low is None else low) * scale).to_integral_value(ROUND_CEILING)) + above
    last = int((min(most, most if high is None else high) * scale).to_integral_value(ROUND_FLOOR)) - below
    parts = []
    if last >= max(0, first):
        parts.append(_group(_decimals(max(0, first), last, decimals)))
    if first < 0 and -first >= max(0, -last):
        parts.append('"-" ' + _group(_decimals(max(0, -last), -first, decimals)))
    return " | ".join(parts) or None


def _group(alternatives: Iterator[str]) -> str:
    return "(" + " | ".join(alternatives) + ")"


def _integers(low: int, high: int) -> Iterator[str]:
    """Alternatives for the integers of 0 <= low to high; lengths that are covered whole stand together."""
    whole: list[int] = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first, last = max(low, 10 ** (length - 1) if length > 1 else 0), min(high, 10**length - 1)
        if length > 1 and (first, last) == (10 ** (length - 1), 10**length - 1):
            whole.append(length)
        else:
            yield from (" ".join(digits) for digits in _same_length(str(first), str(last)))
    if whole:
        yield f"[1-9] [0-9]{{{whole[0] - 1},{whole[-1] - 1}}}"


def _decimals(low: int, high: int, decimals: int) -> Iterator[str]:
    """Alternatives for the numbers from low to high, both in units of the last decimal."""
    more = f"[0-9]{{0,{_FRACTION_DIGITS - decimals}}}" if decimals else f'("." [0-9]{{1,{_FRACTION_DIGITS}}})?'
    if low < high:
        yield from (f"{digits} {more}" for digits in _pointed(low, high - 1, decimals))
    yield from _pointed(high, high, decimals)


def _pointed(low: int, high: int, decimals: int) -> Iterator[str]:
    width = decimals + 1
    for length in range(max(width, len(str(low))), max(width, len(str(high))) + 1):
        first, last = max(low, 10 ** (length - 1) if length > width else 0), min(high, 10**length - 1)
        for digits in _same_length(str(first).zfill(length), str(last).zfill(length)):
            point = ('"."',) if decimals else ()
            yield " ".join((*digits[: length - decimals], *point, *digits[length - decimals :]))


def _same_length(low: str, high: str) -> Iterator[_Digits]:
    """The digits of the numbers from low to high, which have equally many."""
    if not low:
        yield ()
        return
    zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
    first, last = int(low[0]), int(high[0])
    if first == last:
        yield from ((_digit(first, first), *rest) for rest in _same_length(low[1:], high[1:]))
        return
    if low[1:] != zeros:
        yield from ((_digit(first, first), *rest) for rest in _same_length(low[1:], nines))
        first += 1
    tail: list[_Digits] = []
    if high[1:] != nines:
        tail = [(_digit(last, last), *rest) for rest in _same_length(zeros, high[1:])]
        last -= 1
    if first <= last:
        yield (_digit(first, last), *(["[0-9]"] * len(zeros)))
    yield from tail


def _digit(first: int, last: int) -> str:
    return f'"{first}"' if first == last else f"[{first}-{last}]"
