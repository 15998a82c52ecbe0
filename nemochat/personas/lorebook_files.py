"""Files of lorebooks: the five shapes that people have them in, read, and two of them written.

- SillyTavern's world info: `entries` as a mapping by number, with `key` and `keysecondary`; a list of entries as in a card, too
- ``lorebook_v3``: as in a card of version 3
- NovelAI: `lorebookVersion`, or a PNG that holds it
- Agnai's memory books: `kind` is "memory"
- RisuAI: an exported lorebook (`type` is "risu") or a module (``.risum``, or JSON of the type "risuModule")

What SillyTavern's program of today writes with each entry and is no different from what it writes with a new one is not kept: it is there
again in an export. What an entry has besides stays in it, and what has no meaning here is named.
"""

from __future__ import annotations

import itertools
import json
import re
import struct
from collections.abc import Iterable
from pathlib import PurePath

import msgspec

from nemochat.domain.messages import Speaker
from nemochat.domain.personas import Lorebook, LoreEntry, Position
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.personas import decorators, mending, png_chunks
from nemochat.personas.card_json import book_fields, book_of, parse, without_kept
from nemochat.personas.cards import decoded, from_base64
from nemochat.personas.cleaning import clean_book
from nemochat.personas.files import MAX_BOOK, MAX_BOOK_NODES, MAX_FILE, MAX_NAME, Unreadable
from nemochat.personas.foreign_cards import agnai_book, lost
from nemochat.personas.lore_rules import is_of_silly_tavern
from nemochat.reading import TooMuchError, check_json

SPEC = "lorebook_v3"
_HINT = "A lorebook is a JSON file of SillyTavern, NovelAI, Agnai or RisuAI, or one that says lorebook_v3."
_Fields = dict[str, object]
_Read = tuple[_Fields, tuple[str, ...]]

# What SillyTavern writes with a new entry, by its names there and by those that it has in the extensions of a card's entry.
_WORLD: dict[str, tuple[str, object]] = {
    "selectiveLogic": ("selectiveLogic", 0),
    "vectorized": ("vectorized", False),
    "position": ("position", 0),
    "ignoreBudget": ("ignore_budget", False),
    "excludeRecursion": ("exclude_recursion", False),
    "preventRecursion": ("prevent_recursion", False),
    "matchPersonaDescription": ("match_persona_description", False),
    "matchCharacterDescription": ("match_character_description", False),
    "matchCharacterPersonality": ("match_character_personality", False),
    "matchCharacterDepthPrompt": ("match_character_depth_prompt", False),
    "matchScenario": ("match_scenario", False),
    "matchCreatorNotes": ("match_creator_notes", False),
    "delayUntilRecursion": ("delay_until_recursion", 0),
    "probability": ("probability", 100),
    "useProbability": ("useProbability", True),
    "depth": ("depth", 4),
    "outletName": ("outlet_name", ""),
    "group": ("group", ""),
    "groupOverride": ("group_override", False),
    "groupWeight": ("group_weight", 100),
    "scanDepth": ("scan_depth", None),
    "matchWholeWords": ("match_whole_words", None),
    "useGroupScoring": ("use_group_scoring", None),
    "automationId": ("automation_id", ""),
    "role": ("role", 0),
    "sticky": ("sticky", None),
    "cooldown": ("cooldown", None),
    "delay": ("delay", None),
    "triggers": ("triggers", []),
    "displayIndex": ("display_index", None),
    "characterFilter": ("character_filter", None),
}
_WORLD_FIELDS = {
    "uid": "id", "key": "keys", "keysecondary": "secondary_keys", "comment": "comment", "content": "content", "constant": "constant",
    "selective": "selective", "order": "insertion_order", "caseSensitive": "case_sensitive",
}  # fmt: skip
_IDLE_IN_WORLD = ("vectorized", "automationId", "triggers")
_NOVEL = {"text", "keys", "displayName", "enabled", "forceActivation", "contextConfig", "category"}
# Of each new entry of NovelAI, too: how far back it looks in letters, and where its text is cut.
_NOVEL_ALWAYS = {"searchRange", "lastUpdatedAt", "loreBiasGroups", "keyRelative", "nonStoryActivatable", "advancedConditions"}
_RISU = {
    "key", "secondkey", "insertorder", "comment", "content", "mode", "alwaysActive", "selective", "extentions", "activationPercent",
    "useRegex", "folder", "bookVersion", "loreCache",
}  # fmt: skip
_RISU_MODULE = {"name", "description", "lorebook", "type", "namespace", "hideIcon"}
_RISUM = b"o\0"
"""How a module of RisuAI begins. Each byte of what follows stands for another one; so that a byte's place here is what it stands for:"""
_RISUM_BYTES = bytes.fromhex(
    "2cf7848bc965fbb69faeb3032d0169741fe4a3ecee5c3421934a0f6ae262029e229cfd3cfc71c7c6ad596705706d8a4412fa24865fafd17a47cefe5063dd5106"
    "6f18e052a8099d56734cb8536cc3a00e19cf3e0d7e07326846ea48f9992eaba449205e5535380cbcd3b1581679280a1ae1f2cdc439dba2ba6072767d95ef7fc8"
    "c0de3794bfb51481922545ace7f566a72b365ac113e34b3ae88d831b7c27b09a42eb87aadc548e7826d25729d4b7f82f8f8975f04177c21effd81511e5049717"
    "f331d09b00d7cab44f2a3bd9b26bda5da13f3061bd913d4ee6dfbe4d828c1d23109864f485337b9043bba988f1d6a51cf6cc6eb95b0b96edd5e9c5cb08a68040"
)
_BARE_SLASH = re.compile(r"(?<!\\)/")


