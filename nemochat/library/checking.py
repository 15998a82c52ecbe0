"""Damage in what the rows say, which SQLite knows nothing of: what is found, and how it is mended in place.

Everything that reads rows takes damage as it comes (see `nemochat.library.codec`), so a library can be used with it; a message may then
have lost its words, or a conversation its dates. What is mended is what can be read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.replies import ModelRef
from nemochat.library import saving
from nemochat.library.codec import as_int, as_text, from_columns, scene_from_json, waiting_from_json
from nemochat.library.errors import NewerError
from nemochat.library.ids import is_id, new_id, shown_id
from nemochat.library.mending import mended
from nemochat.library.pictures import is_digest
from nemochat.library.saving import Circumstances
from nemochat.library.values import StoredChat

_LOST_NAME = "Recovered"
_Columns = dict[str, tuple[str, ...]]
_TEXTS: _Columns = {
    "conversation": ("id", "name", "title", "preview", "persona", "model", "server", "format"),
    "scene": ("frame", "roleplay", "waiting"),
    "message": ("role", "text", "rest"),
    "tag": ("name",),
    "picture_use": ("digest",),
    "picture": ("digest", "original", "png"),
}
_NUMBERS: _Columns = {
    "conversation": (
        *("version", "messages", "created", "updated", "chosen", "next_id", "first_kept", "examples_gone"),
        *("archived", "deleted"),
    ),
    "scene": ("conversation",),
    "message": ("conversation", "id", "parent", "chosen", "stored"),
    "tag": ("conversation",),
    "picture_use": ("conversation",),
    "picture": ("stored",),
}
_ROWS = {
    "conversation": "Conversation {conversation}",
    "scene": "What is around the messages of conversation {conversation}",
    "message": "Message {id} of conversation {conversation}",
    "tag": "A tag of conversation {conversation}",
    "picture_use": "A picture of conversation {conversation}",
    "picture": "A picture",
}
_NAMED: dict[str, Callable[[str], bool]] = {"conversation": is_id, "picture": is_digest}
"""What the first column of a row has to be."""


class Problem(msgspec.Struct, frozen=True):
    """Something that is damaged. conversation: the row that it belongs to, None for none."""

    conversation: int | None
    sentence: str


def problems(db: sqlite3.Connection) -> Iterator[Problem]:
    """All damage in the rows."""
    names = {key: shown_id(key, id_) for key, id_ in db.execute("SELECT key, id FROM conversation").fetchall()}
    for table in _TEXTS:
        yield from _values(db, table, names)
    for key, name in names.items():
        for sentence in _conversation(db, key):
            yield Problem(key, f"Conversation {name}: {sentence}")


def mend(db: sqlite3.Connection, now: int) -> tuple[int, int]:
    """Write what can be read in the place of what is damaged; return of how many conversations, and how many of them are new here: those
    of messages that had lost theirs. What is of a newer nemochat stays as it is."""
    damaged = {problem.conversation for problem in problems(db)}
    keys = {key: shown_id(key, id_) for key, id_ in db.execute("SELECT key, id FROM conversation").fetchall()}
    found = 0
    for key in sorted(keys.keys() & damaged):
        try:
            _rewrite(db, key, saving.load(db, keys[key]), now)
        except NewerError:
            continue
        found += 1
    strays = [key for (key,) in db.execute("SELECT DISTINCT conversation FROM message").fetchall() if key not in keys]
    made = sum(_gather(db, stray, now) for stray in strays)
    for table in ("scene", "tag", "picture_use"):
        db.execute(f"DELETE FROM {table} WHERE conversation IS NULL OR conversation NOT IN (SELECT key FROM conversation)")  # noqa: S608
    for row, digest, original, stored, png in db.execute("SELECT rowid, digest, original, stored, png FROM picture").fetchall():
        if is_digest(as_text(digest)):
            columns = (as_text(digest), as_text(original), as_int(stored), as_text(png), row)
            db.execute("UPDATE picture SET digest = ?, original = ?, stored = ?, png = ? WHERE rowid = ?", columns)
        else:
            db.execute("DELETE FROM picture WHERE rowid = ?", (row,))
    return found, made


def _values(db: sqlite3.Connection, table: str, names: dict[int, str]) -> Iterator[Problem]:
    """Columns that hold what the library never writes there."""
    texts, numbers = _TEXTS[table], _NUMBERS[table]
    of = "key" if table == "conversation" else "''" if table == "picture" else "conversation"
    which = "id" if table == "message" else "''"
    columns = ", ".join([*(f"typeof({name}), CAST({name} AS BLOB)" for name in texts), *numbers])
    for key, id_, *values in db.execute(f"SELECT {of}, {which}, {columns} FROM {table}"):  # noqa: S608
        pairs = zip(values[: 2 * len(texts) : 2], values[1 : 2 * len(texts) : 2], strict=True)
        wrong = [name for name, (kind, data) in zip(texts, pairs, strict=True) if kind != "text" or not _is_utf8(data)]
        wrong += [name for name, value in zip(numbers, values[2 * len(texts) :], strict=True) if as_int(value, -1) < 0]
        wrong += [] if wrong or table not in _NAMED or _NAMED[table](as_text(values[1])) else texts[:1]
        conversation = names.get(key) if isinstance(key, int) else None
        if conversation is None and table != "picture" and not wrong:
            wrong = ["conversation"]
        what = _ROWS[table].format(id=as_text(id_), conversation=conversation or "that is gone")
        yield from (Problem(key if conversation else None, f"{what}: its {name} is damaged.") for name in wrong)


def _conversation(db: sqlite3.Connection, key: int) -> Iterator[str]:
    """What is wrong with the JSON of a conversation, and with how its messages hang together."""
    scene = db.execute("SELECT frame, roleplay, waiting FROM scene WHERE conversation = ?", (key,)).fetchone() or (None, None, None)
    try:
        if not scene_from_json(*scene[:2])[2] or not waiting_from_json(scene[2])[1]:
            yield "what is around its messages cannot be read."
        for id_, role, text, rest in db.execute("SELECT id, role, text, rest FROM message WHERE conversation = ?", (key,)):
            if not from_columns(as_int(id_), role, text, rest).whole:
                yield f"of message {as_text(id_)} the words alone can be read."
        nodes, _ = saving.read_messages(db, key)
    except NewerError:  # which is no damage
        return
    (chosen,) = db.execute("SELECT chosen FROM conversation WHERE key = ?", (key,)).fetchone()
    if not mended(nodes, as_int(chosen, -1), Chat())[1]:
        yield "its messages do not hang together."


def _gather(db: sqlite3.Connection, stray: object, now: int) -> bool:
    """Make a conversation of messages that have lost theirs; whether there was anything to be read in them."""
    try:
        nodes, _ = saving.read_messages(db, stray)
    except NewerError:
        return False
    if nodes:
        chat, _ = mended(nodes, -1, Chat(name=_LOST_NAME))
        saving.create(db, chat, Circumstances(model=ModelRef(), created=now, updated=now))
    db.execute("DELETE FROM message WHERE conversation IS ?", (stray,))
    return bool(nodes)


def _rewrite(db: sqlite3.Connection, key: int, stored: StoredChat, now: int) -> None:
    times = {as_int(id_): as_int(at) for id_, at in db.execute("SELECT id, stored FROM message WHERE conversation = ?", (key,))}
    id_ = stored.id if db.execute("SELECT 1 FROM conversation WHERE id = ?", (stored.id,)).fetchone() else new_id(now)
    db.execute("DELETE FROM message WHERE conversation = ?", (key,))
    db.execute("DELETE FROM tag WHERE conversation = ?", (key,))
    db.execute("DELETE FROM picture_use WHERE conversation = ?", (key,))
    created, updated = saving.milliseconds(stored.created), saving.milliseconds(stored.updated)
    around = Circumstances(
        model=stored.model,
        created=created or updated,
        updated=updated or created,
        tags=stored.tags,
        archived=stored.archived,
        deleted=updated if stored.deleted else 0,
    )
    saving.put_back(db, key, id_, stored, around, times)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
