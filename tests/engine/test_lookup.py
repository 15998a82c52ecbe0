"""Prompt lookup without a model: what is guessed, and whether guessing is tried, on made-up texts and machines."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.engine.llama.lookup import MOST_ROWS, NO_GUESS, ONE_BY_ONE, Guess, Lookup, Pace, Plan

CELLS = st.lists(st.one_of(st.integers(0, 3), st.none()), max_size=60)
TOKENS = st.lists(st.integers(0, 3), max_size=60)
SURE = Guess((7,) * (MOST_ROWS - 1), 12)


def four_at_once(rows: int) -> float:
    """A machine whose kernels read the weights once for four rows."""
    return 100.0 * (rows // 4 + rows % 4) if rows >= 4 else 100.0 * rows


def one_by_one(rows: int) -> float:
    """A machine on which a batch saves nothing."""
    return 100.0 * rows


def free_rows(rows: int) -> float:
    """A machine on which a batch costs hardly more than a token."""
    return 100.0 + rows


# What is guessed.


@given(CELLS, st.integers(0, 9))
def test_a_guess_is_what_followed_the_same_tokens_before(cells: list[int | None], limit: int) -> None:
    guess = Lookup(cells).guess(limit)
    assert len(guess.tokens) <= limit
    if not guess.tokens:
        return
    assert guess.matched >= 2
    tail, text = cells[-guess.matched :], [*cells, *guess.tokens]
    assert None not in tail
    starts = [end for end in range(guess.matched, len(cells)) if cells[end - guess.matched : end] == tail]
    assert any(text[start : start + len(guess.tokens)] == list(guess.tokens) for start in starts)


@given(CELLS, TOKENS, st.integers(1, 9))
def test_appending_one_by_one_is_the_same_as_building_at_once(cells: list[int | None], tokens: list[int], limit: int) -> None:
    grown = Lookup(cells)
    for token in tokens:
        grown.append(token)
    assert grown.guess(limit) == Lookup([*cells, *tokens]).guess(limit)


@given(TOKENS, st.integers(1, 9))
def test_two_tokens_seen_before_always_give_a_guess_without_pictures(tokens: list[int], limit: int) -> None:
    pairs = list(itertools.pairwise(tokens))
    is_seen = len(pairs) > 1 and pairs[-1] in pairs[:-1]
    assert len(Lookup(tokens).guess(limit).tokens) == (limit if is_seen else 0)


@pytest.mark.parametrize(
    ("cells", "guess"),
    [
        ([], NO_GUESS),
        ([1, 2], NO_GUESS),
        ([1, 2, 3, 1, 2], Guess((3, 1, 2), 2)),
        # The longest match, then the latest.
        ([1, 2, 3, 5, 9, 2, 3, 6, 1, 2, 3], Guess((5, 9, 2), 3)),
        ([1, 2, 5, 1, 2, 6, 1, 2], Guess((6, 1, 2), 2)),
        # A text that goes round and round goes on so.
        ([4, 4, 4], Guess((4, 4, 4), 2)),
        ([1, 2, 1, 2, 1, 2], Guess((1, 2, 1), 4)),
        # Pictures: not matched, not guessed, not reached over.
        ([1, None, 3, 1, None], NO_GUESS),
        ([1, 2, None, 1, 2], NO_GUESS),
        ([1, 2, 3, None, 1, 2], Guess((3,), 2)),
        ([1, None, 2, 3, 4, 5, 6, 7, 1, None, 2, 3, 4, 5, 6], Guess((7, 1), 5)),
    ],
)
def test_what_is_guessed(cells: list[int | None], guess: Guess) -> None:
    assert Lookup(cells).guess(3) == guess


def test_nothing_is_guessed_where_no_token_is_wanted() -> None:
    assert Lookup([1, 1, 1, 1]).guess(0) == NO_GUESS


def test_a_long_match_is_told_apart_up_to_twelve() -> None:
    assert [Lookup([*range(length), 99, *range(length)]).guess(1).matched for length in (2, 4, 7, 12, 40)] == [2, 4, 7, 12, 12]


# Whether it is tried.


class Machine:
    """Runs replies as the backend does, on a clock of its own: how long they take, and which batches were used."""

    def __init__(self, cost: Callable[[int], float], *, exact: Sequence[int] = range(99), noise: float = 0.0, seed: int = 1) -> None:
        self.cost, self.exact, self.noise = cost, exact, noise
        self.pace = Pace()
        self.random = random.Random(seed)
        self.used: list[Plan] = []

    def reply(self, tokens: int, right: float, held: int = 600, matched: int = 12) -> float:
        """Milliseconds a token, where each guessed token is right with a chance of `right`."""
        spent, said = 0.0, 0
        while said < tokens:
            plan = self.pace.plan(Guess(SURE.tokens, matched), held)
            self.used.append(plan)
            spent += self.evaluate(plan.rows, is_rehearsal=plan.is_rehearsal)
            if plan.is_rehearsal:
                self.pace.rehearsed(plan.rows, held, is_exact=plan.rows in self.exact)
                spent += self.evaluate(1)
            said += 1
            for number in range(plan.rows):
                is_right = self.random.random() < right
                self.pace.drawn(matched + number, is_right=is_right)
                if not is_right or plan.is_rehearsal or number == plan.rows - 1:
                    break
                said += 1
        return spent / said

    def evaluate(self, rows: int, *, is_rehearsal: bool = False) -> float:
        """Spend the time and tell of it."""
        time = self.cost(rows) * (1 + self.noise * self.random.random())
        self.pace.evaluated(rows, time, is_rehearsal=is_rehearsal)
        return time


def test_a_text_that_repeats_goes_as_fast_as_the_best_size_allows() -> None:
    machine = Machine(four_at_once)
    machine.reply(50, 1.0)
    assert machine.reply(400, 1.0) == pytest.approx(four_at_once(8) / 8, rel=0.01)


@pytest.mark.parametrize("cost", [four_at_once, one_by_one, free_rows])
def test_a_text_that_never_repeats_is_hardly_slower(cost: Callable[[int], float]) -> None:
    machine = Machine(cost)
    assert machine.reply(400, 0.0) < 1.03 * cost(1)
    assert set(machine.used[-200:]) == {ONE_BY_ONE}


@pytest.mark.parametrize("right", [0.0, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_a_machine_on_which_batches_save_nothing_is_left_alone(right: float) -> None:
    machine = Machine(one_by_one)
    assert machine.reply(300, right) < 1.06 * one_by_one(1)
    assert machine.reply(2000, right) < 1.04 * one_by_one(1)


@pytest.mark.parametrize("exact", [(), (2, 3), (2, 3, 4, 6)])
def test_only_sizes_that_were_rehearsed_and_exact_are_used(exact: Sequence[int]) -> None:
    machine = Machine(free_rows, exact=exact)
    machine.reply(400, 1.0)
    tried: set[int] = set()
    for plan in machine.used:
        if plan.is_rehearsal:
            tried.add(plan.rows)
        elif plan.rows > 1:
            assert plan.rows in tried
            assert plan.rows in exact
    assert machine.used[-1].rows == max(exact, default=1)
    assert machine.used.count(Plan(8, is_rehearsal=True)) == 1


def test_a_size_is_rehearsed_again_when_the_cache_has_doubled_and_not_used_across_that_line() -> None:
    machine = Machine(free_rows)
    machine.reply(100, 1.0, held=600)
    assert machine.pace.plan(SURE, 1016) == Plan(8)
    assert machine.pace.plan(SURE, 1017).rows < 8
    assert machine.pace.plan(SURE, 1023) == ONE_BY_ONE
    assert machine.pace.plan(SURE, 1024).is_rehearsal
    machine.pace.rehearsed(8, 1024, is_exact=False)
    assert all(machine.pace.plan(SURE, held).rows < 8 for held in (600, 1500))


def test_no_more_is_tried_than_was_guessed() -> None:
    machine = Machine(free_rows)
    machine.reply(100, 1.0)
    for count in range(MOST_ROWS):
        assert machine.pace.plan(Guess((7,) * count, 12), 600).rows <= count + 1


def test_nothing_is_tried_before_one_token_was_timed() -> None:
    assert Pace().plan(SURE, 600) == ONE_BY_ONE


def test_guessing_ends_when_guesses_turn_out_wrong_and_comes_back_when_they_would_be_right() -> None:
    machine = Machine(four_at_once)
    machine.reply(100, 1.0)
    machine.reply(300, 0.0)
    assert machine.used[-1].rows <= 4
    dear = Machine(lambda rows: 100.0 + 50.0 * (rows - 1))
    dear.reply(100, 1.0)
    assert dear.used[-1].rows > 1
    dear.reply(100, 0.0)
    assert dear.used[-1] == ONE_BY_ONE
    dear.reply(100, 1.0)
    assert dear.used[-1].rows > 1


def test_one_bad_moment_does_not_rule_a_size_out() -> None:
    machine = Machine(free_rows)
    calm = machine.reply(200, 1.0)
    machine.pace.evaluated(8, 5000.0)
    machine.reply(200, 1.0)
    assert machine.reply(200, 1.0) <= calm


def test_a_bad_moment_in_the_rehearsal_is_forgotten() -> None:
    machine = Machine(lambda rows: 300.0 if rows > 1 else 100.0)
    machine.reply(200, 0.7)
    machine.cost = free_rows
    machine.reply(600, 0.9)
    assert machine.reply(500, 0.9) < 25


def test_noise_of_other_programs_costs_little() -> None:
    noisy = Machine(four_at_once, noise=2.0)
    noisy.reply(100, 0.9)
    assert noisy.reply(500, 0.9) < 0.6 * 2 * four_at_once(1)


@given(st.integers(0, 2**32), st.floats(0, 1), st.sampled_from([four_at_once, one_by_one, free_rows]))
def test_rehearsals_take_a_small_share_of_the_time_and_six_tokens_at_most(seed: int, right: float, cost: Callable[[int], float]) -> None:
    machine = Machine(cost, exact=(2,), seed=seed, noise=0.5)
    for held in (100, 200, 400, 800, 1600, 3200):
        machine.reply(50, right, held)
    assert machine.pace._rehearsals <= machine.pace._total / 64 + 6 * 1.5 * cost(1) + 1.5 * cost(8)
