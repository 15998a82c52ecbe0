"""Drills that teach a small transformer to copy: repeat this word, code, name or sentence; say it again; the word after a word."""

from __future__ import annotations

import random

from training.corpus import lexicon
from training.corpus.wording import ask, pick
from training.values import Example, Turn

REPEAT = (
    "[repeat|say|write|echo|copy|print|type] [after me|this|the following|exactly this|this back|this word for word]: {text}",
    "[repeat|please repeat|say|echo]: {text}",
    "[can|could] you [repeat|say|echo|copy] [this|after me|exactly this|the following]: {text}",
    "repeat after me: {text}",
    '[say|repeat|write] "{text}"',
    "[just |please |]say {text}",
    "[just |please |]repeat {text}",
    "[please |]repeat [the words|the text|the sentence|the line]: {text}",
    "i say {text}, you say it too.",
    "echo {text}",
)
AGAIN = (
    "[again|once more|say it again|repeat that|one more time|say that again|and again]?",
    "[repeat it|say it once more|what was it|what did i ask you to say]?",
)
_SUBJECTS = ("the {thing}", "my {thing}", "{name}", "a {thing}", "her {thing}", "our {thing}", "every {thing}")
_VERBS = (
    "likes",
    "sees",
    "is near",
    "fell on",
    "belongs to",
    "follows",
    "hides",
    "paints",
    "was with",
    "needs",
    "lost",
    "is not",
    "comes after",
    "knows",
)
_TAILS = ("", "", " {when}", " {where}")


def sentence(rng: random.Random) -> str:
    """A sentence of known and made-up words with little sense."""

    def fill(text: str) -> str:
        return text.format(thing=lexicon.thing(rng), name=lexicon.first_name(rng), when=lexicon.when(rng), where=lexicon.where(rng))

    text = f"{fill(pick(rng, _SUBJECTS))} {pick(rng, _VERBS)} {fill(pick(rng, _SUBJECTS))}{fill(pick(rng, _TAILS))}"
    return text + pick(rng, ("", ".", "!"))


def random_text(rng: random.Random) -> str:
    """Something to copy: a made-up word, a code, a name, a number, a few words, or a sentence."""
    luck = rng.random()
    if luck < 0.18:
        return " ".join(lexicon.made_up(rng) for _ in range(rng.randint(1, 4)))
    if luck < 0.3:
        return lexicon.code(rng)
    if luck < 0.4:
        return lexicon.name(rng)
    if luck < 0.5:
        return str(lexicon.number(rng)) if rng.random() < 0.5 else " ".join(str(lexicon.number(rng)) for _ in range(rng.randint(2, 5)))
    if luck < 0.65:
        pool = lexicon.THINGS + lexicon.ADJECTIVES + lexicon.COLOURS
        return " ".join(pick(rng, pool) for _ in range(rng.randint(2, 6)))
    if luck < 0.75:
        return f"{lexicon.thing(rng)} {lexicon.where(rng)}"
    return sentence(rng)


def repeat_turns(rng: random.Random) -> list[Turn]:
    """Repeat after me, now and then once more."""
    text = random_text(rng)
    template = REPEAT[int(rng.random() * len(REPEAT))]
    quoted = text.rstrip(".!") if '"' in template or template.startswith("i say") else text
    said = [Turn("user", ask(rng, (template,), True, text=quoted)), Turn("assistant", quoted)]
    if rng.random() < 0.15:
        said += [Turn("user", ask(rng, AGAIN)), Turn("assistant", quoted)]
    return said


def _after_turns(rng: random.Random) -> list[Turn]:
    """A list of words, then questions for the word that follows one of them."""
    words = list(dict.fromkeys(lexicon.made_up(rng) if rng.random() < 0.6 else pick(rng, lexicon.THINGS) for _ in range(rng.randint(4, 9))))
    said: list[Turn] = []
    for at in rng.sample(range(len(words) - 1), min(len(words) - 1, rng.randint(2, 4))):
        question = pick(
            rng, ("Which word comes after {0}?", "What comes after {0}?", "After {0}?", "what follows {0}?", "the word after {0}?")
        ).format(words[at])
        said += [Turn("user", question if said else f"Words: {' '.join(words)}. {question}"), Turn("assistant", words[at + 1])]
    return said


def _table_turns(rng: random.Random) -> list[Turn]:
    """A small table of names and values, then questions for values."""
    rows = {
        lexicon.first_name(rng): pick(rng, (lexicon.code(rng), str(lexicon.number(rng)), lexicon.thing(rng), lexicon.city(rng)))
        for _ in range(rng.randint(2, 5))
    }
    link = pick(rng, (": ", " = ", " has ", " - ", " -> "))
    table = pick(rng, (", ", "; ", "\n", ". ")).join(f"{key}{link}{value}" for key, value in rows.items())
    said: list[Turn] = []
    for key in rng.sample(list(rows), min(len(rows), rng.randint(1, 3))):
        question = pick(rng, ("What goes with {0}?", "{0}?", "and {0}?", "What does {0} have?", "which value has {0}?")).format(key)
        said += [Turn("user", question if said else f"{table}\n{question}"), Turn("assistant", f"{key}: {rows[key]}")]
    return said


def sample(rng: random.Random, stage: int = 1) -> Example:
    """Three repetitions in a row, a list or a table; at stage 1 mostly the plain "repeat after me"."""
    luck = rng.random() * (1.0 if stage == 0 else 0.5)
    if luck < 0.4:
        return Example("copying", tuple(turn for _ in range(rng.randint(1, 3)) for turn in repeat_turns(rng)))
    if luck < 0.7:
        return Example("copying", tuple(_after_turns(rng)))
    return Example("copying", tuple(_table_turns(rng)))
