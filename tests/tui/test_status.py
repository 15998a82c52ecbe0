"""The status line: what it says, and what it gives up first where there is little room."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.widgets import Input

from nemochat.chat import TurnResult
from nemochat.domain.events import FinishReason, Progress, Stage, Timings, Usage
from nemochat.numbers import count, duration, plural, speed
from nemochat.tui.widgets.status import StatusLine, StatusView, figures, sparkline, split, state_words
from tests.idle import until

RESULT = TurnResult(
    "Hello",
    FinishReason.STOP,
    (),
    Usage(prompt_tokens=960, image_tokens=128, reused_tokens=648, evaluated_tokens=312, completion_tokens=40, encoded_images=1),
    Timings(load_ms=0, encode_ms=310, prefill_ms=780, decode_ms=1600, first_token_ms=95),
    1185.0,
    (),
)
VIEW = StatusView("nemotron-vl", "ready", 1234, 4096, RESULT, (3200.0, 1185.0))


class Host(App[None]):
    AUTO_FOCUS = "Input"

    def compose(self) -> ComposeResult:
        yield Input()
        yield StatusLine()


def text_of(line: StatusLine) -> list[str]:
    return [line.render_line(y).text for y in range(line.size.height)]


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(Stage.LOAD, 400, 1000), "loading the model 40 %"),
        (Progress(Stage.LOAD, 0, 0), "loading the model"),
        (Progress(Stage.ENCODE, 0, 2), "reading the picture 1 of 2"),
        (Progress(Stage.ENCODE, 1, 2), "reading the picture 2 of 2"),
        (Progress(Stage.ENCODE, 2, 2), "reading the picture 2 of 2"),
        (Progress(Stage.ENCODE, 0, 1), "reading the picture"),
        (Progress(Stage.COMPILE, 0, 0), "preparing the GPU, which takes long the first time"),
        (Progress(Stage.PREFILL, 312, 960), "reading 312 of 960 tokens"),
        (Progress(Stage.PREFILL, 1000, 2000), "reading 1,000 of 2,000 tokens"),
        (Progress(Stage.PREFILL, 0, 0), "reading"),
    ],
)
def test_progress_in_words(progress: Progress, words: str) -> None:
    assert state_words(progress) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (84.6, "85 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (1185, "1.2 s"),
        (59_940, "59.9 s"),
        (59_960, "1 min 0 s"),
        (65_000, "1 min 5 s"),
    ],
)
def test_durations(ms: float, words: str) -> None:
    assert duration(ms) == words


def test_counts_and_rates() -> None:
    assert count(1234567) == "1,234,567"
    assert speed(25) == "25 tok/s"
    assert speed(4.6) == "4.6 tok/s"
    assert speed(9.96) == "10 tok/s"
    assert speed(1234.5) == "1,234 tok/s"
    assert speed(None) == "? tok/s"
    assert plural(1, "picture") == "1 picture"
    assert plural(1200, "picture") == "1,200 pictures"


def test_the_sparkline_is_relative_to_the_largest_and_shows_the_last_twelve() -> None:
    assert sparkline([1, 2, 4, 8]) == "▂▃▅█"
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁"
    assert len(sparkline(range(1, 100))) == 12


async def test_a_model_that_is_not_known_yet_leaves_no_gap() -> None:
    app = Host()
    async with app.run_test(size=(60, 10)) as pilot:
        app.query_one(StatusLine).view = StatusView("", "loading the model", 0, 0, None)
        await pilot.pause()
        assert text_of(app.query_one(StatusLine))[0].strip() == "loading the model"


async def test_the_line_says_everything_where_there_is_room() -> None:
    app = Host()
    async with app.run_test(size=(120, 10)) as pilot:
        app.query_one(StatusLine).view = VIEW
        await pilot.pause()
        [line] = text_of(app.query_one(StatusLine))
        assert line.startswith("nemotron-vl · ready ")
        assert line.endswith(" 1,234/4,096 (30 %) · TTFT 1.2 s █▃ · 24 tok/s")


def test_the_least_important_goes_first() -> None:
    full = len("1,234/4,096 (30 %) · TTFT 1.2 s ██ · 24 tok/s")
    kept = [" · ".join(figures(VIEW, width)) for width in range(full, -1, -1)]
    assert list(dict.fromkeys(kept)) == [
        "1,234/4,096 (30 %) · TTFT 1.2 s █▃ · 24 tok/s",
        "1,234/4,096 (30 %) · TTFT 1.2 s · 24 tok/s",
        "1,234/4,096 (30 %) · TTFT 1.2 s",
        "1,234/4,096 · TTFT 1.2 s",
        "1,234/4,096",
        "",
    ]


def test_the_first_thought_is_told_beside_the_first_word_and_goes_before_it() -> None:
    view = msgspec.structs.replace(VIEW, last=msgspec.structs.replace(RESULT, first_thought_ms=130.0))
    kept = dict.fromkeys(" · ".join(figures(view, width)) for width in range(99, -1, -1))
    assert next(iter(kept)) == "1,234/4,096 (30 %) · TTFT 1.2 s (thought 130 ms) █▃ · 24 tok/s"
    assert list(kept)[1] == "1,234/4,096 (30 %) · TTFT 1.2 s █▃ · 24 tok/s"


@given(st.integers(0, 150), st.text(max_size=60), st.text(max_size=60))
def test_nothing_wraps_whatever_the_names_and_the_width(width: int, model: str, state: str) -> None:
    line = StatusLine._line(StatusView(model, state, 1234, 4096, RESULT, (1.0, 2.0)), width)
    assert line.cell_length <= width
    assert "\n" not in line.plain


@pytest.mark.parametrize("name", ["nim/nvidia/nemovision-4b", "smol/SmolLM2-135M-Instruct.Q4_1", "n" * 200])
@pytest.mark.parametrize("width", [78, 90, 118])
def test_how_full_the_window_is_stays_beside_long_names_and_marks(width: int, name: str) -> None:
    """Fails when the name takes the place of what people look at most."""
    view = StatusView(name, "ready", 1234, 4096, RESULT, leaves=True, is_unprotected=True, is_exact=False)
    line = StatusLine._line(view, width).plain
    assert len(line) <= width
    assert line.startswith(name[:15])
    assert "↗ leaves this machine · not protected · ready" in line
    assert "~1,234/4,096" in line


@pytest.mark.parametrize(("width", "said"), [(118, "vl · on CUDA0, CUDA1 · ready"), (50, "vl · GPU · ready"), (20, "vl · ready")])
def test_it_says_where_the_model_runs_where_that_is_not_the_processor(width: int, said: str) -> None:
    """Fails when a GPU that is used, or is not, cannot be seen."""
    assert said in StatusLine._line(msgspec.structs.replace(VIEW, devices=("CUDA0", "CUDA1")), width).plain
    assert "on " not in StatusLine._line(VIEW, width).plain


async def test_model_and_state_stay_on_a_narrow_terminal() -> None:
    app = Host()
    async with app.run_test(size=(40, 10)) as pilot:
        app.query_one(StatusLine).view = msgspec.structs.replace(VIEW, state="reading 312 of 960 tokens")
        await pilot.pause()
        [line] = text_of(app.query_one(StatusLine))
        assert "nemotron" in line
        assert "reading 312 of 960 tokens" in line


async def test_the_split_is_a_second_line_while_the_line_has_the_focus() -> None:
    app = Host()
    async with app.run_test(size=(120, 10)) as pilot:
        line = app.query_one(StatusLine)
        line.view = VIEW
        line.focus()
        await pilot.pause()
        assert text_of(line)[1].strip() == "pictures 310 ms · prompt 780 ms (312 of 960 tokens read, 648 reused) · first token 95 ms"
        await pilot.press("enter")
        await until(lambda: line.size.height == 1)
        await pilot.press("enter")
        await until(lambda: line.size.height == 2)
        app.query_one(Input).focus()
        await pilot.pause()
        assert line.size.height == 1


async def test_a_click_shows_the_split_too() -> None:
    app = Host()
    async with app.run_test(size=(120, 10)) as pilot:
        app.query_one(StatusLine).view = VIEW
        await pilot.click(StatusLine)
        assert app.query_one(StatusLine).size.height == 2


@pytest.mark.parametrize("width", [1, 20, 60, 100])
def test_the_split_fits(width: int) -> None:
    assert len(split(RESULT, width)) <= width


async def test_without_a_reply_the_split_says_so() -> None:
    app = Host()
    async with app.run_test(size=(80, 10)) as pilot:
        line = app.query_one(StatusLine)
        line.view = StatusView("no model", "no model", 0, 0, None)
        line.focus()
        await pilot.pause()
        assert "/" not in text_of(line)[0]
        assert "No reply yet" in text_of(line)[1]


async def test_escapes_in_a_models_name_are_dropped() -> None:
    app = Host()
    async with app.run_test(size=(80, 10)) as pilot:
        app.query_one(StatusLine).view = msgspec.structs.replace(VIEW, model="evil\x1b[2J[red]name\n", state="stopped: \x9bx")
        await pilot.pause()
        assert text_of(app.query_one(StatusLine))[0].startswith("evil[2J[red]name  · stopped: x")


def test_what_a_server_did_until_its_first_word_is_one_part() -> None:
    timings = Timings(first_token_ms=300.0, is_split=False)
    result = TurnResult("x", FinishReason.STOP, (), Usage(prompt_tokens=9, evaluated_tokens=9), timings, 300.0, ())
    assert split(result, 80) == "server 300 ms (9 of 9 tokens read, 0 reused)"
    assert split(result, 20) == "server 300 ms (9/9)"
    assert figures(StatusView("box/m", "ready", 1234, 4096, result, is_exact=False), 60)[0] == "~1,234/4,096 (30 %)"
