"""The threshold of a gate is chosen on one half of the questions and judged on the other; what runs cannot tell is refused."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nemochat.errors import EvaluationError
from nemochat.evaluation.gating import Sweep, _auc, _best, _halves, sweep
from nemochat.evaluation.runs import Answer, Run, Setting, Told
from nemochat.evaluation.values import Score

CALL = {"name": "add", "arguments": {}}


def answer(number: int, chance: float | None, *, wants: bool | None, calls: bool, right: float = 0.0, error: str = "") -> Answer:
    return Answer(f"{number}", "", (CALL,) if calls else (), Score(right), error=error, call_chance=chance, wants_call=wants)


def run(benchmark: str, answers: Iterable[Answer], **setting: Any) -> Run:
    told = Told(Setting(benchmark, {}, **{"model": "m", **setting}), "", 0, {})
    return Run(Path(benchmark), told, {each.id: each for each in answers})


def runs(wanted: Sequence[float], unwanted: Sequence[float], *, right: float = 1.0) -> list[Run]:
    """Of a model that calls whatever is asked, with these probabilities."""
    return [
        run("bfcl-simple", (answer(at, each, wants=True, calls=True, right=right) for at, each in enumerate(wanted))),
        run("bfcl-relevance", (answer(at, each, wants=False, calls=True) for at, each in enumerate(unwanted))),
    ]


def drawn(seed: int, low: float, high: float, count: int = 60) -> list[float]:
    source = random.Random(seed)
    return [source.uniform(low, high) for _ in range(count)]


def test_a_gate_that_tells_them_apart_is_found_and_said_to_help() -> None:
    found = sweep(runs(drawn(1, 0.6, 1), drawn(2, 0.2, 0.5)))
    assert 0.5 < found.threshold < 0.6
    assert (found.auc, found.wanted, found.unwanted, found.left_out) == (1, 60, 60, 0)
    assert [figure.value for figure in (found.without.none_made, found.without.made, found.without.right)] == [0, 1, 1]
    assert [figure.value for figure in (found.with_gate.none_made, found.with_gate.made, found.with_gate.right)] == [1, 1, 1]
    assert (found.difference, found.low, found.high) == (0.5, 0.5, 0.5)
    assert found.verdict.startswith("The gate helps: +50.0 (+50.0 to +50.0, 95 %)")
    assert f"tools.gate = {found.threshold:g}" in found.verdict


def test_a_probability_that_says_nothing_is_not_said_to_help() -> None:
    """Fails when a threshold is judged on the questions that it was chosen on: among many, one always looks good there."""
    verdicts = [sweep(runs(drawn(seed, 0, 1, 30), drawn(seed + 100, 0, 1, 30))) for seed in range(20)]
    assert sum("is not shown to help" in each.verdict for each in verdicts) >= 17
    assert all(0.3 < each.auc < 0.7 for each in verdicts)


def test_a_gate_that_does_harm_is_said_to() -> None:
    """What holds in the half that the threshold is chosen on is the other way round in the other."""
    first = {name.split()[1] for names in (range(20), range(20, 40)) for name in _halves([f"own {at}" for at in names], 0)[0]}
    mixed = [answer(at, 0.9 if (at < 20) is (f"{at}" in first) else 0.1, wants=at < 20, calls=at < 20, right=1) for at in range(40)]
    found = sweep([run("own", mixed)])
    assert (found.without.decided, found.with_gate.decided) == (1, 0)
    assert found.verdict == "The gate harms: -100.0 (-100.0 to -100.0, 95 %) are rightly decided. Leave it off."


def test_what_a_gate_alone_brings_about_counts_as_made_and_not_as_right() -> None:
    """The model speaks where it should call, however likely the call was."""
    wanted = [answer(at, 0.4, wants=True, calls=False) for at in range(20)]
    unwanted = [answer(at, 0.1, wants=False, calls=False, right=1) for at in range(20)]
    found = sweep([run("bfcl-simple", wanted), run("bfcl-relevance", unwanted)])
    assert 0.1 < found.threshold < 0.4
    assert (found.without.made.value, found.with_gate.made.value, found.with_gate.right.value) == (0, 1, 0)
    assert found.with_gate.none_made.value == 1


def test_one_file_of_own_questions_is_enough() -> None:
    mixed = [answer(at, 0.9 if at % 2 else 0.2, wants=bool(at % 2), calls=True, right=float(at % 2)) for at in range(20)]
    found = sweep([run("own", mixed)])
    assert (found.wanted, found.unwanted, found.with_gate.decided) == (10, 10, 1)


def test_the_seed_draws_the_halves_and_nothing_else_does() -> None:
    made = runs(drawn(1, 0, 1), drawn(2, 0, 1))
    again = [msgspec.structs.replace(each, answers=dict(reversed(list(each.answers.items())))) for each in made]

    def said(found: Sweep) -> list[object]:
        return [found.threshold, found.auc, found.with_gate, found.low, found.high]

    assert said(sweep(made)) == said(sweep(again))
    assert len({sweep(made, seed).threshold for seed in range(6)}) > 1


def test_questions_without_an_answer_or_a_probability_are_left_out_and_counted() -> None:
    first, second = runs(drawn(1, 0.6, 1, 10), drawn(2, 0.2, 0.5, 10))
    odd = [
        answer(90, None, wants=True, calls=True),
        answer(91, 0.5, wants=None, calls=True),
        answer(92, 0.5, wants=True, calls=False, error="no"),
    ]
    found = sweep([msgspec.structs.replace(first, answers={**first.answers, **{each.id: each for each in odd}}), second])
    assert (found.wanted, found.left_out) == (10, 3)


@pytest.mark.parametrize(("made", "words"), [
    ([], "different models"),
    ([run("own", (), model="a"), run("own", (), model="b")], "different models"),
    ([run("own", (), model_sha256="a"), run("own", (), model_sha256="b")], "different models"),
    ([run("own", (), gate=0.5)], "made with a gate"),
    ([runs([0.5] * 9, [])[0]], "too few questions"),
    ([run("own", [answer(1, 0.5, wants=True, calls=True), answer(2, 0.5, wants=False, calls=True)])], "too few questions"),
])  # fmt: skip
def test_what_tells_nothing_is_refused(made: list[Run], words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        sweep(made)


def test_the_threshold_is_the_best_of_all() -> None:
    """Against trying every one of a thousand."""
    source = np.random.default_rng(3)
    for _ in range(20):
        wanted, unwanted = source.beta(3, 2, 15), source.beta(2, 3, 11)

        def worth(threshold: float, wanted: Any = wanted, unwanted: Any = unwanted) -> float:
            return float((wanted >= threshold).mean() + (unwanted < threshold).mean())

        assert worth(_best(wanted, unwanted)) >= max(worth(each) for each in np.linspace(0, 0.999, 1000)) - 1e-9
    assert _best(np.array([1e-7, 3e-7]), np.array([1e-9, 2e-9])) == pytest.approx(5.1e-8)


def test_the_auc_is_that_of_all_pairs() -> None:
    source = np.random.default_rng(4)
    for _ in range(5):
        wanted, unwanted = source.integers(0, 6, 12) / 6, source.integers(0, 6, 9) / 6
        pairs = [1.0 if one > other else 0.5 if one == other else 0.0 for one in wanted for other in unwanted]
        assert _auc(wanted, unwanted) == pytest.approx(sum(pairs) / len(pairs))


def test_a_few_questions_show_nothing() -> None:
    """Fails when two questions of each kind are told to set a gate."""
    found = sweep(runs([0.9, 0.9], [0.1, 0.1]))
    assert found.difference == 0.5
    assert found.verdict.startswith("The gate is not shown to help: +50.0 (+0.0 to +50.0, 95 %)")


def test_a_run_that_is_named_twice_is_counted_once() -> None:
    """And questions of two files that have the same numbers are all counted."""
    named = runs(drawn(1, 0.6, 1, 10), drawn(2, 0, 0.4, 10))
    found = sweep([*named, named[0]])
    assert (found.wanted, found.unwanted, found.left_out) == (10, 10, 0)
    others = [msgspec.structs.replace(each, prompt="Another?") for each in named[0].answers.values()]
    assert sweep([*named, run("bfcl-simple", others)]).wanted == 20
