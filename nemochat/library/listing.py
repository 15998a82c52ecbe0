"""Lists of conversations, and how they are put in order: tags, archive, bin."""

from __future__ import annotations

import sqlite3
from typing import Any

from nemochat.domain.library import ConversationRow
from nemochat.domain.replies import ModelRef
from nemochat.library import ids
from nemochat.library.codec import as_int, as_seconds, as_text, storable
from nemochat.library.errors import LibraryError
from nemochat.library.ids import is_id, shown_id
from nemochat.library.values import ListQuery

_ROW = """
    SELECT key, id, title, preview, persona, model, server, messages,
        EXISTS (SELECT 1 FROM picture_use WHERE conversation = key),
        (SELECT group_concat(name, char(10)) FROM tag WHERE conversation = key),
        archived, deleted, created, updated
    FROM conversation
"""


KEPT = "(deleted <= 0 OR typeof(deleted) = 'null')"
"""Not in the bin; nothing at all is damage, and no reason to hide a conversation. (SQLite takes the schema's word against IS NULL.)"""


def conversations(db: sqlite3.Connection, query: ListQuery) -> list[ConversationRow]:
    """The newest first; of the bin, those deleted last."""
    conditions = ["deleted > 0" if query.deleted else KEPT]
    values: list[object] = []
    if query.archived is not None and not query.deleted:
        conditions.append("archived IS 1" if query.archived else "archived IS NOT 1")
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
        statement = f"{_ROW} WHERE id >= ? AND id < ? AND ({KEPT} OR id = ?) ORDER BY id LIMIT 2"
        rows = db.execute(statement, (beginning, f"{beginning}~", beginning)).fetchall()
    if not rows and (key := ids.key_of(db, beginning)) is not None:
        rows = db.execute(f"{_ROW} WHERE key = ?", (key,)).fetchall()
    if not rows:
        raise LibraryError("No conversation has this id.", "`nemochat --resume` alone takes the last one.")
    if len(rows) > 1 and rows[0][1] != beginning:
        raise LibraryError("Several conversations have an id that begins so.", "Give more of it.")
    return _row(rows[0])


def tags(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Every tag in use, by name, and how many conversations have it."""
    statement = """SELECT tag.name, count(*) FROM tag JOIN conversation ON key = conversation WHERE deleted = 0
                   GROUP BY tag.name ORDER BY tag.name COLLATE NOCASE"""
    return [(as_text(name), count) for name, count in db.execute(statement)]


def personas(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Every persona that speaks in a conversation, by name, and in how many."""
    statement = """SELECT persona, count(*) FROM conversation WHERE persona <> '' AND deleted = 0
                   GROUP BY persona ORDER BY persona COLLATE NOCASE"""
    return [(as_text(name), count) for name, count in db.execute(statement)]


def key_of(db: sqlite3.Connection, id_: str) -> int:
    """The row of a conversation. Raises LibraryError."""
    key = ids.key_of(db, id_)
    if key is None:
        raise LibraryError("This conversation is no longer in the library.")
    return key


def set_title(db: sqlite3.Connection, id_: str, title: str) -> None:
    """Name a conversation."""
    db.execute("UPDATE conversation SET name = ?1, title = ?1 WHERE key = ?2", (storable(title), key_of(db, id_)))


def set_tags(db: sqlite3.Connection, id_: str, names: tuple[str, ...]) -> None:
    """Give a conversation these tags and no others."""
    key = key_of(db, id_)
    db.execute("DELETE FROM tag WHERE conversation = ?", (key,))
    db.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", [(key, storable(name)) for name in names])


def _row(row: Any) -> ConversationRow:
    key, id_, title, preview, persona, model, server, messages, has_picture, names, archived, deleted, created, updated = row
    return ConversationRow(
        id=shown_id(key, id_),
        title=as_text(title),
        preview=as_text(preview),
        persona=as_text(persona),
        model=str(ModelRef(as_text(model), as_text(server))),
        n_messages=as_int(messages),
        has_picture=bool(has_picture),
        tags=tuple(sorted(as_text(names).split("\n"))) if names else (),
        archived=archived == 1,
        deleted=not (deleted is None or (isinstance(deleted, int) and deleted <= 0)),
        created=as_seconds(created),
        updated=as_seconds(updated),
    )
