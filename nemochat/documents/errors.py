"""What can go wrong with documents, told to a person."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError

KEPT = "The documents themselves are not touched."
_BASE_CODE = 0xFF
BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class DocumentError(NemochatError):
    """A document cannot be read, or the index of documents cannot be used."""


class NotTextError(DocumentError):
    """A file holds nothing that can be read as text; in a folder it is passed over."""


def shown(path: Path | str) -> str:
    """A path as it stands in a sentence."""
    return sanitize(str(path), strict=True)


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 where the error comes from Python's module."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _BASE_CODE


def explain(error: sqlite3.Error, file: Path) -> DocumentError:
    """The sentence for an error of SQLite."""
    match code_of(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DocumentError(f"The index of documents {shown(file)} is locked by another program.", f"Wait for it or close it. {KEPT}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return DocumentError(f"The index of documents {shown(file)} cannot be written.", f"Check the permissions of its folder. {KEPT}")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return DocumentError(f"The disk does not take the index of documents {shown(file)}.", f"Check its free space. {KEPT}")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DocumentError(f"The index of documents {shown(file)} is damaged.", f"Start nemochat again: it makes a new one. {KEPT}")
    return DocumentError(f"The index of documents {shown(file)} cannot be used ({sanitize(str(error), strict=True)}).", KEPT)
