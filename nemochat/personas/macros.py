"""Macros in the texts of a persona: ``{{char}}``, ``{{random:a,b}}`` and the like. Names are compared without case.

- ``{{char}} <BOT> <CHAR>``, ``{{user}} <USER>``, ``{{original}}``, and every name in `Macros.values` (description, personality, scenario,
  persona, time, date, ...)
- ``{{random:a,b}}``, ``{{pick:a,b}}``; ``::`` separates too (``{{random::a::b}}``), ``\\,`` is a comma that does not
- ``{{roll:6}}``, ``{{roll:d6}}``, ``{{roll:2d6+1}}``
- ``{{reverse:text}}``, ``{{newline}}``, ``{{trim}}`` (takes the line breaks around it away), ``{{noop}}``
- ``{{outlet::name}}``: the entries of a lorebook that want to stand there (`Macros.values` under ``outlet::name``), nothing without any
- ``{{// text}}``, ``{{comment:text}}``, ``{{hidden_key:text}}``: nothing; the last counts where a lorebook looks for its keys

Anything else stays as it is. What is put in is not looked at again, so a user called ``{{random:a,b}}`` is called just that. Chance comes
from `seed` and from which of the text's chances it is: the same text with the same seed always gives the same. One pass, in linear time:
at most `_MAX_DEPTH` macros are open within one another (the outermost counts as plain text when there are more), and what is put in has a
limit, behind which macros stay as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

import msgspec

_MAX_DEPTH = 16
_MAX_INSERTED = 1_000_000
_MAX_DICE, _MAX_SIDES = 100, 1_000_000

_CLOSE = "}}"
_TOKEN = re.compile(r"\{{2,}|\}\}|<(?:bot|char|user)>", re.IGNORECASE)
_HEAD = re.compile(r"\s*(//|[A-Za-z_][A-Za-z0-9_]*)[ \t]*(::?|(?=\s)|$)")
_ROLL = re.compile(r"(\d{0,3})d?(\d{1,7})([+-]\d{1,7})?", re.IGNORECASE)
_COMMA = re.compile(r"(?<!\\),")


class _Value(str):
    """Text that was put in: neither its commas nor its braces mean anything."""

    __slots__ = ()


class _Trim(_Value):
    """Where line breaks go away on both sides."""

    __slots__ = ()


_Pieces = list[str]


class Macros(msgspec.Struct, frozen=True, kw_only=True):
    """What the macros of a persona's texts stand for. seed: what chance comes from. values: further names, in small letters."""

    char: str
    user: str
    seed: str = ""
    values: Mapping[str, str] = {}

    def expand(self, text: str, *, original: str = "") -> str:
        """The text with its macros replaced; see the module."""
        return expand(text, char=self.char, user=self.user, original=original, seed=self.seed, values=self.values)

    def searched(self, text: str) -> str:
        """The text as a lorebook searches it: with what only ``{{hidden_key:...}}`` says."""
        return expand(text, char=self.char, user=self.user, seed=self.seed, values=self.values, hidden=True)


def expand(
    text: str,
    *,
    char: str,
    user: str,
    original: str = "",
    seed: str = "",
    values: Mapping[str, str] | None = None,
    hidden: bool = False,
) -> str:
    """The text with its macros replaced; see the module. hidden: with the text of hidden keys."""
    if "{{" not in text and "<" not in text:
        return text
    named = {**(values or {}), "char": char, "bot": char, "user": user, "original": original, "newline": "\n", "noop": ""}
    return _Expansion(named, seed, hidden=hidden).run(text)


