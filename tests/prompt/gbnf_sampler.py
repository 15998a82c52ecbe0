"""A small reader of GBNF that makes up texts at random, and one that judges texts, so that grammars can be tested without llama.cpp."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import regex

_TOKEN = re.compile(
    r"""\s*(?:(?P<literal>"(?:[^"\\]|\\.)*") | (?P<chars>\[(?:[^\]\\]|\\.)*\]) | (?P<name>[a-zA-Z][a-zA-Z0-9-]*) | (?P<mark>[()|?*+])
      | \{(?P<least>\d+)(?P<comma>,)?(?P<most>\d*)\})""",
    re.VERBOSE | re.DOTALL,
)
_CHAR = re.compile(r"\\x([0-9A-Fa-f]{2})|\\(.)|(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_SAMPLES = "aZ09 _-.,:;{}[]()<>/'é€名😀\u2028\"\\\n"


class _Repeat(NamedTuple):
    what: _Node
    least: int
    most: int


class _Choice(NamedTuple):
    options: list[list[_Node]]


class _Name(NamedTuple):
    name: str


class _Chars(NamedTuple):
    chars: str


_Node = str | _Repeat | _Choice | _Name | _Chars


class GbnfSampler:
    """A grammar that can be spoken."""

    def __init__(self, text: str, chance: random.Random) -> None:
        self._chance = chance
        self._rules: dict[str, _Choice] = {}
        for line in text.splitlines():
            name, body = line.split(" ::= ", 1)
            tokens = _tokens(body)
            self._rules[name] = _choice(tokens)
            assert not tokens, line

    def sample(self) -> str:
        """One text."""
        return self._say(_Name("root"))

    def _say(self, node: _Node) -> str:
        match node:
            case str():
                return node
            case _Chars():
                return self._chance.choice(node.chars)
            case _Name():
                return self._say(self._rules[node.name])
            case _Choice():
                return "".join(map(self._say, self._chance.choice(node.options)))
            case _Repeat():
                most = min(node.most, max(node.least, self._chance.choice((node.most, node.least, 3))))
                return "".join(self._say(node.what) for _ in range(self._chance.randint(node.least, most)))


def reader(text: str) -> Any:
    """A compiled pattern that matches whole what a grammar lets through. Grammars of ours never recurse."""
    rules = []
    for line in text.splitlines():
        name, body = line.split(" ::= ", 1)
        rules.append(f"(?P<{name.replace('-', '_')}>{''.join(map(_as_pattern, _tokens(body)))})")
    return regex.compile(f"(?(DEFINE){''.join(rules)})(?&root)")


def _as_pattern(token: re.Match[str]) -> str:
    if token["literal"]:
        return f"(?:{regex.escape(''.join(_unescape(token['literal'][1:-1])), special_only=False)})"
    if token["name"]:
        return f"(?&{token['name'].replace('-', '_')})"
    if token["mark"] == "(":
        return "(?:"
    return token[0].strip()


def _tokens(body: str) -> list[re.Match[str]]:
    tokens, position = [], 0
    while body[position:].strip():
        token = _TOKEN.match(body, position)
        assert token, body[position:]
        tokens.append(token)
        position = token.end()
    return tokens


def _choice(tokens: list[re.Match[str]]) -> _Choice:
    options: list[list[_Node]] = [[]]
    while tokens and tokens[0]["mark"] != ")":
        token = tokens.pop(0)
        if token["mark"] == "|":
            options.append([])
        elif token["mark"] in ("?", "*", "+"):
            least, most = {"?": (0, 1), "*": (0, 3), "+": (1, 3)}[token["mark"]]
            options[-1].append(_Repeat(options[-1].pop(), least, most))
        elif token["least"]:
            least = int(token["least"])
            most = int(token["most"] or (least + 3 if token["comma"] else least))
            options[-1].append(_Repeat(options[-1].pop(), least, most))
        elif token["mark"] == "(":
            options[-1].append(_choice(tokens))
            assert tokens.pop(0)["mark"] == ")"
        elif token["literal"]:
            options[-1].append("".join(_unescape(token["literal"][1:-1])))
        elif token["chars"]:
            options[-1].append(_Chars(_class(token["chars"][1:-1])))
        else:
            options[-1].append(_Name(token["name"]))
    return _Choice(options)


def _unescape(text: str) -> Sequence[str]:
    return [chr(int(code, 16)) if code else _ESCAPES.get(escaped, escaped) or plain for code, escaped, plain in _CHAR.findall(text)]


def _class(text: str) -> str:
    """The characters of a class, of one that is negated some samples."""
    is_negated = text.startswith("^")
    parts = _CHAR.findall(text[is_negated:])
    chars = _unescape(text[is_negated:])
    found: set[str] = set()
    index = 0
    while index < len(chars):
        if index + 2 < len(chars) and parts[index + 1][2] == "-":
            found.update(map(chr, range(ord(chars[index]), ord(chars[index + 2]) + 1)))
            index += 3
        else:
            found.add(chars[index])
            index += 1
    return "".join(sorted(set(_SAMPLES) - found if is_negated else found))
