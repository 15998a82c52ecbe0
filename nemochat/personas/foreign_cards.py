"""Characters of programs with forms of their own, as the fields of a card: Agnai's JSON, text-generation-webui's YAML and JSON.

What such a file says and a card has no place for is named, so that nobody misses it later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nemochat.personas import mending
from nemochat.personas.files import MAX_DEPTH, MAX_NODES, Unreadable
from nemochat.reading import mapping

_Fields = dict[str, object]
_MAX_YAML = 256 * 1024
_MOST_NAMED = 12
_AGNAI = {
    "name": "name", "scenario": "scenario", "greeting": "first_mes", "sampleChat": "mes_example", "systemPrompt": "system_prompt",
    "postHistoryInstructions": "post_history_instructions", "alternateGreetings": "alternate_greetings", "description": "creator_notes",
    "tags": "tags", "creator": "creator", "characterVersion": "character_version", "extensions": "extensions",
}  # fmt: skip
_WEBUI = {"name": "name", "greeting": "first_mes", "context": "description", "example_dialogue": "mes_example"}
_ENTRY = {
    "keywords": "keys", "entry": "content", "name": "name", "enabled": "enabled", "priority": "priority", "weight": "insertion_order",
    "id": "id", "comment": "comment", "secondaryKeys": "secondary_keys", "constant": "constant", "position": "position",
    "selective": "selective",
}  # fmt: skip
_ENTRY_EXTENSIONS = {
    "probability": "probability", "useProbability": "useProbability", "selectiveLogic": "selectiveLogic",
    "excludeRecursion": "exclude_recursion",
}  # fmt: skip
# What programs note down for themselves: nothing of the character.
_IDLE = {"kind", "_id", "userId", "createdAt", "updatedAt", "favorite", "deletedAt", "parent", "folder", "match", "id"}


def from_foreign(root: Mapping[str, Any]) -> tuple[_Fields, tuple[str, ...]] | None:
    """The fields of a card, and sentences about what has no meaning here; None for what is neither form. Raises `Unreadable`."""
    if root.get("kind") == "character" and "persona" in root:
        return _from_agnai(root)
    if "context" in root and "name" in root and "data" not in root:
        return _taken(root, _WEBUI), lost("text-generation-webui", root, _WEBUI)
    return None


def from_yaml(text: str) -> dict[str, Any]:
    """The mapping that a YAML text holds. Raises `Unreadable`; one that repeats parts of itself is not read, because it may be endless."""
    import yaml

    if len(text) > _MAX_YAML:
        raise Unreadable(f"its text is larger than {_MAX_YAML // 1024} KiB")
    try:
        depth = 0
        for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise Unreadable("its YAML repeats parts of itself")
            if depth > MAX_DEPTH or number > MAX_NODES:
                raise Unreadable("its values are nested too deeply" if depth > MAX_DEPTH else "it holds too many values")
        root = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        raise Unreadable("it is neither a PNG picture nor JSON, YAML or a charx file") from None
    if not isinstance(root, dict):
        raise Unreadable("it is neither a PNG picture nor JSON nor a charx file")
    return {str(key): value for key, value in root.items()}


def _from_agnai(root: Mapping[str, Any]) -> tuple[_Fields, tuple[str, ...]]:
    fields = _taken(root, _AGNAI)
    looks = mending.text(root.get("appearance"), "appearance").strip()
    fields["description"] = "\n".join([*_persona_lines(root.get("persona")), *([f"Appearance: {looks}"] if looks else [])])
    book = root.get("characterBook")
    if isinstance(book, dict):
        fields["character_book"] = agnai_book(book)
    insert = root.get("insert")
    if isinstance(insert, dict) and insert.get("prompt"):
        extensions = mending.mapping(fields.get("extensions"), "extensions")
        fields["extensions"] = {**extensions, "depth_prompt": {"prompt": insert["prompt"], "depth": insert.get("depth", 4)}}
    return fields, lost("Agnai", root, {**_AGNAI, "persona": "", "appearance": "", "characterBook": "", "insert": ""})


def agnai_book(book: Mapping[str, Any]) -> _Fields:
    """One of Agnai's memory books, as the lorebook of a card."""
    entries = [
        {**_taken(each, _ENTRY), "extensions": _taken(each, _ENTRY_EXTENSIONS)}
        for each in mending.items(book.get("entries"), "entries")
        if isinstance(each, dict)
    ]
    return {
        "name": book.get("name"), "description": book.get("description"), "scan_depth": book.get("scanDepth"),
        "token_budget": book.get("tokenBudget"), "recursive_scanning": book.get("recursiveScanning") is True, "entries": entries,
        "extensions": mending.mapping(book.get("extensions"), "extensions"),
    }  # fmt: skip


def _persona_lines(persona: object) -> Iterator[str]:
    """Who it is: a text, or attributes with their values."""
    for name, values in mapping(persona, "attributes").items():
        said = ", ".join(mending.texts(values, "persona"))
        if said:
            yield said if name == "text" else f"{name}: {said}"


def _taken(root: Mapping[str, Any], names: Mapping[str, str]) -> _Fields:
    """What `names` has another name for, under that, as far as it says something."""
    return {ours: root[theirs] for theirs, ours in names.items() if root.get(theirs) not in (None, "")}


def lost(program: str, root: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    """A sentence that names what is not among `names`; none where that is nothing."""
    known = {*names, *_IDLE}
    lost = [key for key, value in root.items() if key not in known and value not in (None, "", [], {}, False)]
    if not lost:
        return ()
    more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
    return (f"What {program} calls {', '.join(lost[:_MOST_NAMED])}{more} has no meaning here and was left out.",)
