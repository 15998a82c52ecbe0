"""A conversation from another library, which may be here already."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.replies import ModelRef
from nemochat.library.errors import ConflictError
from nemochat.library.ids import is_id
from nemochat.library.mending import cleaned
from nemochat.library.store import Library


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
