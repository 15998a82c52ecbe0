"""Which files of a folder hold something that can be brought here: the folder of SillyTavern or TavernAI, or any with files of its kinds.

A folder of SillyTavern says by its parts what lies in them; everywhere else a file is judged by what it holds.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.files import reason
from nemochat.library import roleplay_chats
from nemochat.personas.cards import decoded, is_card
from nemochat.personas.files import MAX_FILE
from nemochat.personas.lorebook_files import is_lorebook
from nemochat.personas.sampling_presets import is_foreign_preset
from nemochat.reading import TooMuchError, check_json, read_beginning, read_regular

_MAX_FILES, _MAX_DEPTH = 200_000, 16
_LARGE = 16 << 20
"""Bytes of a JSON file that is not looked into any more before it is read: only conversations are as long."""
_HEAD = 256 * 1024
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MOST_NAMED = 5
_WRITTEN = {
    ".toml": (re.compile(rb"^name\s*=", re.MULTILINE), re.compile(rb"^(?:description|personality|greeting|system)\s*=", re.MULTILINE)),
    ".yaml": (re.compile(rb"^(?:char_)?name\s*:", re.MULTILINE), re.compile(rb"^(?:context|greeting|char_\w+)\s*:", re.MULTILINE)),
}
_WRITTEN[".yml"] = _WRITTEN[".yaml"]
_TRIED, _LOOKED_AT, _TRIED_ENDINGS = 40, 1000, (".json", ".jsonl", ".charx", ".png")


class Part(StrEnum):
    """What a file is taken for; in this order they are read, so that each finds what it names."""

    SETTINGS = "settings"
    PROFILES = "profiles"
    LORE = "lore"
    CARD = "card"
    PRESET = "preset"
    GROUP = "group"
    CHAT = "chat"
    ARCHIVE = "archive"

    @property
    def words(self) -> str:
        """What such a file is called."""
        return _CALLED[self]


_CALLED = {
    Part.SETTINGS: "SillyTavern's settings",
    Part.PROFILES: "a backup of SillyTavern's personas",
    Part.LORE: "a lorebook",
    Part.CARD: "a character card",
    Part.PRESET: "a sampling preset",
    Part.GROUP: "a group of SillyTavern",
    Part.CHAT: "a chat",
    Part.ARCHIVE: "an archive of chats",
}


class Found(msgspec.Struct, frozen=True):
    """A file to be read. name: below the folder that is imported. base: the user's folder of SillyTavern, None outside of one.

    owner: in such a one, the name of the character's card without its ending, or the id of a group chat.
    """

    path: Path
    part: Part
    name: str
    base: Path | None = None
    owner: str = ""
    is_group: bool = False


class Unused(msgspec.Struct, frozen=True):
    """A file that is left. failure: why it cannot be read; "" where it has no meaning here, and `what` it is."""

    name: str
    what: str = ""
    failure: str = ""


_OF_TAVERN = {
    "characters": Part.CARD,
    "worlds": Part.LORE,
    "groups": Part.GROUP,
    "TextGen Settings": Part.PRESET,
    "KoboldAI Settings": Part.PRESET,
    "OpenAI Settings": Part.PRESET,
}
_NAMES_OF_TAVERN = {*_OF_TAVERN, "chats", "group chats", "User Avatars", "NovelAI Settings", "settings.json", "QuickReplies", "instruct"}
# What it has besides; "" is its own business, of which nobody has to be told.
_MEANINGLESS = {
    "NovelAI Settings": "presets for NovelAI's own models",
    "instruct": "instruct templates: nemochat takes the chat template of the model",
    "context": "context templates: nemochat lays out the prompt, and shows it in the context pane",
    "sysprompt": "system prompts: /system takes one for a chat",
    "reasoning": "reasoning templates: nemochat takes them from the model",
    "QuickReplies": "quick replies",
    "themes": "themes of SillyTavern",
    "movingUI": "places of SillyTavern's panels",
    "backgrounds": "background pictures",
    "User Avatars": "portraits of your personas: profiles have none here",
    "assets": "assets of extensions",
    "extensions": "extensions",
    "vectors": "indexes of documents: /doc makes them anew",
    "backups": "backups of chats and settings, which are older states of what is here",
    "user": "",
    "thumbnails": "",
    "secrets.json": "keys of services: nemochat keeps its own",
    "stats.json": "",
    "content.log": "",
    "cookie-secret.txt": "",
    "image-metadata.json": "",
}
_SKIPPED = {"node_modules", "__pycache__", "thumbnails", "__MACOSX"}
_NO_PORTRAIT = (".png", ".apng", ".webp", ".jpg", ".jpeg", ".gif")
_READ = (".json", ".jsonl", ".png", ".apng", ".charx", ".risum", ".yaml", ".yml", ".zip", ".toml", ".lorebook", ".saveto", ".jpg", ".jpeg")


def find(path: Path, stop: Callable[[], bool] = lambda: False) -> Iterator[Found | Unused]:
    """What there is at a path, a file or a folder, in no order. Raises OSError when the path itself cannot be read."""
    if not path.is_dir():
        path.stat()
        yield look_at(path, path.name, is_named=True)
        return
    bases = tavern_folders(path)
    unread: list[OSError] = []
    walk = partial(_walk, stop=stop, unread=unread.append)
    for base in bases:
        yield from _of_tavern(base, path, walk)
    if not bases:
        for file in walk(path):
            yield look_at(file, _below(file, path))
    for error in unread:
        place = _below(Path(error.filename), path)
        yield Unused(place if place != "." else path.name, failure=f"the folder cannot be read ({reason(error)})")


def tavern_folders(path: Path) -> list[Path]:
    """The users' folders of SillyTavern in a folder: that one itself, those in its ``data``, or ``public`` of older ones."""
    if _is_tavern(path):
        return [path]
    users = [each for each in _listed(path / "data") if _is_tavern(each)] or [each for each in _listed(path) if _is_tavern(each)]
    return users if users else [path / "public"] if _is_tavern(path / "public") else []


