"""Drills in looking things up: short facts about a picture, and pairs of random words, asked for again and again.

A small model learns fixed answers long before it learns to look something up, in a picture or in a text. A drill is nothing but looking up:
``star red. top left blue heart. The cross is green.`` after a picture; ``ab cd. ef gh. ef gh. ab cd.`` without one. A few minutes of it
form the attention that tools, contexts, memory and questions about pictures all need. The longer sentences carry it over to real answers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from nemochat.domain.segments import Control
from nemochat.prompt import nemotron
from training import scenes
from training.tokenizer import IMAGE, Encoded, Tokenizer
from training.values import COLOURS, KINDS, Scene, Shape

_PAIR_TOKENS = 112
_PICTURE_FACTS = 13
_FIRST_PIECE = 272
"""Ids below are control tokens and bytes."""
_ABSENT = 0.2
"""Share of the lookups of a pair drill that ask for what is not there; the answer is the first word of "not in the documents"."""
_LINKS = ("is", "is in the", "is on", "costs", "was left by")
"""What may stand between the words of a pair, besides punctuation and nothing."""

Fact = list[tuple[str, bool]]
"""Words of a fact, each with whether it is to be predicted."""


class Drills:
    """Makes drills for a vocabulary."""

    def __init__(self, tokenizer: Tokenizer, image_tokens: int = 64) -> None:
        self._tokenizer = tokenizer
        system = [segment for segment in nemotron.system_segments("") if isinstance(segment, Control)]
        self._head = [token for segment in [*system, Control("<extra_id_1>User\n")] for token in tokenizer.segment(segment)]
        self._newline = tokenizer.segment(Control("\n"))
        self._stop = tokenizer.pieces.encode(".")
        self._digits = [tokenizer.pieces.piece_to_id(str(digit)) for digit in range(10)]
        self._separators = [self._stop, tokenizer.pieces.encode(","), self._newline, [], *map(self._words, _LINKS)]
        self._absent = self._words("not")
        self._image = [IMAGE] * image_tokens

    def _words(self, text: str) -> list[int]:
        return list(self._tokenizer.pieces.encode(" " + text))

    def picture(self, rng: random.Random, pictures: int = 1) -> Encoded:
        """A scene, or two, and about a dozen facts that can be read off it."""
        shown = [scenes.random_scene(rng, rng.choice((1, 1, 2, 2, 3, 4))) for _ in range(pictures)]
        ids = [*self._head, *((*self._image, *self._newline) * len(shown))]
        learned = [False] * len(ids)
        said: list[Fact] = []
        for _ in range(30):
            fact = _fact(rng, shown[0]) if len(shown) == 1 else _fact_of_two(rng, shown[0], shown[1])
            if fact and fact not in said and len(said) < _PICTURE_FACTS:
                said.append(fact)
                for words, learn in fact:
                    new = self._words(words)
                    ids += new
                    learned += [learn] * len(new)
                ids += self._stop
                learned.append(False)
        return Encoded("picture drill", ids, learned, list(shown))

    def pairs(self, rng: random.Random) -> Encoded:
        """Two to nine pairs of random words, then the second word of one after the other for its first ("not" for a stranger)."""
        pairs = [(self._word(rng), self._word(rng)) for _ in range(rng.randint(2, 9))]
        separator = rng.choice(self._separators)
        ids = list(self._head)
        for first, second in pairs:
            ids += [*first, *separator, *second, *self._stop]
        learned = [False] * len(ids)
        while len(ids) < _PAIR_TOKENS:
            first, second = (self._word(rng), self._absent) if rng.random() < _ABSENT else rng.choice(pairs)
            ids += [*first, *separator, *second, *self._stop]
            learned += [False] * (len(first) + len(separator)) + [True] * len(second) + [False] * len(self._stop)
        return Encoded("pair drill", ids[:_PAIR_TOKENS], learned[:_PAIR_TOKENS], [])

    def _word(self, rng: random.Random) -> list[int]:
        if rng.random() < 0.2:
            return [rng.choice(self._digits) for _ in range(rng.randint(2, 4))]
        return [rng.randrange(_FIRST_PIECE, self._tokenizer.size) for _ in range(rng.choice((1, 1, 2, 3)))]


def _fact(rng: random.Random, scene: Scene) -> Fact | None:
    """A fact about a random shape; None when the drawn kind of fact would be ambiguous."""
    shape = rng.choice(scene.shapes)
    only_kind = _number(scene, "kind", shape) == 1
    only_colour = _number(scene, "colour", shape) == 1
    sentence = rng.random() < 0.65
    match rng.choices(range(8), (1, 1, 3, 2, 2, 0.5, 1, 2.5))[0]:
        case 0 if only_kind:
            return [(f"The {shape.kind} is" if sentence else shape.kind, False), (shape.colour, True)]
        case 1 if only_colour:
            return [(f"The {shape.colour} shape is a" if sentence else shape.colour, False), (shape.kind, True)]
        case 2 if only_kind:
            return [(f"The {shape.kind} is in the" if sentence else f"{shape.kind} in the", False), (shape.place, True)]
        case 3 if only_colour:
            return [(f"The {shape.colour} shape is in the" if sentence else f"{shape.colour} in the", False), (shape.place, True)]
        case 4 if sentence and only_kind:
            return [(f"There is a {shape.colour} {shape.kind} in the", False), (shape.place, True)]
        case 4:
            return [(shape.place, False), (f"{shape.colour} {shape.kind}", True)]
        case 5:
            return [("shapes", False), (str(len(scene.shapes)), True)]
        case 6:
            kind = rng.choice(KINDS)
            there = any(each.kind == kind for each in scene.shapes)
            return [(f"a {kind}", False), ("yes" if there else "no", True)]
        case 7:
            colour, kind = _colour_and_kind(rng, scene.shapes)
            return [(f"a {colour} {kind}", False), ("yes" if _holds(scene, colour, kind) else "no", True)]
        case _:
            return None


def _number(scene: Scene, what: str, shape: Shape) -> int:
    return sum(getattr(each, what) == getattr(shape, what) for each in scene.shapes)


def _fact_of_two(rng: random.Random, first: Scene, second: Scene) -> Fact | None:
    """A fact about one of two pictures, or about which of them holds a shape."""
    if rng.random() < 0.5:
        number = rng.choice((1, 2))
        fact = _fact(rng, (first, second)[number - 1])
        return fact and [(f"picture {number}", False), *fact]
    colour, kind = _colour_and_kind(rng, (*first.shapes, *second.shapes))
    having = _holds(first, colour, kind), _holds(second, colour, kind)
    names = {(True, True): "both", (True, False): "1", (False, True): "2", (False, False): "neither"}
    return [(f"a {colour} {kind} picture", False), (names[having], True)]


def _colour_and_kind(rng: random.Random, shapes: Sequence[Shape]) -> tuple[str, str]:
    """Those of one shape, half of the time; else of two shapes, or one of them drawn at random."""
    shape, other = rng.choice(shapes), rng.choice(shapes)
    if rng.random() < 0.5:
        return shape.colour, shape.kind
    return rng.choice(((shape.colour, other.kind), (shape.colour, rng.choice(KINDS)), (rng.choice(list(COLOURS)), shape.kind)))


def _holds(scene: Scene, colour: str, kind: str) -> bool:
    return any((shape.colour, shape.kind) == (colour, kind) for shape in scene.shapes)
