"""Times of many replies as pictures made of characters: one bar for each of the last ones, and how often which time occurred."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from itertools import islice

import msgspec
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from nemochat.domain.ttft import Reading, Statistics
from nemochat.numbers import count, duration
from nemochat.tui.tables import LABEL, PART_NAMES, Table, costs, times
from nemochat.tui.widgets.context_graph import Part, share

DECADES = 20.0
"""Values that lie farther apart than by this factor get a log scale."""
_FLOOR_MS = 1.0
"""A log scale has no zero; no shorter time can be told apart on it."""
_STEPS = (1, 2, 5)
_MOST_BINS = 13
_LINEAR_BINS = 8
_MARK = 5
_TICK = 10
"""Columns that a tick with its time needs."""

PARTS = tuple(
    zip(PART_NAMES, ("▓", "╱", "█", "░"), ("$text-secondary", "$text-accent", "$text-primary", "$text-warning"), strict=True)  # noqa: RUF001
)
"""Name, fill and colour of the parts of a TTFT, in the order of `Reading.parts`."""
COLD = ("cold", "▒", "$text-warning")
REUSED = ("reused", "█", "$text-success")


class Scale(msgspec.Struct, frozen=True):
    """Where times stand on an axis from `low` to `high` milliseconds."""

    low: float
    high: float
    is_log: bool

    @classmethod
    def around(cls, times: Sequence[float]) -> Scale:
        """One that holds all of them: by decades where they lie far apart, else from zero."""
        smallest, largest = max(_FLOOR_MS, min(times, default=0.0)), max(_FLOOR_MS, max(times, default=0.0))
        if largest / smallest <= DECADES:
            return cls(0.0, largest, False)
        low = 10.0 ** math.floor(math.log10(smallest))
        return cls(low, largest, True)

    def at(self, ms: float) -> float:
        """From 0 to 1."""
        if not self.is_log:
            return min(1.0, max(0.0, ms / self.high))
        return min(1.0, max(0.0, math.log(max(ms, self.low) / self.low) / math.log(self.high / self.low)))

    def ticks(self, most: int) -> list[float]:
        """Round times on it, not many more than `most`; decades alone where there is no room for what lies between."""
        if self.is_log:
            first, last = round(math.log10(self.low)), math.floor(math.log10(self.high))
            all_steps = [step * 10.0**power for power in range(first, last + 1) for step in _STEPS if step * 10.0**power <= self.high]
            return all_steps if len(all_steps) <= most else [10.0**power for power in range(first, last + 1)]
        step = _round_step(self.high / max(1, most))
        return [step * index for index in range(math.floor(self.high / step) + 1)]


class Bin(msgspec.Struct, frozen=True):
    """How many replies took from `low` up to `high` milliseconds: the cold ones and the others."""

    low: float
    high: float
    cold: int
    reused: int


class Bins(msgspec.Struct, frozen=True):
    """Groups of times without a gap; is_log: they widen, as on a log scale."""

    bins: tuple[Bin, ...] = ()
    is_log: bool = False


def bins_of(readings: Sequence[Reading]) -> Bins:
    """How often which time occurred, in few groups."""
    times = [(reading.ttft_ms, reading.is_cold) for reading in readings if reading.ttft_ms is not None]
    if not times:
        return Bins()
    scale = Scale.around([ms for ms, _ in times])
    edges = _log_edges(scale) if scale.is_log else _linear_edges(scale)
    counts = [[0, 0] for _ in edges[1:]]
    for ms, is_cold in times:
        at = min(max(0, bisect.bisect_right(edges, ms) - 1), len(counts) - 1)
        counts[at][is_cold] += 1
    bins = [Bin(low, high, cold, reused) for low, high, (reused, cold) in zip(edges, edges[1:], counts, strict=False)]
    while bins and not bins[0].cold + bins[0].reused:
        bins = bins[1:]
    while bins and not bins[-1].cold + bins[-1].reused:
        bins = bins[:-1]
    return Bins(tuple(bins), scale.is_log)


def edge(ms: float) -> str:
    """A round time, short: ``0``, ``200 ms``, ``1.5 s``, ``2,000 s``."""
    if not ms:
        return "0"
    return f"{ms:g} ms" if ms < 1000 else f"{ms / 1000:,g} s"


def bars(readings: Sequence[Reading], width: int, most: int) -> Content:
    """The last replies, the newest on top: how long until the first token, and its parts."""
    shown = list(islice((reading for reading in reversed(readings) if reading.ttft_ms is not None), most))
    if not shown:
        return Content("")
    column = max(len(duration(reading.ttft_ms or 0.0)) for reading in shown)
    room = max(8, width - _MARK - column - 2)
    scale = Scale.around([reading.ttft_ms or 0.0 for reading in shown])
    of = f"last {count(len(shown))} replies" if len(shown) > 1 else "last reply"
    titles = [f"TTFT of the {of}, newest first", f"{of.capitalize()}, newest first", of.capitalize()]
    notes = [" (log scale; parts by share)", " (log scale)", ""] if scale.is_log else [""]
    title = next((title + note for note in notes for title in titles if len(title + note) <= width), of)
    legend = Content("  ").join([Content.assemble((fill, colour), f" {name}") for name, fill, colour in PARTS])
    axis = Content.styled(" " * (_MARK + column + 2) + axis_of(scale, room), "$text-muted")
    return Content("\n").join([Content.styled(title, "bold"), legend, axis, *(_bar(reading, scale, column, room) for reading in shown)])


def axis_of(scale: Scale, width: int) -> str:
    """The ticks with their times, each beginning where it stands; those for which there is no room are left out."""
    line = ""
    for tick in scale.ticks(width // _TICK):
        at, label = min(width - 1, round(scale.at(tick) * width)), f"╵{edge(tick)}"
        if at >= len(line) + (1 if line else 0) and at + len(label) <= width:
            line = line.ljust(at) + label
    return line


def distribution(found: Bins, width: int) -> Content:
    """How many replies took how long, the cold ones with a fill of their own."""
    if not found.bins:
        return Content("")
    longest = max(each.cold + each.reused for each in found.bins)
    labels = [f"{edge(each.low)} – {edge(each.high)}" for each in found.bins]  # noqa: RUF001
    column = max(len(label) for label in labels)
    room = max(4, width - column - 3 - len(count(longest)))
    lines = [Content.styled("Distribution of TTFT" + (" (log scale)" if found.is_log else ""), "bold")]
    lines.append(Content("  ").join([Content.assemble((fill, colour), f" {name}") for name, fill, colour in (REUSED, COLD)]))
    for each, label in zip(found.bins, labels, strict=True):
        total = each.cold + each.reused
        size = max(1, round(room * total / longest)) if total else 0
        parts = [Part(*kind, number) for kind, number in ((REUSED, each.reused), (COLD, each.cold)) if number]
        cells = share([part.tokens for part in parts], size) if parts else []
        fills = [(part.fill * cell, part.colour) for part, cell in zip(parts, cells, strict=True)]
        lines.append(Content.assemble((f"{label:>{column}}  ", "$text-muted"), *fills, f" {count(total)}" if total else ""))
    return Content("\n").join(lines)


class _Plot(Widget):
    """Lines that are drawn anew for each width."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "_Plot { height: auto; width: 1fr; }"

    def drawn(self, width: int) -> Content:
        """The lines; empty where there is nothing to show."""
        raise NotImplementedError

    def render(self) -> Content:
        """The lines for the present width."""
        return self.drawn(self.content_size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as it has."""
        drawn = self.drawn(width).plain
        return drawn.count("\n") + 1 if drawn else 0


class ReplyBars(_Plot):
    """The last replies, at most `most` of them. `readings` come oldest first."""

    readings: reactive[tuple[Reading, ...]] = reactive((), layout=True)
    most: reactive[int] = reactive(10, layout=True)

    def drawn(self, width: int) -> Content:
        """One bar for each."""
        return bars(self.readings, width, self.most)


class Distribution(_Plot):
    """How often which time occurred."""

    bins: reactive[Bins] = reactive(Bins(), layout=True)

    def drawn(self, width: int) -> Content:
        """One bar for each group of times."""
        return distribution(self.bins, width)


def _bar(reading: Reading, scale: Scale, column: int, room: int) -> Content:
    ms = reading.ttft_ms or 0.0
    size = max(1, round(scale.at(ms) * room))
    # Tenths of a microsecond, because the cells are shared out by whole numbers.
    given = [(kind, round(value * 10_000)) for kind, value in zip(PARTS, reading.parts, strict=True)]
    parts = [Part(*kind, value) for kind, value in given if value * size >= sum(each for _, each in given) / 2 and value]
    cells = share([part.tokens for part in parts], size) if parts else []
    fills = [(part.fill * cell, part.colour) for part, cell in zip(parts, cells, strict=True)]
    mark = ("cold ", COLD[2]) if reading.is_cold else (" " * _MARK, "")
    return Content.assemble(mark, f"{duration(ms):>{column}}  ", *fills)


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, not below `least`."""
    power = 10.0 ** math.floor(math.log10(max(least, 1e-3)))
    return next((step * power for step in (*_STEPS, 10) if step * power >= least), 10 * power)


def _linear_edges(scale: Scale) -> list[float]:
    step = _round_step(scale.high / _LINEAR_BINS)
    return [step * index for index in range(math.floor(scale.high / step) + 2)]


def _log_edges(scale: Scale) -> list[float]:
    """By steps of 1, 2, 5 and 10, or by decades where those would be too many."""
    powers = range(round(math.log10(scale.low)), math.floor(math.log10(scale.high)) + 1)
    edges = [step * 10.0**power for power in powers for step in _STEPS] + [10.0 ** (powers[-1] + 1)]
    if len(edges) - 1 > _MOST_BINS:
        edges = [10.0**power for power in range(powers[0], powers[-1] + 2)]
    return edges


class FiguresTable(_Plot):
    """How long: p50 and p95 of the TTFT and of its parts, for cold, reused and all replies."""

    ALLOW_SELECT = True

    statistics: reactive[Statistics | None] = reactive(None, layout=True)

    def table(self, statistics: Statistics) -> Table:
        """What is shown of them."""
        return times(statistics)

    def drawn(self, width: int) -> Content:
        """The table."""
        if self.statistics is None:
            return Content("")
        table = self.table(self.statistics)
        lines = [Content.styled(line, "$text-muted") for line in table.header]
        lines += [Content.assemble((line[:LABEL], "bold"), line[LABEL:]) for line in table.rows]
        return Content("\n").join(lines)


class CostTable(FiguresTable):
    """What was read and reused, and how fast it was written."""

    def table(self, statistics: Statistics) -> Table:
        """What is shown of them."""
        return costs(statistics)
