"""Questions over one to four passages: where, who, when, how much, what; the answer names its source or says that it is not there.

A passage is one to five sentences about things, people, prices and times with random names. Its source is a label at its start
(``notes.md: ...``), or without a label its number (``document 2``), also where there is only one. The answer repeats the decisive words
of the sentence that it rests on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.corpus import context_words as words
from training.corpus import lexicon, refusals
from training.corpus.statements import MAKERS, WEIGHTS, Statement, random_statement
from training.corpus.wording import ask, expand, pick
from training.values import Example, Turn

NOT_FOUND = "That is not in the documents."
NO_DOCUMENTS = "There are no documents in our conversation yet. Add one with /doc PATH."


@dataclass(frozen=True)
class Question:
    """A question over passages: the user's words, the topic in two or three words, where the answer stands."""

    words: str
    topic: str
    source: str
    sentence: str


def _statements(rng: random.Random, number: int) -> list[Statement]:
    """Statements about different things, mostly of the same two or three patterns, so that the pattern alone does not decide."""
    makers = rng.choices(MAKERS, WEIGHTS, k=rng.choice((1, 2, 2, 3)))
    done: dict[str, Statement] = {}
    while len(done) < number:
        statement = rng.choice(makers)(rng)
        done.setdefault(statement.key, statement)
        if rng.random() < 0.05:
            makers = rng.choices(MAKERS, WEIGHTS, k=3)
    return list(done.values())


def _label(rng: random.Random) -> str:
    stem = pick(
        rng,
        (
            "notes",
            "report",
            "readme",
            "house",
            "inventory",
            "letter",
            "diary",
            "log",
            "plan",
            "minutes",
            "manual",
            "guide",
            "list",
            "story",
            "schedule",
            "prices",
            "recipes",
            "memo",
            "todo",
            "journal",
        ),
    )
    stem = lexicon.made_up(rng) if rng.random() < 0.3 else stem
    if rng.random() < 0.25:
        stem += pick(rng, ("-", "_", "")) + str(rng.randint(1, 99))
    name = f"{stem}.{pick(rng, ('md', 'txt', 'pdf', 'html', 'docx', 'md', 'txt', 'csv'))}"
    return f"{name}, page {rng.randint(1, 40)}" if rng.random() < 0.08 else name


@dataclass(frozen=True)
class Passages:
    """Passages as the model reads them, each with its source and its statements."""

    texts: tuple[str, ...]
    sources: tuple[str, ...]
    statements: tuple[tuple[Statement, ...], ...]

    def all(self) -> list[tuple[str, Statement]]:
        return [(source, statement) for source, group in zip(self.sources, self.statements, strict=True) for statement in group]


def passages(rng: random.Random, number: int, labelled: bool, most: int = 4) -> Passages:
    """`number` passages of one to `most` statements each, with fillers between."""
    sizes = [rng.randint(1, most) for _ in range(number)]
    pool = _statements(rng, sum(sizes))
    rng.shuffle(pool)
    form = rng.choice(("{0}: {1}", "{0}: {1}", "{0}: {1}", "{0}\n{1}", "[{0}] {1}", "Source: {0}\n{1}"))
    texts, sources, groups = [], [], []
    for i, size in enumerate(sizes):
        group, pool = pool[:size], pool[size:]
        sentences = [statement.sentence for statement in group]
        while rng.random() < 0.3:
            filler = expand(rng, pick(rng, words.FILLERS), n=lexicon.first_name(rng), m=lexicon.first_name(rng), c=lexicon.city(rng))
            sentences.insert(rng.randint(0, len(sentences)), filler[0].upper() + filler[1:])
        text = " ".join(sentences)
        label = _label(rng)
        while label in sources:
            label = _label(rng)
        texts.append(form.format(label, text) if labelled else text)
        sources.append(label if labelled else f"document {i + 1}")
        groups.append(tuple(group))
    return Passages(tuple(texts), tuple(sources), tuple(groups))


def probe(rng: random.Random, found: Passages) -> tuple[str, str]:
    """A question over the passages and its answer with the source."""
    source, statement = rng.choice(found.all())
    luck = rng.random()
    if luck < 0.77:
        chosen = rng.choice(statement.answers)
        return ask(rng, chosen.templates, **chosen.slots), f"{chosen.answer} ({source})."
    if luck < 0.87:
        chosen = rng.choice(statement.misses)
        return ask(rng, chosen.templates, **chosen.slots), NOT_FOUND
    if luck < 0.89:
        return refusals.knowledge_question(rng), NOT_FOUND
    return _stranger(rng, found), NOT_FOUND


def _stranger(rng: random.Random, found: Passages) -> str:
    """A question of a usual kind about something that no passage speaks of."""
    held = [key for _, statement in found.all() for key in (statement.key, *statement.sentence.lower().split())]
    while True:
        other = random_statement(rng)
        if all(other.key != key and other.key not in key for key in held):
            chosen = rng.choice(other.answers)
            if chosen.templates is not words.WHAT or not any(chosen.slots["n"] in text for text in found.texts):
                return ask(rng, chosen.templates, **chosen.slots)


def asked(rng: random.Random) -> tuple[tuple[str, ...], Question, str]:
    """Labelled passages that a search may return, one question for them (or for what is not in them), and its answer."""
    found = passages(rng, rng.choice((1, 1, 2)), True, 2)
    source, statement = rng.choice(found.all())
    chosen = rng.choice([item for item in statement.answers if item.templates is not words.WHAT])
    topic = statement.key
    answer = f"{chosen.answer} ({source})."
    texts = tuple(
        f"{label}: {' '.join(item.sentence for item in group)}" for label, group in zip(found.sources, found.statements, strict=True)
    )
    if rng.random() < 0.12:
        other = passages(rng, 1, True, 2)
        if all(statement.key not in text.lower() for text in other.texts):
            texts, answer = other.texts, NOT_FOUND
    return texts, Question(ask(rng, chosen.templates, **chosen.slots), topic, source, statement.sentence), answer


def questions(rng: random.Random, found: Passages, number: int) -> list[Turn]:
    asked_: dict[str, str] = {}
    for _ in range(number):
        question, answer = probe(rng, found)
        asked_.setdefault(question, answer)
    return [turn for question, answer in asked_.items() for turn in (Turn("user", question), Turn("assistant", answer))]


def without_documents(rng: random.Random) -> list[Turn]:
    """A question that needs a document where none was given."""
    statement = random_statement(rng)
    chosen = rng.choice(statement.answers)
    return [Turn("user", ask(rng, chosen.templates, **chosen.slots)), Turn("assistant", NO_DOCUMENTS)]


def sample(rng: random.Random, stage: int = 1) -> Example:
    """One to four passages with one to eight questions."""
    if stage == 0:
        found = passages(rng, 1, rng.random() < 0.7, 3)
        return Example("contexts", tuple(questions(rng, found, rng.randint(1, 3))), contexts=found.texts)
    if rng.random() < 0.04:
        return Example("contexts", tuple(without_documents(rng)))
    found = passages(rng, rng.choice((1, 1, 2, 2, 3, 4)), rng.random() < 0.6)
    number = 1 if rng.random() < 0.2 else rng.randint(3, 8)
    return Example("contexts", tuple(questions(rng, found, number)), contexts=found.texts)
