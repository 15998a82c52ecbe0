"""``nemochat personas``: list, show, import and export."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from nemochat.cli.asking import ask_yes, can_ask
from nemochat.cli.output import print_error, print_json, print_note, print_notes, print_table, say
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError
from nemochat.paths import find_paths
from nemochat.personas.index import Called, named
from nemochat.personas.prompt_text import system_text
from nemochat.personas.store import PersonaStore, Same
from nemochat.personas.toml_text import write_toml


def print_list(*, as_json: bool) -> None:
    """All personas. Raises NemochatError."""
    store = _store()
    found = store.list()
    print_notes(store.notices)
    if as_json:
        print_json({"personas": found})
        return
    print_table(("id", "name", "", ""), [(each.id, each.name, "built in" if each.is_builtin else "", each.summary) for each in found])


def show(name: str, *, prompt: bool) -> None:
    """One persona as TOML, or what the model reads of it. Raises NemochatError."""
    store = _store()
    persona, _ = store.load(find(store, name))
    if prompt:
        say(system_text(persona, store.profiles().current, "", seed="0"))
    else:
        say(write_toml(persona), end="")


def import_(files: list[Path]) -> None:
    """Keep personas of files; one that cannot be read does not stop the others, and of one that is here already it is asked, where somebody
    can be asked. Raises NemochatError when any could not be read.
    """
    store = _store()

    def keep(file: Path) -> None:
        read = store.read(file)
        name = read.persona.name
        here = store.find_same(read.persona)
        if here is not None and not _is_wanted_again(name, here):
            print_note(f"{shown(file)} was left out: {name} is here already{'' if here.is_equal else ', and is different'}.")
            return
        id_ = store.keep(read)
        print_notes(read.notices)
        say(f"{name} is now one of your personas, as {id_}.", strict=True)

    keep_each(files, keep, "imported")


def keep_each(files: Sequence[Path], keep: Callable[[Path], None], done: str) -> None:
    """Keep what files hold; one that fails does not stop the others. done: what was to be done with them. Raises NemochatError."""
    failed = 0
    for file in files:
        try:
            keep(file)
        except NemochatError as error:
            print_error(error)
            failed += 1
    if failed:
        raise NemochatError(f"{failed} of {len(files)} files could not be {done}.")


def _is_wanted_again(name: str, here: Same) -> bool:
    what = "is one of your personas already" if here.is_equal else "is the name of one of your personas, which is different"
    return can_ask() and asyncio.run(ask_yes(f"{name} {what}.", "Add this card as another persona?"))


def export(name: str, file: Path) -> None:
    """Write a persona to a file. Raises NemochatError."""
    store = _store()
    store.export(find(store, name), file)
    say(f"Written to {file}.", strict=True)


def _store() -> PersonaStore:
    return PersonaStore(find_paths(os.environ).personas)


def find(store: PersonaStore, name: str) -> str:
    """The id of a persona by its id or name. Raises NemochatError."""
    return the_one(name, store.list(), "persona", "nemochat personas list shows all.")


def the_one(name: str, summaries: Sequence[Called], what: str, hint: str) -> str:
    """The id of the one of these that a name means. hint: where all of them are shown. Raises NemochatError."""
    found, said = named(name, summaries), sanitize(name, strict=True)
    if not found:
        raise NemochatError(f"There is no {what} {said}.", hint)
    if len(found) > 1 and found[0].name != found[1].name:
        several = ", ".join(each.id for each in found[:8])
        raise NemochatError(f"Several {what}s are called like {said}: {several}.", "Write more of the name.")
    return found[0].id
