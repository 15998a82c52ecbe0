"""Lorebooks of their own on the disk, a file each: ``FOLDER/ID.json``, in ``FOLDER/deleted/`` what can still be brought back.

What nemochat writes is ``lorebook_v3``, laid out for people to edit. Any other shape that it reads may lie there too, such as world info
copied from SillyTavern; a file that cannot be read is named and left alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from nemochat.domain.personas import Lorebook
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError, UsageError
from nemochat.files import export_file, make_folder, write_whole
from nemochat.personas import files
from nemochat.personas.cleaning import clean_book
from nemochat.personas.files import MAX_BOOK, MAX_BOOK_NODES, MAX_FILE, Unreadable
from nemochat.personas.lorebook_files import read_lorebook, write_lorebook_v3, write_world_info
from nemochat.personas.store import is_plain, slug
from nemochat.system import disk

__all__ = ["LorebookStore", "LorebookSummary", "read_lorebook"]

_SUFFIX, _DELETED = ".json", "deleted"


class LorebookSummary(msgspec.Struct, frozen=True):
    """A lorebook in a list. entries: how many it has, enabled: of these that are in use."""

    id: str
    name: str
    description: str = ""
    entries: int = 0
    enabled: int = 0


class _Read(msgspec.Struct, frozen=True):
    """What a file said when it was last read. stamp: how one sees that it has changed. book: None where it could not be read."""

    stamp: tuple[int, int, int]
    book: Lorebook | None = None
    problem: str = ""


class LorebookStore:
    """The lorebooks in a folder, which need not exist yet.

    A lorebook stays the same value until its file changes, which is looked for each time. notices: sentences about what the last call could
    not use: broken files in `list`, what has no meaning here in `import_file`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, _Read] = {}
        self.notices: tuple[str, ...] = ()

    def list(self) -> tuple[LorebookSummary, ...]:
        """All lorebooks by name. One that cannot be read is left out and named in `notices`."""
        found, problems = [], []
        try:
            for id_ in self._ids():
                try:
                    book = self.get(id_)
                except NemochatError as error:
                    problems.append(error.message)
                    continue
                enabled = sum(entry.enabled for entry in book.entries)
                found.append(LorebookSummary(id_, book.name, book.description, len(book.entries), enabled))
        except OSError as error:
            problems.append(f"The lorebooks in {shown(self._folder)} cannot be listed ({error.strerror or error}).")
        self.notices = tuple(problems)
        return tuple(sorted(found, key=lambda each: (each.name.casefold(), each.id)))

    def get(self, id_: str) -> Lorebook:
        """A lorebook. Raises NemochatError when there is none of that id, or when it cannot be read."""
        path = self._path(id_)
        try:
            found = path.stat()
        except OSError:
            self._read.pop(id_, None)
            raise NemochatError(f"There is no lorebook “{sanitize(id_, strict=True)[:100]}”.", "nemochat lore list shows all.") from None
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._read.get(id_)
        if known is None or known.stamp != stamp:
            try:
                book, _ = read_lorebook(files.read(path, MAX_FILE), path.name)
                known = _Read(stamp, book)
            except NemochatError as error:
                known = _Read(stamp, problem=error.message)
            self._read[id_] = known
        if known.book is None:
            raise NemochatError(known.problem, f"Correct {shown(path)} in an editor, or take it away.")
        return known.book

    def add(self, book: Lorebook) -> str:
        """Keep a new lorebook; its id. Raises NemochatError."""
        wish, number, data = slug(book.name, "lorebook"), 1, _written(book)
        with files.saving(f"The lorebook {book.name}"):
            make_folder(self._folder)
            taken = {id_.casefold() for id_ in self._ids()}
            while True:
                id_ = wish if number == 1 else f"{wish}-{number}"
                number += 1
                if id_ not in taken:
                    with contextlib.suppress(FileExistsError):  # another program was quicker
                        export_file(self._folder / f"{id_}{_SUFFIX}", data)
                        return id_

    def save(self, id_: str, book: Lorebook, before: Lorebook | None = None) -> Path | None:
        """Keep a lorebook in place of the one with this id, or as a new one. Raises NemochatError; what was there is then as it was.

        before: what was there when the caller read it. Where somebody else has changed it since, that is kept among the deleted ones, and
        its place returned.
        """
        path, data = self._path(id_), _written(book)
        aside = self._free_deleted(id_) if before is not None and self._is_another(id_, before) else None
        with files.saving(f"The lorebook {book.name}"):
            if aside is not None:
                make_folder(aside.parent)
                write_whole(aside, files.read(path, MAX_FILE))
            write_whole(path, data, by_hand=True)
        self._read.pop(id_, None)
        return aside

    def _is_another(self, id_: str, book: Lorebook) -> bool:
        """Whether there is a lorebook, or a broken one, that is not this one."""
        try:
            return self.get(id_) != book
        except NemochatError:
            return self._path(id_).exists()

    def remove(self, id_: str) -> str:
        """Take a lorebook away; what is returned brings it back with `restore`. Raises NemochatError."""
        source = self._path(id_)
        if not os.path.lexists(source):
            self.get(id_)
        with files.saving("The change"):
            make_folder(self._folder / _DELETED)
            target = self._free_deleted(id_)
            disk.move(source, target)
        self._read.pop(id_, None)
        return target.stem

    def restore(self, removed: str) -> str:
        """Bring back what `remove` took away; its id, another one when that is taken by now. Raises NemochatError."""
        source = self._folder / _DELETED / f"{removed}{_SUFFIX}"
        if not is_plain(removed) or not os.path.lexists(source):
            raise NemochatError("This lorebook cannot be brought back: it is not among the deleted ones.")
        wish, number = removed.rpartition("~")[0] or removed, 1
        while os.path.lexists(self._path(id_ := wish if number == 1 else f"{wish}-{number}")):
            number += 1
        with files.saving("The change"):
            disk.move(source, self._path(id_))
        return id_

    def find(self, book: Lorebook) -> str | None:
        """The id of a lorebook that says just the same, whatever it is called; None where there is none. Raises NemochatError."""
        with files.saving(f"The lorebook {book.name}"):
            ids = list(self._ids())
        for id_ in ids:
            with contextlib.suppress(NemochatError):
                if msgspec.structs.replace(self.get(id_), name=book.name) == book:
                    return id_
        return None

    def import_file(self, path: Path) -> str:
        """Keep the lorebook of a file in any shape that `read_lorebook` knows; its id. Raises NemochatError.

        One that says just the same as another is not kept twice: the id is that one's then.
        """
        book, notices = read_lorebook(files.read(path, MAX_FILE), path.name)
        if (known := self.find(book)) is not None:
            self.notices = (f"{shown(path)} is here already, as {known}: it was not added again.",)
            return known
        id_ = self.add(book)
        self.notices = notices
        return id_

    def export(self, id_: str, path: Path, *, world_info: bool = False) -> None:
        """Write a lorebook as ``lorebook_v3``, or as SillyTavern's world info. Raises UsageError when the file exists, NemochatError."""
        if path.suffix.lower() != _SUFFIX:
            raise UsageError(f"{shown(path)}: the name of an exported lorebook ends with {_SUFFIX}.")
        book = self.get(id_)
        with files.saving(shown(path)):
            files.write_new(path, (write_world_info(book) if world_info else write_lorebook_v3(book)).encode())

    # -- places

    def _free_deleted(self, id_: str) -> Path:
        number = 1
        while os.path.lexists(path := self._folder / _DELETED / f"{id_}~{number}{_SUFFIX}"):
            number += 1
        return path

    def _ids(self) -> Iterable[str]:
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [stem for name in names if name.endswith(_SUFFIX) and is_plain(stem := name.removesuffix(_SUFFIX))]

    def _path(self, id_: str) -> Path:
        """Where a lorebook lies, if there is one. Raises NemochatError for what can be no id."""
        if not is_plain(id_):
            raise NemochatError(f"There is no lorebook “{sanitize(id_, strict=True)[:100]}”.", "nemochat lore list shows all.")
        return self._folder / f"{id_}{_SUFFIX}"


def _written(book: Lorebook) -> bytes:
    """What is in its file. Raises NemochatError for one that is too large."""
    try:
        book = clean_book(book, [MAX_BOOK_NODES])
    except Unreadable as problem:
        raise NemochatError(f"The lorebook cannot be saved: {problem}.") from None
    text = write_lorebook_v3(book)
    if len(text) > MAX_BOOK:
        text = write_lorebook_v3(book, indent=None)
    if len(text) > MAX_BOOK:
        raise NemochatError(f"The lorebook cannot be saved: it is larger than {MAX_BOOK // 1024 // 1024} MiB.")
    return text.encode()
