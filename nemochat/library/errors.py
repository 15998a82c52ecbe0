"""What can go wrong with the library, and how SQLite's and the system's errors are told to a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError
from nemochat.system.databases import code_of

KEPT = "What is on the screen is kept, and the next save tries again."


class LibraryError(NemochatError):
    """The library cannot be read or written, or does not hold what was asked for."""


class ConflictError(LibraryError):
    """Another program has changed or removed the conversation meanwhile; nothing was written."""


class DamagedError(LibraryError):
    """The database is not one, or parts of it are broken."""


class NewerError(LibraryError):
    """Something was made by a newer nemochat. It is left as it is."""

    @classmethod
    def of_conversation(cls) -> NewerError:
        """The sentence for a conversation."""
        return cls("This conversation was made by a newer nemochat.", "It is kept as it is: update nemochat to open it.")


def explain(error: sqlite3.Error, file: Path) -> LibraryError:
    """The sentence for an error of SQLite."""
    match code_of(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LibraryError(f"The library {shown(file)} is locked by another program.", f"Wait for it or close it. {KEPT}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return LibraryError(f"The library {shown(file)} cannot be written.", f"Check the permissions of its folder. {KEPT}")
        case sqlite3.SQLITE_FULL:
            return LibraryError(f"The library {shown(file)} cannot grow: the disk is full.", f"Make room on it. {KEPT}")
        case sqlite3.SQLITE_IOERR:
            return LibraryError(f"The disk does not read or write the library {shown(file)}.", f"Check its free space and limits. {KEPT}")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(file)
    return LibraryError(f"The library {shown(file)} cannot be used ({sanitize(str(error), strict=True)}).", KEPT)


def cannot(what: str, path: Path, error: OSError) -> LibraryError:
    """The sentence for an error of the file system: `what` as in "The picture cannot be stored in"."""
    return LibraryError(f"{what} {shown(path)}: {error.strerror or error}.", "Check the permissions and the free space.")


@contextmanager
def taking(what: str) -> Iterator[None]:
    """One thing out of many that come from outside: whatever is wrong with it becomes a sentence, so that it never costs the others.

    `what` begins the sentence, for what no check has foreseen. Raises LibraryError.
    """
    try:
        yield
    except LibraryError:
        raise
    except MemoryError:
        raise LibraryError(f"{what}: there is not enough memory for it.") from None
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise LibraryError(f"{what} ({sanitize(str(error), strict=True)[:200]}).") from error


def damaged(file: Path) -> DamagedError:
    """The sentence for a broken database."""
    return DamagedError(
        f"The library {shown(file)} is damaged.",
        "Start nemochat again: it keeps the file aside, and `nemochat library repair` recovers what is readable.",
    )
