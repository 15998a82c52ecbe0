"""Many ways to say one thing: a small template language for questions.

A template is lower-case text with alternatives in square brackets, ``[what|which] colour is the {kind}[ here|]?``; brackets nest, an
empty alternative makes a part optional, and ``{name}`` is a slot. The last character says what it is: ``?`` a question, ``.`` an order.
``ask`` picks one expansion, varies the spelling (colour/color, picture/image, what is/what's), fills the slots untouched, and now and then
drops the mark, adds a courtesy or a slip of the finger. Answers never go through here: they have one form each.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

Node = str | tuple[tuple["Node", ...], ...]
"""Literal text, or alternatives, each a sequence of nodes."""

_SPELLINGS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("colour", ("color",), 0.5),
    ("grey", ("gray",), 0.5),
    ("picture", ("image", "image", "photo", "pic", "drawing"), 0.55),
    ("favourite", ("favorite",), 0.4),
    ("what is", ("what's", "what's", "whats"), 0.3),
    ("where is", ("where's", "wheres"), 0.25),
    ("who is", ("who's",), 0.25),
    ("i am ", ("I'm ", "im ", "i'm "), 0.4),
    ("do not", ("don't",), 0.7),
    ("cannot", ("can't",), 0.7),
    ("top left", ("upper left", "top left corner", "top-left"), 0.3),
    ("top right", ("upper right", "top right corner", "top-right"), 0.3),
    ("bottom left", ("lower left", "bottom left corner", "bottom-left"), 0.3),
    ("bottom right", ("lower right", "bottom right corner", "bottom-right"), 0.3),
)
_BEFORE = (
    "hey, ",
    "ok, ",
    "so ",
    "now ",
    "please tell me: ",
    "quick question: ",
    "one more thing: ",
    "hi, ",
    "well, ",
    "tell me, ",
    "and ",
    "ok now, ",
    "question: ",
)
_AFTER = (" please", ", please", " for me", " thanks")
_KEYS = {"a": "s", "e": "r", "i": "o", "o": "p", "t": "y", "n": "m", "s": "d", "r": "e", "u": "i", "l": "k"}


def _parse(text: str, at: int, inside: bool) -> tuple[tuple[tuple[Node, ...], ...], int]:
    options: list[tuple[Node, ...]] = []
    nodes: list[Node] = []
    start = at
    while at < len(text):
        mark = text[at]
        if mark == "[":
            if at > start:
                nodes.append(text[start:at])
            alternatives, at = _parse(text, at + 1, True)
            nodes.append(alternatives)
            start = at
            continue
        if inside and mark in "|]":
            if at > start:
                nodes.append(text[start:at])
            options.append(tuple(nodes))
            nodes = []
            at += 1
            start = at
            if mark == "]":
                return tuple(options), at
            continue
        at += 1
    if inside:
        raise ValueError(f"a bracket is never closed in the template {text!r}")
    if at > start:
        nodes.append(text[start:at])
    options.append(tuple(nodes))
    return tuple(options), at


@cache
def _compiled(template: str) -> tuple[Node, ...]:
    return _parse(template, 0, False)[0][0]


def _expand(rng: random.Random, nodes: tuple[Node, ...]) -> str:
    parts = []
    for node in nodes:
        parts.append(node if isinstance(node, str) else _expand(rng, node[int(rng.random() * len(node))]))
    return "".join(parts)


def _ways(nodes: tuple[Node, ...]) -> int:
    total = 1
    for node in nodes:
        if not isinstance(node, str):
            total *= sum(_ways(option) for option in node)
    return total


def ways(templates: Sequence[str]) -> int:
    """How many expansions a list of templates has, spelling variants and courtesies not counted."""
    return sum(_ways(_compiled(template)) for template in templates)


def expand(rng: random.Random, template: str, **slots: object) -> str:
    """One expansion of a template with its slots filled, and nothing else changed."""
    text = _expand(rng, _compiled(template))
    return text.format_map(slots) if slots else text


def _slip(rng: random.Random, text: str) -> str:
    """One slip of the finger in a word of at least five plain letters, never in a slot."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    i = rng.choice(long)
    word = words[i]
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind == 1:
        word = word[:at] + word[at + 1 :]
    elif kind == 2:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + _KEYS.get(word[at], word[at]) + word[at + 1 :]
    words[i] = word
    return " ".join(words)


def ask(rng: random.Random, templates: Sequence[str], plain: bool = False, /, **slots: object) -> str:
    """A user's words for one of `templates`, varied in spelling, courtesy, case and final mark.

    `plain` leaves courtesies and slips out (for statements such as "my name is {name}.").
    """
    text = _expand(rng, _compiled(templates[int(rng.random() * len(templates))]))
    for word, others, chance in _SPELLINGS:
        if word in text and rng.random() < chance:
            text = text.replace(word, others[int(rng.random() * len(others))])
    text = text.replace("{color}", "{colour}")
    mark = text[-1]
    body = (text[:-1] if mark in "?.!" else text).replace("  ", " ").strip()
    if rng.random() < 0.03:
        body = _slip(rng, body)
    luck = rng.random()
    if not plain:
        if luck < 0.10:
            body = _BEFORE[int(rng.random() * len(_BEFORE))] + body
        elif luck < 0.15:
            body += _AFTER[int(rng.random() * len(_AFTER))]
    luck = rng.random()
    if mark == "?":
        body += "?" if luck < 0.78 else "" if luck < 0.97 else " ?" if luck < 0.985 else "."
    elif mark == ".":
        body += "." if luck < 0.6 else "" if luck < 0.95 else "!"
    elif mark == "!":
        body += "!" if luck < 0.45 else "." if luck < 0.65 else ""
    if slots:
        body = body.format_map(slots)
    if rng.random() < 0.65:
        body = body[0].upper() + body[1:]
    return body


def pick(rng: random.Random, items: Sequence[str]) -> str:
    """One of `items`, each as likely (quicker than `random.Random.choice`)."""
    return items[int(rng.random() * len(items))]


def words_of(text: str) -> tuple[str, ...]:
    """The words or phrases of a text that separates them by commas."""
    return tuple(" ".join(item.split()) for item in text.split(","))


def listed(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def a(noun: str) -> str:
    """The noun with its indefinite article: ``a red circle``, ``an orange star``."""
    return ("an " if noun[0] in "aeiouAEIOU" else "a ") + noun
