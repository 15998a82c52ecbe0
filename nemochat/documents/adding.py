"""Reading many files: what has not changed is passed over, what fails is noted, and the index is written in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from nemochat.documents import rows
from nemochat.documents.database import Database
from nemochat.documents.errors import DocumentError, NotTextError, shown
from nemochat.documents.load import load_bytes, read_bytes
from nemochat.documents.rows import Stamp
from nemochat.documents.split import split_sections
from nemochat.documents.values import CountOne, LoadedDocument, Piece, Problem, Report

_BATCH_PASSAGES = 2000


class Job(msgspec.Struct, frozen=True):
    """A file to read. is_named: the user named it, so that it is a problem when it holds no text."""

    path: Path
    is_named: bool


class _Ready(msgspec.Struct, frozen=True):
    place: str
    document: LoadedDocument
    pieces: list[Piece]
    changed: int
    size: int


class Batch:
    """Takes files one after another; `flush` writes the last ones."""

    def __init__(
        self, database: Database, collection: str, stamps: Mapping[str, Stamp], clock: Callable[[], float], count: CountOne, max_tokens: int
    ) -> None:
        self._database = database
        self._collection = collection
        self._stamps = stamps
        self._clock = clock
        self._count = count
        self._max_tokens = max_tokens
        self._ready: list[_Ready] = []
        self._touched: list[tuple[int, int, int]] = []
        self._emptied: list[int] = []
        self._waiting = 0
        self._read: list[str] = []
        self._unchanged = 0
        self._skipped = 0
        self._problems: list[Problem] = []
        self._notices: list[str] = []

    def take(self, job: Job) -> None:
        """Read a file, unless it is as it was."""
        place = str(job.path)
        known = self._stamps.get(place)
        try:
            status = job.path.stat()
            if known is not None and (known.changed, known.size) == (status.st_mtime_ns, status.st_size):
                self._unchanged += 1
                return
        except (OSError, ValueError):
            status = None  # reading it says why
        try:
            data = read_bytes(job.path)
            changed = status.st_mtime_ns if status is not None else 0
            if known is not None and known.digest == hashlib.sha256(data).hexdigest():
                self._touched.append((changed, len(data), known.id))
                self._unchanged += 1
                return
            document = load_bytes(data, job.path.name)
        except NotTextError as error:
            if job.is_named:
                self._problems.append(Problem(shown(place), error.message, error.hint))
            else:
                self._skipped += 1
            if known is not None:
                self._emptied.append(known.id)
            return
        except DocumentError as error:
            self._problems.append(Problem(shown(place), error.message, error.hint))
            return
        pieces = split_sections(document.sections, count=self._count, max_tokens=self._max_tokens)
        self._notices.extend(f"{document.name}: {notice}" if document.name not in notice else notice for notice in document.notices)
        self._ready.append(_Ready(place, document, pieces, changed, len(data)))
        self._waiting += len(pieces)
        if self._waiting >= _BATCH_PASSAGES:
            self.flush()

    def flush(self) -> None:
        """Write what is ready."""
        if not (self._ready or self._touched or self._emptied):
            return
        now = self._clock()
        with self._database.write() as db:
            for each in self._ready:
                rows.put(
                    db, self._collection, each.place, each.document, each.pieces,
                    changed=each.changed, size=each.size, read=now, is_file=True,
                )  # fmt: skip
            rows.take_out(db, self._emptied)
            db.executemany("UPDATE document SET changed = ?, size = ? WHERE id = ?", self._touched)
        self._read.extend(shown(each.place) for each in self._ready)
        self._ready, self._touched, self._emptied, self._waiting = [], [], [], 0

    def tell(self, notice: str) -> None:
        """Add a sentence to the report."""
        self._notices.append(notice)

    def report(self, *, stopped: bool) -> Report:
        """What was done."""
        return Report(
            read=tuple(self._read), unchanged=self._unchanged, skipped=self._skipped, problems=tuple(self._problems),
            notices=tuple(self._notices), stopped=stopped,
        )  # fmt: skip
