"""Arithmetic as people write it: a small parser that works with exact fractions as long as it can. Nothing is evaluated as code.

``+ - * / // % **`` (also ``^``, and the printed signs for times, by and minus), brackets, functions, ``pi`` and ``e``. ``%`` before a
number or a bracket is the remainder, else it means hundredths, and ``200 + 10%`` is 220 as on a pocket calculator. Commas may stand
between thousands (but not inside a function's brackets, where they part its arguments).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.tools.making import FunctionTool, builtin, failed

Number = Fraction | float

_MAX_CHARACTERS = 1_000
_MAX_DEPTH = 60
_MAX_BITS = 8_192
_EXACT_DIGITS = 40
_DIGITS = 12


class ArithmeticProblem(NemochatError):
    """The expression cannot be worked out."""


class _Token(NamedTuple):
    kind: str
    text: str


_TOKEN = re.compile(
    r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-zπ]+\d*)|(?P<sign>\*\*|//|[-+*/%^(),])|(?P<blank>\s+)",
    re.ASCII,
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?![\d,])", re.ASCII)
_SPELLED = str.maketrans("\u00d7\u00b7\u22c5\u00f7\u2215\u2212\u2013[]\u00a0", "***//--() ")
"""Times (also as a dot), by, minus (also as a dash), and the brackets and the blank that people copy."""
_CONSTANTS: dict[str, Number] = {"pi": math.pi, "π": math.pi, "e": math.e}
_BINDING = {"+": 10, "-": 10, "*": 20, "/": 20, "//": 20, "%": 20, "of": 20, "**": 40, "^": 40}
_UNARY = 30


def evaluate(expression: str) -> Number:
    """The value. Raises ArithmeticProblem with a short phrase ("division by zero")."""
    if len(expression) > _MAX_CHARACTERS:
        raise ArithmeticProblem("the expression is too long")
    tokens = _tokens(expression.translate(_SPELLED).strip().removesuffix("=").removeprefix("="))
    if not tokens:
        raise ArithmeticProblem("the expression is empty")
    parser = _Parser(tokens)
    value = parser.expression(0)
    if parser.here is not None:
        raise ArithmeticProblem(f"“{parser.here.text}” is not expected there")
    return value


def written(value: Number) -> str:
    """The number as people write it: whole or exact where that is short, else rounded to twelve digits."""
    if isinstance(value, Fraction):
        digits = _exact(value)
        if digits is not None:
            return digits
        decimal = Context(prec=_DIGITS).divide(Decimal(value.numerator), Decimal(value.denominator))
    else:
        decimal = Context(prec=_DIGITS).create_decimal(value)
    decimal = decimal.normalize(Context(prec=_DIGITS))
    if decimal == 0:
        return "0"
    if -7 <= decimal.adjusted() < 16:
        return f"{decimal:f}"
    mantissa, _, exponent = f"{decimal:e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _exact(value: Fraction) -> str | None:
    """All digits, when there are few enough of them."""
    if value.denominator == 1:
        # Python refuses to write out numbers of thousands of digits.
        return str(value.numerator) if abs(value.numerator) < 10**_EXACT_DIGITS else None
    denominator, places = value.denominator, 0
    while denominator % 10 == 0 or denominator % 2 == 0 or denominator % 5 == 0:
        denominator //= 10 if denominator % 10 == 0 else 2 if denominator % 2 == 0 else 5
        places += 1
        if places > 15:
            return None
    if denominator != 1:
        return None
    scaled = value * 10**places
    if abs(scaled.numerator) >= 10**18:
        return None
    return f"{Decimal(scaled.numerator).scaleb(-places).normalize():f}"


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    calls: list[bool] = []
    at = 0
    while at < len(text):
        if not (calls and calls[-1]) and (thousands := _THOUSANDS.match(text, at)):
            digits = thousands.group().replace(",", "")
            rest = re.compile(r"\.\d+", re.ASCII).match(text, thousands.end())
            tokens.append(_Token("number", digits + (rest.group() if rest else "")))
            at = rest.end() if rest else thousands.end()
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            raise ArithmeticProblem(f"“{text[at]}” has no meaning in a calculation")
        kind, piece = found.lastgroup or "", found.group()
        if piece == "(":
            calls.append(bool(tokens) and tokens[-1].kind == "name" and tokens[-1].text.lower() != "of")
        elif piece == ")" and calls:
            calls.pop()
        if kind != "blank":
            tokens.append(_Token(kind, piece))
        at = found.end()
    return tokens


class _Parser:
    """A Pratt parser that works out while it reads."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def here(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def expression(self, binding: int) -> Number:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ArithmeticProblem("the expression is nested too deeply")
        left, is_percent = self._operand(), False
        while (token := self.here) is not None:
            if token.text == "%" and not self._starts_operand(self._at + 1):
                self._at += 1
                left, is_percent = _checked(left / 100), True
                continue
            sign = token.text.lower()
            strength = _BINDING.get(sign, -1)
            if strength < 0 or strength <= binding:
                break
            if is_percent and sign in ("**", "^"):
                raise ArithmeticProblem("a percentage cannot be raised to a power without brackets")
            self._at += 1
            left, is_percent = self._joined(left, sign, strength), False
        self._depth -= 1
        return left

    def _joined(self, left: Number, sign: str, strength: int) -> Number:
        if sign in ("**", "^"):
            return _power(left, self.expression(strength - 11))  # to the right, and over a sign: 2 ** -1
        start = self._at
        right = self.expression(strength)
        if sign in ("+", "-") and self._is_plain_percent(start):
            right = _checked(left * right)
        return _OPERATIONS[sign](left, right)

    def _is_plain_percent(self, start: int) -> bool:
        """Whether what was just read is one number and a percent sign: ``+ 10%``."""
        return self._at - start == 2 and self._tokens[start].kind == "number" and self._tokens[start + 1].text == "%"

    def _operand(self) -> Number:
        token = self.here
        if token is None:
            raise ArithmeticProblem("the expression is not complete")
        self._at += 1
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "name":
            return self._named(token.text.lower())
        if token.text in "+-":
            value = self.expression(_UNARY)
            return -value if token.text == "-" else value
        if token.text == "(":
            value = self.expression(0)
            self._close()
            return value
        raise ArithmeticProblem(f"“{token.text}” is not expected there")

    def _named(self, name: str) -> Number:
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        function = _FUNCTIONS.get(name)
        if function is None:
            raise ArithmeticProblem(f"“{name[:30]}” is not known; there are {', '.join(_FUNCTIONS)}, pi and e")
        if self.here is None or self.here.text != "(":
            raise ArithmeticProblem(f"{name} needs brackets")
        self._at += 1
        values = [self.expression(0)]
        while self.here is not None and self.here.text == ",":
            self._at += 1
            values.append(self.expression(0))
        self._close()
        if not function.least <= len(values) <= function.most:
            raise ArithmeticProblem(f"{name} cannot take {len(values)} numbers")
        return _guarded(lambda: function.work(*values))

    def _close(self) -> None:
        if self.here is None or self.here.text != ")":
            raise ArithmeticProblem("a bracket is not closed")
        self._at += 1

    def _starts_operand(self, at: int) -> bool:
        if at >= len(self._tokens):
            return False
        token = self._tokens[at]
        return token.kind == "number" or token.text == "(" or (token.kind == "name" and token.text.lower() != "of")