class _Sight(msgspec.Struct):
    """What the outermost fields of a JSON file say, as far as they tell what it is."""

    entries: msgspec.Raw = msgspec.Raw(b"")
    data: msgspec.Raw = msgspec.Raw(b"")
    module: msgspec.Raw = msgspec.Raw(b"")
    lorebook: msgspec.Raw = msgspec.Raw(b"")
    spec: msgspec.Raw = msgspec.Raw(b"")
    type: msgspec.Raw = msgspec.Raw(b"")
    first_mes: msgspec.Raw = msgspec.Raw(b"")


def is_lorebook(data: bytes) -> bool:
    """Whether the bytes of a file look like a lorebook, at little cost."""
    if _is_risum(data):
        return True
    if data.startswith(png_chunks.SIGNATURE):
        try:
            return "naidata" in png_chunks.card_values(data, ("naidata",))
        except Unreadable:
            return False
    if not data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    try:
        seen = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=_Sight)
    except (msgspec.DecodeError, RecursionError):
        return False
    spec, kind = (bytes(each).strip(b'"') for each in (seen.spec, seen.type))
    holds = bytes(seen.entries)[:1] in (b"{", b"[") and bytes(seen.first_mes) in (b"", b'""', b"null")
    is_risu = (kind == b"risu" and bytes(seen.data)[:1] == b"[") or (kind == b"risuModule" and bool(seen.module or seen.lorebook))
    return spec == SPEC.encode() or is_risu or (holds and b"chara_card" not in spec)


def read_lorebook(data: bytes, name: str) -> tuple[Lorebook, tuple[str, ...]]:
    """The lorebook of a file's bytes, and sentences about what it had that has no meaning here; `name` is the file's.

    What the bytes are decides, not the suffix. A lorebook that has no name gets the file's. Raises NemochatError with one sentence.
    """
    shown = sanitize(name, strict=True) or "The lorebook"
    if len(data) > MAX_FILE:
        raise NemochatError(f"{shown} is larger than {MAX_FILE // 1024 // 1024} MiB.", "No lorebook needs as much.")
    fallback = sanitize(PurePath(name).stem, strict=True).strip()[:MAX_NAME] or "Lorebook"
    try:
        fields, notices = _fields(parse(_text(data), "lorebook", MAX_BOOK))
        book = clean_book(book_of(fields), [MAX_BOOK_NODES])
    except Unreadable as problem:
        raise NemochatError(f"{shown} cannot be read as a lorebook: {problem}.", _HINT) from None
    return (book if book.name else msgspec.structs.replace(book, name=fallback)), notices


