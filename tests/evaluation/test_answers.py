"""The rules for short answers, as tables of cases from the official evaluations."""

from __future__ import annotations

from typing import Any

import pytest

from nemochat.errors import UsageError
from nemochat.evaluation import answers
from nemochat.evaluation.values import Kind, Question, Reply, Score


def scored(kind: Kind, text: str, *right: str, **meta: Any) -> Score:
    return answers.score(Question("q", "?", answers=right, kind=kind, meta=meta), Reply(text))


# -- VQAv2, TextVQA, GQA


@pytest.mark.parametrize(
    ("said", "compared"),
    [
        ("The Two Cats.", "2 cats"),
        ("none", "0"),
        ("a an the", ""),
        ("dont", "don't"),
        ("Im", "im"),  # the official table has "Im", which a text in lower case never is
        ("yall'd've", "y'all'd've"),
        ("somebody'd", "somebodyd"),
        ("3.5", "3.5"),
        ("1,000", "1000"),
        ("U.S.", "us"),
        ("t-shirt", "t shirt"),
        ("t- shirt", "t shirt"),
        ("red/white", "red white"),
        ("what's it?", "what 's it"),
        ("coca\ncola\t", "coca cola"),
        ("twenty one", "twenty 1"),
        ("." * 40, "." * 8),
    ],
)
def test_an_answer_is_compared_as_evalai_does(said: str, compared: str) -> None:
    assert answers.normalised(said) == compared


@pytest.mark.parametrize(("same", "worth"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_accuracy_leaves_each_person_out(same: int, worth: float) -> None:
    assert answers.vqa_accuracy("Red.", ["red"] * same + [f"other {number}" for number in range(10 - same)]) == pytest.approx(worth)


def test_vqa_accuracy_of_one_answer_is_right_or_wrong() -> None:
    assert scored(Kind.VQA, "a cat", "cat").right == 1
    assert scored(Kind.VQA, "dog", "cat").why == "expected cat"


@pytest.mark.parametrize(("text", "right"), [("Yes.", 1), (" table ", 0), ("YES", 1), ("y-es", 1), ("yes it is", 0), ("", 0)])
def test_gqa_is_exact_but_for_case_and_punctuation(text: str, right: float) -> None:
    assert scored(Kind.EXACT, text, "yes").right == right


# -- POPE


@pytest.mark.parametrize(
    ("text", "says_yes", "exact"),
    [
        ("yes", True, "yes"),
        ("Yes.", True, ""),
        (" NO ", True, "no"),  # POPE's own rule knows "no" and "No" alone
        ("No, there is not.", False, ""),
        ("There is not. Yes", False, ""),
        ("Maybe", True, ""),
        ("Nothing. No", True, ""),
        ("", True, ""),
    ],
)
def test_pope_has_two_rules(text: str, says_yes: bool, exact: str) -> None:
    for truth in ("yes", "no"):
        score = scored(Kind.YES_NO, text, truth)
        assert score.right == (says_yes == (truth == "yes"))
        assert score.parts == {"answer yes": truth == "yes", "yes": says_yes, "exact yes": exact == "yes", "exact no": exact == "no"}


def test_popes_figures_by_both_rules() -> None:
    pairs = [("yes", "yes"), ("Yes.", "yes"), ("no", "yes"), ("yes", "no"), ("no", "no"), ("No.", "no")]
    summary = answers.summary([scored(Kind.YES_NO, text, truth) for text, truth in pairs])
    assert summary == pytest.approx(
        {
            "accuracy": 4 / 6, "precision": 2 / 3, "recall": 2 / 3, "F1": 2 / 3, "yes": 3 / 6,
            "exact accuracy": 2 / 6, "exact precision": 1 / 2, "exact recall": 1 / 2, "exact F1": 1 / 2, "exact yes": 2 / 6,
        }
    )  # fmt: skip


def test_figures_without_a_yes_are_0() -> None:
    summary = answers.summary([scored(Kind.YES_NO, "no", "no")])
    assert (summary["accuracy"], summary["precision"], summary["recall"], summary["F1"]) == (1, 0, 0, 0)


# -- option letters


@pytest.mark.parametrize(
    ("text", "found"), [("B", "B"), (" b.", "B"), ("B. a cat", "B"), ("B)", ""), ("Blue", ""), ("The answer is B", ""), ("", "")]
)
def test_scienceqa_wants_the_letter_or_letter_and_full_stop(text: str, found: str) -> None:
    score = scored(Kind.LETTER, text, "B")
    assert (score.right, score.parts) == (found == "B", {"read": bool(found)})


@pytest.mark.parametrize(("text", "right"), [("B", 1), ("  Because", 1), ("b", 0), ("(B)", 0), ("", 0)])
def test_seed_looks_at_the_first_character(text: str, right: float) -> None:
    assert scored(Kind.FIRST_LETTER, text, "B").right == right


OPTIONS = ("a red bus", "Cat", "two dogs")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("**B**: cat", "B"),
        ("The answer is B.", "B"),
        ("B is it because of the colour there", ""),  # the letter is not among the last five words, and no option's text is there
        ("A or B", ""),
        ("It is a cat", "B"),
        ("cat and two dogs", ""),
        ("b", ""),
        ("Z", "Z"),
        ("Cannot determine the answer, B", "Z"),
        ("cat " + "x" * 60, ""),
        ("D", ""),
        ("", ""),
    ],
)
def test_mmbench_infers_a_letter_or_a_text(text: str, found: str) -> None:
    assert answers.option(text, OPTIONS) == found
    assert scored(Kind.OPTION, text, "B", options=OPTIONS).right == (found == "B")


