"""``nemochat presets``: list, show, export, use and remove sampling presets."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from nemochat.cli.output import print_json, print_note, print_notes, print_table, say
from nemochat.cli.personas import find
from nemochat.domain.sampling import Source, in_force
from nemochat.paths import find_paths
from nemochat.personas.sampling_presets import PresetStore, for_persona, said_by, write_toml
from nemochat.personas.store import PersonaStore


def print_list(*, as_json: bool) -> None:
    """All presets. Raises NemochatError."""
    store = _store()
    found = store.list()
    print_notes(store.notices)
    if as_json:
        print_json({"presets": [{"name": each.name, "sampling": each.sampling} for each in found]})
    elif found:
        print_table(("name", ""), [(each.name, said_by(each.sampling)) for each in found])
    else:
        print_note("There are no presets yet: `nemochat presets import` takes those of SillyTavern, /preset save NAME makes one.")


def show(name: str) -> None:
    """One preset. Raises NemochatError."""
    preset = _store().find(name)
    say(write_toml(msgspec.structs.replace(preset, original={})), end="")
    print_note(in_force({Source.CHAT: preset.sampling}).order)


def export(name: str, file: Path) -> None:
    """Write a preset to a file. Raises NemochatError."""
    _store().export(name, file)
    say(f"Written to {file}.", strict=True)


def use(name: str, persona: str) -> None:
    """Put a preset into a persona. Raises NemochatError."""
    preset, personas = _store().find(name), PersonaStore(find_paths(os.environ).personas)
    id_ = find(personas, persona)
    known, _ = personas.load(id_)
    personas.save(msgspec.structs.replace(known, sampling=for_persona(preset.sampling)), id_)
    say(f"{known.name} replies as {preset.name} says now.", strict=True)


def remove(name: str) -> None:
    """Take a preset away. Raises NemochatError."""
    removed, place = _store().remove(name)
    say(f"{removed} is no preset any more. It lies in {place}.", strict=True)


def _store() -> PresetStore:
    return PresetStore(find_paths(os.environ).presets)
