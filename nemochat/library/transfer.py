"""The whole library as one zip file, and back: a JSON file for each conversation, the pictures beside them.

What is in the bin stays behind. A file that comes in is checked like everything from outside: its texts are sanitised, its trees mended,
its pictures decoded and their digests computed anew.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from nemochat.domain.chat import Chat, Node
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, Role
from nemochat.domain.personas import AuthorNote, Persona, UserProfile
from nemochat.domain.sanitize import sanitize
from nemochat.files import exporting
from nemochat.library.adopting import Arriving, adopt
from nemochat.library.archives import MIB, Archive, open_archive
from nemochat.library.codec import from_columns, from_json, storable, to_columns, to_json
from nemochat.library.difference import first_of
from nemochat.library.errors import LibraryError, cannot, taking
from nemochat.library.mending import cleaned, mended
from nemochat.library.pictures import is_digest
from nemochat.library.store import Library
from nemochat.library.values import ImportReport, ListQuery, StoredChat
from nemochat.pixels import BadPictureError, decoded
from nemochat.reading import check_json

_MANIFEST = "nemochat-library.json"
_CONVERSATION = re.compile(r"conversations/[0-9a-z]{1,32}\.json")
_ORIGINAL = re.compile(r"(?P<hash>[0-9a-f]{64})\.(?P<suffix>[a-z0-9]{1,8})")
_MAX_JSON, _MAX_PICTURE, _MAX_ORIGINAL = 128 * MIB, 64 * MIB, 128 * MIB
_MAX_PIXELS = 1 << 25
_MAX_ID = 1 << 53


class _Manifest(msgspec.Struct, frozen=True):
    """What the file says of itself."""

    format: Literal["nemochat-library"] = "nemochat-library"
    version: Literal[1] = 1
    conversations: int = 0


class _Message(msgspec.Struct, frozen=True):
    """A message of the tree, as its row has it."""

    id: int
    parent: int
    chosen: int
    role: Role
    text: str
    rest: dict[str, Any]


class _Conversation(msgspec.Struct, frozen=True):
    """A conversation. pictures: digests, each with the file name of the original, "" for none."""

    id: str
    title: str
    name: str
    model: str
    created: float
    updated: float
    tags: tuple[str, ...]
    archived: bool
    chosen: int
    next_id: int
    first_kept: int
    examples_gone: int
    seed: int
    collections: tuple[str, ...]
    frame: Conversation
    persona: Persona | None
    user: UserProfile | None
    note: AuthorNote | None
    pictures: dict[str, str]
    messages: tuple[_Message, ...]


def export_library(library: Library, target: Path) -> int:
    """Write everything outside of the bin to a zip file, in the place of one that is there; return how many conversations it holds.

    Raises LibraryError; there is then no file, or the one that was there.
    """
    try:
        with exporting(target, replace=True) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
            return _write_all(library, file)
    except OSError as error:
        raise cannot("The library cannot be exported to", target, error) from error


def import_library(library: Library, source: Path) -> ImportReport:
    """Store what `export_library` wrote, here or elsewhere. What is here already is skipped, and nothing is overwritten.

    Raises LibraryError when the file is not such a one; what is wrong with single conversations is in the report.
    """
    added, skipped, lost, problems = [], 0, 0, []
    with open_archive(source) as archive:
        try:
            from_json(archive.read(_MANIFEST, MIB), _Manifest)
        except ValueError as error:
            raise LibraryError("This file is not an export of the library that this nemochat knows.") from error
        for name in archive.names:
            if not _CONVERSATION.fullmatch(name):
                continue
            try:
                with taking(f"{name} holds what no conversation does"):
                    read = _decode(archive.read(name, _MAX_JSON), name)
                    problems += _take_pictures(library, archive, read.pictures)
                    id_ = adopt(library, _arriving(read))
            except LibraryError as error:
                problems.append(error.message)
                lost += 1
                continue
            if id_ is None:
                skipped += 1
            else:
                added.append(id_)
    return ImportReport(tuple(added), skipped, tuple(problems), lost)


def _write_all(library: Library, file: zipfile.ZipFile) -> int:
    rows = library.conversations(ListQuery(archived=None, limit=-1))
    written: set[str] = set()
    for row in rows:
        stored = library.load(row.id)
        digests = {part.digest for node in stored.chat.nodes for part in node.entry.message.images}
        pictures = {digest: _write_picture(library, file, digest, written) for digest in sorted(digests)}
        title = stored.chat.title
        file.writestr(f"conversations/{row.id}.json", to_json(_leaving(stored, title, pictures)))
    file.writestr(_MANIFEST, to_json(_Manifest(conversations=len(rows))))
    return len(rows)


def _write_picture(library: Library, file: zipfile.ZipFile, digest: str, written: set[str]) -> str:
    """Put a picture into the file, once; return the name of its original, "" for none."""
    original = library.original(digest)
    name = "" if original is None else f"{hashlib.sha256(original.data).hexdigest()}.{original.suffix}"
    for path, data in ((f"pictures/{digest}.png", library.picture(digest)), (f"originals/{name}", original and original.data)):
        if data and path not in written:
            written.add(path)
            file.writestr(path, data, zipfile.ZIP_STORED)
    return name


def _leaving(stored: StoredChat, title: str, pictures: Mapping[str, str]) -> _Conversation:
    chat = stored.chat
    messages = []
    for node in chat.nodes:
        role, text, rest = to_columns(node.entry)
        messages.append(_Message(node.id, node.parent, node.chosen, Role(role), text, from_json(rest, dict[str, Any])))
    return _Conversation(
        stored.id,
        storable(title),
        storable(chat.name),
        stored.model,
        stored.created,
        stored.updated,
        stored.tags,
        stored.archived,
        first_of(chat),
        chat.next_id,
        chat.first_kept,
        chat.examples_gone,
        chat.seed,
        chat.collections,
        chat.frame,
        chat.persona,
        chat.user,
        chat.note,
        dict(pictures),
        tuple(messages),
    )


def _decode(data: bytes, name: str) -> _Conversation:
    try:
        check_json(data)
        return from_json(data, _Conversation)
    except ValueError as error:
        raise LibraryError(f"{name} is not a conversation ({sanitize(str(error), strict=True)}).") from error


def _arriving(read: _Conversation) -> Arriving:
    numbers = (read.chosen, read.next_id, read.first_kept, read.examples_gone)
    ids = [message.id for message in read.messages]
    if any(not 0 <= number < _MAX_ID for number in numbers) or any(not 0 < id_ < _MAX_ID for id_ in ids) or len(set(ids)) < len(ids):
        raise LibraryError(f"conversations/{sanitize(read.id, strict=True)}.json does not hold together.")
    bare = Chat(
        frame=read.frame,
        first_kept=read.first_kept,
        name=read.name,
        next_id=read.next_id,
        persona=read.persona,
        user=read.user,
        note=read.note,
        examples_gone=read.examples_gone,
        seed=read.seed,
        collections=read.collections,
    )
    nodes = []
    for message in read.messages:
        entry, _ = from_columns(message.id, message.role, message.text, to_json(message.rest))
        nodes.append(Node(entry, message.parent, message.chosen))
    chat, _ = mended(nodes, read.chosen, bare)
    model = sanitize(read.model, strict=True)
    return Arriving(read.id, cleaned(chat), model, read.created, read.updated, read.tags, read.archived)


def _take_pictures(library: Library, archive: Archive, pictures: Mapping[str, str]) -> list[str]:
    """Store the pictures of a conversation before it; return what is wrong with them."""
    problems = []
    for digest, original in pictures.items():
        if not is_digest(digest) or not archive.holds(f"pictures/{digest}.png"):
            continue
        try:
            with taking(f"pictures/{digest}.png is no picture that can be kept"):
                png = archive.read(f"pictures/{digest}.png", _MAX_PICTURE)
                if _digest_of(png) != digest:
                    raise LibraryError(f"pictures/{digest}.png is not the picture that its name says.")
                data, suffix = _original(archive, original)
                library.put_picture(digest, png, data, suffix)
        except LibraryError as error:
            problems.append(error.message)
    return problems


def _original(archive: Archive, name: str) -> tuple[bytes | None, str]:
    found = _ORIGINAL.fullmatch(name)
    if found is None or not archive.holds(f"originals/{name}"):
        return None, ""
    data = archive.read(f"originals/{name}", _MAX_ORIGINAL)
    if hashlib.sha256(data).hexdigest() != found["hash"]:
        raise LibraryError(f"originals/{name} is not the file that its name says.")
    return data, found["suffix"]


def _digest_of(png: bytes) -> str:
    """The digest of the pixels, "" for what is not a picture of a decent size."""
    try:
        with decoded(png, ("PNG",), _MAX_PIXELS) as image:
            return RgbImage.from_rgb(image.width, image.height, image.convert("RGB").tobytes()).digest
    except BadPictureError:
        return ""
