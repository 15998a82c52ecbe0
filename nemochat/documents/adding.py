"""Reading many files: what has not changed is passed over, what fails is noted, and the index is written in batches."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from nemochat.documents import rows, wire
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
        return read_regular(path, wire.MAX_BYTES)
    except NotAFileError as error:
        raise NotTextError(f"{name} is {error.kind}, not a file.", "Name a file or a folder.") from error
    except TooLargeError as error:
        raise too_large(name, error.size) from error
    except OSError as error:
        raise DocumentError(f"{name} cannot be read: {reason(error)}.", "Check that it exists and may be read.") from error


MAX_FILES = 50_000
MAX_DEPTH = 32
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "venv", "site-packages", "target", "dist", "build"})
_NO_TEXT_SUFFIXES = """
    .png .jpg .jpeg .gif .webp .bmp .avif .heic .tif .tiff .ico .mp3 .mp4 .mkv .avi .mov .wav .flac .ogg .zip .gz .xz .bz2 .zst .7z .tar
    .rar .exe .dll .so .dylib .o .a .pyc .class .jar .gguf .safetensors .bin .pt .onnx .db .sqlite .iso .img .ttf .otf .woff .woff2 .lock
"""
_NO_TEXT = frozenset(_NO_TEXT_SUFFIXES.split())


def files_below(folder: Path) -> Iterator[Path]:
    """Files in the order of their names. Hidden ones, links, what tools have made, and what cannot hold text by its name are passed over.

    Raises OSError when the folder itself cannot be listed.
    """
    found = 0
    os.scandir(folder).close()
    for at, folders, names in os.walk(folder, followlinks=False):
        here = Path(at)
        depth = len(here.relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _PASSED_OVER) if depth < MAX_DEPTH else []
        for name in sorted(names):
            path = here / name
            if name.startswith((".", "~$")) or path.suffix.lower() in _NO_TEXT or path.is_symlink() or not path.is_file():
                continue
            found += 1
            if found > MAX_FILES:
                return
            yield path
