"""The index of documents: collections of files and folders, kept in one SQLite file and read again when they change."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from nemochat.documents import adding, rows
from nemochat.documents.adding import Batch, Job, read_bytes
from nemochat.documents.database import Database
from nemochat.documents.isolated import DocumentReader
from nemochat.documents.matching import Match, match
from nemochat.documents.values import (
    Cancelled,
    CollectionRow,
    DocumentError,
    DocumentRow,
    DrawnPages,
    LoadedDocument,
    OnProgress,
    Passage,
    Progress,
    Report,
    Scale,
    StoppedError,
    never,
)
from nemochat.domain.sanitize import shown
from nemochat.files import reason
from nemochat.paths import at_home

BUSY_SECONDS = 10.0


def _ignore(_: Progress) -> None:
    """For who does not want to know."""


class DocumentIndex:
    """Everything here waits for the disk: call it in a thread. It may be called from several; every error is a DocumentError.

    A collection is made by adding to it; see `chat_collection` and `named_collection`.
    """

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.time, busy_seconds: float = BUSY_SECONDS) -> None:
        self._database = Database(file, busy_seconds)
        self._reader = DocumentReader()
        self._clock = clock

    @classmethod
    def open(cls, file: Path, *, clock: Callable[[], float] = time.time) -> tuple[DocumentIndex, list[str]]:
        """The index in a file, which is made, and sentences for the user: a broken one is kept aside. Raises DocumentError."""
        index = cls(file, clock=clock)
        return index, index._database.open()

    def close(self) -> None:
        """Give the file back, and end the process that reads documents."""
        self._reader.close()
        self._database.close()

    def __enter__(self) -> DocumentIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- adding and removing

    def add(self, path: Path, collection: str, *, progress: OnProgress = _ignore, cancelled: Cancelled = never) -> Report:
        """Read a file, or the files of a folder, into a collection. What cannot be read is told in the report, and the rest goes on."""
        path = Path(os.path.abspath(at_home(path)))  # noqa: PTH100 - `absolute` keeps "..", `resolve` loses the name that the user knows
        paths = _files_of(path)
        with self._database.write() as db:
            db.execute("INSERT OR IGNORE INTO source VALUES (?, ?)", (collection, str(path)))
        report = self._read(collection, paths, is_named=not path.is_dir(), progress=progress, cancelled=cancelled)
        if not path.is_dir() and report.problems:
            with self._database.write() as db:  # a file that was never read is not waited for
                db.execute(
                    "DELETE FROM source WHERE collection = ?1 AND place = ?2 "
                    "AND NOT EXISTS (SELECT 1 FROM document WHERE collection = ?1 AND place = ?2)",
                    (collection, str(path)),
                )
        return report

    def add_text(self, place: str, name: str, text: str, collection: str, *, cancelled: Cancelled = never) -> Report:
        """Take a text that is no file here, such as a resource of a server; `place` tells it from others.

        Raises DocumentError; StoppedError when it was cancelled.
        """
        data = text.encode(errors="replace")
        document = self._reader.read(data, name, cancelled)
        with self._database.write() as db:
            rows.put(
                db, collection, place, document, changed=0, size=len(data), read=self._clock(), is_file=False, cancelled=cancelled
            )
        return Report(read=(place,), notices=document.notices)

    def look_into(self, path: Path, *, cancelled: Cancelled = never) -> LoadedDocument:
        """What a file holds, without adding it. Raises DocumentError."""
        return self._reader.read(read_bytes(at_home(path)), path.name, cancelled)

    def draw(self, path: Path, most: int, *, cancelled: Cancelled = never) -> DrawnPages:
        """The first pages of a PDF as pictures. Raises DocumentError."""
        return self._reader.draw(read_bytes(at_home(path)), path.name, most, cancelled)

    def remove(self, path: Path | str, collection: str) -> int:
        """Take a file, or a folder with all below it, out of a collection; how many documents there were. The files stay."""
        place = str(path) if isinstance(path, str) else os.path.abspath(at_home(path))  # noqa: PTH100 - as in `add`
        below = place.rstrip(os.sep) + os.sep
        values = (collection, place, len(below), below)
        with self._database.write() as db:
            where = "collection = ? AND (place = ? OR substr(place, 1, ?) = ?)"
            db.execute(f"DELETE FROM source WHERE {where}", values)  # noqa: S608 - written above
            found = db.execute(f"SELECT id FROM document WHERE {where}", values).fetchall()  # noqa: S608
            return rows.take_out(db, (row[0] for row in found))

    def forget(self, collection: str) -> int:
        """Remove a whole collection; how many documents there were."""
        with self._database.write() as db:
            db.execute("DELETE FROM source WHERE collection = ?", (collection,))
            found = db.execute("SELECT id FROM document WHERE collection = ?", (collection,)).fetchall()
            return rows.take_out(db, (row[0] for row in found))

    def refresh(
        self,
        collections: Sequence[str] | None = None,
        *,
        drops: bool = True,
        progress: OnProgress = _ignore,
        cancelled: Cancelled = never,
    ) -> Report:
        """Read what has changed or is new in the folders, in these collections or in all.

        drops: what is gone is taken out; without it, it is kept as it was read (its disk may only be away for now).
        """
        whole = Report()
        with self._database.read() as db:
            known = [row.name for row in rows.collections(db)]
        for collection in known if collections is None else collections:
            whole = _together(whole, self._refresh(collection, progress, cancelled, drops=drops))
            if whole.stopped:
                break
        return whole

    def _refresh(self, collection: str, progress: OnProgress, cancelled: Cancelled, *, drops: bool) -> Report:
        with self._database.read() as db:
            sources = [Path(row[0]) for row in db.execute("SELECT place FROM source WHERE collection = ?", (collection,))]
            stamps = rows.stamps(db, collection)
        named = {source for source in sources if not source.is_dir()}
        paths: dict[Path, None] = {}
        for source in sources:
            if source.exists():
                try:
                    paths.update(dict.fromkeys(_files_of(source)))
                except DocumentError:
                    # A folder that cannot be listed now: what is known of it is kept.
                    paths.update(dict.fromkeys(Path(place) for place in stamps if Path(place).is_relative_to(source)))
        away = [stamp for place, stamp in stamps.items() if Path(place) not in paths and not os.path.lexists(place)]
        gone = away if drops else []
        places = {stamp.id: place for place, stamp in stamps.items()}
        if gone:
            with self._database.write() as db:
                rows.take_out(db, (stamp.id for stamp in gone))
        report = self._read(collection, list(paths), named=named, progress=progress, cancelled=cancelled)
        return msgspec.structs.replace(report, dropped=tuple(places[stamp.id] for stamp in gone))

    def _read(
        self, collection: str, paths: Sequence[Path], *, progress: OnProgress, cancelled: Cancelled, is_named: bool = False,
        named: Iterable[Path] = (),
    ) -> Report:  # fmt: skip
        with self._database.read() as db:
            stamps = rows.stamps(db, collection)
        names = set(paths) if is_named else set(named)
        batch = Batch(self._database, self._reader, collection, stamps, self._clock, cancelled)
        stopped = False
        try:
            for at, path in enumerate(paths):
                if cancelled():
                    raise StoppedError
                progress(Progress(at, len(paths), shown(path.name)))
                batch.take(Job(path, is_named=path in names))
            batch.flush()
        except StoppedError:
            stopped = True
            with contextlib.suppress(StoppedError):  # what is ready is kept, unless it is long as well
                batch.flush()
        if len(paths) >= adding.MAX_FILES:
            batch.tell(f"There are too many files: only the first {adding.MAX_FILES:,} were looked at. Add folders further down.")
        if not stopped and paths:
            progress(Progress(len(paths), len(paths), ""))
        return batch.report(stopped=stopped)

    # -- asking

    def documents(self, collection: str) -> tuple[DocumentRow, ...]:
        """The documents of a collection, by name."""
        with self._database.read() as db:
            return rows.documents(db, collection)

    def collections(self) -> tuple[CollectionRow, ...]:
        """The collections, by name."""
        with self._database.read() as db:
            return rows.collections(db)

    def passages(self, document: int) -> tuple[Passage, ...]:
        """All passages of a document in order, to open one in its place."""
        with self._database.read() as db:
            return tuple(rows.passages(db, "d.id = ? ORDER BY p.position", (document,)))

    def match(self, question: str, collections: Sequence[str]) -> Match:
        """The passages that share words with a question; see `nemochat.documents.retrieve` for what most want."""
        with self._database.read() as db:
            return match(db, question, collections)

    def fetch(self, ids: Sequence[int], collections: Sequence[str]) -> list[Passage]:
        """These passages, as far as they are in the collections."""
        with self._database.read() as db:
            where = f"p.id IN ({rows.marks(ids)}) AND d.collection IN ({rows.marks(collections)})"
            return rows.passages(db, where, (*ids, *collections))

    # -- vectors

    def without_vectors(self, model: str, limit: int) -> list[tuple[int, str, str]]:
        """Passages that have no vector of this model yet: their ids, headings and texts."""
        with self._database.read() as db:
            statement = (
                "SELECT id, heading, text FROM passage WHERE NOT EXISTS "
                "(SELECT 1 FROM vector WHERE passage = passage.id AND model = ? AND part = 0) ORDER BY id LIMIT ?"
            )
            return db.execute(statement, (model, limit)).fetchall()

    def put_vectors(self, model: str, vectors: Iterable[tuple[int, Sequence[bytes]]]) -> None:
        """Store the vectors of passages, those of the whole and of its parts; those of passages that are gone meanwhile are let go."""
        with self._database.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO vector SELECT id, ?2, ?3, ?4 FROM passage WHERE id = ?1",
                ((id, model, part, vector) for id, parts in vectors for part, vector in enumerate(parts)),
            )

    def vectors(self, model: str, collections: Sequence[str]) -> Iterator[tuple[int, int, bytes]]:
        """The vectors of the passages of these collections, as id, part and vector: part 0 is the whole passage."""
        with self._database.read() as db:
            statement = (
                "SELECT v.passage, v.part, v.vector "
                "FROM document AS d JOIN passage AS p ON p.document = d.id JOIN vector AS v ON v.passage = p.id "
                "WHERE v.model = ? AND d.collection IN "
            )
            found = db.execute(f"{statement} ({rows.marks(collections)})", (model, *collections)).fetchall()
        yield from found

    def scale(self, model: str) -> Scale | None:
        """What a model makes of texts that have nothing to do with each other; None where that was not measured."""
        with self._database.read() as db:
            found = db.execute("SELECT mean, deviation FROM scale WHERE model = ?", (model,)).fetchone()
            return Scale(*found) if found is not None else None

    def put_scale(self, model: str, scale: Scale) -> None:
        """Store it."""
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO scale VALUES (?, ?, ?)", (model, scale.mean, scale.deviation))


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        return list(adding.files_below(path))
    except OSError as error:
        raise DocumentError(f"The folder {shown(path)} cannot be read: {reason(error)}.", "Check its permissions.") from error


def _together(one: Report, other: Report) -> Report:
    return Report(
        read=one.read + other.read,
        unchanged=one.unchanged + other.unchanged,
        dropped=one.dropped + other.dropped,
        skipped=one.skipped + other.skipped,
        problems=one.problems + other.problems,
        notices=one.notices + other.notices,
        stopped=one.stopped or other.stopped,
    )
