"""Times as people say them, seen from `now`. All times are seconds since the epoch and are shown in the machine's own time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LAST = 32_503_680_000.0
"""The year 3000: what comes from a file may claim any time."""


def heading(then: float, now: float) -> tuple[str, float]:
    """The heading under which a time stands in a list, and the first second that stands there too."""
    day, today = _moment(then).date(), _moment(now).date()
    if day >= today:
        return "Today", start_of(today)
    if day == today - timedelta(days=1):
        return "Yesterday", start_of(day)
    monday = today - timedelta(days=today.weekday())
    if day >= monday:
        return "This week", start_of(monday)
    return _MONTHS[day.month - 1] + (f" {day.year}" if day.year != today.year else ""), start_of(day.replace(day=1))


def when(then: float, now: float) -> str:
    """The rest of a time whose heading is known: ``14:05``, ``Tue 14:05`` or ``3 Oct``."""
    moment, today = _moment(then), _moment(now).date()
    day = moment.date()
    if day >= today - timedelta(days=1):
        return f"{moment:%H:%M}"
    if day >= today - timedelta(days=today.weekday()):
        return f"{_WEEKDAYS[day.weekday()]} {moment:%H:%M}"
    return f"{day.day} {_MONTHS[day.month - 1][:3]}"


def day_of(then: float, now: float) -> str:
    """The day alone, in few characters: ``today``, ``yesterday``, ``3 Oct`` or ``3 Oct 2025``."""
    day, today = _moment(then).date(), _moment(now).date()
    if day >= today - timedelta(days=1):
        return "today" if day >= today else "yesterday"
    short = f"{day.day} {_MONTHS[day.month - 1][:3]}"
    return short if day.year == today.year else f"{short} {day.year}"


def in_full(then: float) -> str:
    """``28 October 2026, 14:05``."""
    moment = _moment(then)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M}"


def start_of(day: date) -> float:
    """When a day begins."""
    return datetime(day.year, day.month, day.day).timestamp()


def today(now: float) -> date:
    """The day of `now`."""
    return _moment(now).date()


def _moment(then: float) -> datetime:
    return datetime.fromtimestamp(min(max(0.0, then), _LAST))
