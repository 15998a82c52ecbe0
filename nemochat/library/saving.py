"""One conversation into its rows and out of them, within a transaction of the caller."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from nemochat.domain.chat import Chat, Entry, Node
from nemochat.domain.messages import Conversation
from nemochat.library.codec import Roleplay, from_columns, from_json, scene_to_json, storable, to_columns
from nemochat.library.difference import Difference, difference, first_of
from nemochat.library.errors import ConflictError, LibraryError
from nemochat.library.ids import new_id
from nemochat.library.values import Saved, StoredChat

_LAST_SECOND = 253_402_300_799.0  # of the year 9999
_PREVIEW_CHARACTERS = 160
_PREVIEW_READ = 1000

_ADD_MESSAGE = """
    INSERT INTO message (conversation, id, parent, chosen, role, text, rest, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (conversation, id) DO UPDATE SET parent = excluded.parent, chosen = excluded.chosen, role = excluded.role,
        text = excluded.text, rest = excluded.rest, stored = excluded.stored
"""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a conversation beside its value. Times are milliseconds since 1970; 0 for `deleted` is not."""

    model: str
    created: int
    updated: int
    tags: tuple[str, ...] = ()
    archived: bool = False
    deleted: int = 0


def create(db: sqlite3.Connection, chat: Chat, around: Circumstances, id_: str | None = None) -> Saved:
    """Store a conversation that is not there, under an id that is free."""
    id_ = id_ or _free_id(db, around.created)
    row = {
        "id": id_,
        "version": 1,
        "name": storable(chat.name),
        "model": storable(around.model),
        "created": around.created,
        "updated": around.updated,
        "archived": around.archived,
        "deleted": around.deleted,
        **_derived(chat, chat.name),
    }
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    key = db.execute(f"INSERT INTO conversation ({names}) VALUES ({places})", row).lastrowid or 0  # noqa: S608
    _write_scene(db, key, chat)
    _write_messages(db, key, chat.nodes, around.updated)
    _use_pictures(db, key, _digests(_entries(chat)))
    db.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", [(key, storable(tag)) for tag in around.tags])
    return Saved(id_, 1)


def save(db: sqlite3.Connection, at: Saved, before: Chat | None, after: Chat, model: str, now: int) -> Saved:
    """Store what has changed since version `at.version`, which `before` is; None where that is not at hand. Raises ConflictError.

    The name is written only when it has changed, so that a title given elsewhere meanwhile stays.
    A change brings a deleted conversation back.
    """
    row = db.execute("SELECT key, version, name, model FROM conversation WHERE id = ?", (at.id,)).fetchone()
    if row is None:
        raise ConflictError("This conversation is no longer in the library.", "It is stored again as a new one.")
    key, version, name, stored_model = row
    if version != at.version:
        raise ConflictError("Another program has changed this conversation.", "What you see is stored as a copy.")
    renamed = before is None or before.name != after.name
    name = storable(after.name) if renamed else name
    change = _everything(db, key, after) if before is None else difference(before, after)
    scene = before is None or _scene_differs(before, after)
    spoken = bool(change) or before is None or first_of(before) != first_of(after)
    counted = before is None or _counts(before) != _counts(after)
    if not (spoken or scene or renamed or counted or stored_model != storable(model)):
        return at
    columns: dict[str, object] = {"name": name, "model": storable(model), "deleted": 0, **_derived(after, name)}
    if spoken:
        columns["updated"] = now
    settings = ", ".join(f"{column} = :{column}" for column in columns)
    statement = f"UPDATE conversation SET version = version + 1, {settings} WHERE key = :key"  # noqa: S608
    db.execute(statement, {**columns, "key": key})
    if scene:
        _write_scene(db, key, after)
    _write_difference(db, key, change, after, now)
    return Saved(at.id, version + 1)


def load(db: sqlite3.Connection, id_: str) -> StoredChat:
    """The conversation with this id. Raises LibraryError."""
    db_row = db.execute(
        """SELECT key, version, name, model, archived, deleted, created, updated, chosen, next_id, first_kept, examples_gone
           FROM conversation WHERE id = ?""",
        (id_,),
    ).fetchone()
    if db_row is None:
        raise LibraryError("This conversation is not in the library.", "`nemochat search` finds the others.")
    key, version, name, model, archived, deleted, created, updated, chosen, next_id, first_kept, examples_gone = db_row
    frame, roleplay, whole = _read_scene(db, key)
    bare = Chat(
        frame=frame,
        first_kept=first_kept,
        name=name,
        next_id=next_id,
        persona=roleplay.persona,
        user=roleplay.user,
        note=roleplay.note,
        seed=roleplay.seed,
        collections=roleplay.collections,
        waiting=roleplay.waiting,
        examples_gone=examples_gone,
    )
    nodes, damaged = [], 0 if whole else 1
    for node, readable in _read_messages(db, key):
        nodes.append(node)
        damaged += not readable
    tags = tuple(tag for (tag,) in db.execute("SELECT name FROM tag WHERE conversation = ? ORDER BY name", (key,)))
    chat = Chat.of_nodes(nodes, chosen, bare)
    return StoredChat(id_, version, chat, model, tags, bool(archived), bool(deleted), created / 1000, updated / 1000, damaged)


def milliseconds(seconds: float) -> int:
    """A time as it is stored. What comes from outside may be any number; beyond the calendar it is its end."""
    return round(min(max(seconds, 0.0), _LAST_SECOND) * 1000) if math.isfinite(seconds) else 0


def _free_id(db: sqlite3.Connection, now: int) -> str:
    while True:
        id_ = new_id(now)
        if db.execute("SELECT 1 FROM conversation WHERE id = ?", (id_,)).fetchone() is None:
            return id_


def _derived(chat: Chat, name: str) -> dict[str, object]:
    """The columns that follow from the value."""
    last = next((words for entry in reversed(chat.entries) if (words := entry.message.text[:_PREVIEW_READ].split())), [])
    preview = " ".join(last)[:_PREVIEW_CHARACTERS]
    return {
        "title": storable(name or chat.title),
        "preview": storable(preview),
        "persona": "" if chat.persona is None else storable(chat.persona.name),
        "messages": len(chat.entries),
        "chosen": first_of(chat),
        **_counts(chat),
    }


def _counts(chat: Chat) -> dict[str, int]:
    return {"next_id": chat.next_id, "first_kept": chat.first_kept, "examples_gone": chat.examples_gone}


def _roleplay(chat: Chat) -> Roleplay:
    return Roleplay(chat.persona, chat.user, chat.note, chat.seed, chat.collections, chat.waiting)


def _scene_differs(before: Chat, after: Chat) -> bool:
    fields = ("frame", "persona", "user", "note", "seed", "collections", "waiting")
    if all(getattr(before, field) is getattr(after, field) for field in fields):
        return False
    return before.frame != after.frame or _roleplay(before) != _roleplay(after)


def _write_scene(db: sqlite3.Connection, key: int, chat: Chat) -> None:
    columns = scene_to_json(chat.frame, _roleplay(chat))
    db.execute(
        """INSERT INTO scene VALUES (?, ?, ?)
           ON CONFLICT (conversation) DO UPDATE SET frame = excluded.frame, roleplay = excluded.roleplay""",
        (key, *columns),
    )


def _read_scene(db: sqlite3.Connection, key: int) -> tuple[Conversation, Roleplay, bool]:
    row = db.execute("SELECT frame, roleplay FROM scene WHERE conversation = ?", (key,)).fetchone()
    try:
        return from_json(row[0], Conversation), from_json(row[1], Roleplay), True
    except (ValueError, TypeError):  # TypeError: there is no row
        return Conversation(), Roleplay(), False


def _read_messages(db: sqlite3.Connection, key: int) -> Iterator[tuple[Node, bool]]:
    rows = db.execute("SELECT id, parent, chosen, role, text, rest FROM message WHERE conversation = ?", (key,))
    for id_, parent, chosen, role, text, rest in rows:
        entry, whole = from_columns(id_, role, text, rest)
        yield Node(entry, parent, chosen), whole


def _write_messages(db: sqlite3.Connection, key: int, nodes: Iterable[Node], now: int) -> None:
    rows = ((key, node.id, node.parent, node.chosen, *to_columns(node.entry), now) for node in nodes)
    db.executemany(_ADD_MESSAGE, rows)


def _everything(db: sqlite3.Connection, key: int, chat: Chat) -> Difference:
    """Where the earlier value is not at hand: all of it anew."""
    nodes = tuple(chat.nodes)
    ids = {node.id for node in nodes}
    stored = db.execute("SELECT id FROM message WHERE conversation = ?", (key,))
    return Difference(tuple(id_ for (id_,) in stored if id_ not in ids), nodes)


def _write_difference(db: sqlite3.Connection, key: int, change: Difference, after: Chat, now: int) -> None:
    db.executemany("DELETE FROM message WHERE conversation = ? AND id = ?", [(key, id_) for id_ in change.removed])
    _write_messages(db, key, change.written, now)
    moves = [(node.parent, node.chosen, key, node.id) for node in change.moved]
    db.executemany("UPDATE message SET parent = ?, chosen = ? WHERE conversation = ? AND id = ?", moves)
    used = {digest for (digest,) in db.execute("SELECT digest FROM picture_use WHERE conversation = ?", (key,))}
    if used and (change.removed or change.written):  # what went, or was there before, may have been the last to show a picture
        gone = used - _digests(_entries(after))
        db.executemany("DELETE FROM picture_use WHERE conversation = ? AND digest = ?", [(key, digest) for digest in gone])
    shown = (*(node.entry for node in change.written), *_waiting(after))
    _use_pictures(db, key, _digests(shown) - used)


def _entries(chat: Chat) -> Iterator[Entry]:
    yield from chat.entries
    yield from (node.entry for node in chat.aside.values())
    yield from _waiting(chat)


def _waiting(chat: Chat) -> Iterator[Entry]:
    yield from (Entry(each.message) for each in chat.waiting)


def _digests(entries: Iterable[Entry]) -> set[str]:
    return {part.digest for entry in entries for part in entry.message.images}


def _use_pictures(db: sqlite3.Connection, key: int, digests: set[str]) -> None:
    db.executemany("INSERT OR IGNORE INTO picture_use VALUES (?, ?)", [(key, storable(digest)) for digest in sorted(digests)])