def _number(text: str) -> Fraction:
    _, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > 2_000:
        raise ArithmeticProblem("the number is too large")
    value = Fraction(text)
    _checked(value)
    return value


def _checked(value: Number) -> Number:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArithmeticProblem("the result is too large")
        return value
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise ArithmeticProblem("the result is too large")
    return value


def _guarded(work: Callable[[], Number]) -> Number:
    try:
        return _checked(work())
    except ZeroDivisionError:
        raise ArithmeticProblem("division by zero") from None
    except OverflowError:
        raise ArithmeticProblem("the result is too large") from None
    except ValueError:
        raise ArithmeticProblem("there is no such value among the real numbers") from None


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(base) != 1 and base != 0 and (bits - 1) * abs(exponent.numerator) > _MAX_BITS:
            raise ArithmeticProblem("the result is too large")
        whole = exponent.numerator % 2 if abs(base) == 1 else exponent.numerator
        return _guarded(lambda: Fraction(base) ** whole)
    if isinstance(base, Fraction) and exponent == Fraction(1, 2):
        return _guarded(lambda: _sqrt(base))
    return _guarded(lambda: math.pow(base, exponent))


def _whole(value: Number) -> int:
    if value != int(value) or not -1_000 <= value <= 1_000:
        raise ValueError(value)
    return int(value)


