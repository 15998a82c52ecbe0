"""The whole library as one zip file, and back: a JSON file for each conversation, the pictures beside them.

What is in the bin stays behind. A file that comes in is checked like everything from outside: its texts are sanitised, its trees mended,
its pictures decoded and their digests computed anew.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from nemochat.domain.chat import Chat, Node, Reading, Waiting, pictures_of
from nemochat.domain.groups import Group
from nemochat.domain.images import Original
from nemochat.domain.messages import Conversation, Role
from nemochat.domain.personas import AuthorNote, Persona, UserProfile
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize
from nemochat.domain.summaries import Summary
from nemochat.files import exporting
from nemochat.library import earlier
from nemochat.library.archives import MIB, Archive, open_archive
from nemochat.library.codec import MAX_ID, ROLEPLAY, can_wait, from_columns, from_json, storable, to_columns, to_json
from nemochat.library.errors import ConflictError, LibraryError, NewerError, cannot, taking
from nemochat.library.ids import is_id
from nemochat.library.mending import cleaned, mended
from nemochat.library.pictures import is_digest, pixel_digest
from nemochat.library.saving import first_of
from nemochat.library.store import Library
from nemochat.library.values import ExportReport, ImportReport, ListQuery, StoredChat
from nemochat.reading import check_json
from nemochat.settings import SamplingSettings


class Arriving(msgspec.Struct, frozen=True):
    """What it was there. id: "" where that is not known."""

    id: str
    chat: Chat
    model: ModelRef
    created: float
    updated: float
    tags: tuple[str, ...]
    archived: bool


def adopt(library: Library, arriving: Arriving, follows: int = 0) -> str | None:
    """Store it and return its id; None where the very same is here. Nothing is overwritten: under a taken id it becomes a copy.

    What is here but in the bin is taken out of it. follows: the version of which it is the next one, 0 for none: it takes its place.
    """
    if follows and is_id(arriving.id):
        with suppress(ConflictError):
            return library.save(arriving.id, follows, None, arriving.chat, model=arriving.model).id
    id_: str | None = arriving.id if is_id(arriving.id) else None
    if id_ is not None and library.holds(id_):
        here = library.load(id_)
        if cleaned(here.chat) == cleaned(arriving.chat):
            if not here.deleted:
                return None
            library.restore(id_)
            return id_
        id_ = None
    return library.add(
        arriving.chat,
        model=arriving.model,
        created=arriving.created,
        updated=arriving.updated,
        tags=arriving.tags,
        archived=arriving.archived,
        id=id_,
    ).id


_MANIFEST = "nemochat-library.json"
_CONVERSATION = re.compile(r"conversations/[0-9a-z]{1,32}\.json")
_ORIGINAL = re.compile(r"(?P<hash>[0-9a-f]{64})\.(?P<suffix>[a-z0-9]{1,8})")
_MAX_JSON, _MAX_PICTURE, _MAX_ORIGINAL = 128 * MIB, 64 * MIB, 128 * MIB
VERSION = 3
"""Of the file; raised with every change that an earlier program would misread. Earlier ones are read as well."""


class _Manifest(msgspec.Struct, frozen=True):
    """What the file says of itself."""

    format: Literal["nemochat-library"] = "nemochat-library"
    version: int = VERSION
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
    """A conversation. pictures: digests, each with its file's name, "" where that is not there. In version 1 the digest was of the pixels
    under ``pictures/``, and the model a name alone."""

    id: str
    title: str
    name: str
    model: ModelRef | str
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
    waiting: tuple[Waiting, ...] = ()
    sampling: SamplingSettings | None = None
    group: Group | None = None
    variables: dict[str, str] = {}
    readings: dict[str, Reading] = {}
    lorebooks: tuple[str, ...] = ()
    summaries: tuple[Summary, ...] = ()
    remembered: tuple[str, ...] = ()


def export_library(library: Library, target: Path) -> ExportReport:
    """Write everything outside of the bin to a zip file, in the place of one that is there.

    Raises LibraryError; there is then no file, or the one that was there.
    """
    try:
        with exporting(target, replace=True) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
            return _write_all(library, file)
    except OSError as error:
        raise cannot("The library cannot be exported to", target, error) from error


def is_library(archive: Archive) -> bool:
    """Whether a zip file is what `export_library` wrote."""
    return archive.holds(_MANIFEST)


def import_library(library: Library, source: Path, follows: int = 0) -> ImportReport:
    """Store what `export_library` wrote, here or elsewhere. What is here already is skipped, and nothing is overwritten.

    follows: as in `adopt`. Raises LibraryError when the file is not such a one; what is wrong with single conversations is in the report.
    """
    added, skipped, lost, problems = [], 0, 0, []
    with open_archive(source) as archive:
        try:
            version = from_json(archive.read(_MANIFEST, MIB), _Manifest).version
        except ValueError as error:
            raise LibraryError("This file is not an export of the library that this nemochat knows.") from error
        if version > VERSION:
            raise NewerError("This export was made by a newer nemochat.", "Update nemochat to import it.")
        for name in archive.names:
            if not _CONVERSATION.fullmatch(name):
                continue
            try:
                with taking(f"{name} holds what no conversation does"):
                    read = _decode(archive.read(name, _MAX_JSON), name)
                    digests, wrong = _take_pictures(library, archive, read.pictures)
                    problems += wrong
                    id_ = adopt(library, _arriving(read, digests), follows)
            except LibraryError as error:
                problems.append(error.message)
                lost += 1
                continue
            if id_ is None:
                skipped += 1
            else:
                added.append(id_)
    return ImportReport(tuple(added), skipped, tuple(problems), lost)


def _write_all(library: Library, file: zipfile.ZipFile) -> ExportReport:
    rows = library.conversations(ListQuery(archived=None, limit=-1))
    written: set[str] = set()
    problems, count = [], 0
    for row in rows:
        try:
            stored = library.load(row.id)
        except NewerError as error:
            problems.append(f"{row.id} is left out: {error.message}")
            continue
        write_conversation(file, stored, library.original, written)
        count += 1
        if stored.damaged:
            problems.append(f"{row.id} is damaged: what can be read of it is in the file.")
    write_manifest(file, count)
    return ExportReport(count, tuple(problems))


def write_manifest(file: zipfile.ZipFile, conversations: int) -> None:
    """Say in an export what it is."""
    file.writestr(_MANIFEST, to_json(_Manifest(conversations=conversations)))


def write_conversation(file: zipfile.ZipFile, stored: StoredChat, find: Callable[[str], Original | None], written: set[str]) -> None:
    """Put a conversation into an export, with those of its pictures that `find` has and that are not `written` yet."""
    digests = sorted({image.digest for image in pictures_of(stored.chat)})
    pictures = {digest: _write_picture(file, find(digest), written) for digest in digests}
    file.writestr(f"conversations/{stored.id}.json", to_json(_leaving(stored, stored.chat.title, pictures)))


def _write_picture(file: zipfile.ZipFile, original: Original | None, written: set[str]) -> str:
    """Put a picture into the file, once; return the name of it, "" where it is not there."""
    if original is None:
        return ""
    name = f"{original.digest}.{original.suffix}"
    if name not in written:
        written.add(name)
        file.writestr(f"originals/{name}", original.data, zipfile.ZIP_STORED)
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
        frame=chat.frame,
        pictures=dict(pictures),
        messages=tuple(messages),
        waiting=chat.waiting,
        **{field: getattr(chat, field) for field in ROLEPLAY},
    )


def _decode(data: bytes, name: str) -> _Conversation:
    try:
        check_json(data)
        return from_json(data, _Conversation)
    except ValueError as error:
        raise LibraryError(f"{name} is not a conversation ({sanitize(str(error), strict=True)}).") from error


def _arriving(read: _Conversation, digests: Mapping[str, str]) -> Arriving:
    numbers = (read.chosen, read.next_id, read.first_kept, read.examples_gone)
    ids = [*(message.id for message in read.messages), *(each.id for each in read.waiting)]
    are_numbers = all(0 <= number < MAX_ID for number in numbers) and all(0 < id_ < MAX_ID for id_ in ids)
    if not are_numbers or not all(map(can_wait, read.waiting)) or len(set(ids)) < len(ids):
        raise LibraryError(f"conversations/{sanitize(read.id, strict=True)}.json does not hold together.")
    bare = Chat(
        frame=read.frame,
        first_kept=read.first_kept,
        name=read.name,
        next_id=read.next_id,
        examples_gone=read.examples_gone,
        waiting=read.waiting,
        **{field: getattr(read, field) for field in ROLEPLAY},
    )
    nodes = []
    for message in read.messages:
        one = from_columns(message.id, message.role, message.text, to_json(message.rest))
        nodes.append((Node(one.entry, message.parent, message.chosen), one.is_earlier))
    chat, _ = mended(earlier.brought_up(nodes, digests), read.chosen, bare)
    model = cleaned(ModelRef(read.model) if isinstance(read.model, str) else read.model)
    return Arriving(read.id, cleaned(chat), model, read.created, read.updated, read.tags, read.archived)


def _take_pictures(library: Library, archive: Archive, pictures: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Store the pictures of a conversation before it; return which are called otherwise now, and what is wrong with them."""
    digests: dict[str, str] = {}
    problems = []
    for digest, name in pictures.items():
        for take in (_take_original, _take_png):
            try:
                with taking(f"The picture {sanitize(digest[:16], strict=True)} is none that can be kept"):
                    taken = take(archive, digest, name)
                    if taken is not None:
                        library.put_picture(*taken)
            except LibraryError as error:
                problems.append(error.message)
                continue
            if taken is not None:
                if taken[0] != digest:
                    digests[digest] = taken[0]
                break
    return digests, problems


