"""From answers to figures: which rule scores which question, a set's figures with their intervals, and two runs beside each other."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from nemochat.evaluation import answers, bfcl, ifeval, own
from nemochat.evaluation.benchmarks import Benchmark
from nemochat.evaluation.values import Kind, Question, Reply, Score

RIGHT = "right"
"""The figure that a benchmark is known by: the mean of what its questions are worth."""
_Z = 1.959964
_RESAMPLES = 2_000
_DRAWN_AT_ONCE = 4_000_000
_FEW = 20
"""Questions that changed: of more a bootstrap tells the same."""


class Figure(msgspec.Struct, frozen=True):
    """From 0 to 1. low, high: between which it lies with 95 % certainty as far as the choice of questions goes, None where not known.

    card: what the model's card has, in percent.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    card: float | None = None

    @property
    def in_words(self) -> str:
        """In percent, with its interval."""
        between = f" ({100 * self.low:.1f} to {100 * self.high:.1f})" if self.low is not None and self.high is not None else ""
        return f"{100 * self.value:.2f}{between}"

    @property
    def of_card(self) -> str:
        """The card's figure and how it stands to this one, as far as that is no chance; "" where there is none."""
        if self.card is None:
            return ""
        if self.low is None or self.high is None:
            return f"{self.card:.2f}"
        stands = "higher" if self.card > 100 * self.high else "lower" if self.card < 100 * self.low else "no clear difference"
        return f"{self.card:.2f} ({stands})"


class Scored(msgspec.Struct, frozen=True):
    """What one answer is worth. group: as in `Item`. has_failed: the model gave no answer, which is worth nothing."""

    id: str
    group: str
    score: Score
    has_failed: bool = False


class Difference(msgspec.Struct, frozen=True):
    """Of two runs over the questions that both have, in the figure `RIGHT`; low, high as in `Figure`.

    better, worse: ids of the questions that are worth more, or less, in the second run.
    """

    count: int
    first: float
    second: float
    low: float
    high: float
    better: tuple[str, ...]
    worse: tuple[str, ...]


def check(questions: Iterable[Question]) -> None:
    """Find out before a long run whether each of them can be scored. Raises NemochatError where one cannot, or a library is missing."""
    for question in questions:
        if question.kind is Kind.IFEVAL:
            ifeval.checks(question)
        elif question.kind is Kind.CALLS:
            bfcl.expected_calls(question)


def score(benchmark: Benchmark, question: Question, reply: Reply, seed: int = 0) -> Score:
    """What a reply is worth by the benchmark's rule. Guesses hang on the seed and the question alone.

    Raises NemochatError where the rule cannot be applied.
    """
    question = msgspec.structs.replace(question, meta={**question.meta, "seed": zlib.crc32(f"{seed} {question.id}".encode())})
    match benchmark.kind:
        case None:
            return own.score(question, reply)
        case Kind.IFEVAL:
            return ifeval.score(question, reply)
        case Kind.CALLS | Kind.NO_CALL:
            return bfcl.score(question, reply)
        case _:
            return answers.score(question, reply)


def figures(benchmark: Benchmark, scored: Sequence[Scored]) -> list[Figure]:
    """Those of a set, `RIGHT` first. A question without an answer counts there as wrong, and not in the others."""
    if not scored:
        return []
    worth = _worth(scored).values()
    right = sum(worth) / len(worth)
    low, high = interval(right, len(worth))
    answered = [each.score for each in scored if not each.has_failed]
    others = _others(benchmark, answered) if answered else ()
    more = [Figure(name, value, card=benchmark.card.get(name)) for name, value in others]
    return [Figure(RIGHT, right, low, high, benchmark.card.get(RIGHT)), *more]


def interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's for a share of so many; for the mean of values between 0 and 1 it is no narrower than it has to be."""
    shift = _Z * _Z / count
    middle = (share + shift / 2) / (1 + shift)
    half = _Z / (1 + shift) * math.sqrt(share * (1 - share) / count + shift / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(first: Sequence[Scored], second: Sequence[Scored], seed: int = 0) -> Difference | None:
    """By a bootstrap over the questions that both have; None where there are none."""
    import numpy as np

    ours, theirs = _worth(first), _worth(second)
    names = [name for name in ours if name in theirs]
    if not names:
        return None
    steps = np.array([theirs[name] - ours[name] for name in names])
    generator = np.random.default_rng(seed)
    portion = max(1, _DRAWN_AT_ONCE // len(steps))
    means = [
        steps[generator.integers(0, len(steps), (min(portion, _RESAMPLES - done), len(steps)))].mean(axis=1)
        for done in range(0, _RESAMPLES, portion)
    ]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    low, high = reaching(float(low), float(high), int((steps > 0).sum()), int((steps < 0).sum()))
    return Difference(
        len(names),
        sum(ours[name] for name in names) / len(names),
        sum(theirs[name] for name in names) / len(names),
        low,
        high,
        tuple(name for name, step in zip(names, steps, strict=True) if step > 0),
        tuple(name for name, step in zip(names, steps, strict=True) if step < 0),
    )


def reaching(low: float, high: float, better: int, worse: int) -> tuple[float, float]:
    """The bounds of a difference; to 0 where so few questions changed that they may well have by chance (a sign test, one-sided).

    From a few that all changed one way a bootstrap draws nothing else.
    """
    changed = better + worse
    if changed < _FEW and sum(math.comb(changed, count) for count in range(min(better, worse) + 1)) > 0.05 * 2**changed:
        return min(low, 0.0), max(high, 0.0)
    return low, high


def _worth(scored: Iterable[Scored]) -> Mapping[str, float]:
    """What each question is worth, those of a group as one: the least of them."""
    worth: dict[str, float] = {}
    for each in scored:
        name = each.group or each.id
        worth[name] = min(worth.get(name, 1.0), 0.0 if each.has_failed else each.score.right)
    return worth


def _others(benchmark: Benchmark, scores: Sequence[Score]) -> Iterable[tuple[str, float]]:
    match benchmark.kind:
        case None:
            return ()
        case Kind.IFEVAL:
            return ifeval.summary(scores).items()
        case Kind.CALLS | Kind.NO_CALL:
            return bfcl.summary(scores).items()
        case _:
            return answers.summary(scores).items()
