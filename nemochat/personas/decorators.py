"""Decorators of version 3: lines such as ``@@scan_depth 2`` in the content of a lorebook entry.

Honoured: ``activate``, ``dont_activate``, ``scan_depth``, ``depth``, ``additional_keys``, ``exclude_keys``, ``activate_only_after``,
``activate_only_every``, ``is_greeting`` and the two ``position`` values that have a place of their own here. All others are taken out of
the content without further effect. A line with three ``@`` holds only when the decorator above it is not known; of two with one name the
first counts.
"""

from __future__ import annotations

import re

import msgspec

from nemochat.domain.personas import LoreEntry, Persona, Position

_LINE = re.compile(r"^[ \t]*(@@@?)([A-Za-z_]+)(?:[ \t]+([^\n]*))?\n?", re.MULTILINE)
_NUMBERS = {"scan_depth", "depth", "activate_only_after", "activate_only_every", "is_greeting"}
_LISTS = {"additional_keys", "exclude_keys"}
_FLAGS = {"activate", "dont_activate"}
_POSITIONS = {"before_desc": Position.BEFORE, "after_desc": Position.AFTER}


class Decorated(msgspec.Struct, frozen=True, kw_only=True):
    """An entry's content without its decorators, and what they say.

    depth: how many messages before the end its author would have it. every, after: only when the persona has spoken so often. greeting:
    only in a conversation that began with this one, 0 for the first.
    """

    text: str
    activate: bool = False
    dont_activate: bool = False
    scan_depth: int | None = None
    depth: int | None = None
    after: int | None = None
    every: int | None = None
    greeting: int | None = None
    additional: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    position: Position | None = None

    @property
    def conditional(self) -> bool:
        """Whether the entry holds only at some places of a conversation."""
        return self.after is not None or self.every is not None or self.greeting is not None


def read(content: str) -> Decorated:
    """Take the decorators out of an entry's content."""
    if "@@" not in content:
        return Decorated(text=content)
    numbers: dict[str, int] = {}
    lists: dict[str, tuple[str, ...]] = {}
    flags: set[str] = set()
    position: Position | None = None
    understood = True
    for match in _LINE.finditer(content):
        if match[1] == "@@@" and understood:
            continue
        name, value = match[2].lower(), (match[3] or "").strip()
        understood = True
        if name in _NUMBERS and re.fullmatch(r"-?\d{1,9}", value):
            numbers.setdefault(name, int(value))
        elif name in _LISTS and value:
            lists.setdefault(name, tuple(key for each in value.split(",") if (key := each.strip())))
        elif name in _FLAGS:
            flags.add(name)
        elif name == "position" and value in _POSITIONS:
            position = position or _POSITIONS[value]
        else:
            understood = False
    return Decorated(
        text=_LINE.sub("", content).strip("\n"),
        activate="activate" in flags,
        dont_activate="dont_activate" in flags and "activate" not in flags,
        scan_depth=numbers.get("scan_depth"),
        depth=numbers.get("depth"),
        after=numbers.get("activate_only_after"),
        every=numbers.get("activate_only_every"),
        greeting=numbers.get("is_greeting"),
        additional=lists.get("additional_keys", ()),
        excluded=lists.get("exclude_keys", ()),
        position=position,
    )


def without_decorators(persona: Persona) -> Persona:
    """The persona with a lorebook that programs of version 2 understand."""
    if persona.book is None:
        return persona
    entries = tuple(_plain(entry) for entry in persona.book.entries)
    return msgspec.structs.replace(persona, book=msgspec.structs.replace(persona.book, entries=entries))


def _plain(entry: LoreEntry) -> LoreEntry:
    text = read(entry.content).text
    return entry if text == entry.content else msgspec.structs.replace(entry, content=text)
