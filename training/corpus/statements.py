"""Sentences of passages, each with the questions that it answers and plausible ones that it does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.corpus import context_words as words
from training.corpus import lexicon
from training.corpus.wording import expand, pick, words_of


@dataclass(frozen=True)
class Probe:
    """A question: templates, their slots, and the answer without its source (empty where the sentence has none)."""

    templates: tuple[str, ...]
    slots: dict[str, str]
    answer: str = ""


@dataclass(frozen=True)
class Statement:
    """A sentence of a passage about `key`, what it answers, and plausible questions that it does not answer."""

    key: str
    sentence: str
    answers: tuple[Probe, ...]
    misses: tuple[Probe, ...] = ()


def _sentence(rng: random.Random, templates: tuple[str, ...], **slots: object) -> str:
    text = expand(rng, pick(rng, templates), **slots)
    return text[0].upper() + text[1:]


def _place(rng: random.Random) -> Statement:
    x, w = lexicon.thing(rng), lexicon.where(rng)
    v, _, p = rng.choice(words.DEEDS)
    misses = (Probe(words.WHO, {"x": x, "v": v, "p": p}), Probe(words.HOW_MUCH, {"x": x}))
    return Statement(x, _sentence(rng, words.IS_WHERE, x=x, w=w), (Probe(words.WHERE, {"x": x}, f"The {x} is {w}"),), misses)


_PLURALS = words_of(
    """
    scissors, keys, glasses, boots, gloves, maps, candles, matches, tools, towels, batteries, cables, tickets, letters, documents,
    shoes, spare bulbs, nails, screws, plates, cups, apples, seeds, stamps, coins, papers, brushes, paints, ropes, lanterns,
    blankets, curtains, ladders, flags, medals, umbrellas
    """
)


def _plural_place(rng: random.Random) -> Statement:
    """Several things in one place: "the red boots are behind the stove"."""
    x, w = pick(rng, _PLURALS), lexicon.where(rng)
    if rng.random() < 0.4:
        x = f"{pick(rng, lexicon.ADJECTIVES)} {x}"
    text = pick(
        rng,
        (
            "the {x} are {w}.",
            "the {x} are {w}.",
            "you will find the {x} {w}.",
            "we keep the {x} {w}.",
            "the {x} lie {w}.",
            "someone put the {x} {w}.",
        ),
    ).format(x=x, w=w)
    asked_ = (
        "where are the {x}?",
        "where can i find the {x}?",
        "where do [we|you|they] keep the {x}?",
        "[tell me|say|do you know] where the {x} are.",
        "where [should|must] i look for the {x}?",
        "[the |]{x}: where?",
        "where are the {x} [kept|stored|now]?",
    )
    misses = (
        Probe(("how much [do|are] the {x}[ cost|]?", "what do the {x} cost?"), {"x": x}),
        Probe(("who [bought|brought|lost|found] the {x}?",), {"x": x}),
    )
    return Statement(x, text[0].upper() + text[1:], (Probe(asked_, {"x": x}, f"The {x} are {w}"),), misses)


def _person(rng: random.Random) -> Statement:
    """Where someone lives, works, waits or is."""
    n, w = lexicon.name(rng), lexicon.where(rng)
    v, b = rng.choice((("lives", "live"), ("works", "work"), ("waits", "wait"), ("sleeps", "sleep"), ("is", "be")))
    if v in ("lives", "works") and rng.random() < 0.6:
        w = f"in {lexicon.city(rng)}"
    asked_: tuple[str, ...] = (
        "where does {n} {b}?",
        "[tell me|say|do you know] where {n} {v}.",
        "{n} {v} where?",
        "in which place does {n} {b}?",
    )
    if v == "is":
        asked_ = ("where is {n}?", "where can i find {n}?", "[tell me|say|do you know] where {n} is.", "where is {n} [now|at the moment]?")
    text = pick(rng, (f"{n} {v} {w}.", f"{n} {v} {w}{pick(rng, (' now', ' this week', ' since May', ''))}."))
    misses = (
        Probe(
            ("how old is {n}?", "who is the [sister|brother|boss|friend] of {n}?", "what is the [phone number|address|age] of {n}?"),
            {"n": n},
        ),
    )
    return Statement(n, text[0].upper() + text[1:], (Probe(asked_, {"n": n, "v": v, "b": b}, f"{n} {v} {w}"),), misses)


def _built(rng: random.Random) -> Statement:
    """When something was done, by nobody named: "the bridge was built in 1932"."""
    x = (
        pick(rng, lexicon.VENUES + lexicon.ROOMS + ("bridge", "house", "road", "wall", "well", "mill"))
        if rng.random() < 0.5
        else lexicon.thing(rng)
    )
    p, when = (
        pick(
            rng,
            (
                "built",
                "opened",
                "closed",
                "founded",
                "repaired",
                "painted",
                "sold",
                "found",
                "cleaned",
                "made",
                "moved",
                "finished",
                "renovated",
                "delivered",
            ),
        ),
        lexicon.when(rng),
    )
    asked_ = (
        "when was the {x} {p}?",
        "[in which year|on which day|at what time] was the {x} {p}?",
        "[tell me|say|do you know] when the {x} was {p}.",
        "the {x} was {p} when?",
        "what is the date when the {x} was {p}?",
    )
    misses = (Probe(("who {p} the {x}?", "by whom was the {x} {p}?"), {"x": x, "p": p}), Probe(words.HOW_MUCH, {"x": x}))
    answers = (Probe(asked_, {"x": x, "p": p}, f"The {x} was {p} {when}"),)
    text = pick(rng, (f"the {x} was {p} {when}.", f"the {x} was {p} {when}.", f"{when}, the {x} was {p}."))
    return Statement(x, text[0].upper() + text[1:], answers, misses)


def _deed(rng: random.Random) -> Statement:
    """Someone did something to a thing, with or without a place and a time."""
    x, n, w, when = lexicon.thing(rng), lexicon.name(rng), lexicon.where(rng), lexicon.when(rng)
    v, b, p = rng.choice(words.DEEDS) if rng.random() < 0.7 else words.DEEDS[0]
    slots = {"x": x, "n": n, "v": v, "b": b, "p": p}
    has_place, has_time = v in ("left", "found", "lost", "hid", "packed", "moved", "dropped") and rng.random() < 0.6, rng.random() < 0.5
    here = " here" if v in ("left", "found", "lost", "brought", "dropped") and not has_place and rng.random() < 0.5 else ""
    tail = (f" {w}" if has_place else here) + (f" {when}" if has_time else "")
    if rng.random() < 0.6:
        article = pick(rng, ("the", "the", "the", "a"))
        text = f"{n} {v} {article} {x}{tail}."
        if has_time and rng.random() < 0.2:
            text = f"{when}, {n} {v} {article} {x}{f' {w}' if has_place else ''}."
    else:
        text = f"the {x} was {p} {pick(rng, ('by ' + n + tail, tail.strip() + ' by ' + n if tail else 'by ' + n))}."
    answers = [Probe(words.WHO, slots, f"{n} {v} the {x}"), Probe(words.WHAT, slots, f"{n} {v} the {x}")]
    misses = [Probe(words.HOW_MUCH, {"x": x})]
    if has_place:
        answers.append(
            Probe(
                ("where did {n} {b} the {x}?", "where was the {x} {p}?", "[tell me|say] where {n} {v} the {x}."),
                slots,
                f"{n} {v} the {x} {w}",
            )
        )
        if v in ("left", "hid"):
            answers.append(Probe(words.WHERE, slots, f"The {x} is {w}"))
    else:
        misses.append(Probe(words.WHERE, slots))
    if has_time:
        answers.append(Probe(words.WHEN_DONE, slots, f"{n} {v} the {x} {when}"))
    else:
        misses.append(Probe(words.WHEN_DONE, slots))
    return Statement(x, text[0].upper() + text[1:], tuple(answers), tuple(misses))


def _time(rng: random.Random) -> Statement:
    luck = rng.random()
    if luck < 0.5:
        x, verbs, when = pick(rng, lexicon.EVENTS), rng.choice(words.HAPPENS), lexicon.when(rng)
        if rng.random() < 0.3:
            x = f"{pick(rng, lexicon.ADJECTIVES)} {x}"
    elif luck < 0.8:
        x, verbs, when = pick(rng, lexicon.VENUES), rng.choice(words.OPENS), f"at {lexicon.clock(rng)}"
    else:
        x, verbs, when = pick(rng, words.LINKS), rng.choice(words.MOVES), f"at {lexicon.clock(rng)}"
        if rng.random() < 0.5:
            x = f"{x} to {lexicon.city(rng)}"
    v, b = verbs
    if luck < 0.5 and rng.random() < 0.5:
        v, b, extra = "is", "take place", pick(rng, ("", "", f" {lexicon.where(rng)}"))
        text = f"the {x} {pick(rng, ('is', 'will be', 'takes place', 'is planned', 'was moved and is now'))} {when}{extra}."
    else:
        text = f"the {x} {v} {when}{pick(rng, ('', '', ' every day', ' as usual')) if when.startswith('at') else ''}."
    slots = {"x": x, "v": v, "b": b}
    misses = (Probe(words.HOW_MUCH, {"x": x}), Probe(words.WHO_RUNS, {"x": x, "v": "runs", "p": "run"}))
    return Statement(x, text[0].upper() + text[1:], (Probe(words.WHEN, slots, f"The {x} {v} {when}"),), misses)


def _price(rng: random.Random) -> Statement:
    x, cost = lexicon.thing(rng), lexicon.amount(rng)
    if rng.random() < 0.25:
        x = f"ticket for the {pick(rng, lexicon.EVENTS)}"
    text = pick(
        rng,
        (
            "the {x} costs {c}.",
            "a {x} costs {c}.",
            "the {x} is {c}.",
            "the price of the {x} is {c}.",
            "you pay {c} for the {x}.",
            "the {x} is sold for {c}.",
            "for the {x} we ask {c}.",
            "the {x} cost {c} in all.",
            "they want {c} for the {x}.",
        ),
    )
    text = text.format(x=x, c=cost)
    misses = (Probe(words.WHERE, {"x": x}), Probe(words.WHO, {"x": x, "v": "bought", "p": "bought"}))
    return Statement(x, text[0].upper() + text[1:], (Probe(words.HOW_MUCH, {"x": x}, f"The {x} costs {cost}"),), misses)


def _number(rng: random.Random) -> Statement:
    if rng.random() < 0.5:
        g, w, n = pick(rng, lexicon.COUNTED), f"in the {pick(rng, lexicon.ROOMS)}", str(rng.randint(2, 2000))
        text = pick(
            rng,
            (
                "there are {n} {g} {w}.",
                "{w} there are {n} {g}.",
                "we counted {n} {g} {w}.",
                "{n} {g} are {w}.",
                "one can find {n} {g} {w}.",
            ),
        ).format(g=g, w=w, n=n)
        other = {"g": pick(rng, [item for item in lexicon.COUNTED if item != g]), "w": w}
        return Statement(
            f"{g} {w}",
            text[0].upper() + text[1:],
            (Probe(words.HOW_MANY, {"g": g, "w": w}, f"There are {n} {g} {w}"),),
            (Probe(words.HOW_MANY, other),),
        )
    x, g, q = (
        pick(rng, ("recipe", "cake", "soup", "wall", "floor", "bread", "roof", "mixture", "sauce", "stove", "sweater", "bridge", "garden")),
        pick(rng, lexicon.GOODS),
        lexicon.quantity(rng),
    )
    text = pick(
        rng, ("the {x} needs {q} of {g}.", "{q} of {g} go into the {x}.", "for the {x} take {q} of {g}.", "we used {q} of {g} for the {x}.")
    ).format(x=x, g=g, q=q)
    other = {"x": x, "g": pick(rng, [item for item in lexicon.GOODS if item != g])}
    return Statement(
        f"{g} {x}",
        text[0].upper() + text[1:],
        (Probe(words.HOW_MUCH_GOODS, {"x": x, "g": g}, f"The {x} needs {q} of {g}"),),
        (Probe(words.HOW_MUCH_GOODS, other),),
    )


_VALUES: tuple[tuple[str, Callable[[random.Random], str]], ...] = (
    ("code", lexicon.code),
    ("password", lambda rng: lexicon.made_up(rng) + str(rng.randint(0, 99))),
    ("number", lambda rng: str(lexicon.number(rng))),
    ("name", lambda rng: lexicon.made_up(rng).capitalize()),
    ("colour", lambda rng: pick(rng, lexicon.COLOURS)),
    ("weight", lambda rng: f"{rng.randint(2, 900)} {pick(rng, ('kilograms', 'pounds', 'tons', 'grams'))}"),
    ("height", lambda rng: f"{rng.randint(2, 900)} {pick(rng, ('metres', 'feet', 'centimetres'))}"),
    ("length", lambda rng: f"{rng.randint(2, 900)} {pick(rng, ('metres', 'feet', 'kilometres', 'miles'))}"),
    ("age", lambda rng: f"{rng.randint(2, 400)} years"),
    ("owner", lexicon.name),
    ("phone number", lambda rng: f"{rng.randint(100, 999)} {rng.randint(1000, 9999)}"),
    ("serial number", lexicon.code),
    ("address", lambda rng: f"{rng.randint(1, 300)} {lexicon.made_up(rng).capitalize()} {pick(rng, ('Street', 'Road', 'Lane'))}"),
)


_KEEPS_CASE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"  # what may begin a sentence and still be copied as it is


def _value(rng: random.Random) -> Statement:
    x = lexicon.thing(rng) if rng.random() < 0.5 else pick(rng, lexicon.VENUES + lexicon.SPOTS + lexicon.ROOMS)
    k, make = rng.choice(_VALUES)
    v = make(rng)
    text = pick(
        rng,
        (
            "the {k} of the {x} is {v}.",
            "the {k} of the {x} is {v}.",
            "the {x} has the {k} {v}.",
            "{v} is the {k} of the {x}." if v[0] in _KEEPS_CASE else "the {k} of the {x}: {v}.",
            "for the {x}, the {k} is {v}.",
        ),
    ).format(k=k, x=x, v=v)
    other = rng.choice([item for item, _ in _VALUES if item != k])
    return Statement(
        x,
        text[0].upper() + text[1:],
        (Probe(words.VALUE_OF, {"k": k, "x": x}, f"The {k} of the {x} is {v}"),),
        (Probe(words.VALUE_OF, {"k": other, "x": x}),),
    )


def _runs(rng: random.Random) -> Statement:
    x, n = pick(rng, lexicon.VENUES + lexicon.ROOMS), lexicon.name(rng)
    if rng.random() < 0.3:
        x = f"{pick(rng, lexicon.ADJECTIVES)} {x}"
    v, p = rng.choice(words.RUNS)
    text = pick(
        rng,
        (
            f"{n} {v} the {x}.",
            f"the {x} is {p} by {n}.",
            f"it is {n} who {v} the {x}.",
            f"{n} {v} the {x} {pick(rng, ('with great care', 'alone', 'since spring', 'with a friend'))}.",
        ),
    )
    misses = (Probe(words.WHEN, {"x": x, "v": "opens", "b": "open"}), Probe(words.HOW_MUCH, {"x": x}))
    return Statement(x, text[0].upper() + text[1:], (Probe(words.WHO_RUNS, {"x": x, "v": v, "p": p}, f"{n} {v} the {x}"),), misses)


MAKERS: tuple[Callable[[random.Random], Statement], ...] = (
    _place,
    _deed,
    _time,
    _price,
    _number,
    _value,
    _runs,
    _plural_place,
    _person,
    _built,
)
WEIGHTS = (0.22, 0.24, 0.14, 0.1, 0.07, 0.06, 0.04, 0.05, 0.04, 0.04)


def random_statement(rng: random.Random) -> Statement:
    """A statement of any kind."""
    return rng.choices(MAKERS, WEIGHTS)[0](rng)
