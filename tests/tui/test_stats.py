"""The figures' screen: tables, plots and their scales, and what the keys do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App

from nemochat.domain.ttft import Reading, ReplyRow, statistics_of
from nemochat.errors import NemochatError
from nemochat.tui import tables
from nemochat.tui.screens.stats import Scope, StatsScreen
from nemochat.tui.widgets.plots import PARTS, Bin, Distribution, FiguresTable, ReplyBars, Scale, axis_of, bars, bins_of, distribution, edge
from nemochat.tui.widgets.search_filters import FilterChoice
from tests import idle
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import running

NOW = 1_772_000_000.0


def reading(ttft: float, *, load: float = 0.0, encode: float = 0.0, cold: bool = False) -> Reading:
    read, reused = (900, 100) if cold else (100, 900)
    return Reading(ttft, load, encode, ttft - load - encode - 10, 10.0, 900.0, 0, reused, read, 10, int(encode > 0))


def row(ttft: float, model: str = "demo", at: float = NOW) -> ReplyRow:
    return ReplyRow(reading(ttft), model, at, "x", "A chat")


class Host(App[None]):
    """The screen alone."""

    def __init__(self, chat: Sequence[ReplyRow], library: Sequence[ReplyRow] | NemochatError = ()) -> None:
        super().__init__()
        self.asked = 0
        self.copied: list[str] = []
        self._given = library
        self.stats = StatsScreen(chat, self._library, copy=self.copied.append, now=lambda: NOW)

    async def _library(self) -> Sequence[ReplyRow]:
        self.asked += 1
        if isinstance(self._given, NemochatError):
            raise self._given
        return self._given

    def on_mount(self) -> None:
        self.push_screen(self.stats)

    @property
    def shown(self) -> str:
        return "\n".join(strip.text for strip in self.screen._compositor.render_strips())


async def until(app: Host, words: str) -> None:
    await idle.until(lambda: words in app.shown)


# -- scales and plots


def test_a_scale_is_linear_where_times_lie_near_each_other_and_by_decades_else() -> None:
    near = Scale.around([100, 1000])
    assert (near.low, near.high, near.is_log) == (0, 1000, False)
    assert [near.at(ms) for ms in (0, 500, 1000, 2000)] == [0, 0.5, 1, 1]
    far = Scale.around([150, 15_000])
    assert (far.low, far.high, far.is_log) == (100, 15_000, True)
    assert far.at(100) == 0
    assert far.at(15_000) == 1
    assert far.at(10) == 0
    assert far.at(10_000) - far.at(1000) == pytest.approx(far.at(1000) - far.at(100))
    assert Scale.around([]).at(0) == Scale.around([0, 0]).at(0) == 0


@pytest.mark.parametrize(
    ("ms", "words"), [(0, "0"), (0.5, "0.5 ms"), (200, "200 ms"), (1000, "1 s"), (1500, "1.5 s"), (2_000_000, "2,000 s")]
)
def test_edges_are_short(ms: float, words: str) -> None:
    assert edge(ms) == words


def test_the_axis_names_round_times_where_they_stand() -> None:
    assert axis_of(Scale(0, 400, False), 40) == "╵0        ╵100 ms   ╵200 ms   ╵300 ms"
    line = axis_of(Scale(100, 10_000, True), 80)
    assert [line.index(f"╵{words}") for words in ("100 ms", "1 s")] == [0, 40]
    assert "500 ms" in line
    assert "500 ms" not in axis_of(Scale(100, 10_000, True), 30)


@given(st.floats(0, 1e10), st.floats(0, 1e10), st.integers(1, 200))
def test_the_axis_fits_whatever_the_times(low: float, high: float, width: int) -> None:
    assert len(axis_of(Scale.around([low, high]), width)) <= width


def test_bins_hold_every_reply_once_and_have_no_gap() -> None:
    found = bins_of([reading(ms) for ms in (120, 150, 199, 200, 30_000)] + [reading(40_000, cold=True)])
    assert found.is_log
    assert found.bins[0] == Bin(100, 200, 0, 3)
    assert found.bins[-1] == Bin(20_000, 50_000, 1, 1)
    assert all(one.high == next_.low for one, next_ in zip(found.bins, found.bins[1:], strict=False))
    near = bins_of([reading(ms) for ms in (100, 110, 199)])
    assert not near.is_log
    assert sum(each.reused for each in near.bins) == 3


@given(st.lists(st.floats(0, 1e10), max_size=50))
def test_no_reply_is_lost_in_the_distribution(values: list[float]) -> None:
    found = bins_of([reading(ms) for ms in values])
    assert sum(each.reused + each.cold for each in found.bins) == len(values)
    assert len(found.bins) <= 14
    assert all(each.low < each.high for each in found.bins)


def test_bars_show_parts_by_fill_and_cold_by_word() -> None:
    plot = bars([reading(1000, load=500, encode=250, cold=True), reading(500)], 80, 10).plain.splitlines()
    assert plot[0] == "TTFT of the last 2 replies, newest first"
    assert plot[1] == "▓ load  ╱ pictures  █ prompt  ░ first token"  # noqa: RUF001
    newest, oldest = plot[3:]
    assert newest.startswith("     500 ms  ████")
    assert oldest.startswith("cold  1.0 s  ▓▓▓")
    drawn = oldest[13:]
    assert (len(drawn), drawn.count("▓"), drawn.count(PARTS[1][1])) == (67, 33, 17)
    assert len(newest[13:]) == 34


def test_a_log_scale_is_told() -> None:
    plot = bars([reading(100), reading(50_000)], 80, 10).plain
    assert "(log scale; parts by share)" in plot.splitlines()[0]
    assert "(log scale)" in distribution(bins_of([reading(100), reading(50_000)]), 80).plain.splitlines()[0]
    assert "log" not in bars([reading(100), reading(200)], 80, 10).plain


@given(st.lists(st.floats(10, 1e7), min_size=1, max_size=12), st.integers(24, 200))
def test_plots_fit_their_width(values: list[float], width: int) -> None:
    readings = [reading(ms, cold=ms > 1000) for ms in values]
    for plot in (bars(readings, width, 10), distribution(bins_of(readings), width)):
        lines = plot.plain.splitlines()
        assert max(len(line) for line in lines[2:]) <= max(width, 42)


def test_only_the_last_replies_are_drawn() -> None:
    plot = bars([reading(ms) for ms in range(100, 200)], 80, 5).plain.splitlines()
    assert len(plot) == 3 + 5
    assert "199 ms" in plot[3]


def test_nothing_is_nothing() -> None:
    assert bars([], 80, 5).plain == distribution(bins_of([]), 80).plain == ""


# -- tables


def test_the_tables_fit_in_80_columns_with_large_numbers() -> None:
    readings = [reading(12_345.0 * at, cold=at % 3 == 0, load=999.0) for at in range(1, 30)] * 4000
    found = statistics_of(readings)
    for table in (tables.times(found), tables.costs(found)):
        assert max(len(line) for line in table.text.splitlines()) <= 76
    assert "116,000 replies" in tables.in_words(found)


def test_the_table_says_what_was_not_measured() -> None:
    found = statistics_of([msgspec.structs.replace(reading(100), completion_tokens=1)])
    assert tables.times(found).rows[0].split() == ["cold", "p50", "0", "-", "-", "-", "-", "-"]
    assert tables.costs(found).rows[2].split() == ["all", "-", "-", "-", "1,111", "100", "900", "90", "%", "0"]
    assert tables.in_words(statistics_of([reading(1), msgspec.structs.replace(reading(1), ttft_ms=None)])) == (
        "1 reply: 0 cold, 1 reused; 1 without text are left out"
    )


def test_a_reply_on_a_line() -> None:
    assert tables.reply_row(reading(1000, load=500, cold=True)).split() == (
        ["cold", "1.0", "s", "500", "ms", "0", "ms", "490", "ms", "10", "ms", "900", "100", "10"]
    )
    assert "no text" in tables.reply_row(msgspec.structs.replace(reading(100), ttft_ms=None))


# -- the screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_tables_and_plots_are_there_at_every_size(size: tuple[int, int]) -> None:
    app = Host([row(100.0 + at) for at in range(30)])
    async with app.run_test(size=size):
        await until(app, "TTFT of the last")
        assert "30 replies: 0 cold, 30 reused" in app.shown
        assert "first token" in app.shown
        wide = size[0] >= 116
        if wide:
            await until(app, "Distribution of TTFT")  # each plot is drawn in a frame of its own
        else:
            assert "Distribution of TTFT" not in app.shown
        shown = [plot for plot in app.stats.query(ReplyBars) if plot.display and plot.size.height]
        assert len(shown) == 1
        assert len([plot for plot in app.stats.query(Distribution) if plot.display and plot.size.height]) == 1


async def test_the_keys_scroll_to_what_is_below() -> None:
    app = Host([row(100.0 + at) for at in range(30)])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "TTFT of the last")
        assert "Cold: had to wait" not in app.shown
        await pilot.press("end")
        await until(app, "Cold: had to wait")
        await pilot.press("home")
        await until(app, "TTFT of the last")


async def test_tab_goes_to_the_library_and_back_and_reads_it_once() -> None:
    app = Host([row(100)], [row(300), row(200), row(100)])
    async with app.run_test(size=(100, 30)) as pilot:
        await until(app, "1 reply:")
        await pilot.press("tab")
        await until(app, "3 replies:")
        assert app.stats.scope is Scope.LIBRARY
        await pilot.press("tab")
        await until(app, "1 reply:")
        await pilot.press("shift+tab")
        await until(app, "3 replies:")
        assert app.asked == 1


async def test_the_newest_of_the_library_is_on_top() -> None:
    app = Host([], [row(300), row(200)])
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("tab")

        def bars_of_replies() -> list[str]:
            return [line for line in app.shown.splitlines() if "█" in line and "ms  " in line]

        await idle.until(lambda: len(bars_of_replies()) >= 2)
        assert "300 ms" in bars_of_replies()[0]
        assert "200 ms" in bars_of_replies()[1]


async def test_filters_of_model_and_time() -> None:
    old = NOW - 3 * 86_400
    app = Host([], [row(300, "large"), row(200, "demo"), row(100, "demo", old)])
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("tab")
        await until(app, "3 replies:")
        await pilot.press("f3")
        await until(app, "2 replies:")
        await pilot.press("f4")
        await until(app, "1 reply:")
        await pilot.press("f3")
        await until(app, "1 reply:")
        assert [choice.value for choice in app.stats.query(FilterChoice)] == ["large", "today"]
        await pilot.press("tab")
        await until(app, "No reply in this chat yet.")


async def test_what_is_empty_says_so_kindly() -> None:
    app = Host([])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "Ask something, and its time to first token")
        await pilot.press("tab")
        await until(app, "No reply in the library yet.")
        assert app.stats.query_one(FiguresTable).size.height == 0
    silent = ReplyRow(msgspec.structs.replace(reading(1), ttft_ms=None), "demo")
    app = Host([silent])
    async with app.run_test(size=(80, 24)):
        await until(app, "1 reply without text")


async def test_a_library_that_cannot_answer_is_told() -> None:
    app = Host([row(1)], NemochatError("The library is locked.", "Close the other nemochat."))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab")
        await until(app, "The library is locked. Close the other nemochat.")
        await pilot.press("j")
        assert app.copied == []


async def test_j_copies_the_figures_as_json() -> None:
    app = Host([row(100), row(300)])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "2 replies:")
        await pilot.press("j")
        assert json.loads(app.copied[0]) == msgspec.to_builtins(statistics_of([reading(100), reading(300)]))


async def test_hostile_names_do_no_harm() -> None:
    app = Host([row(100, "[red]evil\x1b[2J")])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(app, "1 reply:")
        await pilot.press("f3")
        await until(app, "[red]evil")
        assert "\x1b" not in app.shown


async def test_the_command_the_key_and_the_way_back(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("first")
        await driver.send("second")
        await driver.send("/stats")
        screen = await driver.dialog(StatsScreen)
        await driver.until(lambda: "2 replies:" in driver.shown)
        await driver.press("tab")
        await driver.until(lambda: screen.scope is Scope.LIBRARY and "2 replies:" in driver.shown)
        await driver.press("escape")
        await driver.back()
        await driver.press("ctrl+t")
        await driver.dialog(StatsScreen)
        await driver.press("ctrl+t")
        await driver.back()
