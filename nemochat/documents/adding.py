"""Reading many files: what has not changed is passed over, what fails is noted, and the index is written in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from nemochat.documents import limits, rows
from nemochat.documents.database import Database
from nemochat.documents.isolated import DocumentReader
from nemochat.documents.rows import Stamp
from nemochat.documents.values import Cancelled, DocumentError, LoadedDocument, NotTextError, Problem, Report, StoppedError, too_large
from nemochat.domain.sanitize import shown
from nemochat.files import reason
from nemochat.reading import NotAFileError, TooLargeError, read_regular

_BATCH_PASSAGES = 2000


class Job(msgspec.Struct, frozen=True):
    """A file to read. is_named: the user named it, so that it is a problem when it has no text."""

    path: Path
    is_named: bool


class _Ready(msgspec.Struct, frozen=True):
    place: str
    document: LoadedDocument
    changed: int
    size: int


class Batch:
    """Takes files one after another; `flush` writes the last ones."""

    def __init__(
        self, database: Database, reader: DocumentReader, collection: str, stamps: Mapping[str, Stamp], clock: Callable[[], float],
        cancelled: Cancelled,
    ) -> None:  # fmt: skip
        self._database = database
        self._reader = reader
        self._collection = collection
        self._stamps = stamps
        self._clock = clock
        self._cancelled = cancelled
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
        """Read a file, unless it is as it was. Raises StoppedError when it is cancelled."""
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
            document = self._reader.read(data, job.path.name, self._cancelled)
        except StoppedError:
            raise
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
        self._notices.extend(f"{document.name}: {notice}" if document.name not in notice else notice for notice in document.notices)
        if self._waiting + len(document.pieces) > _BATCH_PASSAGES:
            self.flush()  # a long one is written by itself, so that stopping it costs no other
        self._ready.append(_Ready(place, document, changed, len(data)))
        self._waiting += len(document.pieces)

    def flush(self) -> None:
        """Write what is ready. Raises StoppedError when it is cancelled; then what was ready is let go."""
        if not (self._ready or self._touched or self._emptied):
            return
        now = self._clock()
        ready, self._ready, self._waiting = self._ready, [], 0
        with self._database.write() as db:
            for each in ready:
                rows.put(
                    db, self._collection, each.place, each.document,
                    changed=each.changed, size=each.size, read=now, is_file=True, cancelled=self._cancelled,
                )  # fmt: skip
            rows.take_out(db, self._emptied)
            db.executemany("UPDATE document SET changed = ?, size = ? WHERE id = ?", self._touched)
        self._read.extend(shown(each.place) for each in ready)
        self._touched, self._emptied = [], []

    def tell(self, notice: str) -> None:
        """Add a sentence to the report."""
        self._notices.append(notice)

    def report(self, *, stopped: bool) -> Report:
        """What was done."""
        return Report(
            read=tuple(self._read), unchanged=self._unchanged, skipped=self._skipped, problems=tuple(self._problems),
            notices=tuple(self._notices), stopped=stopped,
        )  # fmt: skip


def read_bytes(path: Path) -> bytes:
    """The content of a regular file that is not too large. Raises DocumentError."""
    name = shown(path.name)
    try:
        return read_regular(path, limits.MAX_BYTES)
    except NotAFileError as error:
        raise NotTextError(f"{name} is {error.kind}, not a file.", "Name a file or a folder.") from error
    except TooLargeError as error:
        raise too_large(name, error.size) from error
    except OSError as error:
        raise DocumentError(f"{name} cannot be read: {reason(error)}.", "Check that it exists and may be read.") from error
