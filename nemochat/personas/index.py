"""A list of personas without reading every file each time: what was found in a file is remembered until the file changes.

The index is a copy of what the files say, so nothing is lost with it: when it is broken, or from another version, it is made anew.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize, shortened, shown
from nemochat.errors import NemochatError
from nemochat.files import write_whole
from nemochat.personas import files
from nemochat.personas.files import MAX_TOML
from nemochat.personas.macros import Macros
from nemochat.personas.toml_text import read_toml

_VERSION = 1
_LONGEST = 120
_SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)")


class PersonaSummary(msgspec.Struct, frozen=True):
    """A persona in a list. summary: one line, made from its texts when it has none of its own. is_builtin: it comes with nemochat."""

    id: str
    name: str
    summary: str = ""
    tags: tuple[str, ...] = ()
    is_builtin: bool = False


class _Row(msgspec.Struct, frozen=True):
    """What a file said. stamp: how one sees that it has changed. problem: why it cannot be read."""

    stamp: tuple[int, int, int]
    name: str = ""
    summary: str = ""
    tags: tuple[str, ...] = ()
    problem: str = ""


class _Table(msgspec.Struct):
    version: int
    rows: dict[str, _Row]


class Index:
    """The remembered summaries, in memory and in a file beside the personas."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[str, _Row] | None = None
        self._asked: set[str] = set()
        self._changed = False

    def summary(self, path: Path, id_: str, *, is_builtin: bool) -> PersonaSummary:
        """The summary of the persona in this file. Raises NemochatError when it cannot be read."""
        rows = self._loaded()
        key = str(path)
        self._asked.add(key)
        try:
            found = path.stat()
        except OSError as error:
            raise NemochatError(f"{shown(path)} cannot be opened ({error.strerror or error}).") from None
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        row = rows.get(key)
        if row is None or row.stamp != stamp:
            row = _read(path, stamp)
            rows[key] = row
            self._changed = True
        if row.problem:
            raise NemochatError(row.problem)
        return PersonaSummary(id_, row.name, row.summary, row.tags, is_builtin)

    def keep(self) -> None:
        """Write down what is known about the files that were asked for since the last time; what is gone is forgotten."""
        rows = self._loaded()
        gone = rows.keys() - self._asked
        if gone or self._changed:
            self._rows = {key: row for key, row in rows.items() if key not in gone}
            # A folder that cannot be written to only makes the next list slower.
            with contextlib.suppress(OSError):
                if self._file.parent.is_dir():
                    write_whole(self._file, msgspec.json.encode(_Table(_VERSION, self._rows)))
        self._asked, self._changed = set(), False

    def _loaded(self) -> dict[str, _Row]:
        if self._rows is None:
            try:
                table = msgspec.json.decode(files.read(self._file, MAX_TOML), type=_Table)
                self._rows = table.rows if table.version == _VERSION else {}
            except (NemochatError, msgspec.DecodeError):
                self._rows = {}
        return self._rows


def summary_line(persona: Persona) -> str:
    """One line about a persona: its own, else the beginning of what its author or its description says."""
    if persona.summary:
        return persona.summary
    macros = Macros(char=persona.called, user="you")
    text = next((text for text in (persona.creator_notes, persona.description, persona.personality) if text.strip()), "")
    line = next((each for each in sanitize(macros.expand(text[:2000])).splitlines() if each.strip()), "").strip()
    sentence = _SENTENCE.match(line)
    line = sentence[1] if sentence is not None and len(sentence[1]) <= _LONGEST else line
    return sanitize(shortened(line, _LONGEST), strict=True)


def _read(path: Path, stamp: tuple[int, int, int]) -> _Row:
    try:
        persona = load_toml(path)
    except NemochatError as error:
        return _Row(stamp, problem=error.message)
    return _Row(stamp, persona.name, summary_line(persona), persona.tags)


def load_toml(path: Path) -> Persona:
    """The persona in a TOML file. Raises NemochatError."""
    data = files.read(path, MAX_TOML)
    try:
        return read_toml(data.decode(), os.fspath(path))
    except UnicodeDecodeError:
        raise NemochatError(f"{shown(path)} cannot be read as a persona: it is not UTF-8 text.", "Correct it in an editor.") from None


class _Called(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


Called = TypeVar("Called", bound=_Called)


def named(name: str, summaries: Iterable[Called]) -> list[Called]:
    """Those that somebody may mean by a name: with that id or name, else whose name begins with it, else in whose name it is a word's
    beginning. Case and accents do not matter."""
    every = list(summaries)
    return [every[at] for at in named_in(name, [each.name for each in every], [each.id for each in every])]


def named_in(name: str, names: Sequence[str], ids: Sequence[str] = ()) -> list[int]:
    """Which of these names somebody may mean, by their places; see `named`."""
    wanted = _folded(name)
    if not wanted:
        return []
    folded = [(_folded(each), id_.lower()) for each, id_ in itertools.zip_longest(names, ids, fillvalue="")]
    ways: tuple[Callable[[str, str], bool], ...] = (
        lambda each, id_: wanted in (id_, each),
        lambda each, _: each.startswith(wanted),
        lambda each, _: re.search(rf"\b{re.escape(wanted)}", each) is not None,
    )
    return next((found for way in ways if (found := [at for at, each in enumerate(folded) if way(*each)])), [])


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", " ".join(text.split())).casefold()
    return "".join(character for character in plain if not unicodedata.combining(character))
