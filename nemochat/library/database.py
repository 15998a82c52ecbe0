"""The one connection to the database: opened with care, guarded by a lock, opened again when something went wrong with it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from nemochat.domain.sanitize import shown
from nemochat.files import free_name, make_database, make_file
from nemochat.library import migrations
from nemochat.library.errors import KEPT, DamagedError, LibraryError, cannot, damaged, explain
from nemochat.reading import read_beginning
from nemochat.system.databases import code_of, extended_code_of, move_aside, transaction

# `secure_delete`: what was deleted is gone, and a repair never meets it. `cell_size_check`: a broken page is noticed when it is read.
_PRAGMAS = (
    "foreign_keys = ON",
    "synchronous = FULL",
    "secure_delete = ON",
    "cell_size_check = ON",
    "temp_store = MEMORY",
    "cache_size = -16000",
    "journal_size_limit = 16777216",
)
INDICES = ("message_index", "title_index")
DAMAGED = "damaged"
_MAGIC = b"SQLite format 3\0"
_RETRY_SECONDS = 0.02
_VALUE = re.compile("[A-Za-z-]+ value in ")
_STALE = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_Identity = tuple[int, int]


class Database:
    """Transactions on the file of the library. Safe in threads: one at a time has it.

    Every error of SQLite leaves here as a LibraryError; the transaction is then undone, and the next one tries anew.
    """

    def __init__(self, file: Path, busy_seconds: float) -> None:
        self.file = file
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: _Identity | None = None

    def open(self, today: date) -> list[str]:
        """Open the file, or a new one when it is broken, and return sentences about what happened to it. Raises LibraryError."""
        with self._lock:
            found = _identity(self.file)
            try:
                self._open()
            except DamagedError:
                aside = _set_aside(self.file, found, today)
                self._open()
                if aside is None:
                    return []
                return [
                    f"The library was damaged. It is kept as {shown(aside)}, and a new one is in use. "
                    "`nemochat library repair` brings back what is readable in it."
                ]
            return []

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the library. Raises LibraryError."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody else writes beside: all of it is on the disk at its end, or nothing. Raises LibraryError."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def bare(self) -> Iterator[sqlite3.Connection]:
        """The connection outside of any transaction, for what SQLite does only there. Raises LibraryError."""
        with self._lock, self._explained():
            yield self._usable()

    def copy(self, why: str) -> Path:
        """Make a copy of the file beside it, named after `why`. Raises LibraryError."""
        with self._lock, self._explained():
            self._usable()
            return _back_up(self.file, why)

    def close(self) -> None:
        """Give the file back. The next transaction would open it again."""
        with self._lock:
            self._drop()

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained(), transaction(self._usable(), begin) as connection:
            yield connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if extended_code_of(error) == sqlite3.SQLITE_CORRUPT_VTAB:
                raise self._index_made_anew() from error
            if code_of(error) in _STALE:
                self._drop()
            raise explain(error, self.file) from error

    def _index_made_anew(self) -> LibraryError:
        """The words of the messages do not depend on their index."""
        try:
            for index in INDICES:
                _make_anew(self._usable(), index)
        except sqlite3.Error as error:
            self._drop()
            return explain(error, self.file)
        return LibraryError("The library's index of words was broken and has been made anew.", KEPT)

    def _usable(self) -> sqlite3.Connection:
        """The connection, a new one when the file is no longer the one that was opened (moved aside, restored, deleted)."""
        if self._connection is not None and _identity(self.file) == self._identity:
            return self._connection
        self._drop()
        return self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            make_database(self.file)
            self._identity = _identity(self.file)
            something_else = _is_something_else(self.file)
        except OSError as error:
            raise cannot("The library cannot be opened in", self.file.parent, error) from error
        if something_else:
            raise damaged(self.file)
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(self.file, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False)
            connection.text_factory = lambda data: data.decode(errors="replace")  # one byte that is wrong costs one character
            self._prepare(connection)
        except sqlite3.Error as error:
            _close(connection)
            raise explain(error, self.file) from error
        except BaseException:
            _close(connection)
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        version = migrations.current(connection)
        if version > migrations.newest():
            raise LibraryError(
                f"The library {shown(self.file)} was written by a newer nemochat (version {version} of it; this one knows "
                f"{migrations.newest()}).",
                "Update nemochat, or use another data folder (NEMOCHAT_DATA_DIR).",
            )
        # About a millisecond for each megabyte. Pages come first; a value that is wrong costs what it stands in (see `checking`).
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
        if found != ["ok"] and not all(_VALUE.match(each) for each in found):
            raise damaged(self.file)
        _use_wal(connection, self._busy_seconds)
        if version < migrations.newest():
            self._migrate(connection)
        for index in INDICES:
            try:
                connection.execute(f"SELECT 1 FROM {index} WHERE {index} MATCH 'x' LIMIT 1").fetchone()  # noqa: S608
            except sqlite3.DatabaseError as error:
                if extended_code_of(error) != sqlite3.SQLITE_CORRUPT_VTAB:
                    raise
                _make_anew(connection, index)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring it up to date with nobody writing beside; a database that holds anything is copied first."""
        with transaction(connection, "BEGIN IMMEDIATE"):
            if version := migrations.current(connection):
                _back_up(self.file, f"version-{version}")
            migrations.migrate(connection)

    def _drop(self) -> None:
        _close(self._connection)
        self._connection = None