def test_the_share_of_replies_that_could_be_read() -> None:
    assert answers.summary([scored(Kind.OPTION, text, "B", options=OPTIONS) for text in ("B", "?", "C", "A")]) == {"read": 0.75}
    assert answers.summary([]) == {}


# -- MMMU


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("(A) or rather (C)", "C"),
        ("(C) B", "C"),  # brackets come before bare letters
        ("A B", "B"),
        ("the answer: B, then", ""),
        ("I think it is clearly two dogs here", "C"),
        ("a cat then two dogs then a cat", "B"),
        ("two dogs", ""),
        ("b", ""),
        ("", ""),
    ],
)
def test_mmmu_takes_the_last_letter_that_its_parser_finds(text: str, found: str) -> None:
    assert answers.chosen_letter(text, OPTIONS) == found


def test_a_guess_is_marked_and_depends_on_seed_and_question_alone() -> None:
    def guess(name: str, seed: int) -> Score:
        return answers.score(Question(name, "?", answers=("B",), kind=Kind.MMMU, meta={"options": OPTIONS, "seed": seed}), Reply("Hm"))

    scores = [guess(f"q{number}", seed) for number in range(150) for seed in (0, 1)]
    assert all(score.guessed for score in scores)
    assert scores == [guess(f"q{number}", seed) for number in range(150) for seed in (0, 1)]
    assert 60 < sum(score.right for score in scores) < 140  # a third
    assert scores[::2] != scores[1::2]
    assert answers.summary([*scores, scored(Kind.MMMU, "B", "B", options=OPTIONS)])["guessed"] == pytest.approx(300 / 301)
    assert not scored(Kind.MMMU, "B", "B", options=OPTIONS).guessed


@pytest.mark.parametrize(
    ("text", "right", "worth"),
    [
        ("The result is 1,234.", "1234", 1),
        ("x = 0.333", "0.33", 1),
        ("so it must be 5\nfinal answer is 7", "7", 1),
        ("The answer is a Red House", "red house", 1),
        ("It is cat", "c", 0),  # a single character needs a space on one side
        ("It is vitamin c", "c", 1),
        ("2e3", "2000", 1),
        ("7", "7.001", 1),
        ("no idea", "7", 0),
        ("", "7", 0),
    ],
)
def test_mmmu_reads_an_open_answer(text: str, right: str, worth: float) -> None:
    assert scored(Kind.MMMU, text, right, options=()).right == worth
    assert scored(Kind.MMMU, text, "something else", right).right == worth


# -- what cannot be scored


def test_a_question_without_an_answer_is_named() -> None:
    with pytest.raises(UsageError, match='The question "q" has no answer'):
        scored(Kind.VQA, "x")


def test_options_that_are_no_list_are_named() -> None:
    with pytest.raises(UsageError, match="no list of options"):
        scored(Kind.OPTION, "x", "A", options="ABC")


def test_another_kind_is_not_scored_here() -> None:
    with pytest.raises(UsageError, match="ifeval"):
        scored(Kind.IFEVAL, "x", "A")


@pytest.mark.parametrize("part", ["1", "1,", "is ", "\n", "(A", "1.", "-", "1e"])
def test_a_long_reply_of_nothing_takes_no_long(part: str) -> None:
    """Only so many characters are looked at, and no pattern looks at all the rest from each of them."""
    text = part * 50_000
    for kind in (Kind.MMMU, Kind.VQA, Kind.EXACT, Kind.YES_NO, Kind.LETTER, Kind.FIRST_LETTER):
        scored(kind, text, "x")
    scored(Kind.OPTION, text, "A", options=("a", "b"))