def may_bring(path: Path) -> bool:
    """Whether there is anything among the first files of a folder that can be imported."""
    if tavern_folders(path):
        return True
    files = (file for file in islice(_walk(path), _LOOKED_AT) if file.suffix.lower() in _TRIED_ENDINGS)
    return any(isinstance(look_at(file, ""), Found) for file in islice(files, _TRIED))


def look_at(path: Path, name: str, *, is_named: bool = False) -> Found | Unused:
    """What a file is by what it holds; one that the user named, whatever its ending. Reads it, at most `MAX_FILE` bytes of it."""
    suffix = path.suffix.lower()
    if suffix == ".risup":
        return Unused(name, failure="it is a preset in a packed form of RisuAI's own: export it there as JSON")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return Unused(name, failure="it is no file")
        if suffix not in _READ and not is_named:
            return Unused(name, "pictures without a card" if suffix in _NO_PORTRAIT else f"{suffix or 'other'} files")
        head = read_beginning(path, _HEAD)
        if suffix in _WRITTEN:
            is_character = all(sign.search(head) for sign in _WRITTEN[suffix])
            return Found(path, Part.CARD, name) if is_character else Unused(name, f"{suffix} files that are no character")
        if path.stat().st_size > (_LARGE if head.lstrip()[:1] in (b"{", b"[") else MAX_FILE):
            return Found(path, Part.ARCHIVE if head.startswith(_ZIP) else Part.CHAT, name)
        data = read_regular(path, MAX_FILE)
    except OSError as error:
        return Unused(name, failure=f"it cannot be read ({reason(error)})")
    part = Part.LORE if is_lorebook(data) else _part(data, suffix)
    if isinstance(part, Part):
        return Found(path, part, name)
    return Unused(name, failure=part[1:]) if part.startswith("!") else Unused(name, part)


def _part(data: bytes, suffix: str) -> Part | str:
    """What the bytes of a file are: a part, what they are that has no meaning here, or with a "!" why they cannot be read."""
    if not data.strip():
        return "!it is empty"
    if suffix in _NO_PORTRAIT:
        if is_card(data) or (b"PK\x03\x04" in data and b"card.json" in data):
            return Part.CARD
        return "pictures without a card"
    if data.startswith(_ZIP):
        return Part.CARD if suffix == ".charx" or is_card(data) else Part.ARCHIVE
    try:
        check_json(data)
        value = json.loads(decoded(data).strip("\0\ufeff \t\r\n"), strict=False)
    except (TooMuchError, RecursionError):
        return Part.CHAT  # which are read one by one, so that what is too much costs itself alone
    except ValueError as error:
        lines = [line for line in data[:_HEAD].splitlines() if line.strip()]
        if suffix == ".jsonl" or (len(lines) > 1 and lines[0].lstrip()[:1] == b"{" and lines[0].rstrip()[-1:] == b"}"):
            return Part.CHAT
        if suffix != ".json" and data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            return "!it is of no kind that is known here"
        return f"!its JSON is broken ({sanitize(str(error), strict=True)[:80]})"
    return part_of_json(value)


def part_of_json(value: object) -> Part | str:
    """The same of a value of JSON."""
    if roleplay_chats.of_value(value) is not None:
        return Part.CHAT
    match value:
        case [{"role": _}, *_] | [{"messages": list()}, *_] | [{"mapping": dict()}, *_] | {"messages": list()} | {"mapping": dict()}:
            return Part.CHAT
        case {"conversations": list()}:
            return Part.CHAT
        case dict():
            return _of_object(value)
    return "JSON of no kind that is known here"