def _is_risum(data: bytes) -> bool:
    """Whether it is a module of RisuAI: two bytes alone say too little."""
    return data.startswith(_RISUM) and data[6:7].translate(_RISUM_BYTES) == b"{"


def _text(data: bytes) -> str:
    """The JSON of a file. Raises `Unreadable`."""
    if data.startswith(png_chunks.SIGNATURE):
        value = png_chunks.card_values(data, ("naidata",)).get("naidata", Unreadable("it is a picture without a lorebook"))
        if isinstance(value, Unreadable):
            raise value
        text = from_base64(value)
    elif _is_risum(data):
        length = struct.unpack_from("<I", data, 2)[0]
        if length > len(data) - 6:
            raise Unreadable(f"it ends in the middle of a module that claims {length:,} bytes")
        text = decoded(data[6 : 6 + length].translate(_RISUM_BYTES))
    else:
        if not data.strip():
            raise Unreadable("it is empty")
        text = decoded(data)
    if not text[:64].lstrip("\0\ufeff \t\r\n").startswith("{"):
        raise Unreadable("it holds no lorebook")
    try:
        check_json(text[:MAX_BOOK])
    except TooMuchError as problem:
        raise Unreadable(str(problem)) from None
    return text


def _fields(root: _Fields) -> _Read:
    """The fields of a card's lorebook, whatever shape they come in. Raises `Unreadable`."""
    data, entries = root.get("data"), root.get("entries")
    if str(root.get("spec", "")).startswith("chara_card") or (isinstance(data, dict) and "character_book" in data):
        raise Unreadable("it is a character card; `nemochat personas import` takes it with its lorebook")
    if root.get("spec") == SPEC:
        return mending.mapping(data, "data"), ()
    if root.get("type") == "risuModule":
        return _from_module(mending.mapping(root.get("module") or root, "module"))
    if root.get("type") == "risu":
        return _from_risu(root, root.get("data"))
    if not isinstance(entries, dict | list):
        raise Unreadable("it holds no lorebook")
    if "lorebookVersion" in root:
        return _from_novel(root)
    if root.get("kind") == "memory":
        known = ("name", "description", "scanDepth", "tokenBudget", "recursiveScanning", "extensions", "entries")
        return agnai_book(root), lost("Agnai", root, known)
    return _from_world(root)


def _from_world(root: _Fields) -> _Read:
    entries = [mending.mapping(entry, "entries") for entry in mending.items(root.get("entries"), "entries") if entry is not None]
    fields = [_world_entry(entry, place) if "key" in entry or "uid" in entry else entry for place, entry in enumerate(entries)]
    idle = [name for name in _IDLE_IN_WORLD if any(entry.get(name) for entry in entries)]
    said = f"What SillyTavern calls {', '.join(idle)} has no meaning here; it stays with the entries for exports." if idle else ""
    root.pop("originalData", None)  # a copy of the card that SillyTavern made the lorebook from, which later changes are not in
    return {**root, "entries": fields}, (said,) if said else ()


