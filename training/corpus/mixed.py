"""Conversations that go from one thing to another: courtesies, facts, a picture, something remembered, a document, a refusal."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from training.corpus import chat, contexts, copying, facts, pictures, refusals, several, tools
from training.values import Example, Turn

Segment = Callable[[random.Random], list[Turn]]
_SEGMENTS: tuple[tuple[Segment, float], ...] = (
    (facts.turns, 0.3),
    (lambda rng: pictures.turns(rng, rng.choice((1, 1, 2, 3))), 0.26),
    (chat.any_chat, 0.14),
    (refusals.turns, 0.12),
    (copying.repeat_turns, 0.08),
    (chat.greeting, 0.06),
    (lambda rng: several.turns(rng, 1), 0.04),
)


def _segments(rng: random.Random, number: int, pictures_before: bool = False, documents: bool = False) -> list[Turn]:
    """`number` segments; several pictures only where none came before, so that their numbers stay right.

    Beside documents nothing is refused: what is unknown there is not in the documents.
    """
    said: list[Turn] = []
    for segment, _ in rng.choices(_SEGMENTS, [weight for _, weight in _SEGMENTS], k=number):
        turns = facts.turns(rng) if documents and segment is refusals.turns else segment(rng)
        if any(len(turn.pictures) > 1 for turn in turns) and (pictures_before or any(turn.pictures for turn in said)):
            turns = facts.turns(rng)
        said += turns
    return said


def _small_filler(rng: random.Random) -> list[Turn]:
    return rng.choice((facts.turns, facts.turns, chat.any_chat, refusals.turns, lambda inner: pictures.turns(inner, 1)))(rng)


def _no_picture_yet(rng: random.Random) -> list[Turn]:
    """A picture question before any picture came, alone or after other things."""
    before = rng.choice(((), (facts.turns,), (chat.greeting,), ()))
    return [turn for segment in before for turn in segment(rng)] + pictures.without_picture(rng)


def sample(rng: random.Random, stage: int = 1) -> Example:
    """A few turns of several skills; with tools or contexts beside them that most turns do not need."""
    luck = rng.random()
    if luck < 0.2:
        return Example("no_picture", tuple(_no_picture_yet(rng)))
    if luck < 0.4:
        return Example("memory", tuple(chat.memory(rng, _small_filler)))
    if luck < 0.58:
        example = Example("mixed", tuple(_segments(rng, rng.choice((1, 1, 2, 3)))))
        return replace(example, tools=tools.offered(rng, rng.choice(tools.TOOLS)))
    if luck < 0.72:
        example = tools.sample(rng, stage)
        return replace(example, skill="mixed", turns=(*_segments(rng, 1), *example.turns, *_segments(rng, rng.choice((0, 1)), True)))
    if luck < 0.86:
        found = contexts.passages(rng, rng.choice((1, 2)), rng.random() < 0.6)
        said = (
            _segments(rng, rng.choice((0, 1, 1)), documents=True)
            + contexts.questions(rng, found, rng.choice((0, 1, 2)))
            + _segments(rng, 1, True, documents=True)
        )
        return Example(
            "mixed", tuple(said), contexts=found.texts, tools=tools.offered(rng, without="search_documents") if rng.random() < 0.2 else ()
        )
    return Example("mixed", tuple(_segments(rng, rng.choice((2, 3, 3, 4)))))
