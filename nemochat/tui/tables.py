"""The figures of replies as tables of text, the same on the screen and on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
from rich.cells import cell_len, set_cell_size

from nemochat.domain.ttft import Figures, Reading, Spread, Statistics
from nemochat.numbers import count, duration, pace, plural

LABEL = 7
"""Columns at the beginning of a line that name it."""
PART_NAMES = ("load", "pictures", "prompt", "first token")
"""Of a TTFT, for people, in the order of `Reading.parts`."""
_GROUPS = ("cold", "reused", "all", "here", "served")
"""Of replies, as `Statistics` calls them; those of this machine and of servers have lines of their own only where there are both."""
_NONE = "-"
_MILLIONS = 10_000_000
_TIMES = (LABEL, 4, 8, 10, 11, 10, 11, 13)
_COSTS_ABOVE = (LABEL, 16, 17, 20, 14)
_COSTS = (LABEL, 8, 8, 9, 8, 10, 10, 6, 8)
_REPLY = (LABEL, 11, 10, 10, 10, 13, 9, 9, 7)


class Table(msgspec.Struct, frozen=True):
    """Lines of at most 74 columns as long as the numbers are not huge: those that say what the columns are, and the others."""

    header: tuple[str, ...]
    rows: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join((*self.header, *self.rows))


def in_words(statistics: Statistics) -> str:
    """How many replies there are."""
    said = plural(statistics.all.replies, "reply", "replies")
    words = f"{said}: {count(statistics.cold.replies)} cold, {count(statistics.reused.replies)} reused"
    return words + (f"; {count(statistics.without_text)} without text are left out" if statistics.without_text else "")


def first_of(reading: Reading) -> str:
    """How soon the first word came, and before that the first thought where there was one; "" where nothing came."""
    thought = None if reading.first_thought_ms is None else f"thought {duration(reading.first_thought_ms)}"
    if reading.ttft_ms is None:
        return thought or ""
    return f"TTFT {duration(reading.ttft_ms)}" + (f" ({thought})" if thought else "")


def in_full(statistics: Statistics) -> str:
    """How many there are, and both tables."""
    return f"{in_words(statistics)}\n{times(statistics).text}\n\n{costs(statistics).text}"


def times(statistics: Statistics) -> Table:
    """p50 and p95 of the TTFT and of its parts, for cold, reused and all replies; and of the time to a thought, where there were any."""
    rows: list[str] = []
    for name, figures in _groups(statistics):
        spreads = (figures.ttft_ms, *figures.parts)
        rows.append(_line((name, "p50", count(figures.replies), *(_each(spread, lambda it: it.p50) for spread in spreads)), _TIMES))
        rows.append(_line(("", "p95", "", *(_each(spread, lambda it: it.p95) for spread in spreads)), _TIMES))
    if (thought := statistics.all.first_thought_ms) is not None:
        rows += [_line((name, percent, "", duration(ms), *[""] * len(PART_NAMES)), _TIMES)
                 for name, percent, ms in (("thought", "p50", thought.p50), ("", "p95", thought.p95))]  # fmt: skip
    return Table((_line(("", "", "replies", "TTFT", *PART_NAMES), _TIMES),), tuple(rows))


def costs(statistics: Statistics) -> Table:
    """What was read and reused, and how fast it was read and written."""
    above = _line(("", "ITL", "tok/s", "prompt tokens", "pictures"), _COSTS_ABOVE)
    below = _line(("", "p50", "p95", "written", "read", "read", "reused", "", "encoded"), _COSTS)
    return Table((above, below), tuple(_line(_cost(name, figures), _COSTS) for name, figures in _groups(statistics)))


def reply_header() -> str:
    """What the columns of `reply_row` are."""
    return _line(("", "TTFT", *PART_NAMES, "read", "reused", "tok/s"), _REPLY)


def reply_row(reading: Reading) -> str:
    """One reply on one line."""
    cells = (
        "cold" if reading.is_cold else "reused",
        "no text" if reading.ttft_ms is None else duration(reading.ttft_ms),
        duration(reading.load_ms),
        duration(reading.encode_ms) if reading.is_split else _NONE,
        duration(reading.prefill_ms) if reading.is_split else _NONE,
        duration(reading.first_token_ms),
        count(reading.evaluated_tokens),
        count(reading.reused_tokens),
        _pace(reading.tokens_per_second),
    )
    return _line(cells, _REPLY)


def of_replies(readings: Iterable[Reading]) -> Table:
    """One line for each."""
    return Table((reply_header(),), tuple(reply_row(reading) for reading in readings))


def _groups(statistics: Statistics) -> list[tuple[str, Figures]]:
    return [(name, getattr(statistics, name)) for name in (_GROUPS if statistics.served.replies else _GROUPS[:3])]


def _cost(name: str, figures: Figures) -> Sequence[str]:
    return (
        name,
        _itl(figures.itl_ms.p50 if figures.itl_ms else None),
        _itl(figures.itl_ms.p95 if figures.itl_ms else None),
        _pace(figures.tokens_per_second.p50 if figures.tokens_per_second else None),
        _pace(figures.prefill_per_second),
        _large(figures.evaluated_tokens),
        _large(figures.reused_tokens),
        _NONE if figures.reused_share is None else f"{round(100 * figures.reused_share)} %",
        count(figures.encoded_images),
    )


def _each(spread: Spread | None, which: Callable[[Spread], float]) -> str:
    return _NONE if spread is None else duration(which(spread))


def _large(tokens: int) -> str:
    """In millions where more digits would be too many."""
    return count(tokens) if tokens < _MILLIONS else f"{count(round(tokens / 1e6))} M"


def _itl(ms: float | None) -> str:
    """With a decimal where a small model needs it."""
    if ms is None:
        return _NONE
    return f"{ms:.1f} ms" if ms < 9.95 else duration(ms)


def _pace(per_second: float | None) -> str:
    return _NONE if per_second is None else pace(per_second)


def fit(text: str, cells: int) -> str:
    """Exactly so many cells wide: cut with an ellipsis, or filled up with blanks."""
    if cells <= 0:
        return ""
    return set_cell_size(text, cells - 1) + "…" if cell_len(text) > cells else set_cell_size(text, cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the others to the right; one that is too long pushes on, a space before it."""
    line = cells[0].ljust(widths[0])
    for cell, width in zip(cells[1:], widths[1:], strict=True):
        line += cell.rjust(width) if len(cell) < width else f" {cell}"
    return line.rstrip()
