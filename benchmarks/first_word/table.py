"""The figures as Markdown, and what the project asks of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.first_word.lab import BARE, HANDLER, OURS, SERVER, Lab, Row
from benchmarks.first_word.scenarios import (
    ATTACHED,
    DECODE,
    LOOKUP_OFF,
    LOOKUP_ON,
    PICTURE_COLD,
    RESUME,
    TENTH,
    TEXT_COLD,
    TRIM,
    TYPED,
)
from nemochat.domain.ttft import percentile

COLUMNS = (
    *("scenario", "model", "program", "first word, s: p50", "p95", "nemochat's share", "tokens read", "of the prompt", "ahead"),
    *("encoder runs", "ITL, ms", "tokens/s", "peak, MB"),
)
BOUNDS = """| figure | model | measured | bound | |
|---|---|---|---|---|"""
LARGE = "full"
Bound = tuple[str, str, float | None, str, bool]
"""What, which model, the figure, its bound in words, and whether it is kept."""


def figures(lab: Lab) -> Iterator[str]:
    """A line for each row. What a peer cannot do is compared with what it does instead: read it all at Enter."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + "---|" * len(COLUMNS)
    for row in sorted(lab.rows, key=lambda row: (row.pair, [each.scenario for each in lab.rows].index(row.scenario))):
        ours = lab.find(row.scenario, row.pair, OURS)
        share = f"{_p50(ours) / _p50(row):.3f}" if ours is not None and row.program != OURS else ""
        times = [turn.ttft for turn in row.turns]
        itl = [turn.itl for turn in row.turns if turn.itl]
        encoded = [turn.encoded for turn in row.turns if turn.encoded is not None]
        memory = f"{row.memory.engine / 1e6:,.0f}" + (f" + {row.memory.interface / 1e6:,.0f}" if row.memory.interface else "")
        cells = [
            row.scenario + (f" ({row.note})" if row.note else ""),
            row.pair,
            row.program,
            f"{_p50(row):.3f}",
            f"{percentile(times, 95):.3f}",
            share,
            f"{statistics.median(turn.evaluated for turn in row.turns):,.0f}",
            f"{statistics.median(turn.prompt for turn in row.turns):,.0f}",
            f"{sum(turn.ahead for turn in row.turns) / len(row.turns):,.0f}" if row.program == OURS else "",
            f"{sum(encoded) / len(encoded):.1f}" if encoded else "",
            f"{statistics.median(itl) * 1000:.1f}" if itl else "",
            f"{1 / statistics.median(itl):,.1f}" if itl else "",
            memory,
        ]
        yield f"| {' | '.join(cells)} |"


def bounds(lab: Lab) -> Iterator[str]:
    """A line for each figure that was measured."""
    yield BOUNDS
    for what, pair, value, bound, is_kept in _bounds(lab):
        if value is not None:
            yield f"| {what} | {pair} | {value:.3f} | {bound} | {'kept' if is_kept else 'NOT kept'} |"
    for pair, (same, total) in lab.same.items():
        verdict = "kept" if same == total else "NOT kept"
        yield f"| greedy replies, everything on and off | {pair} | {same} of {total} the same | all | {verdict} |"


def _bounds(lab: Lab) -> Iterator[Bound]:
    for pair in dict.fromkeys(row.pair for row in lab.rows):
        for scenario in (TEXT_COLD, PICTURE_COLD):
            yield _at_most(f"{scenario}, against llama-server", pair, _share(lab, scenario, pair, SERVER), 1.05)
        for scenario in (ATTACHED, TYPED):
            yield _at_most(f"{scenario}, against llama-server cold", pair, _share(lab, scenario, pair, SERVER, PICTURE_COLD), 1.05)
        yield _at_most(f"{TRIM}, the longest, against llama-server's", pair, _longest(lab, pair), 0.1)
        yield _at_least("decoding against the bare loop", pair, _rate(lab.find(DECODE, pair, OURS), lab.find(DECODE, pair, BARE)), 0.97)
        if pair == LARGE:
            yield from _bounds_of_large(lab)


def _bounds_of_large(lab: Lab) -> Iterator[Bound]:
    """What is asked of the full shape alone."""
    yield _at_most(f"{TENTH}, against the handler", LARGE, _share(lab, TENTH, LARGE, HANDLER), 0.02)
    yield _at_most(f"{TYPED}, in token times", LARGE, _token_times(lab.find(TYPED, LARGE, OURS)), 3)
    resumed = lab.find(RESUME, LARGE, OURS)
    yield _at_most(f"{RESUME}, 3,000 tokens, s", LARGE, _p50(resumed) if resumed else None, 2)
    rate = _rate(lab.find(LOOKUP_ON, LARGE, OURS), lab.find(LOOKUP_OFF, LARGE, OURS))
    yield _at_least("decoding text that repeats, with lookup against without", LARGE, rate, 1.3)
    seen = [row.memory for scenario in (PICTURE_COLD, TENTH) if (row := lab.find(scenario, LARGE, OURS))]
    peak = max((memory.engine + memory.interface for memory in seen), default=None)
    yield _at_most("peak resident with a picture, GB", LARGE, None if peak is None else peak / 1e9, 3.5)


def _at_most(what: str, pair: str, value: float | None, bound: float) -> Bound:
    return what, pair, value, f"at most {bound:g}", value is not None and value <= bound


def _at_least(what: str, pair: str, value: float | None, bound: float) -> Bound:
    return what, pair, value, f"at least {bound:g}", value is not None and value >= bound


def _p50(row: Row) -> float:
    return percentile([turn.ttft for turn in row.turns], 50)


def _share(lab: Lab, scenario: str, pair: str, peer: str, of_peer: str = "") -> float | None:
    ours, other = lab.find(scenario, pair, OURS), lab.find(of_peer or scenario, pair, peer)
    return _p50(ours) / _p50(other) if ours and other else None


def _token_times(row: Row | None) -> float | None:
    itl = [turn.itl for turn in row.turns if turn.itl] if row else []
    return _p50(row) / statistics.median(itl) if row and itl else None


def _longest(lab: Lab, pair: str) -> float | None:
    ours, other = lab.find(TRIM, pair, OURS), lab.find(TRIM, pair, SERVER)
    return max(turn.ttft for turn in ours.turns) / max(turn.ttft for turn in other.turns) if ours and other else None


def _rate(one: Row | None, other: Row | None) -> float | None:
    """How much quicker the one decodes, by medians."""
    values = [[turn.itl for turn in row.turns if turn.itl] for row in (one, other) if row is not None]
    return statistics.median(values[1]) / statistics.median(values[0]) if len(values) == 2 and all(values) else None
