"""What version 0.1 stored, made what is stored today.

It had one text for all results of a reply's calls, calls without ids, and pictures by the pixels that one model got. One row does not say
enough for that: a result is told by the message before it, so whole conversations are brought up to date.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from nemochat.domain.chat import Entry, Node, split_results
from nemochat.domain.messages import ImagePart, Message, Part, Role, TextPart, ToolCall, ToolCallPart, ToolResultPart, with_call_ids
from nemochat.domain.replies import ReplyRecord
from nemochat.library.codec import ReadEntry, as_int, as_text, from_columns, scene_from_json, scene_to_json, to_columns
from nemochat.library.pictures import original_digest

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def brought_up(nodes: Iterable[tuple[Node, bool]], digests: Mapping[str, str]) -> list[Node]:
    """The messages of a conversation, each with whether it is as an earlier version had it. digests: of pictures, by what they were."""
    given = [(_called(node) if is_earlier else node, is_earlier) for node, is_earlier in nodes]
    parents = {node.id: node.entry.message for node, _ in given}
    return [_brought_up(node, parents.get(node.parent), digests) if is_earlier else node for node, is_earlier in given]


def rewrite(db: sqlite3.Connection) -> None:
    """All rows of a library, within the transaction of the migration. What cannot be read stays as it is."""
    digests = _rename_pictures(db)
    for (key,) in db.execute("SELECT key FROM conversation").fetchall():
        _rewrite_scene(db, key)
        rows = db.execute("SELECT key, id, parent, chosen, role, text, rest FROM message WHERE conversation = ?", (key,)).fetchall()
        read: list[tuple[int, Node, ReadEntry]] = []
        for row, id_, parent, chosen, role, text, rest in rows:
            one = from_columns(as_int(id_), role, text, rest)
            if one.whole and as_int(id_) and not _is_damaged(db, row, text, rest):
                read.append((row, Node(one.entry, as_int(parent), as_int(chosen)), one))
        nodes = brought_up([(node, one.is_earlier) for _, node, one in read], digests)
        columns = [(*to_columns(node.entry), row) for node, (row, _, _) in zip(nodes, read, strict=True)]
        db.executemany("UPDATE message SET role = ?, text = ?, rest = ? WHERE key = ?", columns)


def _is_damaged(db: sqlite3.Connection, row: int, *texts: str) -> bool:
    """Whether bytes of a message are no text, which reads as replacement characters. It stays as it is, so that it can be found."""
    if not any(_REPLACEMENT in text for text in texts):
        return False
    blobs = db.execute("SELECT CAST(text AS BLOB), CAST(rest AS BLOB) FROM message WHERE key = ?", (row,)).fetchone()
    return tuple(texts) != tuple(blob.decode(errors="surrogateescape") for blob in blobs)


def _rewrite_scene(db: sqlite3.Connection, key: int) -> None:
    row = db.execute("SELECT frame, roleplay FROM scene WHERE conversation = ?", (key,)).fetchone()
    if row is None:
        return
    frame, roleplay, whole = scene_from_json(*row)
    if whole:
        db.execute("UPDATE scene SET frame = ?, roleplay = ? WHERE conversation = ?", (*scene_to_json(frame, roleplay), key))


def _rename_pictures(db: sqlite3.Connection) -> dict[str, str]:
    """Call pictures by the files that they came from, and say how they were called. Without such a file the pixels are what there is."""
    digests: dict[str, str] = {}
    for row, before, original, stored in db.execute("SELECT rowid, digest, original, stored FROM picture").fetchall():
        old, name = as_text(before), as_text(original)
        new = original_digest(name) or old
        db.execute("DELETE FROM picture WHERE rowid = ?", (row,))
        db.execute("INSERT OR IGNORE INTO picture VALUES (?, ?, ?, ?)", (new, name if new != old else "", as_int(stored), old))
        if new != old:
            digests[old] = new
            db.execute("UPDATE OR IGNORE picture_use SET digest = ? WHERE digest = ?", (new, old))
            db.execute("DELETE FROM picture_use WHERE digest = ?", (old,))
    return digests


def _called(node: Node) -> Node:
    """With an id for each call."""
    message = node.entry.message
    parts = with_call_ids(message.parts, f"call_{node.id}")
    return msgspec.structs.replace(node, entry=msgspec.structs.replace(node.entry, message=msgspec.structs.replace(message, parts=parts)))


def _brought_up(node: Node, before: Message | None, digests: Mapping[str, str]) -> Node:
    entry = node.entry
    parts = tuple(_renamed(part, digests) for part in entry.message.parts)
    if entry.message.role is Role.TOOL:
        parts = _results(parts, before)
    record = entry.record
    if record is not None and (calls := [call for part in parts if isinstance(part, ToolCallPart) for call in part.calls]):
        record = msgspec.structs.replace(record, result=msgspec.structs.replace(record.result, tool_calls=tuple(calls)))
    return msgspec.structs.replace(node, entry=_with(entry, parts, record))


def _with(entry: Entry, parts: tuple[Part, ...], record: ReplyRecord | None) -> Entry:
    return msgspec.structs.replace(entry, message=msgspec.structs.replace(entry.message, parts=parts), record=record)


def _renamed(part: Part, digests: Mapping[str, str]) -> Part:
    if isinstance(part, ImagePart) and part.digest in digests:
        return msgspec.structs.replace(part, digest=digests[part.digest])
    return part


def _results(parts: tuple[Part, ...], before: Message | None) -> tuple[Part, ...]:
    """A result for each call of the message before; a call that could not be read was answered as well, the first time.

    A text of several lines for several calls does not say which is whose: the first one has it then. A picture was called by its tool.
    """
    if any(isinstance(part, ToolResultPart) for part in parts):
        return parts
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    asking = [part for part in (before.parts if before else ()) if isinstance(part, ToolCallPart)]
    asked = [call for part in asking for call in part.calls or (ToolCall("", {}),)]
    readable = [call for call in asked if call.id]
    n_lines = text.count("\n") + 1
    calls = asked if n_lines == len(asked) or not readable else readable
    results = [ToolResultPart(call.id, each) for call, each in zip(calls, split_results(text, len(calls)), strict=True)] if calls else []
    results = results or [ToolResultPart("", text)]
    for image in (part for part in parts if isinstance(part, ImagePart)):
        at = next((index for index, call in enumerate(calls) if call.name == image.name), 0)
        results[at] = msgspec.structs.replace(results[at], images=(*results[at].images, image))
    others = tuple(part for part in parts if not isinstance(part, TextPart | ImagePart))
    return (*results, *others)