def _sqrt(value: Number) -> Number:
    if isinstance(value, Fraction) and value >= 0:
        above, below = math.isqrt(value.numerator), math.isqrt(value.denominator)
        if above * above == value.numerator and below * below == value.denominator:
            return Fraction(above, below)
    return math.sqrt(value)


def _round(value: Number, places: Number = Fraction(0)) -> Number:
    """To the nearest, halves away from zero, as it is taught."""
    scale = Fraction(10) ** _whole(places)
    scaled = abs(Fraction(value)) * scale
    rounded = Fraction(math.floor(scaled + Fraction(1, 2))) / scale
    return -rounded if value < 0 else rounded


def _clean(value: float) -> float:
    """Without the dust that pi's rounding leaves: sin(pi) is 0."""
    return round(value, 15)


def _tan(value: Number) -> Number:
    if abs(math.cos(value)) < 1e-15:
        raise ValueError(value)
    return _clean(math.tan(value))


def _log(value: Number, base: Number = Fraction(10)) -> Number:
    for candidate in (10, 2):
        if base == candidate and value > 0:
            return (math.log10 if candidate == 10 else math.log2)(value)
    return math.log(value) / math.log(base)


class _Function(NamedTuple):
    work: Callable[..., Number]
    least: int = 1
    most: int = 1


_FUNCTIONS = {
    "sqrt": _Function(_sqrt),
    "sin": _Function(lambda value: _clean(math.sin(value))),
    "cos": _Function(lambda value: _clean(math.cos(value))),
    "tan": _Function(_tan),
    "log": _Function(_log, 1, 2),
    "ln": _Function(math.log),
    "exp": _Function(math.exp),
    "abs": _Function(abs),
    "round": _Function(_round, 1, 2),
    "min": _Function(lambda *values: min(values), 1, 100),
    "max": _Function(lambda *values: max(values), 1, 100),
    "floor": _Function(lambda value: Fraction(math.floor(value))),
    "ceil": _Function(lambda value: Fraction(math.ceil(value))),
}
_OPERATIONS: dict[str, Callable[[Number, Number], Number]] = {
    "+": lambda left, right: _guarded(lambda: left + right),
    "-": lambda left, right: _guarded(lambda: left - right),
    "*": lambda left, right: _guarded(lambda: left * right),
    "of": lambda left, right: _guarded(lambda: left * right),
    "/": lambda left, right: _guarded(lambda: left / right),
    "//": lambda left, right: _guarded(lambda: Fraction(left // right)),
    "%": lambda left, right: _guarded(lambda: left % right),
}


OFFERED = builtin(
    "calculator", "Work out an arithmetic expression.", {"expression": {"type": "string"}}, ("expression",), is_harmless=True
)


def calculator() -> FunctionTool:
    """Works out an expression."""
    return FunctionTool(OFFERED, _run)


async def _run(arguments: dict[str, Any]) -> ToolOutcome:
    try:
        return ToolOutcome(written(evaluate(arguments["expression"])))
    except ArithmeticProblem as problem:
        return failed(problem.message)
