"""A case is one or more requests of ``nemochat ask --jsonl`` and a judge of the last answer. Builders for pictures, one per skill."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.heldout.draw import BACKGROUNDS, COLOURS, KINDS, PLACES, Picture, make_picture

Judge = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Case:
    """`turns` are what the user says, in order; the model's own answers stand between them. `judge` gets the last answer's object."""

    skill: str
    turns: tuple[dict[str, Any], ...]
    judge: Judge
    expected: str
    base: dict[str, Any]


def words(text: str) -> str:
    """Lower case, punctuation gone, single spaces, padded, so that ' red ' is found as a word."""
    return " " + " ".join(re.sub(r"[^a-z0-9.]+", " ", text.lower().replace("grey", "gray")).replace(". ", " ").rstrip(".").split()) + " "


def named(text: str, names: tuple[str, ...] | list[str]) -> list[str]:
    """Which of the names occur, in the order of the text, with singular forms counted for plurals."""
    plain = re.sub(r"\b(circle|square|triangle|star|heart)s\b", r"\1", words(text)).replace("crosses", "cross")
    return [hit.group(0) for hit in re.finditer("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)), plain)]


def _only(names: tuple[str, ...] | list[str], expected: str) -> Judge:
    return lambda reply: set(named(reply["text"], names)) == {expected}


def _contains(*expected: str) -> Judge:
    return lambda reply: all(f" {word.lower()} " in words(reply["text"]) for word in expected)


def _starts(expected: str) -> Judge:
    return lambda reply: words(reply["text"]).startswith(f" {expected} ")


_ASK_COLOUR = (
    "What colour is the {kind}?",
    "Which color does the {kind} have?",
    "Tell me the colour of the {kind}.",
    "the {kind}: what color is it?",
)
_ASK_SHAPE = (
    "What shape is {colour}?",
    "Which shape is the {colour} one?",
    "Name the {colour} shape.",
    "What is the shape of the {colour} object?",
)
_ASK_COUNT = (
    "How many shapes are there?",
    "Count the shapes in this picture.",
    "How many objects can you see here?",
    "what is the number of shapes?",
)
_ASK_IS = (
    "Is there a {colour} {kind}?",
    "Can you see a {colour} {kind} here?",
    "Does this picture contain a {colour} {kind}?",
    "a {colour} {kind}, is there one?",
)
_ASK_WHERE = (
    "Where is the {kind}?",
    "In which corner do you find the {kind}?",
    "Where in the picture can I find the {kind}?",
    "position of the {kind}?",
)
_ASK_BACK = (
    "What is the background?",
    "What colour is the background?",
    "Which background does the image have?",
    "What color lies behind the shapes?",
)
_ASK_ALL = ("Describe the picture.", "What do you see?", "What is in this image?", "Please describe everything that you see in this photo.")


def _a(text: str) -> str:
    return re.sub(r"\b([Aa]) (orange)", r"\1n \2", text)


def question_about(rng: random.Random, picture: Picture, skill: str) -> tuple[str, Judge, str]:
    """A question of the skill about the picture, its judge and the expected answer in words."""
    shape = rng.choice(picture.shapes)
    if skill == "colour":
        return rng.choice(_ASK_COLOUR).format(kind=shape.kind), _only(list(COLOURS), shape.colour), shape.colour
    if skill == "shape":
        return rng.choice(_ASK_SHAPE).format(colour=shape.colour), _only(KINDS, shape.kind), shape.kind
    if skill == "count":
        return rng.choice(_ASK_COUNT), _count(len(picture.shapes)), str(len(picture.shapes))
    if skill == "yes/no":
        colour, kind, answer = _yes_no(rng, picture)
        return _a(rng.choice(_ASK_IS).format(colour=colour, kind=kind)), _starts(answer), answer
    if skill == "where":
        return rng.choice(_ASK_WHERE).format(kind=shape.kind), _only(PLACES, shape.place), shape.place
    if skill == "background":
        return rng.choice(_ASK_BACK), _only(list(BACKGROUNDS), picture.background), picture.background
    return rng.choice(_ASK_ALL), _description(picture), repr(picture.shapes) + picture.background


def _count(number: int) -> Judge:
    spelled = ("no", "one", "two", "three", "four")[number]
    return lambda reply: str(number) in words(reply["text"]).split() or spelled in words(reply["text"]).split()


def _yes_no(rng: random.Random, picture: Picture) -> tuple[str, str, str]:
    shape = rng.choice(picture.shapes)
    if rng.random() < 0.5:
        return shape.colour, shape.kind, "yes"
    while True:
        near = rng.random() < 0.6
        colour = shape.colour if near and rng.random() < 0.5 else rng.choice(list(COLOURS))
        kind = shape.kind if near and colour != shape.colour else rng.choice(KINDS)
        if not picture.has(colour, kind):
            return colour, kind, "no"


def _description(picture: Picture) -> Judge:
    wanted = {(shape.colour, shape.kind, shape.place) for shape in picture.shapes}
    pattern = rf"({'|'.join(COLOURS)}) ({'|'.join(KINDS)})[a-z ]*?({'|'.join(PLACES)})"

    def judge(reply: dict[str, Any]) -> bool:
        text = words(reply["text"])
        found = re.findall(pattern, text)
        return len(found) == len(wanted) and set(found) == wanted and f" {picture.background} " in text

    return judge


def one_picture(rng: random.Random, folder: Path, skill: str, shapes: int | None = None) -> Case:
    """One question on a picture of 1 to 3 (or `shapes`) shapes."""
    picture = make_picture(rng, folder, shapes)
    question, judge, expected = question_about(rng, picture, skill)
    label = "four shapes" if shapes == 4 else skill
    return Case(label, ({"question": question, "images": [picture.path]},), judge, expected, {})


def second_question(rng: random.Random, folder: Path) -> Case:
    """Two questions; the picture is attached to the first only, and the second is judged."""
    picture = make_picture(rng, folder)
    skills = ("colour", "shape", "count", "yes/no", "where", "background")
    first, _, _ = question_about(rng, picture, rng.choice(skills))
    second, judge, expected = question_about(rng, picture, rng.choice(skills))
    return Case("second question", ({"question": first, "images": [picture.path]}, {"question": second}), judge, expected, {})


def two_pictures(rng: random.Random, folder: Path) -> Case:
    """Which of two pictures has a shape, whether both have one, and how many shapes the second one shows."""
    left, right = make_picture(rng, folder), make_picture(rng, folder)
    images = [left.path, right.path]
    mode = rng.randrange(3)
    if mode == 0:
        owner, other = (left, right) if rng.random() < 0.5 else (right, left)
        candidates = [shape for shape in owner.shapes if not other.has(shape.colour, shape.kind)]
        if not candidates:
            return two_pictures(rng, folder)
        shape = rng.choice(candidates)
        number = 1 if owner is left else 2
        asked = rng.choice(("Which picture has a {} {}?", "In which of the pictures is there a {} {}?", "Which one shows a {} {}?"))
        judge = _which(number)
        return Case("two pictures", ({"question": _a(asked.format(shape.colour, shape.kind)), "images": images},), judge, str(number), {})
    if mode == 1:
        shape = rng.choice(left.shapes)
        if rng.random() < 0.5:
            right = make_picture(rng, folder, must=(shape.colour, shape.kind))
            images = [left.path, right.path]
        both = right.has(shape.colour, shape.kind)
        asked = rng.choice(("Do both pictures have a {} {}?", "Is there a {} {} in both images?", "Do they both have a {} {}?"))
        answer = "yes" if both else "no"
        return Case(
            "two pictures", ({"question": _a(asked.format(shape.colour, shape.kind)), "images": images},), _starts(answer), answer, {}
        )
    asked = rng.choice(
        ("How many shapes are in the second picture?", "How many shapes does the second image have?", "Count the shapes in picture 2.")
    )
    return Case("two pictures", ({"question": asked, "images": images},), _second_count(len(right.shapes)), str(len(right.shapes)), {})


def _which(number: int) -> Judge:
    wanted, wrong = (("1", "first"), ("2", "second")) if number == 1 else (("2", "second"), ("1", "first"))

    def judge(reply: dict[str, Any]) -> bool:
        found = words(reply["text"]).split()
        return any(word in found for word in wanted) and not any(word in found for word in wrong)

    return judge


def _second_count(number: int) -> Judge:
    spelled = ("no", "one", "two", "three", "four")[number]

    def judge(reply: dict[str, Any]) -> bool:
        text = re.sub(r"(picture|image|photo) 2|second (picture|image|one)", "", words(reply["text"]))
        return str(number) in text.split() or spelled in text.split()

    return judge
