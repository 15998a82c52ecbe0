"""The figures of replies: what they are made of, which percentile is meant, and what is kept out of them."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.domain.chat import Chat, Entry
from nemochat.domain.events import FinishReason, Timings, Usage
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.replies import ModelRef, ReplyRecord, TurnResult
from nemochat.domain.sampling import Sampling
from nemochat.domain.ttft import Figures, Reading, Spread, Statistics, percentile, reading_of, rows_of, statistics_of
from nemochat.tui.tables import times


def reading(
    load: float = 0,
    encode: float = 0,
    prefill: float = 300,
    first: float = 50,
    decode: float = 900,
    evaluated: int = 100,
    reused: int = 900,
    completion: int = 10,
    pictures: int = 0,
) -> Reading:
    usage = Usage(evaluated + reused, 0, reused, evaluated, completion, pictures)
    return Reading.of(usage, Timings(load, encode, prefill, decode, first), load + encode + prefill + first)


def record(text: str, ttft_ms: float | None) -> ReplyRecord:
    return ReplyRecord(TurnResult(text, FinishReason.STOP, (), Usage(), Timings(), ttft_ms, ()), Sampling(), ModelRef("demo"), ())


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        # Nearest rank, from the definition: the smallest value that so many of a hundred are not above.
        ([15, 20, 35, 40, 50], 5, 15),
        ([15, 20, 35, 40, 50], 30, 20),
        ([15, 20, 35, 40, 50], 40, 20),
        ([15, 20, 35, 40, 50], 50, 35),
        ([15, 20, 35, 40, 50], 100, 50),
        ([40, 15, 50, 20, 35], 50, 35),
        ([1, 2], 50, 1),
        ([1, 2], 95, 2),
        ([7], 50, 7),
        ([7], 95, 7),
        (range(1, 21), 95, 19),
        (range(1, 101), 95, 95),
        (range(1, 102), 95, 96),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], percent: int, expected: float) -> None:
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_no_percentile_of_nothing(values: list[float], percent: int) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_occurred_and_so_many_are_not_above_it(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


@pytest.mark.parametrize(
    ("load", "evaluated", "reused", "is_cold"),
    [
        (0, 0, 0, False),
        (0, 10, 990, False),
        (0, 500, 500, False),
        (0, 501, 500, True),
        (0, 10, 0, True),
        (0.4, 10, 990, False),
        (1.0, 10, 990, True),
        (8000, 10, 990, True),
    ],
)
def test_cold_waited_for_the_model_or_read_more_than_it_reused(load: float, evaluated: int, reused: int, is_cold: bool) -> None:
    assert reading(load=load, evaluated=evaluated, reused=reused).is_cold is is_cold


def test_the_figures_of_one_reply() -> None:
    one = reading(decode=900, completion=10, evaluated=100, prefill=400)
    assert one.itl_ms == 100
    assert one.tokens_per_second == 10
    assert one.prefill_per_second == 250
    assert one.prompt_tokens == 1000
    for bare in (reading(completion=1), reading(completion=0), reading(decode=0)):
        assert bare.itl_ms is None
        assert bare.tokens_per_second is None
    assert reading(evaluated=0).prefill_per_second is None
    assert reading(prefill=0).prefill_per_second is None


def test_nothing_comes_to_nothing() -> None:
    assert statistics_of([]) == Statistics(Figures(), Figures(), Figures())


def test_a_single_reply_is_both_percentiles_of_everything() -> None:
    [spread] = {figures.ttft_ms for figures in (statistics_of([reading()]).all, statistics_of([reading()]).reused)}
    assert spread == Spread(350, 350)
    assert statistics_of([reading()]).cold == Figures()


def test_cold_and_reused_are_apart_and_all_is_both() -> None:
    cold = [reading(load=2000, encode=5000, prefill=8000, evaluated=900, reused=100, pictures=1, completion=101, decode=20_000)]
    reused = [reading(prefill=100 * at, first=10 * at, completion=101, decode=10_000 * at) for at in range(1, 5)]
    found = statistics_of([*cold, *reused])
    assert (found.all.replies, found.cold.replies, found.reused.replies) == (5, 1, 4)
    assert found.cold.ttft_ms == Spread(15_050, 15_050)
    assert found.reused.ttft_ms == Spread(220, 440)
    assert found.all.ttft_ms == Spread(330, 15_050)
    assert (found.all.load_ms, found.all.encode_ms) == (Spread(0, 2000), Spread(0, 5000))
    assert (found.reused.prefill_ms, found.reused.first_token_ms) == (Spread(200, 400), Spread(20, 40))
    assert found.reused.itl_ms == Spread(200, 400)
    assert found.reused.tokens_per_second == Spread(5, 2.5)
    assert found.all.prefill_per_second == round(1300 / 9000 * 1000, 3)
    assert (found.all.evaluated_tokens, found.all.reused_tokens, found.all.completion_tokens) == (1300, 3700, 505)
    assert found.all.reused_share == 0.74
    assert (found.all.encoded_images, found.reused.encoded_images) == (1, 0)


def test_replies_without_text_are_counted_and_nothing_else() -> None:
    silent = msgspec.structs.replace(reading(load=9000), ttft_ms=None)
    found = statistics_of([silent, reading(), silent])
    assert found.without_text == 2
    assert found.all == statistics_of([reading()]).all
    assert statistics_of([silent]) == Statistics(Figures(), Figures(), Figures(), 1)


def test_impossible_figures_of_a_file_from_elsewhere_do_no_harm() -> None:
    wild = Reading.of(
        Usage(0, -5, 10**30, -1, 3, 0), Timings(-math.inf, math.nan, math.inf, 1e308, -1), math.inf
    )
    assert all(0 <= each <= 1e10 for each in (*wild.parts, wild.decode_ms, wild.ttft_ms or 0))
    assert (wild.image_tokens, wild.evaluated_tokens) == (0, 0)
    assert msgspec.json.encode(statistics_of([wild, reading()]))


def test_the_replies_of_a_chat_with_those_swiped_away_in_the_order_in_which_they_came() -> None:
    def said(text: str, ttft_ms: float | None) -> Entry:
        return Entry(Message(Role.ASSISTANT, (TextPart(text),)), record(text, ttft_ms) if ttft_ms else None)

    chat = Chat().added(Entry(Message(Role.USER, (TextPart("Hi"),)))).added(said("one", 1.0)).cut(1).added(said("two", 2.0))
    chat = chat.added(Entry(Message(Role.USER, (TextPart("And?"),)))).added(said("edited", None)).added(said("three", 3.0)).swiped(1, 2)
    assert [row.reading.ttft_ms for row in rows_of(chat)] == [1.0, 2.0, 3.0]
    assert {row.model for row in rows_of(chat)} == {"demo"}


def test_a_result_and_its_reading_say_the_same() -> None:
    result = TurnResult("x", FinishReason.STOP, (), Usage(9, 1, 2, 7, 5, 1), Timings(1, 2, 3, 8, 4), 10.0, ())
    assert reading_of(result) == Reading(10.0, 1, 2, 3, 4, 8, 1, 2, 7, 5, 1)


def test_the_time_to_the_first_thought_is_that_of_the_replies_that_had_one() -> None:
    without, thinks = reading(), msgspec.structs.replace(reading(prefill=900), first_thought_ms=20.0)
    result = msgspec.structs.replace(record("Hm.", 900.0).result, first_thought_ms=-5.0)
    assert reading_of(result).first_thought_ms == 0.0
    statistics = statistics_of([without, thinks, thinks])
    assert statistics.all.first_thought_ms == Spread(20.0, 20.0)
    assert statistics_of([without]).all.first_thought_ms is None
    rows = [line.split() for line in times(statistics).rows]
    assert rows[-2:] == [["thought", "p50", "20", "ms"], ["p95", "20", "ms"]]
    assert len(times(statistics_of([without])).rows) == len(rows) - 2


def test_replies_of_servers_stand_apart_from_those_of_this_machine_where_there_are_both() -> None:
    here = [reading(), reading(first=150)]
    served = [msgspec.structs.replace(reading(prefill=0, first=2000), is_served=True, is_split=False)]
    both = statistics_of([*here, *served])
    assert (both.all.replies, both.here, both.served) == (3, statistics_of(here).all, statistics_of(served).all)
    # What a server does until its first token is in no figure of the parts.
    assert both.all.prefill_ms == both.here.prefill_ms == Spread(300, 300)
    assert both.all.prefill_per_second == both.here.prefill_per_second
    assert both.served.prefill_ms is None
    rows = times(both).rows
    assert [row.split()[0] for row in rows[::2]] == ["cold", "reused", "all", "here", "served"]
    assert rows[8].endswith("2.0 s")
    for alone in (here, served):
        assert [row.split()[0] for row in times(statistics_of(alone)).rows[::2]] == ["cold", "reused", "all"]


def test_the_rows_of_a_chat_know_who_made_their_replies() -> None:
    served = msgspec.structs.replace(record("b", 2.0), model=ModelRef("org/m", "box"))
    chat = Chat()
    for number, each in enumerate((record("a", 1.0), served), 1):
        message = Message(Role.ASSISTANT, (TextPart(each.result.text),))
        chat = chat.added(Entry(message, record=each, id=number))
    assert [(row.model, row.reading.is_served) for row in rows_of(chat)] == [("demo", False), ("box/org/m", True)]