def _take_original(archive: Archive, digest: str, name: str) -> tuple[str, Original] | None:
    """The file as it came and the digest of the picture, None where there is none."""
    found = _ORIGINAL.fullmatch(name)
    if found is None or not is_digest(digest) or not archive.holds(f"originals/{name}"):
        return None
    original = Original(archive.read(f"originals/{name}", _MAX_ORIGINAL), found["suffix"])
    if original.digest != found["hash"]:
        raise LibraryError(f"originals/{name} is not the file that its name says.")
    is_pixels = original.digest != digest and not archive.holds(f"pictures/{digest}.png")
    if is_pixels and pixel_digest(original.data) != digest:
        raise LibraryError(f"originals/{name} is not the picture that the conversation shows.")
    return (digest if is_pixels else original.digest), original


def _take_png(archive: Archive, digest: str, name: str) -> tuple[str, Original] | None:
    """What version 1 has where there is no such file: the pixels that its model got."""
    if not is_digest(digest) or not archive.holds(f"pictures/{digest}.png"):
        return None
    png = archive.read(f"pictures/{digest}.png", _MAX_PICTURE)
    if pixel_digest(png) != digest:
        raise LibraryError(f"pictures/{digest}.png is not the picture that its name says.")
    return digest, Original(png, "png")
