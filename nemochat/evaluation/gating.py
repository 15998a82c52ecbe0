"""What a gate before calls (`nemochat.engine.gate`) would have done to runs without one, by how likely each reply was to call.

The threshold is chosen on one half of the questions, drawn by a seed, and all that is said of it comes from the other half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from nemochat.domain.tools import lets_call
from nemochat.errors import EvaluationError
from nemochat.evaluation.runs import Answer, Run
from nemochat.evaluation.scoring import Figure, interval, reaching

_RESAMPLES = 2_000
_DIGITS = 3
"""Of a threshold: what is measured is what can be typed."""


class Outcome(msgspec.Struct, frozen=True):
    """Of the questions that a threshold was not chosen on. none_made: no call where none is wanted; made: a call where one is wanted;
    right: the right one. A call that the gate alone brought about is not known, and counts as wrong.
    """

    none_made: Figure
    made: Figure
    right: Figure

    @property
    def decided(self) -> float:
        """The share that is rightly decided, the mean of both kinds of questions."""
        return (self.none_made.value + self.made.value) / 2


class Sweep(msgspec.Struct, frozen=True):
    """model: of the runs. wanted, unwanted: how many questions want a call, and none. left_out: those without an answer or without the
    probability of a call. auc: how often a question that wants a call is likelier to get one than one that wants none, ties counted as
    half. threshold: the best on the first half. without, with_gate: on the second. low, high: between which the difference of what is
    rightly decided lies with 95 % certainty, by a bootstrap over its questions.
    """

    model: str
    wanted: int
    unwanted: int
    left_out: int
    auc: float
    threshold: float
    without: Outcome
    with_gate: Outcome
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Of what is rightly decided."""
        return self.with_gate.decided - self.without.decided

    @property
    def verdict(self) -> str:
        """A sentence: whether the gate helps."""
        if self.low == self.high == 0:
            return "The gate changes nothing here. Leave it off."
        moved = f"{100 * self.difference:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f}, 95 %)"
        if self.low > 0:
            return f"The gate helps: {moved} are rightly decided. Set it with tools.gate = {self.threshold:g}."
        if self.high < 0:
            return f"The gate harms: {moved} are rightly decided. Leave it off."
        return f"The gate is not shown to help: {moved} are rightly decided, which may be chance. Leave it off, or ask more questions."


def sweep(runs: Sequence[Run], seed: int = 0) -> Sweep:
    """Choose a threshold and see what it does. Raises EvaluationError for runs that do not tell."""
    models = {(run.told.setting.model, run.told.setting.model_sha256) for run in runs}
    if len(models) != 1:
        raise EvaluationError("The runs are of different models.", "Name runs of one model.")
    if any(run.told.setting.gate is not None for run in runs):
        raise EvaluationError("A run was made with a gate, so it does not tell what the model does without.", "Name runs without --gate.")
    answers: dict[str, Answer] = {}
    for name, each in ((f"{run.benchmark.name} {each.id}", each) for run in runs for each in run.answers.values()):
        while name in answers and not answers[name].is_of_same(each):
            name += "+"
        answers[name] = each
    told = {name: each for name, each in answers.items() if not each.error and each.call_chance is not None and each.wants_call is not None}
    halves = [_halves([name for name, each in told.items() if each.wants_call is wants], seed) for wants in (True, False)]
    if not all(first and second for first, second in halves):
        raise EvaluationError(
            "The runs have too few questions that want a call, or that want none, with the probability of a call.",
            "Name runs of both, such as bfcl-simple and bfcl-relevance, with a model of this machine.",
        )
    chosen_on, (wanted, unwanted) = ([[told[name] for name in half[at]] for half in halves] for at in (0, 1))
    threshold = _best(*map(_chances, chosen_on))
    before = [np.array([_is_right(each, None) for each in part]) for part in (wanted, unwanted)]
    after = [np.array([_is_right(each, threshold) for each in part]) for part in (wanted, unwanted)]
    low, high = _between([late - early for early, late in zip(before, after, strict=True)], seed)
    calls, words = (_chances([each for each in told.values() if each.wants_call is wants]) for wants in (True, False))
    return Sweep(
        next(iter(models))[0],
        len(calls),
        len(words),
        len(answers) - len(told),
        _auc(calls, words),
        threshold,
        _outcome(wanted, unwanted, None),
        _outcome(wanted, unwanted, threshold),
        low,
        high,
    )


Numbers = npt.NDArray[np.float64]


def _chances(answers: Iterable[Answer]) -> Numbers:
    return np.array([each.call_chance for each in answers], np.float64)


def _halves(names: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Drawn by a digest, as the questions of a run are: the same in every version of Python."""
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def _best(wanted: Numbers, unwanted: Numbers) -> float:
    """The threshold by which most is rightly decided, the middle one of several: between two probabilities that there are, or never."""
    seen = np.unique(np.concatenate([wanted, unwanted]))
    between = {float(f"{middle:.{_DIGITS}g}") for middle in (seen[1:] + seen[:-1]) / 2}
    worth = {each: float((wanted >= each).mean() + (unwanted < each).mean()) for each in sorted({0.0, *between})} | {1.0: 1.0}
    best = [each for each, value in worth.items() if value == max(worth.values())]
    return best[len(best) // 2]


def _calls(answer: Answer, threshold: float | None) -> bool:
    if threshold is None:
        return bool(answer.calls)
    return lets_call(answer.call_chance or 0.0, threshold)


def _is_right(answer: Answer, threshold: float | None) -> float:
    """Whether it is rightly decided that a question gets a call, or none."""
    return float(_calls(answer, threshold) is answer.wants_call)


def _outcome(wanted: Sequence[Answer], unwanted: Sequence[Answer], threshold: float | None) -> Outcome:
    def is_right_call(each: Answer) -> float:
        return each.score.right if each.calls and _calls(each, threshold) else 0.0

    def is_decided(each: Answer) -> float:
        return _is_right(each, threshold)

    def figure(name: str, answers: Sequence[Answer], worth: Callable[[Answer], float]) -> Figure:
        share = sum(map(worth, answers)) / len(answers)
        return Figure(name, share, *interval(share, len(answers)))

    return Outcome(
        figure("no call wanted, none made", unwanted, is_decided),
        figure("call wanted, one made", wanted, is_decided),
        figure("call wanted, right one made", wanted, is_right_call),
    )


def _between(steps: Sequence[Numbers], seed: int) -> tuple[float, float]:
    """Of the mean of both kinds' means."""
    generator = np.random.default_rng(seed)
    means = sum(each[generator.integers(0, len(each), (_RESAMPLES, len(each)))].mean(axis=1) for each in steps) / len(steps)
    low, high = np.quantile(means, (0.025, 0.975))
    better, worse = (sum(int((sign * each > 0).sum()) for each in steps) for sign in (1, -1))
    return reaching(float(low), float(high), better, worse)


def _auc(wanted: Numbers, unwanted: Numbers) -> float:
    ordered = np.sort(unwanted)
    wins = (np.searchsorted(ordered, wanted, "left") + np.searchsorted(ordered, wanted, "right")) / 2
    return float(wins.mean() / len(unwanted))
