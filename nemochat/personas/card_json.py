"""The JSON of a character card, versions 1 to 3, and the persona that it means. Nothing is lost: what has no field of its own is kept.

Where things that a persona has no field for are kept:
- unknown fields of ``data``, and those of version 3 that nemochat does not use: `Persona.card`;
- unknown fields beside ``data``: `Persona.card` under ``nemochat/top``;
- unknown fields of a lorebook or an entry: its `extensions` under ``nemochat/card``.
And the other way round, what only nemochat knows (model, accent, sampling) is in the card's ``extensions`` under ``nemochat``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from nemochat.domain.personas import Lorebook, LoreEntry, Persona, PersonaSampling, Position
from nemochat.personas import mending
from nemochat.personas.cleaning import clean
from nemochat.personas.files import MAX_ENTRIES, MAX_JSON, Unreadable
from nemochat.personas.lore_rules import is_of_silly_tavern
from nemochat.reading import mapping

TOP, KEPT, OURS = "nemochat/top", "nemochat/card", "nemochat"

_Fields = dict[str, object]


class Spec(StrEnum):
    """Which version of the card a file is written as."""

    V2 = "chara_card_v2"
    V3 = "chara_card_v3"


_VERSIONS = {Spec.V2: "2.0", Spec.V3: "3.0"}
_TEXTS = {
    "name": "name",
    "nickname": "nickname",
    "description": "description",
    "personality": "personality",
    "scenario": "scenario",
    "system_prompt": "system",
    "first_mes": "greeting",
    "mes_example": "examples",
    "post_history_instructions": "post_history",
    "creator_notes": "creator_notes",
    "creator": "creator",
    "character_version": "version",
}
_OTHERS = ("alternate_greetings", "tags", "character_book", "extensions")
# What a card needs at the very least besides its name, so that any JSON with a name is not taken for one.
_SIGNS = ("description", "personality", "scenario", "first_mes", "mes_example", "system_prompt")
# What only a character has: a lorebook may have a description as well.
_SPOKEN = ("personality", "scenario", "first_mes", "mes_example", "system_prompt")
_V1_FIELDS = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
# Pygmalion's names, from before there was a specification.
_OLDER = {
    "char_name": "name",
    "char_persona": "description",
    "world_scenario": "scenario",
    "char_greeting": "first_mes",
    "example_dialogue": "mes_example",
}
_BOOK_FIELDS = ("name", "description", "scan_depth", "token_budget", "recursive_scanning", "extensions", "entries")
# The names that SillyTavern's own lorebooks have for the same things.
_ENTRY_OLDER = {"key": "keys", "keysecondary": "secondary_keys", "order": "insertion_order"}
_POSITIONS = {"before_char": Position.BEFORE, "after_char": Position.AFTER, "0": Position.BEFORE, "1": Position.AFTER}
_OUR_TEXTS = ("summary", "model", "accent", "user_name")


def from_json(text: str, fallback: str) -> Persona:
    """The persona of a card's JSON; `fallback` is its name when the card has none. Raises `Unreadable`."""
    return from_fields(parse(text), fallback)


def from_fields(root: Mapping[str, Any], fallback: str) -> Persona:
    """The persona of a card's fields; as `from_json`."""
    nested = root.get("data")
    if isinstance(nested, dict):
        fields, top = dict(nested), {key: value for key, value in root.items() if key not in ("spec", "spec_version", "data")}
        # Many programs repeat the fields of version 1 beside `data`; these copies would be stale after the first change.
        for key in _V1_FIELDS:
            if key in top and top[key] in (fields.get(key), "", None):
                del top[key]
    else:
        fields, top = _flat({key: value for key, value in root.items() if key not in ("spec", "spec_version")}), {}
    has_entries = any(isinstance(fields.get(key), dict | list) for key in ("entries", "lorebook"))
    if has_entries and not any(fields.get(key) for key in _SPOKEN):
        raise Unreadable("it is a lorebook, not a character card")
    if not any(key in fields for key in _SIGNS):
        raise Unreadable("it holds no character card")
    return clean(_persona(fields, top, flat=not isinstance(nested, dict), fallback=fallback))


def to_json(persona: Persona, spec: Spec, *, indent: int | None = 2) -> str:
    """The card of a persona. Fields of version 3 are written in version 2 too, where readers pass over them."""
    card = dict(persona.card)
    top = card.pop(TOP, None)
    if top is not None and not isinstance(top, dict):
        card[TOP] = top
    if spec is Spec.V3:
        card.setdefault("group_only_greetings", [])
    data: _Fields = {key: getattr(persona, field) for key, field in _TEXTS.items() if key != "nickname" or persona.nickname}
    data |= {"alternate_greetings": list(persona.greetings), "tags": list(persona.tags), "extensions": _extensions(persona)}
    if persona.book is not None:
        data["character_book"] = book_fields(persona.book)
    whole = {**mapping(top), "spec": spec.value, "spec_version": _VERSIONS[spec], "data": {**card, **data}}
    return json.dumps(whole, ensure_ascii=False, indent=indent, allow_nan=False)


