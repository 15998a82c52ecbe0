"""The file of the index: SQLite in WAL mode, for its owner's eyes only. Everything in it can be made again from the documents."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from nemochat.documents import rows
from nemochat.documents.values import DocumentError
from nemochat.domain.sanitize import sanitize, shown
from nemochat.files import free_name, make_database, reason
from nemochat.system.databases import code_of, move_aside, transaction

VERSION = 2
_KEPT = "The documents themselves are not touched."
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA = """
CREATE TABLE source (
    collection TEXT NOT NULL,
    place TEXT NOT NULL,      -- a file or a folder that the user has added
    PRIMARY KEY (collection, place)
) WITHOUT ROWID;
CREATE TABLE document (
    id INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    place TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    is_file INTEGER NOT NULL, -- 0: a text that was handed over, which cannot be read again
    changed INTEGER NOT NULL, -- when the file was last written, in nanoseconds
    size INTEGER NOT NULL,
    digest TEXT NOT NULL,
    read REAL NOT NULL,
    UNIQUE (collection, place)
);
CREATE TABLE passage (
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    page INTEGER,
    heading TEXT NOT NULL,
    line INTEGER NOT NULL,
    UNIQUE (document, position)
);
"""
_FOUND_BY = """
-- Holds no text of its own: what goes in is made of the passage by `rows.indexed`, and taken out again with the same words.
CREATE VIRTUAL TABLE word_index USING fts5 (
    text, heading, title, content = '', tokenize = "porter unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
);
CREATE TABLE vector (
    passage INTEGER NOT NULL REFERENCES passage ON DELETE CASCADE,
    model TEXT NOT NULL,
    part INTEGER NOT NULL,    -- 0: the whole passage, then its sentences
    vector BLOB NOT NULL,     -- float16, of length 1
    PRIMARY KEY (passage, model, part)
) WITHOUT ROWID;
CREATE TABLE scale (          -- how alike texts are to a model that have nothing to do with each other
    model TEXT PRIMARY KEY,
    mean REAL NOT NULL,
    deviation REAL NOT NULL
) WITHOUT ROWID;
"""
"""Made anew of the passages by a version that folds words or makes vectors in another way."""
_PRAGMAS = ("foreign_keys = ON", "synchronous = NORMAL", "temp_store = MEMORY", "cache_size = -32000", "secure_delete = FAST")


class Database:
    """One connection for reading and one for writing, so that a question is answered while documents are added. Safe in threads.

    Every error of SQLite leaves here as a DocumentError.
    """

    def __init__(self, file: Path, busy_seconds: float) -> None:
        self.file = file
        self._busy_seconds = busy_seconds
        self._locks = {True: threading.Lock(), False: threading.Lock()}
        self._connections: dict[bool, sqlite3.Connection] = {}

    def open(self) -> list[str]:
        """Open the file, or a new one when it is broken, and return sentences about that. Raises DocumentError."""
        try:
            self._prepare()
        except sqlite3.Error as error:
            self.close()
            if code_of(error) not in _BROKEN:
                raise _explain(error, self.file) from error
            aside = self._set_aside()
            try:
                self._prepare()
            except sqlite3.Error as again:
                raise _explain(again, self.file) from again
            return [f"The index of documents was damaged and a new one was begun; add your documents again. The old one is {shown(aside)}."]
        return []

    def close(self) -> None:
        """Give the file back."""
        for writes, lock in self._locks.items():
            with lock:
                connection = self._connections.pop(writes, None)
                if connection is not None:
                    connection.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """See one state of the index."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Change it: all or nothing."""
        with self._transaction(writes=True) as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        with self._locks[writes]:
            try:
                connection = self._connections.get(writes) or self._connect(writes)
                with transaction(connection, "BEGIN IMMEDIATE" if writes else "BEGIN"):
                    yield connection
            except sqlite3.Error as error:
                raise _explain(error, self.file) from error

    def _connect(self, writes: bool) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        self._connections[writes] = connection
        return connection

    def _prepare(self) -> None:
        try:
            make_database(self.file)
        except OSError as error:
            raise DocumentError(f"The index of documents {shown(self.file)} cannot be made: {reason(error)}.") from error
        connection = self._connect(writes=True)
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(connection, "BEGIN IMMEDIATE"):
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version == 0:
                _run(connection, _SCHEMA + _FOUND_BY)
            elif version < VERSION:
                _run(connection, "DROP TABLE word_index;\nDROP TABLE vector;\n" + _FOUND_BY)
                rows.index_again(connection)
            if version < VERSION:
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("SELECT 1 FROM word_index WHERE word_index MATCH 'x' LIMIT 1").fetchone()
        if version > VERSION:
            self.close()
            raise DocumentError(f"The index of documents {shown(self.file)} was written by a newer nemochat.", "Update nemochat.")

    def _set_aside(self) -> Path:
        """Move a broken file out of the way."""
        aside = free_name(self.file.with_name(f"{self.file.stem}-damaged{self.file.suffix}"))
        try:
            move_aside(self.file, aside)
        except OSError as error:
            raise DocumentError(f"The damaged index of documents {shown(self.file)} cannot be moved away: {reason(error)}.") from error
        return aside


def _run(connection: sqlite3.Connection, statements: str) -> None:
    """One after another, within the transaction, which `executescript` would end."""
    for statement in statements.split(";\n"):
        connection.execute(statement)


def _explain(error: sqlite3.Error, file: Path) -> DocumentError:
    """The sentence for an error of SQLite."""
    match code_of(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DocumentError(f"The index of documents {shown(file)} is locked by another program.", f"Wait for it or close it. {_KEPT}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            message = f"The index of documents {shown(file)} cannot be written."
            return DocumentError(message, f"Check the permissions of its folder. {_KEPT}")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return DocumentError(f"The disk does not take the index of documents {shown(file)}.", f"Check its free space. {_KEPT}")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DocumentError(f"The index of documents {shown(file)} is damaged.", f"Start nemochat again: it makes a new one. {_KEPT}")
    return DocumentError(f"The index of documents {shown(file)} cannot be used ({sanitize(str(error), strict=True)}).", _KEPT)