class _Expansion:
    """One pass through a text. `open` holds what stands behind each ``{{`` that was not closed yet, the text itself first."""

    def __init__(self, values: Mapping[str, str], seed: str, *, hidden: bool) -> None:
        self.values = values
        self.seed = seed
        self.hidden = hidden
        self.chances = 0
        self.room = _MAX_INSERTED
        self.open: list[_Pieces] = [[]]

    def run(self, text: str) -> str:
        place = 0
        for match in _TOKEN.finditer(text):
            self._say(text[place : match.start()])
            place = match.end()
            found = match[0]
            if found.startswith("{"):
                # Of an odd number of braces the last two belong to the macro.
                self._say(found[: len(found) % 2])
                for _ in range(min(len(found) // 2, _MAX_DEPTH)):
                    self._begin()
                self._say("{{" * max(0, len(found) // 2 - _MAX_DEPTH), outermost=True)
            elif found == _CLOSE and len(self.open) > 1:
                pieces = self.open.pop()
                self.open[-1].extend(self._replaced(pieces))
            elif found == _CLOSE:
                self._say(found)
            else:
                self._put(found[1:-1].lower(), found)
        self._say(text[place:])
        while len(self.open) > 1:
            self._close_outermost()
        return _joined(self.open[0])

    def _say(self, text: str, *, outermost: bool = False) -> None:
        if text:
            self.open[0 if outermost else -1].append(text)

    def _begin(self) -> None:
        if len(self.open) > _MAX_DEPTH:
            self._close_outermost()
        self.open.append([])

    def _close_outermost(self) -> None:
        """What was opened first is no macro: plain text."""
        pieces = self.open.pop(1)
        self.open[0].append("{{")
        self.open[0].extend(pieces)

    def _put(self, name: str, written: str) -> None:
        value = self._afforded(self.values[name])
        self.open[-1].append(written if value is None else value)

    def _afforded(self, value: str) -> _Value | None:
        if len(value) > self.room:
            return None
        self.room -= len(value)
        return _Value(value)

    def _replaced(self, pieces: _Pieces) -> _Pieces:
        """What a closed macro with this inside stands for; itself when it is not known."""
        head = _HEAD.match(pieces[0]) if pieces and not isinstance(pieces[0], _Value) else None
        if head is not None:
            name, arguments = head[1].lower(), [pieces[0][head.end() :], *pieces[1:]]
            result = self._named(name, arguments, alone=not head[2] and len(pieces) == 1 and not arguments[0].strip())
            if result is not None:
                return result
        return ["{{", *pieces, "}}"]

    def _named(self, name: str, arguments: _Pieces, *, alone: bool) -> _Pieces | None:
        match name:
            case "//" | "comment":
                return []
            case "hidden_key":
                return [_Value(" "), *arguments, _Value(" ")] if self.hidden else []
            case "random" | "pick":
                return self._choice(name, arguments)
            case "roll":
                return self._roll("".join(arguments))
            case "reverse":
                return [_Value("".join(arguments)[::-1])]
            case "outlet":
                return [_Value(self.values.get(f"outlet::{''.join(arguments).strip().casefold()}", ""))]
            case "trim" if alone:
                return [_Trim("")]
            case _ if alone and name in self.values:
                value = self._afforded(self.values[name])
                return None if value is None else [value]
        return None

    def _choice(self, name: str, arguments: _Pieces) -> _Pieces | None:
        choices = _split(arguments)
        if all(not any(choice) for choice in choices):
            return None
        return choices[self._chance(name, len(choices))]

    def _roll(self, dice: str) -> _Pieces | None:
        match = _ROLL.fullmatch(dice.strip().replace(" ", ""))
        if match is None:
            return None
        how_many, sides, more = match.groups()
        if "d" not in dice.lower():
            how_many, sides = "", how_many + sides
        count = int(how_many or 1)
        if not 1 <= count <= _MAX_DICE or not 1 <= int(sides) <= _MAX_SIDES:
            return None
        return [_Value(sum(1 + self._chance("roll", int(sides)) for _ in range(count)) + int(more or 0))]

    def _chance(self, kind: str, n: int) -> int:
        self.chances += 1
        digest = hashlib.blake2b(f"{self.seed}\0{kind}\0{self.chances}".encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest) % n


def _split(arguments: _Pieces) -> list[_Pieces]:
    """The choices of a list: between ``::`` when there is one, else between commas, white space around them gone."""
    if any("::" in piece for piece in arguments if not isinstance(piece, _Value)):
        return _cut(arguments, lambda piece: piece.split("::"))
    return [_stripped(choice) for choice in _cut(arguments, _at_commas)]


def _cut(arguments: _Pieces, pieces_of: Callable[[str], list[str]]) -> list[_Pieces]:
    choices: list[_Pieces] = [[]]
    for piece in arguments:
        if isinstance(piece, _Value):
            choices[-1].append(piece)
            continue
        first, *others = pieces_of(piece)
        choices[-1].append(first)
        choices.extend([other] for other in others)
    return choices


def _at_commas(piece: str) -> list[str]:
    return [part.replace("\\,", ",") for part in _COMMA.split(piece)]


def _stripped(choice: _Pieces) -> _Pieces:
    """Without the white space around it, but for that of values."""
    choice = [piece for piece in choice if piece]
    if choice and not isinstance(choice[0], _Value):
        choice[0] = choice[0].lstrip()
    if choice and not isinstance(choice[-1], _Value):
        choice[-1] = choice[-1].rstrip()
    return choice


def _joined(pieces: _Pieces) -> str:
    """The text, with line breaks taken away where a ``{{trim}}`` stood."""
    parts: list[str] = []
    current: list[str] = []
    for piece in pieces:
        if isinstance(piece, _Trim):
            parts.append("".join(current))
            current = []
        else:
            current.append(piece)
    parts.append("".join(current))
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    return "".join([first.rstrip("\r\n"), *(part.strip("\r\n") for part in middle), last.lstrip("\r\n")])