def parse(text: str, what: str = "character card", most: int = MAX_JSON) -> _Fields:
    """The fields of a JSON text of at most so many characters, of `what` it should be. Raises `Unreadable`."""
    if len(text) > most:
        raise Unreadable(f"its text is larger than {most // 1024 // 1024} MiB")
    try:
        # strict=False: line breaks inside of texts, as people paste them.
        root = json.loads(text.strip("\0\ufeff \t\r\n"), strict=False)
    except RecursionError:
        raise Unreadable("its values are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"its JSON is broken at line {error.lineno}, column {error.colno}") from None
    except ValueError:  # a number of thousands of digits
        raise Unreadable("its JSON holds a number that is too long") from None
    if not isinstance(root, dict):
        raise Unreadable(f"it holds no {what}")
    return root


def _flat(fields: _Fields) -> _Fields:
    """A card of version 1, older names included."""
    for older, key in _OLDER.items():
        if older in fields and not fields.get(key):
            fields[key] = fields.pop(older)
    return fields


def _persona(fields: _Fields, top: _Fields, *, flat: bool, fallback: str) -> Persona:
    extensions = mending.mapping(fields.get("extensions"), "extensions")
    ours = _take_ours(extensions)
    rest = {key: value for key, value in fields.items() if key not in _TEXTS and key not in _OTHERS}
    if not rest.get("group_only_greetings", True):
        del rest["group_only_greetings"]  # version 3 wants the empty list written
    top, rest = (rest, {}) if flat else (top, rest)
    texts: dict[str, Any] = {field: mending.text(fields.get(key), key) for key, field in _TEXTS.items()}
    texts["name"] = texts["name"] if texts["name"].strip() else fallback
    book = fields.get("character_book")
    return Persona(
        **texts | {key: mending.text(ours.get(key), key) for key in _OUR_TEXTS},
        greetings=mending.texts(fields.get("alternate_greetings"), "alternate_greetings"),
        tags=mending.texts(fields.get("tags"), "tags", commas=True),
        sampling=_sampling(ours.get("sampling")),
        book=book_of(mending.mapping(book, "character_book")) if book not in (None, "", [], {}) else None,
        extensions=extensions,
        card={**rest, TOP: top} if top else rest,
    )


def _take_ours(extensions: _Fields) -> _Fields:
    """What nemochat wrote into the extensions, taken out of them."""
    ours = extensions.get(OURS)
    if not isinstance(ours, dict):
        return {}
    known = {key: ours[key] for key in (*_OUR_TEXTS, "sampling") if key in ours}
    if rest := {key: value for key, value in ours.items() if key not in known}:
        extensions[OURS] = rest
    else:
        del extensions[OURS]
    return known


def _sampling(value: object) -> PersonaSampling:
    try:
        return msgspec.convert(value or {}, PersonaSampling, strict=False)
    except msgspec.ValidationError:
        return PersonaSampling()


def _extensions(persona: Persona) -> _Fields:
    ours: _Fields = {key: value for key in _OUR_TEXTS if (value := getattr(persona, key))}
    if sampling := {key: value for key, value in msgspec.structs.asdict(persona.sampling).items() if value is not None}:
        ours["sampling"] = sampling
    if not ours:
        return dict(persona.extensions)
    return {**persona.extensions, OURS: {**mapping(persona.extensions, OURS), **ours}}


def book_of(fields: _Fields) -> Lorebook:
    """The lorebook of a card's fields, not cleaned yet. Raises `Unreadable`."""
    entries = mending.items(fields.get("entries"), "entries")
    if len(entries) > MAX_ENTRIES:
        raise Unreadable(f"its lorebook holds {len(entries):,} entries, more than {MAX_ENTRIES:,}")
    read = tuple(_entry(mending.mapping(entry, "entries")) for entry in entries if entry is not None)
    recursive = mending.flag(fields.get("recursive_scanning"), "recursive_scanning")
    return Lorebook(
        entries=read,
        name=mending.text(fields.get("name"), "name"),
        description=mending.text(fields.get("description"), "description"),
        scan_depth=mending.number(fields.get("scan_depth"), "scan_depth"),
        token_budget=mending.number(fields.get("token_budget"), "token_budget"),
        recursive=any(map(is_of_silly_tavern, read)) if recursive is None else recursive,  # SillyTavern does, and does not say so
        extensions=_with_kept(fields, _BOOK_FIELDS),
    )


def _entry(fields: _Fields) -> LoreEntry:
    for older, key in _ENTRY_OLDER.items():
        if older in fields and key not in fields:
            fields[key] = fields.pop(older)
    if "disable" in fields and "enabled" not in fields:
        fields["enabled"] = not mending.flag(fields.pop("disable"), "disable")
    use_regex = mending.flag(fields.get("use_regex"), "use_regex") or False
    position = _POSITIONS.get(str(fields.get("position") if fields.get("position") is not None else "before_char"))
    known: tuple[str, ...] = _ENTRY_FIELDS
    if position is None:  # one that nemochat does not know is kept as it is
        known = tuple(key for key in known if key != "position")
    id_ = fields.get("id")
    if isinstance(id_, float) and id_.is_integer():
        id_ = int(id_)
    order, priority = mending.number(fields.get("insertion_order"), "insertion_order"), mending.number(fields.get("priority"), "priority")
    enabled = mending.flag(fields.get("enabled"), "enabled")
    defaults = LoreEntry(content="")
    return LoreEntry(
        content=mending.text(fields.get("content"), "content"),
        # A regular expression may hold commas of its own.
        keys=mending.texts(fields.get("keys"), "keys", commas=not use_regex),
        secondary_keys=mending.texts(fields.get("secondary_keys"), "secondary_keys", commas=not use_regex),
        name=mending.text(fields.get("name"), "name"),
        comment=mending.text(fields.get("comment"), "comment"),
        enabled=enabled is not False,
        constant=mending.flag(fields.get("constant"), "constant") or False,
        selective=mending.flag(fields.get("selective"), "selective") or False,
        use_regex=use_regex,
        case_sensitive=mending.flag(fields.get("case_sensitive"), "case_sensitive"),
        order=defaults.order if order is None else order,
        priority=defaults.priority if priority is None else priority,
        position=position or Position.BEFORE,
        id=id_ if isinstance(id_, int | str) and not isinstance(id_, bool) else None,
        extensions=_with_kept(fields, known),
    )


_ENTRY_FIELDS = (
    "keys", "secondary_keys", "content", "name", "comment", "enabled", "constant", "selective", "use_regex", "case_sensitive",
    "insertion_order", "priority", "position", "id", "extensions",
)  # fmt: skip


def _with_kept(fields: _Fields, known: Iterable[str]) -> dict[str, Any]:
    """The extensions of a book or an entry, with the fields that have no place in it among them."""
    extensions = mending.mapping(fields.get("extensions"), "extensions")
    known = set(known)
    unknown = {key: value for key, value in fields.items() if key not in known}
    if unknown:
        extensions[KEPT] = {**mapping(extensions, KEPT), **unknown}
    return extensions


def without_kept(extensions: Mapping[str, Any]) -> tuple[_Fields, _Fields]:
    """The extensions as they were, and the fields that were kept among them."""
    kept = extensions.get(KEPT)
    if not isinstance(kept, dict):
        return dict(extensions), {}
    return {key: value for key, value in extensions.items() if key != KEPT}, kept


def book_fields(book: Lorebook) -> _Fields:
    """A lorebook as cards and ``lorebook_v3`` have it; `book_of` gives the same one again."""
    extensions, kept = without_kept(book.extensions)
    fields: _Fields = {"extensions": extensions, "entries": [_entry_json(entry) for entry in book.entries]}
    optional = {"name": book.name, "description": book.description, "scan_depth": book.scan_depth, "token_budget": book.token_budget}
    fields |= {key: value for key, value in optional.items() if value not in (None, "")}
    return {**kept, **fields, "recursive_scanning": book.recursive}


def _entry_json(entry: LoreEntry) -> _Fields:
    extensions, kept = without_kept(entry.extensions)
    fields: _Fields = {
        "keys": list(entry.keys),
        "content": entry.content,
        "extensions": extensions,
        "enabled": entry.enabled,
        "insertion_order": entry.order,
        "use_regex": entry.use_regex,
        "constant": entry.constant,
        "name": entry.name,
        "comment": entry.comment,
        "priority": entry.priority,
        "selective": entry.selective,
        "secondary_keys": list(entry.secondary_keys),
    }
    if entry.case_sensitive is not None:
        fields["case_sensitive"] = entry.case_sensitive
    if entry.id is not None:
        fields["id"] = entry.id
    if "position" not in kept or entry.position is not Position.BEFORE:
        fields["position"] = entry.position.value
    return {**kept, **fields}
