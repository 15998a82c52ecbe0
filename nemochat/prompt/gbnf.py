"""Pieces of GBNF, the grammar notation of llama.cpp: literals, JSON strings, repetitions, and numbers between bounds. Pure text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

MAX_RULES = 3000
MAX_CHARACTERS = 200_000
MAX_REPEAT = 1900
"""llama.cpp refuses to repeat anything 2,000 times."""
_MAX_DIGITS = 60
_NOT_PLAIN = r'"\\\x00-\x1F\x7F'
"""What cannot stand for itself in a JSON string, as it is written in a class of characters."""
_FRACTION = '("." decimals)?'

class TooLargeError(Exception):
    """The grammar would be too large to be of use."""


class Rules:
    """The rules made so far; equal ones are one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._bodies: dict[str, str] = {}
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

    def name_for(self, *key: object) -> str:
        """The name of a rule that is known by something else than its body, and is to be defined: one that stands within itself."""
        return self.add(repr(key))

    def define(self, name: str, body: str) -> None:
        """Give the rule of `name_for` its body."""
        self._bodies[name] = body

    def text(self, root: str) -> str:
        """The whole grammar."""
        named = [("root", root), *COMMON_RULES.items(), *((name, self._bodies.get(name, body)) for body, name in self._names.items())]
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


def repeated(term: str, low: int, high: int | None) -> str:
    """A term from `low` to `high` times, which are at most MAX_REPEAT; None is without a bound."""
    return f"{term}{{{low},{'' if high is None else high}}}"


class Notation(NamedTuple):
    """How values are written: quote stands around a string, char is the rule for what may stand in it."""

    quote: str
    char: str
    literal: Callable[[object], str]
    key: Callable[[str], str]
    other_key: Callable[[Iterable[str]], str]

    def quoted(self, content: str) -> str:
        """A string whose content is a GBNF expression."""
        return f"{literal(self.quote)} {content} {literal(self.quote)}"


def _other_json_key(names: Iterable[str]) -> str:
    named = list(names)
    return quoted(other_than(named) if named else "char*")


JSON = Notation('"', "char", json_literal, json_literal, _other_json_key)


def other_than(names: Iterable[str]) -> str:
    """What stands between the quotes of a string that is none of these, as long as it is written without needless escapes."""
    tree: dict[str, Any] = {}
    for name in names:
        if re.fullmatch(f"[^{_NOT_PLAIN}]+", name):
            node = tree
            for char in name:
                node = node.setdefault(char, {})
            node[""] = {}
    return _off(tree)


def _off(tree: Mapping[str, Any]) -> str:
    """What leaves a tree of names somewhere behind its root, or ends within it."""
    chars = [char for char in tree if char]
    taken = "".join(map(_classed, chars))
    ways = [f"[^{_NOT_PLAIN}{taken}] char*", "escape char*", *(f"{literal(char)} {_off(tree[char])}" for char in chars)]
    return f"({' | '.join(ways)}){'' if '' in tree else '?'}"


def other_char(stop: str) -> str:
    """A character with which `stop` does not begin; a text of them cannot hold it."""
    return f"[^{_classed(stop[0])}]"


def without(stop: str, rules: Rules) -> str:
    """The name of a rule for any text that does not hold `stop`: a rule for each beginning of it that the text may end with so far."""
    names = [rules.name_for(f"text without {stop}", size) for size in range(len(stop))]
    chars = dict.fromkeys(stop)
    for size, name in enumerate(names):
        ways: dict[int, str] = {}
        for char in chars:
            reached = _overlap(stop, stop[:size] + char)
            ways[reached] = ways.get(reached, "") + _classed(char)
        ways.pop(len(stop), None)
        others = f"[^{''.join(map(_classed, chars))}] {names[0]}"
        rules.define(name, " | ".join([others, *(f"[{taken}] {names[reached]}" for reached, taken in ways.items()), '""']))
    return names[0]


def _overlap(stop: str, text: str) -> int:
    """The length of the longest beginning of `stop` with which a text ends."""
    return next(size for size in range(min(len(stop), len(text)), -1, -1) if text.endswith(stop[:size]))


def _classed(char: str) -> str:
    """A character as it stands in a class."""
    return char if ord(char) > 127 else f"\\x{ord(char):02X}"


