"""``nemochat lore``: lorebooks of their own, listed, shown, added, exported, removed and tried."""

from __future__ import annotations

import os
from pathlib import Path

from nemochat.chat.lore import tried
from nemochat.cli.output import print_json, print_note, print_notes, print_table, say
from nemochat.cli.personas import keep_each, the_one
from nemochat.errors import NemochatError
from nemochat.numbers import plural
from nemochat.paths import find_paths
from nemochat.personas.lore import Fired, Lore
from nemochat.personas.lorebook_files import write_lorebook_v3
from nemochat.personas.lorebooks import LorebookStore


def print_list(*, as_json: bool) -> None:
    """All lorebooks. Raises NemochatError."""
    store = _store()
    found = store.list()
    print_notes(store.notices)
    if as_json:
        print_json({"lorebooks": found})
        return
    if not found:
        print_note("There are no lorebooks yet. nemochat lore add FILE keeps one.")
        return
    rows = [(each.id, each.name, _size(each.entries, each.enabled), each.description) for each in found]
    print_table(("id", "name", "entries", ""), rows)


def show(name: str) -> None:
    """One lorebook as it is kept. Raises NemochatError."""
    store = _store()
    say(write_lorebook_v3(store.get(_find(store, name))), end="")


def add(files: list[Path]) -> None:
    """Keep lorebooks of files; one that cannot be read does not stop the others. Raises NemochatError when any could not."""
    store = _store()

    def keep(file: Path) -> None:
        id_ = store.import_file(file)
        print_notes(store.notices)
        book = store.get(id_)
        say(f"{book.name} is one of your lorebooks, as {id_}: {plural(len(book.entries), 'entry', 'entries')}.", strict=True)

    keep_each(files, keep, "added")


def export(name: str, file: Path, *, world_info: bool) -> None:
    """Write a lorebook to a file. Raises NemochatError."""
    store = _store()
    store.export(_find(store, name), file, world_info=world_info)
    say(f"Written to {file}.", strict=True)


def remove(name: str) -> None:
    """Take a lorebook away. Raises NemochatError."""
    store = _store()
    id_ = _find(store, name)
    removed = store.remove(id_)
    say(f"{id_} was removed. It lies in {find_paths(os.environ).lorebooks / 'deleted' / removed}.json.", strict=True)


def try_(name: str, text: str, *, as_json: bool) -> None:
    """Which entries a text would call, and why. Raises NemochatError."""
    store = _store()
    found = tried(Lore((store.get(_find(store, name)),)), text)
    if as_json:
        lists = {"fired": found.fired, "dropped": found.dropped, "always": found.always}
        print_json({**{key: [_row(each) for each in value] for key, value in lists.items()}, "notices": found.notices})
        return
    for sign, entries in (("+", (*found.fired, *found.always)), ("-", found.dropped)):
        for each in entries:
            say(f"{sign} {each.source}: {each.reason}", strict=True)
    print_notes(found.notices)
    if not found.fired and not found.dropped:
        say("This text calls no entry.")


def _row(each: Fired) -> dict[str, object]:
    return {"entry": each.source, "reason": each.reason, "text": each.text}


def _size(entries: int, enabled: int) -> str:
    return f"{entries:,}" if entries == enabled else f"{entries:,}, {entries - enabled:,} off"


def _store() -> LorebookStore:
    return LorebookStore(find_paths(os.environ).lorebooks)


def _find(store: LorebookStore, name: str) -> str:
    """The id of a lorebook by its id or name; of one that cannot be read by its id. Raises NemochatError."""
    try:
        return the_one(name, store.list(), "lorebook", "nemochat lore list shows all.")
    except NemochatError:
        print_notes(store.notices)
        raise
