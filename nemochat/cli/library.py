"""``nemochat search`` and ``nemochat library``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nemochat.cli.output import days_ago, print_json, print_note, print_notes, print_problems, print_table, say, when
from nemochat.domain.library import SearchFilters
from nemochat.domain.sanitize import shortened, shown
from nemochat.errors import NemochatError
from nemochat.library import Library, ListQuery
from nemochat.library.repair import damaged_libraries
from nemochat.library.repair import repair as recover
from nemochat.library.rescue import take_in
from nemochat.library.transfer import export_library
from nemochat.paths import find_paths

_TITLE = 60


@contextmanager
def opened() -> Iterator[Library]:
    """The user's library; what was found while opening it is said. Raises LibraryError."""
    paths = find_paths(os.environ)
    library, notices = Library.open(paths.library)
    with library:
        print_notes((*notices, *take_in(library, paths.rescued)))
        yield library


def search(
    words: str, *, persona: str, model: str, days: int | None, pictures: bool | None, limit: int, as_json: bool
) -> None:
    """Print what was found, the newest first within titles and messages. Raises LibraryError."""
    filters = SearchFilters(persona, model, days_ago(days) if days else None, None, pictures)
    with opened() as library:
        hits = library.search(words, filters, limit)
    if as_json:
        print_json({"hits": hits})
    elif not hits:
        print_note(f"Nothing found for {words}.")
    else:
        rows = [
            (hit.conversation, when(hit.updated), shortened(hit.title, _TITLE), hit.role if hit.node else "title", hit.snippet)
            for hit in hits
        ]
        print_table(("id", "when", "conversation", "", "found"), rows)


def print_list(*, limit: int, archived: bool, deleted: bool, as_json: bool) -> None:
    """Print the conversations. Raises LibraryError."""
    with opened() as library:
        rows = library.conversations(ListQuery(archived=None if deleted else archived, deleted=deleted, limit=limit))
    if as_json:
        print_json({"conversations": rows})
        return
    if not rows:
        print_note("There are no such conversations." if archived or deleted else "There are no conversations yet: nemochat begins one.")
        return
    lines = [(row.id, when(row.updated), shortened(row.title, _TITLE), str(row.n_messages), row.persona or row.model) for row in rows]
    print_table(("id", "changed", "title", "messages", "with"), lines)
    if not deleted:
        print_note("Go on with one: nemochat --resume ID")


def export(file: Path) -> None:
    """Write everything into a zip file. Raises LibraryError."""
    with opened() as library:
        report = export_library(library, file)
    print_notes(report.problems)
    say(f"{report.conversations} conversations written to {shown(file)}.", strict=True)


def check() -> None:
    """Say what is wrong. Raises NemochatError when anything is."""
    with opened() as library:
        problems = library.check()
    print_notes(problems)
    if problems:
        raise NemochatError("The library is damaged.", "`nemochat library repair` writes what can be read in its place, and keeps a copy.")
    say("The library is in order.")


def repair(file: Path | None) -> None:
    """Recover from a broken database. Raises LibraryError."""
    folder = find_paths(os.environ).library
    if file is None:
        aside = damaged_libraries(folder)
        is_mended = _mend()
        if not aside:
            if not is_mended:
                hint = "Name the file: nemochat library repair FILE"
                raise NemochatError(f"The library is in order, and no broken one was set aside in {shown(folder)}.", hint)
            return
        file = aside[-1]
    with opened() as library:
        report = recover(file, library)
    print_problems(report.problems)
    say(f"{len(report.conversations)} conversations with {report.messages} messages recovered from {shown(file)}.")
    if report.incomplete:
        print_note(f"Something is missing in {', '.join(report.incomplete)}.")


def _mend() -> bool:
    """Mend the library that is in use; whether there was anything to be mended."""
    with opened() as library:
        if not library.check():
            return False
        copy, mended, made = library.mend()
        left = library.check()
    counts = f"{mended} conversations mended, {made} made of stray messages."
    say(f"{counts} The old library is kept as {shown(copy)}.", strict=True)
    print_notes(left)
    return True


def purge(days: int) -> None:
    """Remove what was deleted long ago. Raises LibraryError."""
    with opened() as library:
        say(f"{library.purge(days_ago(days))} conversations removed for good.")
