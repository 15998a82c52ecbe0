"""What is readable in a damaged database, into a library that works."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nemochat.domain.chat import Chat, Node
from nemochat.domain.messages import Conversation, Role
from nemochat.domain.sanitize import sanitize
from nemochat.library.adopting import Arriving, adopt
from nemochat.library.codec import Roleplay, from_columns, from_json
from nemochat.library.database import DAMAGED
from nemochat.library.errors import LibraryError, cannot, taking
from nemochat.library.ids import is_id
from nemochat.library.mending import cleaned, mended
from nemochat.library.pages import Pages, Row
from nemochat.library.pictures import Pictures, is_digest
from nemochat.library.store import Library
from nemochat.library.values import RepairReport

_LOST_NAME = "Recovered"
_ROLES = tuple(Role)


class _Head(msgspec.Struct, frozen=True):
    """A row of the table `conversation`, as far as it matters here."""

    id: str
    name: str
    model: str
    created: int
    updated: int
    chosen: int
    next_id: int
    first_kept: int
    examples_gone: int
    archived: int = 0
    deleted: int = 0


class _Message(msgspec.Struct, frozen=True):
    """A row of the table `message`. whole: more than its words could be read."""

    node: Node
    stored: int
    whole: bool


class _Found:
    """Everything that was read, by the key of its conversation."""

    def __init__(self) -> None:
        self.heads: dict[int, _Head] = {}
        self.scenes: dict[int, tuple[str, str]] = {}
        self.messages: dict[int, dict[int, _Message]] = {}
        self.tags: dict[int, set[str]] = {}
        self.originals: dict[str, str] = {}

    def take(self, row: Row) -> None:
        """Put a row where it belongs. What table it is from shows in its columns."""
        match row.values:
            case (None, str(id_), int(), str(name), str(), str(), str(), str(model), int(), int(created), int(updated), *numbers) if (
                row.rowid is not None and is_id(id_) and len(numbers) in (4, 6) and all(isinstance(number, int) for number in numbers)
            ):
                rest: list[int] = [number for number in numbers if isinstance(number, int)]
                self.heads[row.rowid] = _Head(id_, name, model, created, updated, *rest)
            case (None, int(key), int(id_), int(parent), int(chosen), str(role), str(text), str(more), int(stored)) if (
                row.rowid is not None and role in _ROLES and id_ > 0
            ):
                entry, whole = from_columns(id_, role, sanitize(text), more)
                there = self.messages.setdefault(key, {}).get(id_)
                if there is None or there.stored <= stored:
                    self.messages[key][id_] = _Message(Node(entry, parent, chosen), stored, whole)
            case (None, str(frame), str(roleplay)) if row.rowid is not None:
                self.scenes[row.rowid] = frame, roleplay
            case (str(digest), str(original), int()) if row.rowid is not None and is_digest(digest):
                self.originals[digest] = original
            case (int(key), str(tag)) if row.rowid is None and not is_digest(tag):
                self.tags.setdefault(key, set()).add(tag)

    def conversation(self, key: int) -> tuple[Arriving, bool]:
        """One of them put together, and whether nothing of it is missing."""
        head = self.heads.get(key)
        frame, roleplay, whole = self._scene(key)
        messages = self.messages.get(key, {})
        at = max((message.stored for message in messages.values()), default=0)
        read = head or _Head("", _LOST_NAME, "", at, at, -1, 1, 0, 0)
        bare = Chat(
            frame=frame,
            first_kept=read.first_kept,
            name=read.name,
            next_id=read.next_id,
            persona=roleplay.persona,
            user=roleplay.user,
            note=roleplay.note,
            examples_gone=read.examples_gone,
            seed=roleplay.seed,
            collections=roleplay.collections,
        )
        chat, connected = mended([message.node for message in messages.values()], read.chosen, bare)
        whole = whole and connected and head is not None and all(message.whole for message in messages.values())
        tags = tuple(sorted(self.tags.get(key, ())))
        times = read.created / 1000, read.updated / 1000
        return Arriving(read.id, cleaned(chat), sanitize(read.model, strict=True), *times, tags, bool(read.archived)), whole

    def _scene(self, key: int) -> tuple[Conversation, Roleplay, bool]:
        frame, roleplay = self.scenes.get(key, ("", ""))
        try:
            return from_json(frame, Conversation), from_json(roleplay, Roleplay), True
        except ValueError:
            return Conversation(), Roleplay(), False


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
    digests = {part.digest for node in chat.nodes for part in node.entry.message.images}
    for digest in sorted(digests):
        try:
            png = beside.picture(digest)
            if png is not None:
                original = beside.original_named(found.originals.get(digest, ""))
                into.put_picture(digest, png, *((original.data, original.suffix) if original else ()))
        except LibraryError as error:
            problems.append(error.message)
    return problems