def _world_entry(entry: _Fields, place: int) -> _Fields:
    """An entry of SillyTavern's world info, as the entry of a card that it would export."""
    written = {"displayIndex": place, "addMemo": bool(mending.text(entry.get("comment"), "comment"))}
    entry = {key: value for key, value in entry.items() if key not in written or value != written[key]}
    fields: _Fields = {card: entry[theirs] for theirs, card in _WORLD_FIELDS.items() if theirs in entry}
    extensions = mending.mapping(entry.get("extensions"), "extensions")
    for theirs, (card, default) in _WORLD.items():
        if theirs in entry and entry[theirs] != default:
            extensions[card] = entry[theirs]
    extensions.setdefault("selectiveLogic", 0)  # by which it is known as SillyTavern's
    if "probability" in entry and "useProbability" not in entry:
        extensions["useProbability"] = False
    others = {key: value for key, value in entry.items() if key not in _WORLD and key not in _WORLD_FIELDS and key != "extensions"}
    position = Position.BEFORE if entry.get("position") in (None, 0) else Position.AFTER
    return {**others, **fields, "position": position.value, "extensions": extensions}


def _from_novel(root: _Fields) -> _Read:
    entries: list[object] = []
    unknown: _Fields = {}
    categories = [each for each in mending.items(root.get("categories"), "categories") if isinstance(each, dict)]
    off = {each.get("id") for each in categories if each.get("enabled") is False}
    joined = False
    for each in mending.items(root.get("entries"), "entries"):
        entry = mending.mapping(each, "entries")
        config = mending.mapping(entry.get("contextConfig"), "contextConfig")
        around = [mending.text(config.get(name), name) for name in ("prefix", "suffix")]
        rank = mending.number(config.get("budgetPriority"), "budgetPriority")
        unknown |= {key: value for key, value in entry.items() if key not in _NOVEL_ALWAYS}
        keys = mending.texts(entry.get("keys"), "keys")
        joined = joined or any("&" in key and not key.startswith("/") for key in keys)
        content = f"{around[0]}{mending.text(entry.get('text'), 'text')}{around[1]}".strip("\n")
        entries.append(
            {
                "name": entry.get("displayName"), "keys": list(keys), "content": content,
                "enabled": entry.get("enabled") is not False and entry.get("category") not in off, "constant": entry.get("forceActivation"),
                "insertion_order": rank, "priority": rank, "extensions": {},
            }
        )  # fmt: skip
    notices = lost("NovelAI", {**unknown, **root}, (*_NOVEL, "lorebookVersion", "entries", "settings", "categories", "name"))
    if joined:
        notices += ("Keys with an & are looked for as they are written; that several have to be there is said with further keys.",)
    recursive = any(isinstance(each, dict) and each.get("nonStoryActivatable") for each in mending.items(root.get("entries"), "entries"))
    return {"name": root.get("name"), "recursive_scanning": recursive, "entries": entries, "extensions": {}}, notices


def _from_module(module: _Fields) -> _Read:
    fields, notices = _from_risu(module, module.get("lorebook"))
    if not fields["entries"]:
        raise Unreadable("it is a module without a lorebook")
    return fields, notices + lost("RisuAI", module, _RISU_MODULE)


def _from_risu(root: _Fields, items: object) -> _Read:
    entries: list[object] = []
    unknown: _Fields = {}
    for each in mending.items(items, "data"):
        entry = mending.mapping(each, "data")
        if entry.get("mode") == "folder":
            continue
        unknown |= entry
        is_expression = mending.flag(entry.get("useRegex"), "useRegex") or False
        keys, more = (
            mending.texts(mending.text(entry.get(name), name), name, commas=not is_expression) for name in ("key", "secondkey")
        )
        extensions: _Fields = {"match_whole_words": False}
        if (percent := mending.number(entry.get("activationPercent"), "activationPercent")) is not None:
            extensions["probability"] = percent
        case = mending.mapping(entry.get("extentions"), "extentions").get("risu_case_sensitive")
        entries.append(
            {
                "keys": list(keys), "secondary_keys": list(more), "comment": entry.get("comment"), "content": entry.get("content"),
                "selective": entry.get("selective"), "constant": entry.get("alwaysActive") is True or entry.get("mode") == "constant",
                "use_regex": is_expression, "insertion_order": entry.get("insertorder"), "case_sensitive": case, "extensions": extensions,
            }
        )  # fmt: skip
    fields = {"name": root.get("name"), "description": root.get("description"), "entries": entries, "extensions": {}}
    return fields, lost("RisuAI", unknown, _RISU)


