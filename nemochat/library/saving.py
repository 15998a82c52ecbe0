"""One conversation into its rows and out of them, within a transaction of the caller: only what has changed is written."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from operator import is_

import msgspec

from nemochat.domain.chat import Chat, Entry, Node, pictures_of
from nemochat.domain.replies import ModelRef
from nemochat.library import earlier
from nemochat.library.codec import (
    LAST_SECOND,
    ROLEPLAY,
    Roleplay,
    as_int,
    as_seconds,
    as_text,
    from_columns,
    scene_from_json,
    scene_to_json,
    storable,
    to_columns,
    waiting_from_json,
    waiting_to_json,
)
from nemochat.library.errors import ConflictError, LibraryError
from nemochat.library.ids import key_of, new_id
from nemochat.library.mending import mended
from nemochat.library.values import Saved, StoredChat


class Difference(msgspec.Struct, frozen=True):
    """removed: ids. written: new messages and those with other content. moved: those that only go on from or with another one."""

    removed: tuple[int, ...] = ()
    written: tuple[Node, ...] = ()
    moved: tuple[Node, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.written or self.moved)


def difference(before: Chat, after: Chat) -> Difference:
    """By identity first: of a long conversation only the neighbourhood of what has changed is looked at closely."""
    old, new = before.entries, after.entries
    head = _common(old, new)
    tail = _common(old[:head - 1 if head else None:-1], new[:head - 1 if head else None:-1])
    was = _path(old, head, tail)
    now = _path(new, head, tail)
    if before.aside is not after.aside:
        was.update((id_, node) for id_, node in before.aside.items() if after.aside.get(id_) is not node)
        now.update((id_, node) for id_, node in after.aside.items() if before.aside.get(id_) is not node)
    written, moved = [], []
    for id_, node in now.items():
        earlier = was.get(id_)
        if earlier is None or (earlier.entry is not node.entry and earlier.entry != node.entry):
            written.append(node)
        elif (earlier.parent, earlier.chosen) != (node.parent, node.chosen):
            moved.append(node)
    return Difference(tuple(id_ for id_ in was if id_ not in now), tuple(written), tuple(moved))


def first_of(chat: Chat) -> int:
    """Id of the message that the path begins with, 0 for none."""
    return chat.entries[0].id if chat.entries else 0


def _common(one: tuple[Entry, ...], other: tuple[Entry, ...]) -> int:
    """How many they begin with that are the very same."""
    same = list(map(is_, one, other))
    return same.index(False) if False in same else len(same)


def _path(entries: tuple[Entry, ...], head: int, tail: int) -> dict[int, Node]:
    """The part of a path whose nodes may differ: between the common ends, and the neighbours of that part."""
    start, stop = max(0, head - 1), min(len(entries), len(entries) - tail + 1)
    nodes: Mapping[int, Node] = {
        entries[index].id: Node(
            entries[index],
            entries[index - 1].id if index else 0,
            entries[index + 1].id if index + 1 < len(entries) else 0,
        )
        for index in range(start, stop)
    }
    return dict(nodes)


_PREVIEW_CHARACTERS = 160
_PREVIEW_READ = 1000

_ADD_MESSAGE = """
    INSERT INTO message (conversation, id, parent, chosen, role, text, rest, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (conversation, id) DO UPDATE SET parent = excluded.parent, chosen = excluded.chosen, role = excluded.role,
        text = excluded.text, rest = excluded.rest, stored = excluded.stored
"""


_MODEL = "model, server, format"


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a conversation beside its value. Times are milliseconds since 1970; 0 for `deleted` is not."""

    model: ModelRef
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
        **_model(around.model),
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
    _use_pictures(db, key, _digests(chat))
    db.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", [(key, storable(tag)) for tag in around.tags])
    return Saved(id_, 1)


def save(db: sqlite3.Connection, at: Saved, before: Chat | None, after: Chat, model: ModelRef, now: int) -> Saved:
    """Store what has changed since version `at.version`, which `before` is; None where that is not at hand. Raises ConflictError.

    The name is written only when it has changed, so that a title given elsewhere meanwhile stays.
    A change brings a deleted conversation back.
    """
    key = key_of(db, at.id)
    row = None if key is None else db.execute(f"SELECT version, name, {_MODEL} FROM conversation WHERE key = ?", (key,)).fetchone()  # noqa: S608
    if key is None or row is None:
        raise ConflictError("This conversation is no longer in the library.", "It is stored again as a new one.")
    version, name, stored_model = as_int(row[0]), as_text(row[1]), _read_model(row[2:])
    if version != at.version:
        raise ConflictError("Another program has changed this conversation.", "What you see is stored as a copy.")
    renamed = before is None or before.name != after.name
    name = storable(after.name) if renamed else name
    change = _everything(db, key, after) if before is None else difference(before, after)
    scene = before is None or _scene_differs(before, after)
    queued = before is None or before.waiting != after.waiting
    spoken = bool(change) or queued or before is None or first_of(before) != first_of(after)
    counted = before is None or _counts(before) != _counts(after)
    if not (spoken or scene or renamed or counted or stored_model != model):
        return at
    columns: dict[str, object] = {"version": version + 1, "name": name, **_model(model), "deleted": 0, **_derived(after, name)}
    if spoken:
        columns["updated"] = now
    settings = ", ".join(f"{column} = :{column}" for column in columns)
    statement = f"UPDATE conversation SET {settings} WHERE key = :key"  # noqa: S608
    db.execute(statement, {**columns, "key": key})
    if scene:
        _write_scene(db, key, after)
    elif queued:
        db.execute("UPDATE scene SET waiting = ? WHERE conversation = ?", (waiting_to_json(after.waiting), key))
    _write_difference(db, key, change, after, now)
    return Saved(at.id, version + 1)


def put_back(
    db: sqlite3.Connection, key: int, id_: str, stored: StoredChat, around: Circumstances, times: Mapping[int, int]
) -> None:
    """Write a conversation over its row, whose messages and tags have gone. times: when each message was stored."""
    chat = stored.chat
    row: dict[str, object] = {
        "id": id_,
        "version": stored.version + 1,
        "name": storable(chat.name),
        **_model(around.model),
        "created": around.created,
        "updated": around.updated,
        "archived": around.archived,
        "deleted": around.deleted,
        **_derived(chat, chat.name),
    }
    settings = ", ".join(f"{column} = :{column}" for column in row)
    db.execute(f"UPDATE conversation SET {settings} WHERE key = :key", {**row, "key": key})  # noqa: S608
    _write_scene(db, key, chat)
    for node in chat.nodes:
        _write_messages(db, key, [node], times.get(node.id, around.updated))
    _use_pictures(db, key, _digests(chat))
    db.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", [(key, storable(tag)) for tag in around.tags])


def load(db: sqlite3.Connection, id_: str) -> StoredChat:
    """The conversation with this id, as far as it can be read. Raises LibraryError, and NewerError for one of a newer nemochat."""
    key = key_of(db, id_)
    if key is None:
        raise LibraryError("This conversation is not in the library.", "`nemochat search` finds the others.")
    row = db.execute(
        f"""SELECT version, name, archived, deleted, created, updated, chosen, next_id, first_kept, examples_gone, {_MODEL}
            FROM conversation WHERE key = ?""",  # noqa: S608
        (key,),
    ).fetchone()
    version, archived, deleted, chosen, next_id, first_kept, examples_gone = (as_int(row[at]) for at in (0, 2, 3, 6, 7, 8, 9))
    bare, damaged = _read_scene(db, key)
    bare = msgspec.structs.replace(bare, name=as_text(row[1]), next_id=max(1, next_id), first_kept=first_kept, examples_gone=examples_gone)
    nodes, lost = read_messages(db, key)
    chat, whole = mended(nodes, chosen, bare)
    tags = tuple(sorted(as_text(tag) for (tag,) in db.execute("SELECT name FROM tag WHERE conversation = ?", (key,))))
    damaged += lost + (not whole)
    created, updated = as_seconds(row[4]), as_seconds(row[5])
    return StoredChat(id_, version, chat, _read_model(row[10:]), tags, bool(archived), bool(deleted), created, updated, damaged)


def milliseconds(seconds: float) -> int:
    """A time as it is stored. What comes from outside may be any number; beyond the calendar it is its end."""
    return round(min(max(seconds, 0.0), LAST_SECOND) * 1000) if math.isfinite(seconds) else 0


def _free_id(db: sqlite3.Connection, now: int) -> str:
    while True:
        id_ = new_id(now)
        if db.execute("SELECT 1 FROM conversation WHERE id = ?", (id_,)).fetchone() is None:
            return id_


def _derived(chat: Chat, name: str) -> dict[str, object]:
    """The columns that follow from the value."""
    messages = [*(entry.message for entry in chat.entries), *(each.message for each in chat.waiting)]
    last = next((words for message in reversed(messages) if (words := message.text[:_PREVIEW_READ].split())), [])
    preview = " ".join(last)[:_PREVIEW_CHARACTERS]
    return {
        "title": storable(name or chat.title),
        "preview": storable(preview),
        "persona": storable(chat.cast),
        "messages": len(messages),
        "chosen": first_of(chat),
        **_counts(chat),
    }


def _counts(chat: Chat) -> dict[str, int]:
    return {"next_id": chat.next_id, "first_kept": chat.first_kept, "examples_gone": chat.examples_gone}


def _roleplay(chat: Chat) -> Roleplay:
    return Roleplay(**{field: getattr(chat, field) for field in ROLEPLAY})


def _scene_differs(before: Chat, after: Chat) -> bool:
    if all(getattr(before, field) is getattr(after, field) for field in ("frame", *ROLEPLAY)):
        return False
    return before.frame != after.frame or _roleplay(before) != _roleplay(after)


def _write_scene(db: sqlite3.Connection, key: int, chat: Chat) -> None:
    columns = (*scene_to_json(chat.frame, _roleplay(chat)), waiting_to_json(chat.waiting))
    db.execute(
        """INSERT INTO scene (conversation, frame, roleplay, waiting) VALUES (?, ?, ?, ?)
           ON CONFLICT (conversation) DO UPDATE SET frame = excluded.frame, roleplay = excluded.roleplay, waiting = excluded.waiting""",
        (key, *columns),
    )


def _read_scene(db: sqlite3.Connection, key: int) -> tuple[Chat, int]:
    """A chat without messages, and how much of what is around them could not be read."""
    row = db.execute("SELECT frame, roleplay, waiting FROM scene WHERE conversation = ?", (key,)).fetchone() or (None, None, None)
    frame, roleplay, whole = scene_from_json(*row[:2])
    waiting, all_waits = waiting_from_json(row[2])
    chat = Chat(frame=frame, waiting=waiting, **{field: getattr(roleplay, field) for field in ROLEPLAY})
    return chat, (not whole) + (not all_waits)


def read_messages(db: sqlite3.Connection, key: object) -> tuple[list[Node], int]:
    """The messages of a conversation, and how many have their words alone, or are lost because nothing says which they are."""
    rows = db.execute("SELECT id, parent, chosen, role, text, rest FROM message WHERE conversation IS ? ORDER BY key", (key,))
    nodes: dict[int, tuple[Node, bool]] = {}
    damaged = 0
    for raw, parent, chosen, role, text, rest in rows:
        read = from_columns(id_ := as_int(raw), role, text, rest)
        damaged += not read.whole or id_ == 0 or id_ in nodes
        if id_:
            nodes.setdefault(id_, (Node(read.entry, as_int(parent, -1), as_int(chosen, -1)), read.is_earlier))
    if any(is_earlier for _, is_earlier in nodes.values()):
        return earlier.brought_up(nodes.values(), {}), damaged
    return [node for node, _ in nodes.values()], damaged


def _write_messages(db: sqlite3.Connection, key: int, nodes: Iterable[Node], now: int) -> None:
    rows = ((key, node.id, node.parent, node.chosen, *to_columns(node.entry), now) for node in nodes)
    db.executemany(_ADD_MESSAGE, rows)


def _everything(db: sqlite3.Connection, key: int, chat: Chat) -> Difference:
    """Where the earlier value is not at hand: all of it anew. Raises NewerError rather than to write over what it cannot read."""
    read_messages(db, key)
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
    if used:  # what went, or was there before, may have been the last to show a picture
        gone = used - _digests(after)
        db.executemany("DELETE FROM picture_use WHERE conversation = ? AND digest = ?", [(key, digest) for digest in gone])
    shown = {image.digest for node in change.written for image in node.entry.message.images}
    waiting = {image.digest for each in after.waiting for image in each.message.images}
    _use_pictures(db, key, (shown | waiting) - used)


def _digests(chat: Chat) -> set[str]:
    """Of every picture of a conversation, those that wait among them."""
    return {image.digest for image in pictures_of(chat)}


def _model(model: ModelRef) -> dict[str, object]:
    return {"model": storable(model.name), "server": storable(model.server), "format": storable(model.format)}


def _read_model(columns: Sequence[object]) -> ModelRef:
    return ModelRef(*map(as_text, columns))


def _use_pictures(db: sqlite3.Connection, key: int, digests: set[str]) -> None:
    db.executemany("INSERT OR IGNORE INTO picture_use VALUES (?, ?)", [(key, storable(digest)) for digest in sorted(digests)])
