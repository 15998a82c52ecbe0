"""Lists of conversations, and how they are put in order: tags, archive, bin."""

from __future__ import annotations

import sqlite3
from typing import Any

from nemochat.domain.library import ConversationRow
from nemochat.library.codec import storable
from nemochat.library.errors import LibraryError
from nemochat.library.ids import is_id
from nemochat.library.values import ListQuery

_ROW = """
    SELECT id, title, preview, persona, model, messages,
        EXISTS (SELECT 1 FROM picture_use WHERE conversation = key),
        (SELECT group_concat(name, char(10)) FROM tag WHERE conversation = key),
        archived, deleted, created, updated
    FROM conversation
"""


def conversations(db: sqlite3.Connection, query: ListQuery) -> list[ConversationRow]:
    """The newest first; of the bin, those deleted last."""
    conditions = ["deleted > 0" if query.deleted else "deleted = 0"]
    values: list[object] = []
    if query.archived is not None and not query.deleted:
        conditions.append("archived = ?")
        values.append(query.archived)
    if query.persona:
        conditions.append("persona = ?")
        values.append(storable(query.persona))
    if query.tag:
        conditions.append("key IN (SELECT conversation FROM tag WHERE name = ?)")
        values.append(storable(query.tag))
    order = "deleted" if query.deleted else "updated"
    statement = f"{_ROW} WHERE {' AND '.join(conditions)} ORDER BY {order} DESC, key DESC LIMIT ? OFFSET ?"
    return [_row(row) for row in db.execute(statement, (*values, query.limit, query.offset))]


def find(db: sqlite3.Connection, beginning: str) -> ConversationRow:
    """The one whose id this is or begins with. Raises LibraryError where there is none, or several."""
    beginning = beginning.strip().lower()
    rows: list[Any] = []
    if is_id(beginning):
        statement = f"{_ROW} WHERE id >= ? AND id < ? AND (deleted = 0 OR id = ?) ORDER BY id LIMIT 2"
        rows = db.execute(statement, (beginning, f"{beginning}~", beginning)).fetchall()
    if not rows:
        raise LibraryError("No conversation has this id.", "`nemochat --resume` alone takes the last one.")
    if len(rows) > 1 and rows[0][0] != beginning:
        raise LibraryError("Several conversations have an id that begins so.", "Give more of it.")
    return _row(rows[0])


def tags(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Every tag in use, by name, and how many conversations have it."""
    statement = """SELECT tag.name, count(*) FROM tag JOIN conversation ON key = conversation WHERE deleted = 0
                   GROUP BY tag.name ORDER BY tag.name COLLATE NOCASE"""
    return [(name, count) for name, count in db.execute(statement)]


def personas(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Every persona that speaks in a conversation, by name, and in how many."""
    statement = """SELECT persona, count(*) FROM conversation WHERE persona <> '' AND deleted = 0
                   GROUP BY persona ORDER BY persona COLLATE NOCASE"""
    return [(name, count) for name, count in db.execute(statement)]


def key_of(db: sqlite3.Connection, id_: str) -> int:
    """The row of a conversation. Raises LibraryError."""
    row = db.execute("SELECT key FROM conversation WHERE id = ?", (id_,)).fetchone()
    if row is None:
        raise LibraryError("This conversation is no longer in the library.")
    return int(row[0])


def set_title(db: sqlite3.Connection, id_: str, title: str) -> None:
    """Name a conversation."""
    db.execute("UPDATE conversation SET name = ?1, title = ?1 WHERE key = ?2", (storable(title), key_of(db, id_)))


def set_tags(db: sqlite3.Connection, id_: str, names: tuple[str, ...]) -> None:
    """Give a conversation these tags and no others."""
    key = key_of(db, id_)
    db.execute("DELETE FROM tag WHERE conversation = ?", (key,))
    db.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", [(key, storable(name)) for name in names])


def _row(row: Any) -> ConversationRow:
    id_, title, preview, persona, model, messages, has_picture, names, archived, deleted, created, updated = row
    return ConversationRow(
        id=id_,
        title=title,
        preview=preview,
        persona=persona,
        model=model,
        n_messages=messages,
        has_picture=bool(has_picture),
        tags=tuple(sorted(names.split("\n"))) if names else (),
        archived=bool(archived),
        deleted=bool(deleted),
        created=created / 1000,
        updated=updated / 1000,
    )