def look_over(file: Path, seconds: float) -> str | None:
    """What is wrong with a database, on the words "The database ...", "" for nothing; None when the time was too short to see all of it.

    SQLite's own quick check; nothing is changed or mended.
    """
    until = time.monotonic() + seconds
    try:
        with contextlib.closing(_only_read(file)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
            said = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        return None if "interrupted" in str(error) else f"cannot be read ({error})"
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
    return "" if said == ["ok"] else f"is damaged ({'; '.join(said)[:200]})"


def newest(file: Path, most: int) -> list[tuple[str, str]]:
    """Ids and titles of the conversations that were changed last, without archive and bin; [] where the database cannot be read.

    Nothing is changed.
    """
    statement = "SELECT id, title FROM conversation WHERE deleted <= 0 AND archived IS NOT 1 ORDER BY updated DESC, key DESC LIMIT ?"
    try:
        with contextlib.closing(_only_read(file)) as connection:
            return [(str(id_), str(title)) for id_, title in connection.execute(statement, (most,))]
    except sqlite3.Error:
        return []


def _only_read(file: Path) -> sqlite3.Connection:
    """Where no program has it open nothing is written beside it; where one has, its journals are there already. Raises sqlite3.Error."""
    mode = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    return sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=1)


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):  # it writes the last pages back, which a broken disk refuses; the WAL has them
            connection.close()


def _is_something_else(file: Path) -> bool:
    """Whether it is no database at all. SQLite would notice as well, and then delete the journal, which still holds messages."""
    return read_beginning(file, len(_MAGIC)) not in (b"", _MAGIC)


def _make_anew(connection: sqlite3.Connection, index: str) -> None:
    connection.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")  # noqa: S608


def _identity(file: Path) -> _Identity | None:
    """Which file it is, whatever it is called."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _use_wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Readers beside a writer. Two programs that make a new library at once meet here, and SQLite does not wait for the other one."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _back_up(file: Path, why: str) -> Path:
    """A copy as it is, named after `why`."""
    target = free_name(file.with_name(f"{file.stem}-{why}{file.suffix}"))
    try:
        make_file(target)
    except OSError as error:
        raise cannot("The library cannot be copied to", target, error) from error
    try:
        with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
    except sqlite3.Error:
        target.unlink()  # half a copy helps nobody
        raise
    return target


def _set_aside(file: Path, found: _Identity | None, today: date) -> Path | None:
    """Move a broken database with its journal out of the way; None when another program has just done so."""
    if _identity(file) != found:
        return None
    aside = free_name(file.with_name(f"{file.stem}-{DAMAGED}-{today.isoformat()}{file.suffix}"))
    try:
        move_aside(file, aside)
    except OSError as error:
        raise cannot("The library is damaged and cannot be moved away from", file, error) from error
    return aside
