"""Documents and passages as rows of the index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from nemochat.documents.text import indexable
from nemochat.documents.values import (
    Cancelled,
    CollectionRow,
    DocumentRow,
    Kind,
    LoadedDocument,
    Locator,
    Passage,
    Piece,
    StoppedError,
    never,
)

_NAME_PARTS = re.compile(r"[\W_]+")
_LOOK_AT = 2000
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Stamp(msgspec.Struct, frozen=True):
    """What tells whether a file has changed without reading it."""

    id: int
    changed: int
    size: int
    digest: str


def indexed(text: str, heading: str, name: str, *, is_code: bool) -> tuple[str, str, str]:
    """What goes into the index of words. The same for the same passage at all times, because it is taken out with the same words."""
    title = _NAME_PARTS.sub(" ", _CAMEL.sub(" ", name.rpartition(".")[0] or name))
    return indexable(text, is_code=is_code), indexable(heading, is_code=is_code), indexable(title)


def put(
    db: sqlite3.Connection, collection: str, place: str, document: LoadedDocument,
    *, changed: int, size: int, read: float, is_file: bool, cancelled: Cancelled = never,
) -> int:  # fmt: skip
    """Store a document in place of the one at the same place. Raises StoppedError when a long one is cancelled in the middle."""
    before = db.execute("SELECT id FROM document WHERE collection = ? AND place = ?", (collection, place)).fetchall()
    take_out(db, (row[0] for row in before))
    values = (collection, place, document.name, document.kind.value, is_file, changed, size, document.digest, read)
    key = db.execute(
        "INSERT INTO document (collection, place, name, kind, is_file, changed, size, digest, read) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    ).lastrowid
    assert key is not None
    name, is_code = document.name, document.kind is Kind.CODE
    first = int(db.execute("SELECT coalesce(max(id), 0) + 1 FROM passage").fetchone()[0])
    db.executemany(
        "INSERT INTO passage (id, document, position, text, page, heading, line) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (first + at, key, at, piece.text, piece.locator.page, piece.locator.heading, piece.locator.line)
            for at, piece in enumerate(_until(cancelled, document.pieces))
        ),
    )
    db.executemany(
        "INSERT INTO word_index (rowid, text, heading, title) VALUES (?, ?, ?, ?)",
        (
            (first + at, *indexed(piece.text, piece.locator.heading, name, is_code=is_code))
            for at, piece in enumerate(_until(cancelled, document.pieces))
        ),
    )
    return key


def index_again(db: sqlite3.Connection) -> None:
    """Put every passage into an index of words that is empty."""
    found = db.execute("SELECT p.id, p.text, p.heading, d.name, d.kind FROM passage AS p JOIN document AS d ON d.id = p.document")
    db.executemany(
        "INSERT INTO word_index (rowid, text, heading, title) VALUES (?, ?, ?, ?)",
        ((id, *indexed(text, heading, name, is_code=kind == Kind.CODE)) for id, text, heading, name, kind in found),
    )


def _until(cancelled: Cancelled, pieces: Sequence[Piece]) -> Iterator[Piece]:
    for at, piece in enumerate(pieces, 1):
        if at % _LOOK_AT == 0 and cancelled():
            raise StoppedError
        yield piece


def take_out(db: sqlite3.Connection, documents: Iterable[int]) -> int:
    """Remove documents with everything of them; how many there were."""
    taken = 0
    for key in documents:
        name, kind = db.execute("SELECT name, kind FROM document WHERE id = ?", (key,)).fetchone()
        rows = db.execute("SELECT id, text, heading FROM passage WHERE document = ?", (key,)).fetchall()
        db.executemany(
            "INSERT INTO word_index (word_index, rowid, text, heading, title) VALUES ('delete', ?, ?, ?, ?)",
            ((id, *indexed(text, heading, name, is_code=kind == Kind.CODE)) for id, text, heading in rows),
        )
        db.execute("DELETE FROM document WHERE id = ?", (key,))
        taken += 1
    return taken


def stamps(db: sqlite3.Connection, collection: str) -> dict[str, Stamp]:
    """What is known of the files of a collection, by their places."""
    rows = db.execute("SELECT place, id, changed, size, digest FROM document WHERE collection = ? AND is_file", (collection,))
    return {place: Stamp(id, changed, size, digest) for place, id, changed, size, digest in rows}


def documents(db: sqlite3.Connection, collection: str) -> tuple[DocumentRow, ...]:
    """The documents of a collection, by name."""
    rows = db.execute(
        "SELECT d.id, d.collection, d.place, d.name, d.kind, (SELECT count(*) FROM passage WHERE document = d.id), d.size, d.read "
        "FROM document AS d WHERE d.collection = ? ORDER BY d.name, d.place",
        (collection,),
    )
    return tuple(DocumentRow(id, of, place, name, Kind(kind), count, size, read) for id, of, place, name, kind, count, size, read in rows)


def collections(db: sqlite3.Connection) -> tuple[CollectionRow, ...]:
    """The collections that hold anything or have a folder, by name."""
    rows = db.execute(
        "SELECT c.name, (SELECT count(*) FROM document WHERE collection = c.name), "
        "(SELECT count(*) FROM passage JOIN document ON document.id = passage.document WHERE collection = c.name) "
        "FROM (SELECT collection AS name FROM document UNION SELECT collection FROM source) AS c ORDER BY c.name"
    )
    return tuple(CollectionRow(*row) for row in rows)


def passages(db: sqlite3.Connection, where: str, values: Sequence[object]) -> list[Passage]:
    """Passages with a score of 0; `where` is written in the source and speaks of p (passage) and d (document)."""
    rows = db.execute(
        "SELECT p.text, d.name, p.page, p.heading, p.line, d.place, p.id, d.id "  # noqa: S608 - `where` is ours
        f"FROM passage AS p JOIN document AS d ON d.id = p.document WHERE {where}",
        values,
    )
    return [
        Passage(text, name, Locator(page, heading, line), 0.0, place, id, document)
        for text, name, page, heading, line, place, id, document in rows
    ]


def marks(values: Sequence[object]) -> str:
    """Question marks for a list of values."""
    return ", ".join("?" * len(values))
