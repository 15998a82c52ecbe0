"""Conversion between units; the table is `units.toml`."""

from __future__ import annotations

import math
import tomllib
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import ToolOutcome
from nemochat.tools.builtin.arithmetic import written
from nemochat.tools.making import FunctionTool, builtin, failed

OFFERED = builtin(
    "convert_units",
    "Convert a value from one unit to another.",
    {"value": {"type": "number"}, "from_unit": {"type": "string"}, "to_unit": {"type": "string"}},
    ("value", "from_unit", "to_unit"),
    is_harmless=True,
)
_DIGITS = 6
_LARGEST = 1e30


class Unit(NamedTuple):
    """One unit: base = (value + shift) * factor."""

    kind: str
    factor: Fraction
    shift: Fraction = Fraction(0)


def convert_units() -> FunctionTool:
    """Converts a value."""
    return FunctionTool(OFFERED, _run)


def convert(value: Fraction, source: Unit, target: Unit) -> Fraction:
    """The value in the other unit, exactly."""
    return (value + source.shift) * source.factor / target.factor - target.shift


def find_unit(name: str) -> Unit | None:
    """The unit of a name or symbol; capitals matter only where they must (MB, Mb)."""
    bare = " ".join(name.split()).rstrip(".")
    for candidate in (bare, bare.removeprefix("degrees ").removeprefix("degree ").removeprefix("deg "), bare.replace("° ", "°")):
        found = _units().get(candidate) or _small().get(candidate.casefold())
        if found is not None:
            return found
    return None


async def _run(arguments: dict[str, Any]) -> ToolOutcome:
    value, from_unit, to_unit = arguments["value"], *(sanitize(arguments[key], strict=True)[:60] for key in ("from_unit", "to_unit"))
    if abs(value) > _LARGEST or not math.isfinite(value):  # in this order: a whole number may be too large for a float
        return failed("the value is too large")
    source, target = find_unit(from_unit), find_unit(to_unit)
    for unit, name in ((source, from_unit), (target, to_unit)):
        if unit is None:
            return failed(f"the unit “{name}” is not known")
    if source is None or target is None or source.kind != target.kind:
        kinds = [unit.kind for unit in (source, target) if unit]
        return failed(f"{from_unit} is a unit of {kinds[0]} and {to_unit} one of {kinds[-1]}")
    exact = Fraction(str(value))
    if source.kind == "temperature" and (exact + source.shift) * source.factor < 0:
        return failed("nothing is that cold: it is below absolute zero")
    return ToolOutcome(f"{written(exact)} {from_unit} = {_rounded(convert(exact, source, target))} {to_unit}")


def _rounded(value: Fraction) -> str:
    """Exact when that is short, else six digits, and always all digits before the point."""
    exact = written(value)
    if "e" not in exact and len(exact.replace(".", "").strip("-0")) <= _DIGITS + 2 and Fraction(exact) == value:
        return exact
    whole = len(str(abs(int(value)))) if abs(value) >= 1 else 0
    # Not by `math.log10`: a float has no room for what is smaller than 5e-324.
    leading = -Context(prec=20).divide(Decimal(value.numerator), Decimal(value.denominator)).adjusted() - 1 if not whole else 0
    return written(round(value, max(0, _DIGITS - whole) + leading))


@cache
def _units() -> dict[str, Unit]:
    table = tomllib.loads(files(__package__).joinpath("units.toml").read_text(encoding="utf-8"))
    units = {}
    for kind, group in table.items():
        shifts = group.get("shifts", ["0"] * len(group["units"]))
        for (factor, *names), shift in zip(group["units"], shifts, strict=True):
            units.update(dict.fromkeys(names, Unit(kind, Fraction(factor), Fraction(shift))))
    return units


@cache
def _small() -> dict[str, Unit]:
    """By small letters; where two differ in capitals alone, the first of the table."""
    small: dict[str, Unit] = {}
    for name, unit in _units().items():
        small.setdefault(name.casefold(), unit)
    return small
