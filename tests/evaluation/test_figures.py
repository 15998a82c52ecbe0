"""Figures of a run: what counts as wrong, between which bounds they lie, and whether two runs differ."""

from __future__ import annotations

import pytest

from nemochat.evaluation.benchmarks import benchmark_named
from nemochat.evaluation.scoring import RIGHT, Scored, difference, figures, interval
from nemochat.evaluation.values import Score


def scored(*worth: float, failed: int = 0) -> list[Scored]:
    rows = [Scored(str(number), "", Score(each)) for number, each in enumerate(worth)]
    return rows + [Scored(f"failed {number}", "", Score(0), has_failed=True) for number in range(failed)]


def test_a_question_without_an_answer_is_wrong() -> None:
    [figure] = figures(benchmark_named("own"), scored(1, 1, 0, failed=1))
    assert (figure.name, figure.value) == (RIGHT, 0.5)
    assert figures(benchmark_named("own"), []) == []
    assert figures(benchmark_named("ifeval"), scored(failed=2))[0].value == 0


@pytest.mark.parametrize(("right", "count", "low", "high"), [(8, 24, 0.1797, 0.5329), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)])
def test_the_interval_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    assert interval(right / count, count) == pytest.approx((low, high), abs=1e-4)


def test_the_card_is_higher_lower_or_not_clearly_either() -> None:
    [figure] = [each for each in figures(benchmark_named("mmmu"), scored(*[1, 0] * 50)) if each.name == RIGHT]
    assert figure.in_words == "50.00 (40.4 to 59.6)"
    assert figure.of_card == "36.80 (lower)"
    assert figures(benchmark_named("mmmu"), scored(*[1, 0, 0] * 20))[0].of_card == "36.80 (no clear difference)"
    assert figures(benchmark_named("mmmu"), scored(*[0] * 50))[0].of_card == "36.80 (higher)"


def test_options_that_were_turned_round_count_as_one_question() -> None:
    rows = [Scored("5", "5", Score(1, {"read": 1})), Scored("1000005", "5", Score(0, {"read": 1})), Scored("6", "6", Score(1, {"read": 1}))]
    assert figures(benchmark_named("mmbench"), rows)[0].value == 0.5


def test_two_runs_are_compared_by_the_questions_that_both_have() -> None:
    first, second = scored(*[0.0] * 20, *[1.0] * 20, 0.3), scored(*[1.0] * 20, *[1.0] * 20)
    between = difference(first, second)
    assert between is not None
    assert (between.count, between.first, between.second) == (40, 0.5, 1.0)
    assert 0.3 < between.low < 0.5 < between.high < 0.7
    assert (len(between.better), between.worse) == (20, ())
    assert difference(first, second) == between
    assert difference(first, [Scored("other", "", Score(1))]) is None


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_few_questions_that_all_changed_one_way_may_be_chance(count: int) -> None:
    """Fails when a bootstrap over one question says that a difference is more than chance."""
    between = difference(scored(*[0.0] * count, 1.0), scored(*[1.0] * count, 1.0))
    assert between is not None
    assert between.low == 0 < between.high
    between = difference(scored(*[1.0] * count), scored(*[0.0] * count))
    assert between is not None
    assert between.high == 0 > between.low


def test_six_questions_that_all_changed_one_way_are_more_than_chance() -> None:
    between = difference(scored(*[0.0] * 6), scored(*[1.0] * 6))
    assert between is not None
    assert between.low > 0


def test_runs_that_are_the_same_differ_by_nothing() -> None:
    between = difference(scored(1, 0, 0.3), scored(1, 0, 0.3))
    assert between is not None
    assert (between.low, between.high, between.better, between.worse) == (0, 0, (), ())
