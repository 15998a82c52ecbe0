"""The conversations from which the demo model learns to speak.

Everything comes from a `random.Random` that is handed in; nothing is read or written. Questions vary without end (`wording`), answers
have one form per kind. Shares of the answers at stage 1 by ``python -m training.corpus``: one picture 31 %, several 8 %, tools 14 %,
contexts 12 %, facts about nemochat 11 %, memory and chat 9 %, personas 7 %, mixed conversations 4 %, out of domain 2 %, copying 2 %.

Stage 0 is the early curriculum: copying drills, one shape, one passage, short chats. About a third of the conversations ask once; the
others ask several times, because every answer of a conversation is learned from at the price of one reading.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from training.corpus import chat, contexts, copying, facts, mixed, personas, pictures, refusals, several, tools
from training.corpus.personas import PLAIN_SYSTEMS
from training.values import Example

Pictures = Literal["any", "none", "only"]
"""Which conversations to draw: all, those without a picture, or those with one."""


def _personas(rng: random.Random, stage: int) -> Example:
    return personas.sample(rng, lambda inner: sample(inner, stage, personas=False))


_MAKERS: dict[str, Callable[[random.Random, int], Example]] = {
    "pictures": pictures.sample,
    "several": several.sample,
    "tools": tools.sample,
    "contexts": contexts.sample,
    "facts": facts.sample,
    "chat": chat.sample,
    "refusals": refusals.sample,
    "copying": copying.sample,
    "mixed": mixed.sample,
    "personas": _personas,
}
SKILLS: tuple[str, ...] = tuple(_MAKERS)
WITH_PICTURES = ("pictures", "several")
_WEIGHTS: dict[int, dict[str, float]] = {
    0: {
        "pictures": 25,
        "several": 0,
        "tools": 12,
        "contexts": 14,
        "facts": 10,
        "chat": 12,
        "refusals": 4,
        "copying": 30,
        "mixed": 0,
        "personas": 4,
    },
    1: {
        "pictures": 36,
        "several": 9,
        "tools": 17,
        "contexts": 17,
        "facts": 16,
        "chat": 7,
        "refusals": 6,
        "copying": 2,
        "mixed": 8,
        "personas": 9,
    },
}


def sample_skill(name: str, rng: random.Random, stage: int = 1) -> Example:
    """One conversation of a skill of `SKILLS`. Raises KeyError for another name."""
    return _MAKERS[name](rng, stage)


def has_picture(example: Example) -> bool:
    return any(turn.pictures for turn in example.turns)


def sample(rng: random.Random, stage: int = 1, pictures: Pictures = "any", *, personas: bool = True) -> Example:
    """One conversation of the mixture of a stage (0 early curriculum, 1 everything).

    `pictures` keeps to conversations without ("none") or with ("only") a picture; `personas` off leaves them out.
    """
    weights = _WEIGHTS[min(stage, 1)]
    names = [name for name in SKILLS if weights[name] and (personas or name != "personas")]
    if pictures == "none":
        names = [name for name in names if name not in WITH_PICTURES]
    elif pictures == "only":
        names = [name for name in names if name in (*WITH_PICTURES, "mixed", "personas")]
    shares = [weights[name] for name in names]
    while True:
        example = sample_skill(rng.choices(names, shares)[0], rng, stage)
        if pictures == "any" or has_picture(example) == (pictures == "only"):
            break
    if not example.system and rng.random() < 0.15:
        return replace(example, system=rng.choice(PLAIN_SYSTEMS))
    return example