def is_writable(bound: Decimal) -> bool:
    """Whether a bound has few enough digits to be told digit by digit."""
    if not bound.is_finite():
        return False
    return max(0, bound.adjusted()) + max(0, -int(bound.as_tuple().exponent)) < _MAX_DIGITS


def integer_between(low: int | None, high: int | None) -> str:
    """Integers from `low` to `high` (both included, None is no bound), of which there is at least one."""
    parts = []
    if low is None or low < 0:
        first = 1 if high is None else max(1, -high)
        if magnitudes := _magnitudes(Decimal(first), None if low is None else Decimal(-low), is_whole=True):
            parts.append(f'"-" ({magnitudes})')
    if high is None or high >= 0:
        parts.append(_magnitudes(Decimal(max(0, low or 0)), None if high is None else Decimal(high), is_whole=True))
    return " | ".join(parts)


def number_between(low: Decimal | None, high: Decimal | None, *, above: bool = False, below: bool = False) -> str:
    """Numbers from `low` to `high`, of which there is at least one; `above` and `below`: without the bound itself.

    In positions with any number of decimals; with an exponent where every number of that size lies between the bounds.
    """
    parts = []
    if low is None or low < 0:
        bound, is_open = (high.copy_abs(), below) if high is not None and high <= 0 else (Decimal(0), False)
        magnitudes = _magnitudes(bound, None if low is None else low.copy_abs(), above=is_open, below=above)
        parts += [f'"-" ({magnitudes})'] if magnitudes else []
    if high is None or high >= 0:
        bound, is_open = (low, above) if low is not None and low >= 0 else (Decimal(0), False)
        parts += [magnitudes] if (magnitudes := _magnitudes(bound, high, above=is_open, below=below)) else []
    for sign, least, most, is_open in (("", low, high, above), ('"-" ', _negative(high), _negative(low), below)):
        parts += [f"{sign}tiny"] if (least is None or least <= 0) and (most is None or most >= 1) else []
        parts += [f"{sign}huge"] if most is None and (least is None or least < 1 or (least == 1 and not is_open)) else []
    return " | ".join(parts)


def _negative(bound: Decimal | None) -> Decimal | None:
    return None if bound is None else bound.copy_negate()


def _magnitudes(low: Decimal, high: Decimal | None, *, above: bool = False, below: bool = False, is_whole: bool = False) -> str:
    """Numbers without a sign; "" where there is none. As many digits as a bound has are told one by one, others by how many they are."""
    least, least_decimals = _digits(low)
    most, most_decimals = ("", "") if high is None else _digits(high)
    decimals = max(len(least_decimals), len(most_decimals))
    lows, highs = least + least_decimals.ljust(decimals, "0"), most + most_decimals.ljust(decimals, "0")
    # A double that close to a bound would be the bound itself.
    room = max(0, 14 - len(lows.lstrip("0"))) if low else 300
    between = _Between(above=above, below=below, is_whole=is_whole, room=room)
    first, last = len(least), len(most)
    if first == last:
        return between.step(lows, highs, first) or ""
    parts = [between.step(lows, None, first)]
    if not last or last > first + 1:
        parts.append(f"[1-9] [0-9]{{{first},{last - 2 if last else ''}}} {between.end}".strip())
    if last:
        within = _Between(above=False, below=below, is_whole=is_whole)
        parts.append(within.step("1" + "0" * (len(highs) - 1), highs, last))
    return " | ".join(part for part in parts if part)


def _digits(number: Decimal) -> tuple[str, str]:
    """The digits before the point, at least one, and those behind it."""
    whole, _, decimals = f"{number:f}".partition(".")
    return whole, decimals.rstrip("0")


