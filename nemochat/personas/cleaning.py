"""A persona made fit to be kept and shown: every text sanitised, nothing larger than `limits` allows."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from nemochat.domain.personas import Lorebook, LoreEntry, Persona, PersonaSampling
from nemochat.domain.sanitize import sanitize
from nemochat.personas.files import MAX_DEPTH, MAX_ENTRIES, MAX_ITEMS, MAX_JSON, MAX_NAME, MAX_NODES, MAX_TEXT, Unreadable
from nemochat.settings import SamplingSettings

_NAMES = ("name", "nickname", "version", "model", "user_name")
_TEXTS = ("creator", "description", "personality", "scenario", "system", "greeting", "examples", "post_history", "creator_notes")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def clean(persona: Persona) -> Persona:
    """The persona with every text sanitised; what it has no use for (a bad colour, sampling out of range) is left out.

    Raises `Unreadable` when it has no name, or when something is larger than the limits.
    """
    names = {field: one_line(getattr(persona, field), field, MAX_NAME) for field in _NAMES}
    if not names["name"]:
        raise Unreadable("it has no name")
    texts = {field: _text(getattr(persona, field), field) for field in _TEXTS}
    room = [MAX_NODES]
    return msgspec.structs.replace(
        persona,
        **names,
        **texts,
        summary=one_line(persona.summary, "summary", MAX_TEXT),
        accent=persona.accent.lower() if _COLOUR.fullmatch(persona.accent) else "",
        greetings=tuple(_text(each, "greetings") for each in _few(persona.greetings, "greetings")),
        tags=tuple(tag for each in _few(persona.tags, "tags") if (tag := one_line(each, "tags", MAX_NAME))),
        lorebooks=tuple(id_ for each in _few(persona.lorebooks, "lorebooks") if (id_ := one_line(each, "lorebooks", MAX_NAME))),
        remembered=tuple(text for each in _few(persona.remembered, "remembered") if (text := _text(each, "remembered").strip())),
        sampling=_sampling(persona.sampling),
        book=clean_book(persona.book, room) if persona.book is not None else None,
        extensions=_json_mapping(persona.extensions, room),
        card=_json_mapping(persona.card, room),
    )


def one_line(text: str, field: str, longest: int) -> str:
    """A name: one line of visible characters without white space around it."""
    text = sanitize(text, strict=True).strip()
    if len(text) > longest:
        raise Unreadable(f"the field “{field}” is longer than {longest:,} characters")
    return text


def clean_json(value: object, room: list[int], depth: int = 0) -> Any:
    """A value of JSON with its texts sanitised. What JSON does not know becomes the nearest thing that it does: a date its text, an
    infinite number null. `room` counts down how many values there may still be.
    """
    room[0] -= 1
    if room[0] < 0:
        raise Unreadable(f"it holds more than {MAX_NODES:,} values")
    if depth > MAX_DEPTH:
        raise Unreadable("its values are nested too deeply")
    match value:
        case str():
            return _text(value, "extensions", MAX_JSON)
        case float() if not math.isfinite(value):
            return None
        case None | bool() | int() | float():
            return value
        case dict():
            return {_text(str(key), "extensions"): clean_json(each, room, depth + 1) for key, each in value.items()}
        case list() | tuple():
            return [clean_json(each, room, depth + 1) for each in value]
        case datetime.date() | datetime.time():
            return value.isoformat()
    raise Unreadable(f"it holds a value of the kind {type(value).__name__}, which a card has no place for")


def _json_mapping(value: dict[str, Any], room: list[int]) -> dict[str, Any]:
    cleaned: dict[str, Any] = clean_json(value, room)
    return cleaned


def _text(text: str, field: str, longest: int = MAX_TEXT) -> str:
    if len(text) > longest:
        raise Unreadable(f"the field “{field}” is longer than {longest:,} characters")
    return sanitize(text)


def _few(values: tuple[str, ...], field: str) -> tuple[str, ...]:
    if len(values) > MAX_ITEMS:
        raise Unreadable(f"the field “{field}” holds more than {MAX_ITEMS:,} items")
    return values


def _sampling(sampling: PersonaSampling) -> PersonaSampling:
    """What the settings would allow."""
    allowed: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(sampling).items():
        with contextlib.suppress(msgspec.ValidationError):
            allowed |= {name: getattr(msgspec.convert({name: value}, SamplingSettings), name)}
    return PersonaSampling(**allowed)


def clean_book(book: Lorebook, room: list[int]) -> Lorebook:
    """The lorebook with every text sanitised; `room` as for `clean_json`. Raises `Unreadable` when something is larger than the limits."""
    if len(book.entries) > MAX_ENTRIES:
        raise Unreadable(f"its lorebook holds {len(book.entries):,} entries, more than {MAX_ENTRIES:,}")
    return msgspec.structs.replace(
        book,
        entries=tuple(_entry(entry, room) for entry in book.entries),
        name=one_line(book.name, "book.name", MAX_NAME),
        description=_text(book.description, "book.description"),
        extensions=_json_mapping(book.extensions, room),
    )


def _entry(entry: LoreEntry, room: list[int]) -> LoreEntry:
    return msgspec.structs.replace(
        entry,
        content=_text(entry.content, "content"),
        keys=_keys(entry.keys),
        secondary_keys=_keys(entry.secondary_keys),
        name=one_line(entry.name, "name of an entry", MAX_NAME),
        comment=_text(entry.comment, "comment"),
        id=sanitize(entry.id, strict=True) if isinstance(entry.id, str) else entry.id,
        extensions=_json_mapping(entry.extensions, room),
    )


def _keys(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(_text(key, "keys", MAX_TEXT) for key in _few(tuple(keys), "keys"))
