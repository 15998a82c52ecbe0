"""nemochat itself: questions about the program, its keys, commands and words, each with one short answer.

The facts are data in `fact_list`: an answer and a block of wordings. The macros ``$how``, ``$key``, ``$what``, ``$cmd`` and ``$whatcmd``
stand for the usual beginnings of such questions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.corpus.fact_list import FACT_TEXTS
from training.corpus.fact_terms import TERM_TEXTS
from training.corpus.wording import ask
from training.values import Example, Turn

_MACROS = {
    "$how": (
        "[how do i|how do i|how can i|how to|how do you|how would i|can i|is there a way to|is it possible to|"
        "what must i do to|i want to|i would like to|tell me how to|explain how to|help me|how does one|show me how to|"
        "how could i|what is the best way to]"
    ),
    "$key": (
        "[which key do i press to|what do i press to|what is the key to|what is the shortcut to|is there a key to|"
        "is there a shortcut to|keyboard shortcut to|key to|which keys|shortcut to|which key do i use to|"
        "what key combination is there to|what should i press to|how with the keyboard do i]"
    ),
    "$cmd": (
        "[which command do i use to|what is the command to|is there a command to|which slash command is there to|"
        "command to|what command can|what do i type to|what should i type to|which command lets me]"
    ),
    "$whatcmd": (
        "[what is|what is the use of|explain|what happens with|what can i do with|what is the command|tell me about|"
        "describe|help on|when do i use|what do i get from|purpose of]"
    ),
    "$what": (
        "[what is|what is|what are|what does one mean by|what do you mean by|explain|please explain|define|"
        "what is meant by|tell me what is|i do not understand|meaning of|tell me about|can you explain|what is this|"
        "describe|definition of|what exactly is]"
    ),
}


@dataclass(frozen=True)
class Fact:
    """One answer and the templates of the questions for it."""

    answer: str
    templates: tuple[str, ...]


def _expanded(line: str) -> str:
    for macro in sorted(_MACROS, key=len, reverse=True):
        line = line.replace(macro, _MACROS[macro])
    return line if line[-1] in "?.!" else line + "?"


def _read(answer: str, block: str) -> Fact:
    templates = []
    for line in block.strip().splitlines():
        lines = [line.strip()]
        if lines[0].startswith("$whatcmd "):
            lines.append(f"what does {lines[0].removeprefix('$whatcmd ')} do")
        templates += [_expanded(item) for item in lines]
    return Fact(answer, tuple(templates))


FACTS: tuple[Fact, ...] = tuple(_read(answer, block) for answer, block in (*FACT_TEXTS, *TERM_TEXTS))


def turns(rng: random.Random) -> list[Turn]:
    """A question about nemochat and its answer."""
    fact = FACTS[int(rng.random() * len(FACTS))]
    return [Turn("user", ask(rng, fact.templates)), Turn("assistant", fact.answer)]


def sample(rng: random.Random, stage: int = 1) -> Example:
    """One to five facts in a row."""
    return Example("facts", tuple(turn for _ in range(rng.choice((1, 1, 2, 3, 4, 5))) for turn in turns(rng)))
