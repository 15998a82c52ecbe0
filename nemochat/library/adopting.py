"""A conversation from another library, which may be here already."""

from __future__ import annotations

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.replies import ModelRef
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


def adopt(library: Library, arriving: Arriving) -> str | None:
    """Store it and return its id; None where the very same is here. Nothing is overwritten: under a taken id it becomes a copy.

    What is here but in the bin is taken out of it.
    """
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
