"""``nemochat library import``: takes in what other programs have written, and says what came of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from nemochat.cli.asking import ask_yes, can_ask
from nemochat.cli.library import opened
from nemochat.cli.output import StatusLine, print_json, print_problems, say
from nemochat.domain.sanitize import shown
from nemochat.errors import NemochatError
from nemochat.moving.importing import Importer, Stores
from nemochat.numbers import count
from nemochat.paths import find_paths
from nemochat.personas.lorebooks import LorebookStore
from nemochat.personas.sampling_presets import PresetStore
from nemochat.personas.store import PersonaStore

_HINT = "It may be a folder of SillyTavern, or chats, cards, lorebooks and presets in files, or an export of nemochat or ChatGPT."


def import_(path: Path, *, as_json: bool) -> None:
    """Take in a file or a folder. Raises NemochatError, also when anything in it could not be read: the rest is then here all the same."""
    paths = find_paths(os.environ)
    with opened() as library, StatusLine() as line:
        stores = Stores(library, PersonaStore(paths.personas), LorebookStore(paths.lorebooks), PresetStore(paths.presets))
        importer = Importer(stores, lambda done, total: line.show(f"importing {count(done)} of {count(total)} ..."))
        report = importer.run(path)
        line.clear()
        if report.again and can_ask() and not as_json:
            names = ", ".join(each.name for each in report.again)
            question = f"Add {'it as another persona' if len(report.again) == 1 else 'them as further personas'}?"
            if asyncio.run(ask_yes(f"Personas of the same name are here already, and are different: {names}", question)):
                report = importer.add_again()
    if as_json:
        print_json(msgspec.structs.asdict(report) | {"summary": report.summary})
    else:
        print_problems([failure.words for failure in report.failed])
        say(report.without_failures)
    if report.has_brought_nothing:
        why = report.failed[0].why if report.failed else "nothing in it is of a kind that is known here"
        raise NemochatError(f"{shown(path)} brought nothing: {why.rstrip('.')}.", _HINT)
    if report.lost:
        raise NemochatError(f"{report.lost} could not be read.")
