"""Time and units."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.tools.builtin.arithmetic import written
from nemochat.tools.builtin.clock import current_time
from nemochat.tools.builtin.units import _small, _units, convert, convert_units, find_unit

NOW = datetime(2026, 3, 5, 14, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("", "Thursday, 5 March 2026, 14:07"),
        ("UTC", "Thursday, 5 March 2026, 14:07"),
        ("Tokyo", "Thursday, 5 March 2026, 23:07"),
        ("new york", "Thursday, 5 March 2026, 09:07"),
        ("EST", "Thursday, 5 March 2026, 09:07"),
        ("Europe/Berlin", "Thursday, 5 March 2026, 15:07"),
        ("paris, France", "Thursday, 5 March 2026, 15:07"),
        ("UTC+5:30", "Thursday, 5 March 2026, 19:37"),
        ("gmt -2", "Thursday, 5 March 2026, 12:07"),
        ("Sydney", "Friday, 6 March 2026, 01:07"),
    ],
)
async def test_the_time_here_and_elsewhere(place: str, shown: str) -> None:
    outcome = await current_time(lambda: NOW).run({"timezone": place} if place else {})
    assert (outcome.text, outcome.is_error) == (shown, False)


@pytest.mark.parametrize("place", ["Blorkin", "../../etc/passwd", "/etc/localtime", "UTC+99", "\x1b[31m", "x" * 10_000])
async def test_a_place_that_is_not_known_is_an_error(place: str) -> None:
    outcome = await current_time(lambda: NOW).run({"timezone": place})
    assert outcome.is_error
    assert "is not known" in outcome.text
    assert "\x1b" not in outcome.text
    assert len(outcome.text) < 150


async def _convert(value: float, source: str, target: str) -> Any:
    return await convert_units().run({"value": value, "from_unit": source, "to_unit": target})


@pytest.mark.parametrize(
    ("value", "source", "target", "result"),
    [
        (5, "km", "miles", "5 km = 3.10686 miles"),
        (100, "C", "F", "100 C = 212 F"),
        (0, "degrees C", "K", "0 degrees C = 273.15 K"),
        (-40, "\u00b0F", "celsius", "-40 \u00b0F = -40 celsius"),
        (30, "c", "f", "30 c = 86 f"),
        (72.5, "kg", "lbs", "72.5 kg = 159.835 lbs"),
        (8, "Mb", "MB", "8 Mb = 1 MB"),
        (60, "mph", "km/h", "60 mph = 96.56064 km/h"),
        (90, "Minutes", "hours", "90 Minutes = 1.5 hours"),
        (0.1, "m", "cm", "0.1 m = 10 cm"),
        (1, "kWh", "kJ", "1 kWh = 3600 kJ"),
        (1, "hectare", "m\u00b2", "1 hectare = 10000 m\u00b2"),
        (1, "mm", "ly", "1 mm = 1.057e-19 ly"),
    ],
)
async def test_conversions(value: float, source: str, target: str, result: str) -> None:
    assert (await _convert(value, source, target)).text == result


@pytest.mark.parametrize(
    ("value", "source", "target", "why"),
    [
        (1, "km", "kg", "km is a unit of length and kg one of mass"),
        (1, "blork", "m", "\u201cblork\u201d is not known"),
        (-300, "C", "F", "below absolute zero"),
        (1e300, "m", "km", "too large"),
        (float("inf"), "m", "km", "too large"),
    ],
)
async def test_what_cannot_be_converted_says_why(value: float, source: str, target: str, why: str) -> None:
    outcome = await _convert(value, source, target)
    assert outcome.is_error
    assert why in outcome.text


@settings(deadline=None, max_examples=100)
@given(st.fractions(-1000, 1000, max_denominator=1000), st.data())
def test_there_and_back_is_exact(value: Any, data: st.DataObject) -> None:
    kinds = sorted({unit.kind for unit in _units().values()})
    kind = data.draw(st.sampled_from(kinds))
    one, other = (data.draw(st.sampled_from([unit for unit in _units().values() if unit.kind == kind])) for _ in range(2))
    assert convert(convert(value, one, other), other, one) == value


def test_every_unit_that_the_demo_model_may_write_is_known() -> None:
    known = pytest.importorskip("training.corpus.tools", reason="the training is not part of the package")
    assert [name for family in known.UNITS for unit in family for name in unit if find_unit(name) is None] == []


def test_no_name_stands_for_two_units_of_different_kinds_in_small_letters() -> None:
    clashes = [name for name, unit in _units().items() if _small()[name.casefold()].kind != unit.kind]
    assert clashes == []


def test_written_numbers_hold_no_separators() -> None:
    source, target = find_unit("km"), find_unit("mm")
    assert source is not None
    assert target is not None
    assert written(convert(Fraction(10**9), source, target)) == "1000000000000000"