def _of_object(root: Mapping[str, Any]) -> Part | str:
    if "power_user" in root:
        return Part.SETTINGS
    if "personas" in root and "persona_descriptions" in root:
        return Part.PROFILES
    if isinstance(root.get("members"), list) and ("chats" in root or "chat_id" in root):
        return Part.GROUP
    if "spec" in root or "first_mes" in root or "char_name" in root or root.get("kind") == "character" or _is_flat_card(root):
        return Part.CARD
    preset = root.get("preset")
    if is_foreign_preset(root) or (isinstance(preset, dict) and is_foreign_preset(preset)):
        return Part.PRESET
    return next((what for signs, what in _SIGNS if any(sign in root for sign in signs)), "JSON of no kind that is known here")


_SIGNS = (
    (("tail_free_sampling", "repetition_penalty_slope"), _MEANINGLESS["NovelAI Settings"]),
    (("input_sequence", "output_sequence"), _MEANINGLESS["instruct"]),
    (("story_string",), _MEANINGLESS["context"]),
    (("movingUIState",), _MEANINGLESS["movingUI"]),
    (("quickReplySlots", "qrList"), _MEANINGLESS["QuickReplies"]),
    (("main_text_color", "blur_strength"), _MEANINGLESS["themes"]),
    (("findRegex", "scriptName"), "regular expressions that change texts"),
    (("prefix", "separator"), _MEANINGLESS["reasoning"]),
    (("content", "post_history"), _MEANINGLESS["sysprompt"]),
)


def _is_flat_card(root: Mapping[str, Any]) -> bool:
    return "name" in root and any(key in root for key in ("personality", "mes_example", "greeting", "context", "char_persona"))


# -- the folder of SillyTavern


def _is_tavern(path: Path) -> bool:
    names = {each.name for each in _listed(path)}
    return len(names & _NAMES_OF_TAVERN) >= 2 and bool(names & {"characters", "chats", "group chats", "worlds"})


def _of_tavern(base: Path, top: Path, walk: Callable[[Path], Iterator[Path]]) -> Iterator[Found | Unused]:
    for each in sorted(_listed(base)):
        name = _below(each, top)
        if each.name in _OF_TAVERN and each.is_dir():
            part = _OF_TAVERN[each.name]
            for file in walk(each):
                if file.parent != each:
                    yield Unused(_below(file, top), "pictures of characters' expressions")
                elif part is Part.CARD and file.suffix.lower() in _NO_PORTRAIT:
                    yield Found(file, part, _below(file, top), base, file.stem)
                else:
                    found = look_at(file, _below(file, top))
                    yield msgspec.structs.replace(found, base=base, owner=file.stem) if isinstance(found, Found) else found
        elif each.name in ("chats", "group chats") and each.is_dir():
            is_group = each.name == "group chats"
            for file in walk(each):
                owner = file.stem if is_group or file.parent == each else file.relative_to(each).parts[0]
                if file.suffix.lower() in (".jsonl", ".json"):
                    yield Found(file, Part.CHAT, _below(file, top), base, owner, is_group)
                else:
                    yield Unused(_below(file, top), f"{file.suffix or 'other'} files")
        elif each.name == "settings.json":
            yield Found(each, Part.SETTINGS, name, base)
        elif each.name in _MEANINGLESS:
            if _MEANINGLESS[each.name]:
                for file in walk(each) if each.is_dir() else [each]:
                    yield Unused(_below(file, top), _MEANINGLESS[each.name])
        elif each.is_dir():
            for file in walk(each):
                yield Unused(_below(file, top), f"files in {sanitize(each.name, strict=True)[:60]}")
        else:
            found = look_at(each, name)
            yield msgspec.structs.replace(found, base=base) if isinstance(found, Found) else found


def _walk(
    folder: Path, stop: Callable[[], bool] = lambda: False, unread: Callable[[OSError], None] = lambda _: None
) -> Iterator[Path]:
    """The files below a folder, by name; nothing hidden, and no folder that is a link. unread: gets why a folder was not looked into.

    Raises OSError for too many.
    """
    seen = 0
    for place, folders, names in os.walk(folder, onerror=unread):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        if folders and len(Path(place).relative_to(folder).parts) >= _MAX_DEPTH:
            unread(OSError(errno.ELOOP, "it lies too deep", str(Path(place, folders[0]))))
            folders.clear()
        for name in sorted(names):
            if stop():
                return
            seen += 1
            if seen > _MAX_FILES:
                raise OSError(f"it holds more than {_MAX_FILES:,} files")
            if not name.startswith(".") and re.fullmatch(r"(?i)thumbs\.db|desktop\.ini", name) is None:
                yield Path(place, name)


def _listed(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if not each.name.startswith(".")]
    except OSError:
        return []


def _below(path: Path, top: Path) -> str:
    return sanitize(path.relative_to(top).as_posix(), strict=True)


def tallied(unused: list[Unused]) -> list[tuple[str, int, tuple[str, ...]]]:
    """What has no meaning here, how often, and the names of the first files, the most frequent first."""
    times = Counter(each.what for each in unused if each.what)
    return [(what, n, tuple(each.name for each in unused if each.what == what)[:_MOST_NAMED]) for what, n in times.most_common()]
