"""The schema of the library, step by step.

Each step is a file of SQL named after its number, and some rewrite rows after it (`_REWRITES`). One that has been released is never
changed: a new one follows it. The number of the last step that a database has seen is its ``user_version``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

from nemochat.library import earlier

_REWRITES: dict[int, Callable[[sqlite3.Connection], None]] = {4: earlier.rewrite}


def newest() -> int:
    """The version that this program knows."""
    return len(_scripts())


def migrate(connection: sqlite3.Connection, version: int | None = None) -> None:
    """Bring the database to a version, the newest one unless told. The caller holds the transaction."""
    target = newest() if version is None else version
    for number, script in enumerate(_scripts()[:target], 1):
        if number > current(connection):
            for statement in _statements(script):
                connection.execute(statement)
            if rewrite := _REWRITES.get(number):
                rewrite(connection)
            connection.execute(f"PRAGMA user_version = {number}")


def current(connection: sqlite3.Connection) -> int:
    """The version of a database; 0 is a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@cache
def _scripts() -> list[str]:
    found = sorted((entry.name, entry) for entry in files(__name__).iterdir() if entry.name.endswith(".sql"))
    return [entry.read_text(encoding="utf-8") for _, entry in found]


def _statements(script: str) -> Iterator[str]:
    """One by one, because `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
