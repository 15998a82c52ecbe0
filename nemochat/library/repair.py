"""What is readable in a damaged database, into a library that works."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nemochat.domain.chat import Chat, Node, pictures_of
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize
from nemochat.library import earlier
from nemochat.library.codec import ROLEPLAY, as_int, as_seconds, as_text, from_columns, scene_from_json, waiting_from_json
from nemochat.library.database import DAMAGED
from nemochat.library.errors import LibraryError, NewerError, cannot, taking
from nemochat.library.ids import is_id
from nemochat.library.mending import cleaned, mended
from nemochat.library.pages import Pages, Row, Value
from nemochat.library.pictures import Pictures, is_digest, original_digest
from nemochat.library.store import Library
from nemochat.library.transfer import Arriving, adopt
from nemochat.library.values import RepairReport

_LOST_NAME = "Recovered"
# How many columns the rows of each table have had, from the first version on.
_HEAD_COLUMNS, _MESSAGE_COLUMNS, _SCENE_COLUMNS, _PICTURE_COLUMNS = (15, 17, 19), 9, (3, 4), (3, 4)


class _Head(msgspec.Struct, frozen=True):
    """A row of the table `conversation`, as far as it matters here."""

    id: str = ""
    name: str = _LOST_NAME
    model: ModelRef = ModelRef()
    created: float = 0.0
    updated: float = 0.0
    chosen: int = -1
    next_id: int = 1
    first_kept: int = 0
    examples_gone: int = 0
    archived: bool = False
    deleted: bool = False

    @classmethod
    def of(cls, values: tuple[Value, ...]) -> _Head:
        """Damage costs the column that it is in."""
        _, id_, _, name, _, _, _, model, _, created, updated, chosen, next_id, first_kept, gone, *rest = values
        archived, deleted, server, format_ = (*rest, *[None] * 4)[:4]
        return cls(
            id=as_text(id_) if is_id(as_text(id_)) else "",
            name=as_text(name),
            model=ModelRef(*(sanitize(as_text(each), strict=True) for each in (model, server, format_))),
            created=as_seconds(created),
            updated=as_seconds(updated),
            chosen=as_int(chosen, -1),
            next_id=max(1, as_int(next_id)),
            first_kept=as_int(first_kept),
            examples_gone=as_int(gone),
            archived=archived == 1,
            deleted=bool(as_int(deleted)),
        )


class _Message(msgspec.Struct, frozen=True):
    """A row of the table `message`. whole: more than its words could be read. is_earlier: as an earlier version had it."""

    node: Node
    stored: int
    whole: bool
    is_earlier: bool


class _Found:
    """Everything that was read, by the key of its conversation."""

    def __init__(self) -> None:
        self.heads: dict[int, _Head] = {}
        self.scenes: dict[int, tuple[Value, ...]] = {}
        self.messages: dict[int, dict[int, _Message]] = {}
        self.tags: dict[int, set[str]] = {}
        self.originals: dict[str, tuple[str, str]] = {}
        self.newer: set[int] = set()

    def take(self, row: Row) -> None:
        """Put a row where it belongs. What table it is from shows in how many columns it has, and in the first of them."""
        values = row.values
        is_row = row.rowid is not None and values[:1] == (None,)
        if row.rowid is not None and is_row and len(values) in _HEAD_COLUMNS:
            self.heads[row.rowid] = _Head.of(values)
        elif is_row and len(values) == _MESSAGE_COLUMNS:
            self._take_message(values)
        elif row.rowid is not None and is_row and len(values) in _SCENE_COLUMNS:
            self.scenes[row.rowid] = values[1:]
        elif row.rowid is not None and len(values) in _PICTURE_COLUMNS and isinstance(digest := values[0], str) and is_digest(digest):
            self.originals[digest] = as_text(values[1]), as_text(values[3]) if len(values) > 3 else digest
        elif row.rowid is None and len(values) == 2 and isinstance(key := values[0], int):
            tag = as_text(values[1])
            if isinstance(values[1], str | bytes) and not is_digest(tag):
                self.tags.setdefault(key, set()).add(tag)

    def _take_message(self, values: tuple[Value, ...]) -> None:
        _, key, id_, parent, chosen, role, text, more, stored = values
        at = as_int(id_)
        if not isinstance(key, int) or not at:
            return
        try:
            read = from_columns(at, role, sanitize(as_text(text)), more)
        except NewerError:
            self.newer.add(key)
            return
        there = self.messages.setdefault(key, {}).get(at)
        if there is None or there.stored <= as_int(stored):
            node = Node(read.entry, as_int(parent, -1), as_int(chosen, -1))
            self.messages[key][at] = _Message(node, as_int(stored), read.whole, read.is_earlier)

    def conversation(self, key: int) -> tuple[Arriving, bool]:
        """One of them put together, and whether nothing of it is missing."""
        head = self.heads.get(key)
        bare, whole = self._scene(key)
        messages = self.messages.get(key, {})
        at = max((message.stored for message in messages.values()), default=0) / 1000
        read = head or _Head(created=at, updated=at)
        bare = msgspec.structs.replace(
            bare, first_kept=read.first_kept, name=read.name, next_id=read.next_id, examples_gone=read.examples_gone
        )
        nodes = earlier.brought_up([(message.node, message.is_earlier) for message in messages.values()], self._digests)
        chat, connected = mended(nodes, read.chosen, bare)
        whole = whole and connected and head is not None and key not in self.newer and all(message.whole for message in messages.values())
        tags = tuple(sorted(self.tags.get(key, ())))
        return Arriving(read.id, cleaned(chat), read.model, read.created, read.updated, tags, read.archived), whole

    @property
    def _digests(self) -> dict[str, str]:
        """What pictures are called now, where an earlier version called them otherwise."""
        return {old: new for old, (name, _) in self.originals.items() if (new := original_digest(name)) and new != old}

    def _scene(self, key: int) -> tuple[Chat, bool]:
        frame, roleplay, waiting = (*self.scenes.get(key, (None, None)), "")[:3]
        try:
            around, role, whole = scene_from_json(frame, roleplay)
            waits, all_wait = waiting_from_json(waiting)
        except NewerError:
            return Chat(), False
        chat = Chat(frame=around, waiting=waits, **{field: getattr(role, field) for field in ROLEPLAY})
        return chat, whole and all_wait


def damaged_libraries(folder: Path) -> list[Path]:
    """The databases that were kept aside in the folder of a library, the newest last."""
    return sorted(folder.glob(f"*-{DAMAGED}-*.db"), key=lambda path: (path.stat().st_mtime, path.name))


def repair(broken: Path, into: Library) -> RepairReport:
    """Bring what is readable in `broken` and its journal into a library. The file is only read.

    A conversation that is in the library already is not stored again, and nothing in it is overwritten. Raises LibraryError.
    """
    found = _Found()
    try:
        with Pages(broken) as pages:
            for row in pages.rows():
                found.take(row)
    except OSError as error:
        raise cannot("The damaged library cannot be read from", broken, error) from error
    ids, incomplete, problems, messages = [], [], [], 0
    for key in sorted(found.heads.keys() | found.messages.keys()):
        name = found.heads[key].id if key in found.heads else f"number {key}"
        try:
            with taking(f"Conversation {name} cannot be put together"):
                arriving, whole = found.conversation(key)
                id_ = adopt(into, arriving)
        except LibraryError as error:
            problems.append(error.message)
            continue
        if id_ is None:
            continue
        if key in found.heads and found.heads[key].deleted:
            into.delete(id_)
        problems += _bring_pictures(found, arriving.chat, broken.parent, into)
        ids.append(id_)
        messages += len(found.messages.get(key, ()))
        if not whole:
            incomplete.append(id_)
    if not found.heads and not found.messages:
        raise LibraryError("Nothing in this file is a conversation.")
    return RepairReport(tuple(ids), messages, tuple(incomplete), tuple(problems))


def _bring_pictures(found: _Found, chat: Chat, folder: Path, into: Library) -> list[str]:
    """The files beside the damaged library are known to the new one. Returns what is wrong with them."""
    problems = []
    beside = Pictures(folder)
    for digest in sorted({image.digest for image in pictures_of(chat)}):
        names = [names for old, names in found.originals.items() if digest in (old, original_digest(names[0]))]
        try:
            kept = [original for each in names or [("", digest)] if (original := beside.original_named(*each)) is not None]
            if kept:
                into.put_picture(digest, kept[0])
        except LibraryError as error:
            problems.append(error.message)
    return problems
