"""What every database of SQLite here needs: transactions, errors by their codes, and a place for one that is broken."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from nemochat.system import disk

_BASE_CODE = 0xFF
_ENDINGS = ("-wal", "-shm", "")


def extended_code_of(error: sqlite3.Error) -> int:
    """SQLite's result code with the details, 0 where the error comes from Python's module."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code


def code_of(error: sqlite3.Error) -> int:
    """The same without the details."""
    return extended_code_of(error) & _BASE_CODE


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    """All or nothing. Raises sqlite3.Error."""
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # what was wrong is on its way already
                connection.execute("ROLLBACK")
        raise


def move_aside(file: Path, aside: Path) -> None:
    """Give a database and its journal another name. Raises OSError."""
    for ending in _ENDINGS:
        part = file.with_name(f"{file.name}{ending}")
        if part.exists():
            disk.move(part, aside.with_name(f"{aside.name}{ending}"))
