"""Macros in the texts of a persona: ``{{char}}``, ``{{random:a,b}}`` and the like. Names are compared without case.

- ``{{char}} <BOT> <CHAR>``, ``{{user}} <USER>``, ``{{group}} <GROUP>``, ``{{original}}``, every name in `Macros.values` and in
  `Macros.texts` (description, personality, scenario, persona, mesExamples, ...)
- ``{{random:a,b}}``, ``{{pick:a,b}}``; ``::`` separates too (``{{random::a::b}}``, also over several lines and with one before the first),
  ``\\,`` is a comma that does not
- ``{{roll:6}}``, ``{{roll:d6}}``, ``{{roll:2d6+1}}``
- ``{{reverse:text}}``, ``{{newline}}``, ``{{trim}}`` (takes the line breaks around it away), ``{{noop}}``
- ``{{outlet::name}}``: the entries of a lorebook that want to stand there (`Macros.values` under ``outlet::name``), nothing without any
- ``{{// text}}``, ``{{comment:text}}``, ``{{hidden_key:text}}``: nothing; the last counts where a lorebook looks for its keys
- where there is a scene (`nemochat.personas.scene`): ``{{time}}``, ``{{date}}``, ``{{weekday}}``, ``{{isotime}}``, ``{{isodate}}``,
  ``{{time_UTC+2}}``, ``{{datetimeformat DD.MM.YYYY}}``, ``{{idle_duration}}``, ``{{lastMessage}}``, ``{{lastUserMessage}}``, ``{{input}}``,
  ``{{lastCharMessage}}``, ``{{lastMessageId}}``; ``{{getvar::name}}``, ``{{setvar::name::value}}``, ``{{addvar::name::value}}``,
  ``{{incvar::name}}``, ``{{decvar::name}}``, and the same of all chats (``{{getglobalvar::name}}``, ...)

Anything else stays as it is. What is put in is not looked at again, so a user called ``{{random:a,b}}`` is called just that. Chance comes
from `seed` and from which of the text's chances it is: the same text with the same seed always gives the same. With a scene, a text whose
words are not always the same is read once. One pass, in linear time:
at most `_MAX_DEPTH` macros are open within one another (the outermost counts as plain text when there are more), and what is put in has a
limit, behind which macros stay as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

import msgspec

from nemochat.personas.scene import KNOWN, Scene, formatted

_MAX_DEPTH = 16
_MAX_INSERTED = 1_000_000
_MAX_DICE, _MAX_SIDES = 100, 1_000_000
_MAX_FORMAT = 200

_CLOSE = "}}"
_TOKEN = re.compile(r"\{{2,}|\}\}|<(?:bot|char|user|group|charifnotgroup)>", re.IGNORECASE)
_HEAD = re.compile(r"\s*(?:(//)|([A-Za-z_][A-Za-z0-9_]*)(?:(?<=time_utc)([+-]\d{1,2}))?[ \t]*(::?|(?=\s)|$))", re.IGNORECASE)
_ROLL = re.compile(r"(\d{0,3})d?(\d{1,7})([+-]\d{1,7})?", re.IGNORECASE)
_COMMA = re.compile(r"(?<!\\),")
_OWN = frozenset(("//", "comment", "hidden_key", "random", "pick", "roll", "reverse", "trim"))
"""Macros that are known with any arguments."""
_ALWAYS = frozenset(("user", "original", "newline", "noop"))
"""Names that stand for the same whoever of a group speaks."""


class _Value(str):
    """Text that was put in: neither its commas nor its braces mean anything."""

    __slots__ = ()


class _Trim(_Value):
    """Where line breaks go away on both sides."""

    __slots__ = ()


_Pieces = list[str]


class Macros(msgspec.Struct, frozen=True, kw_only=True):
    """What the macros of a persona's texts stand for. seed: what chance comes from. values: further names, in small letters. texts: the
    same, with macros in them. scene: where they are read, None for nowhere in particular. near_end: they are read anew with each message of
    the user.
    """

    char: str
    user: str
    seed: str = ""
    values: Mapping[str, str] = {}
    texts: Mapping[str, str] = {}
    scene: Scene | None = None
    near_end: bool = False

    def expand(self, text: str, *, original: str = "") -> str:
        """The text with its macros replaced; see the module."""
        if "{{" not in text and "<" not in text:
            return text
        if self.scene is None:
            return self._run(text, original).text
        return self.scene.words(
            text,
            (self.user, original),
            lambda: (self.char, *self.values.values(), *self.texts.values()),
            lambda: self._run(text, original).found,
            near_end=self.near_end,
        )

    def once(self, text: str) -> str:
        """What a text says now, whatever it said before."""
        return self._run(text, "").text

    def searched(self, text: str) -> str:
        """The text as a lorebook searches it: with what only ``{{hidden_key:...}}`` says. It leaves nothing behind."""
        scene = self.scene.aside() if self.scene is not None else None
        return _Expansion(msgspec.structs.replace(self, scene=scene), "", hidden=True).run(text).text

    def own(self, name: str) -> str:
        """What one of `texts` says."""
        return msgspec.structs.replace(self, texts={}).expand(self.texts.get(name, "")).strip()

    def _run(self, text: str, original: str) -> _Expansion:
        return _Expansion(self, original).run(text)


def expand(
    text: str, *, char: str, user: str, original: str = "", seed: str = "", values: Mapping[str, str] | None = None
) -> str:
    """The text with its macros replaced; see the module."""
    return Macros(char=char, user=user, seed=seed, values=values or {}).expand(text, original=original)


class _Expansion:
    """One pass through a text. `open` holds what stands behind each ``{{`` that was not closed yet, the text itself first.

    text: what came of it. varies: it is not always the same. is_named: it hangs on who speaks.
    """

    def __init__(self, macros: Macros, original: str, *, hidden: bool = False) -> None:
        own = {"char": macros.char, "bot": macros.char, "user": macros.user, "original": original, "newline": "\n", "noop": ""}
        group = dict.fromkeys(("group", "charifnotgroup"), macros.char)
        self.values: dict[str, str] = {**group, **macros.values, **own}
        self.macros, self.scene, self.hidden = macros, macros.scene, hidden
        self.text = ""
        self.varies = self.is_named = False
        self.chances = 0
        self.room = _MAX_INSERTED
        self.open: list[_Pieces] = [[]]

    @property
    def found(self) -> tuple[str, bool, bool]:
        """What came of it."""
        return self.text, self.varies, self.is_named

    def run(self, text: str) -> _Expansion:
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
        self.text = _joined(self.open[0])
        return self

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
        self.open[-1].append(self._value(name) or written)

    def _value(self, name: str) -> _Value | None:
        """What a name stands for, as long as there is room for it; None for a name that says nothing here."""
        value = self.values.get(name)
        if value is None and name in self.macros.texts:
            value = self.values[name] = self.macros.own(name)
        if value is not None:
            self.is_named |= name not in _ALWAYS
        elif self.scene is not None and (value := self.scene.value(name)) is not None:
            self.varies = True
        if value is None or len(value) > self.room:
            return None
        self.room -= len(value)
        return _Value(value)

    def _replaced(self, pieces: _Pieces) -> _Pieces:
        """What a closed macro with this inside stands for; itself when it is not known."""
        head = _HEAD.match(pieces[0]) if pieces and not isinstance(pieces[0], _Value) else None
        if head is not None:
            note, name, hours, separator = head.groups()
            arguments = [pieces[0][head.end() :], *pieces[1:]]
            if note:
                return []
            alone = not separator and len(pieces) == 1 and not arguments[0].strip()
            result = self._named(f"{name}{hours or ''}".lower(), arguments, separator, alone=alone)
            if result is not None:
                return result
            if (alone or separator) and self.scene is not None and name.lower() not in KNOWN | _OWN | self.values.keys():
                self.varies = True
                self.scene.unknown[name] = None
        return ["{{", *pieces, "}}"]

    def _named(self, name: str, arguments: _Pieces, separator: str, *, alone: bool) -> _Pieces | None:
        match name:
            case "comment":
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
            case "datetimeformat" if self.scene is not None and len(form := "".join(arguments).strip()) <= _MAX_FORMAT:
                self.varies = True
                return [_Value(formatted(self.scene.now, form))]
            case _ if separator == "::" and self.scene is not None and name.endswith("var") and name in KNOWN:
                return self._variable(self.scene, name, arguments)
            case _ if alone:
                value = self._value(name)
                return None if value is None else [value]
        return None

    def _variable(self, scene: Scene, macro: str, arguments: _Pieces) -> _Pieces | None:
        name, *value = _cut(arguments, lambda piece: piece.split("::", 1), most=1 if macro.startswith(("set", "add")) else 0)
        if macro.startswith(("set", "add")) != bool(value):
            return None
        self.varies = True
        found = scene.variable(macro, "".join(name), "".join(value[0]) if value else "")
        if found is None or len(found) > self.room:
            return None
        self.room -= len(found)
        return [_Value(found)] if found else []

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
        seed = self.macros.seed
        if kind != "pick":
            self.varies = True
            if self.scene is not None and self.macros.near_end:
                seed = f"{seed}\0{self.scene.after}"
        digest = hashlib.blake2b(f"{seed}\0{kind}\0{self.chances}".encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest) % n


def _split(arguments: _Pieces) -> list[_Pieces]:
    """The choices of a list: between ``::`` when there is one, else between commas, white space around them gone. A list with ``::`` may
    begin with one, and have its choices on lines of their own."""
    if not any("::" in piece for piece in arguments if not isinstance(piece, _Value)):
        return [_stripped(choice) for choice in _cut(arguments, _at_commas)]
    first, *others = (_on_a_line(choice) for choice in _cut(arguments, lambda piece: piece.split("::")))
    begins = not any(each.strip() for each in first)
    return [choice for choice in ([] if begins else [first]) + others if choice] or [first]


def _cut(arguments: _Pieces, pieces_of: Callable[[str], list[str]], most: int | None = None) -> list[_Pieces]:
    """The arguments in parts, cut by `pieces_of` at most so often."""
    choices: list[_Pieces] = [[]]
    for piece in arguments:
        if isinstance(piece, _Value) or (most is not None and len(choices) > most):
            choices[-1].append(piece)
            continue
        first, *others = pieces_of(piece)
        choices[-1].append(first)
        choices.extend([other] for other in others)
    return choices


def _at_commas(piece: str) -> list[str]:
    return [part.replace("\\,", ",") for part in _COMMA.split(piece)]


def _on_a_line(choice: _Pieces) -> _Pieces:
    """Without the line breaks around it and the white space beside those; empty when it is nothing else."""
    choice, whole = list(choice), choice
    if choice and not isinstance(choice[0], _Value):
        bare = choice[0].lstrip()
        choice[0] = bare if "\n" in choice[0][: len(choice[0]) - len(bare)] else choice[0]
    if choice and not isinstance(choice[-1], _Value):
        bare = choice[-1].rstrip()
        choice[-1] = bare if "\n" in choice[-1][len(bare) :] else choice[-1]
    return [] if choice == [""] != whole else choice


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