# -- writing


def write_lorebook_v3(book: Lorebook, *, indent: int | None = 2) -> str:
    """The lorebook as version 3 has it; `read_lorebook` gives the same one again."""
    return json.dumps({"spec": SPEC, "data": book_fields(book)}, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"


def write_world_info(book: Lorebook) -> str:
    """The lorebook as SillyTavern's world info."""
    extensions, kept = without_kept(book.extensions)
    ids = _ids(book.entries)
    entries = {str(id_): _to_world(entry, id_, place) for place, (entry, id_) in enumerate(zip(book.entries, ids, strict=True))}
    whole: _Fields = {**kept, "entries": entries, "name": book.name, "recursive_scanning": book.recursive}
    said = {"description": book.description, "scan_depth": book.scan_depth, "token_budget": book.token_budget, "extensions": extensions}
    whole |= {key: value for key, value in said.items() if value not in (None, "", {})}
    return json.dumps(whole, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _ids(entries: Iterable[LoreEntry]) -> list[int]:
    """A number of its own for each entry, its own one where it has one."""
    entries = tuple(entries)
    own = [entry.id if isinstance(entry.id, int) and entry.id >= 0 else None for entry in entries]
    free = itertools.filterfalse(set(own).__contains__, itertools.count())
    used: set[int] = set()
    found = []
    for id_ in own:
        id_ = next(free) if id_ is None or id_ in used else id_
        used.add(id_)
        found.append(id_)
    return found


def _to_world(entry: LoreEntry, id_: int, place: int) -> _Fields:
    """An entry as SillyTavern has it. What it knows no decorators for is said in its own fields."""
    extensions, kept = without_kept(entry.extensions)
    values = {theirs: extensions.pop(card, default) for theirs, (card, default) in _WORLD.items()}
    said = decorators.read(entry.content)
    if "position" not in entry.extensions:
        values["position"] = 0 if entry.position is Position.BEFORE else 1
    if said.position is not None:
        values["position"] = 0 if said.position is Position.BEFORE else 1
    elif said.depth is not None:
        values |= {"position": 4, "depth": max(0, said.depth)}
    if said.role is not None:
        values["role"] = list(Speaker).index(said.role)
    if said.scan_depth is not None:
        values["scanDepth"] = said.scan_depth
    if values["displayIndex"] is None:
        values["displayIndex"] = place
    if values["characterFilter"] is None:
        del values["characterFilter"]
    case = entry.case_sensitive if entry.case_sensitive is not None else extensions.pop("case_sensitive", None)
    is_expression = entry.use_regex and not is_of_silly_tavern(entry)
    fields: _Fields = {
        "uid": id_,
        "key": [_written(key, case=bool(case)) if is_expression else key for key in entry.keys],
        "keysecondary": [_written(key, case=bool(case)) if is_expression else key for key in entry.secondary_keys],
        "comment": entry.comment or entry.name,
        "content": said.text,
        "constant": entry.constant or said.activate,
        "selective": entry.selective,
        "order": entry.order,
        "disable": not entry.enabled or said.dont_activate,
        "addMemo": bool(entry.comment or entry.name),
        "caseSensitive": case,
        **values,
    }
    if extensions:
        fields["extensions"] = extensions
    return {**fields, **kept}


def _written(key: str, *, case: bool) -> str:
    """A regular expression as SillyTavern wants it written."""
    key = key.strip()
    if key.startswith("/") and key.rfind("/") > 0:
        return key
    escaped = _BARE_SLASH.sub(r"\/", key)
    return f"/{escaped}/{'' if case else 'i'}"