class _Between:
    """Digits of numbers between two bounds of equally many. A bound counts as long as all digits so far are its own, else it is None.

    Each digit leaves few ways to go on, so llama.cpp has few of them to keep.
    """

    def __init__(self, *, above: bool, below: bool, is_whole: bool, room: int = 0) -> None:
        """above, below: without the bound. is_whole: without decimals. room: zeros that may follow the digits of the lower bound."""
        self._above, self._below, self._is_whole, self._room = above, below, is_whole, room

    def step(self, low: str | None, high: str | None, whole: int) -> str | None:
        """One digit and all that may follow. whole: digits left before the point, 0 behind it. None where there is nothing."""
        if low is not None and not self._above and not low.strip("0"):
            low = None
        if low is None and high is None:
            return f"[0-9]{{{whole}}} {self.end}".strip() if whole else "decimals"
        if not low and not high:
            if high is not None:
                return None if self._below or low is not None else '"0"{1,340}'
            return f'"0"{{0,{self._room}}} significant'
        first, last = int(low[0]) if low else 0, int(high[0]) if high else 9
        below_low, below_high = low[1:] if low is not None else None, high[1:] if high is not None else None
        if first == last and low is not None and high is not None:
            return self._with(first, first, self._after(below_low, below_high, whole))
        options = []
        if low is not None:
            options.append(self._with(first, first, self._after(below_low, None, whole)))
            first += 1
        if high is not None:
            last -= 1
        if first <= last:
            options.append(self._with(first, last, self._after(None, None, whole)))
        if high is not None:
            options.append(self._with(last + 1, last + 1, self._after(None, below_high, whole)))
        possible = [option for option in options if option is not None]
        return f"({' | '.join(possible)})" if possible else None

    @property
    def end(self) -> str:
        """What may follow behind the digits before the point where no bound counts any more."""
        return "" if self._is_whole else _FRACTION

    def _after(self, low: str | None, high: str | None, whole: int) -> str | None:
        """What may follow behind a digit that was one of `whole` before the point, or is behind it."""
        if whole > 1:
            return self.step(low, high, whole - 1)
        if self._is_whole:
            return ""
        may_end = low is None or not (self._above or low.strip("0"))
        may_end = may_end and (high is None or not self._below or bool(high.strip("0")))
        more = self.step(low, high, 0)
        if more is not None and whole:
            more = f'"." {more}'
        if may_end:
            return f"({more})?" if more is not None else ""
        return more

    @staticmethod
    def _with(first: int, last: int, after: str | None) -> str | None:
        return None if after is None else f"{_digit(first, last)} {after}".strip()


def _digit(first: int, last: int) -> str:
    return f'"{first}"' if first == last else f"[{first}-{last}]"


COMMON_RULES = {
    "ws": '" "?',
    "hex": "[0-9a-fA-F]",
    # Half a surrogate pair is no character, and nothing needs a pair: the characters can stand for themselves.
    "char": f"[^{_NOT_PLAIN}] | escape",
    "escape": r'"\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))',
    "integer": '"-"? ("0" | [1-9] [0-9]*)',
    # A double has 17 digits behind at most 323 zeros: nothing is lost of one here, and a model that repeats a digit gets out of it.
    "decimals": '"0"{1,340} significant? | significant',
    "significant": "[1-9] [0-9]{0,39}",
    # As far as doubles go: what is larger is no number to a reader of JSON.
    "number": f'integer {_FRACTION} ([eE] ("-" [0-9]{{1,3}} | "+"? [0-9]{{1,2}}))? | "-"? large',
    "large": f'[1-9] [0-9]{{0,18}} {_FRACTION} [eE] "+"? ("1" [0-9] | "2" [0-7]) [0-9]'
    f' | [1-9] {_FRACTION} [eE] "+"? ("2" [89] [0-9] | "30" [0-7]) | largest [eE] "+"? "308"',
    "largest": _magnitudes(Decimal(1), Decimal("1.7976931348623157")),
    "tiny": f'[1-9] {_FRACTION} [eE] "-" ("0"? [1-9] | [1-9] [0-9] | [12] [0-9]{{2}} | "30" [0-7])',
    "huge": f'[1-9] {_FRACTION} [eE] "+"? ([0-9]{{1,2}} | [12] [0-9]{{2}} | "30" [0-7])',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "month-day": '("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30")'
    ' | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "year": '"000" [1-9] | "00" [1-9] [0-9] | "0" [1-9] [0-9]{2} | [1-9] [0-9]{3}',
    "leap-year": '[0-9]{2} ("0" [48] | [2468] [048] | [13579] [26]) | ("0" [48] | [2468] [048] | [13579] [26]) "00"',
    "date": 'year "-" month-day | leap-year "-02-29"',
    "hour-minute": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]',
    "time": 'hour-minute ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [-+] hour-minute)',
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
