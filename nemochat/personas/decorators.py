"""Decorators of version 3: lines such as ``@@scan_depth 2`` in the content of a lorebook entry.

Those of the specification are taken out wherever they stand with a value that makes sense. Before the first line of text others are too,
as programs of their own kinds have them (one word, or a list with commas); further down, a line that only looks like one is text. A line
with three ``@`` holds only when the decorator above it is not known; of two with one name the first counts, but for ``additional_keys``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec

from nemochat.domain.messages import Speaker
from nemochat.domain.personas import LoreEntry, Persona, Position

_LINE = re.compile(r"^[ \t]*(@@@?)([A-Za-z_]+)(?:[ \t]+([^\n]*))?\n?", re.MULTILINE)
_NUMBERS = {"scan_depth", "depth", "activate_only_after", "activate_only_every", "is_greeting"}
_LISTS = {"additional_keys", "exclude_keys"}
_FLAGS = {"activate", "dont_activate", "keep_activate_after_match", "dont_activate_after_match", "ignore_on_max_context"}
_CHOICES: dict[str, dict[str, StrEnum]] = {
    "position": {"before_desc": Position.BEFORE, "after_desc": Position.AFTER},
    "role": {speaker.value: speaker for speaker in Speaker},
}
# Known, but without effect here: the fallback below them holds.
_IDLE = {
    "instruct_depth", "reverse_depth", "reverse_instruct_depth", "instruct_scan_depth", "is_user_icon", "disable_ui_prompt",
}  # fmt: skip
_FOREIGN = re.compile(r"\S*|[^,]+(?:,[^,]+)+")


class Decorated(msgspec.Struct, frozen=True, kw_only=True):
    """An entry's content without its decorators, and what they say.

    depth: how many messages before the end its author would have it, as whose words (`role`). every, after: only when the persona has
    spoken so often. greeting: only in a conversation that began with this one, 0 for the first. needs: of each of these lists one key has
    to be there too. keeps, once: whether what fired before fires in any case, or never again. yields: it is the first to make room.
    """

    text: str
    activate: bool = False
    dont_activate: bool = False
    keeps: bool = False
    once: bool = False
    yields: bool = False
    scan_depth: int | None = None
    depth: int | None = None
    after: int | None = None
    every: int | None = None
    greeting: int | None = None
    needs: tuple[tuple[str, ...], ...] = ()
    excluded: tuple[str, ...] = ()
    position: Position | None = None
    role: Speaker | None = None

    @property
    def additional(self) -> tuple[str, ...]:
        """The first of the lists that are needed."""
        return self.needs[0] if self.needs else ()

    @property
    def conditional(self) -> bool:
        """Whether the entry holds only at some places of a conversation."""
        return self.after is not None or self.every is not None or self.greeting is not None or self.once


def read(content: str) -> Decorated:
    """Take the decorators out of an entry's content."""
    if "@@" not in content:
        return Decorated(text=content)
    values: dict[str, Any] = {}
    needs: list[tuple[str, ...]] = []
    kept: list[str] = []
    place, understood = 0, True
    for match in _LINE.finditer(content):
        if text := content[place : match.start()]:
            kept.append(text)
        place = match.end()
        name, value = match[2].lower(), (match[3] or "").strip()
        meaning = _meaning(name, value)
        if meaning is None and not ((name in _KNOWN or not "".join(kept).strip()) and _FOREIGN.fullmatch(value)):
            kept.append(match[0])
        elif match[1] == "@@" or not understood:
            understood = meaning is not None
            if isinstance(meaning, tuple) and name == "additional_keys":
                needs.append(meaning)
            elif understood:
                values.setdefault(name, meaning)
    kept.append(content[place:])
    return Decorated(
        text="".join(kept).strip("\n"),
        activate="activate" in values,
        dont_activate="dont_activate" in values and "activate" not in values,
        keeps="keep_activate_after_match" in values,
        once="dont_activate_after_match" in values and "keep_activate_after_match" not in values,
        yields="ignore_on_max_context" in values,
        needs=tuple(needs),
        **{_FIELDS[name]: value for name, value in values.items() if name in _FIELDS},
    )


_KNOWN = _NUMBERS | _LISTS | _FLAGS | _CHOICES.keys() | _IDLE
_FIELDS = {
    "scan_depth": "scan_depth", "depth": "depth", "activate_only_after": "after", "activate_only_every": "every", "is_greeting": "greeting",
    "exclude_keys": "excluded", "position": "position", "role": "role",
}  # fmt: skip


def _meaning(name: str, value: str) -> object:
    """What a decorator says; None where it says nothing that is known here."""
    if name in _NUMBERS:
        return int(value) if re.fullmatch(r"-?\d{1,9}", value) else None
    if name in _LISTS:
        return tuple(key for each in value.split(",") if (key := each.strip())) or None
    if name in _CHOICES:
        return _CHOICES[name].get(value)
    return True if name in _FLAGS and value.lower() in ("", "true") else None


def without_decorators(persona: Persona) -> Persona:
    """The persona with a lorebook that programs of version 2 understand."""
    if persona.book is None:
        return persona
    entries = tuple(_plain(entry) for entry in persona.book.entries)
    return msgspec.structs.replace(persona, book=msgspec.structs.replace(persona.book, entries=entries))


def _plain(entry: LoreEntry) -> LoreEntry:
    text = read(entry.content).text
    return entry if text == entry.content else msgspec.structs.replace(entry, content=text)
