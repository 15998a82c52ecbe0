"""How the replies were made, over the whole library: the figures in their records, and nothing else of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from nemochat.domain.events import Timings, Usage
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize
from nemochat.domain.ttft import Reading, ReplyRow
from nemochat.library.codec import as_int, as_seconds, as_text, from_json
from nemochat.library.database import Database
from nemochat.library.ids import shown_id
from nemochat.library.listing import KEPT
from nemochat.library.saving import milliseconds
from nemochat.library.values import ReplyQuery

PAGE = 5_000
"""Messages that are read in one transaction, so that a save in the middle of it waits no longer than for that."""
_NEWEST = (1 << 63) - 1
_PLACES = f"SELECT key, id, title FROM conversation WHERE {KEPT}"  # noqa: S608
_MESSAGES = "SELECT key, conversation, id, stored, rest FROM message WHERE {} ORDER BY key DESC LIMIT ?"


class _Result(msgspec.Struct, frozen=True, gc=False):
    """What is counted of a TurnResult; what else stands there is passed over."""

    usage: Usage
    timings: Timings
    ttft_ms: float | None
    first_thought_ms: float | None = None


class _Record(msgspec.Struct, frozen=True, gc=False):
    result: _Result
    model: ModelRef


class _Rest(msgspec.Struct, frozen=True, gc=False):
    record: _Record | None = None


def reply_rows(database: Database, query: ReplyQuery) -> list[ReplyRow]:
    """The replies with a record outside of the bin, the newest first; those of every path through the trees.

    A reply that was copied with its conversation (a fork, an import) is the same reply: it counts once, where it was made. A record that
    cannot be read is passed over.
    """
    with database.read() as db:
        places = {key: (shown_id(key, id_), sanitize(as_text(title), strict=True)) for key, id_, title in db.execute(_PLACES)}
    if query.conversation:
        places = {key: place for key, place in places.items() if place[0] == query.conversation}
    found: dict[tuple[int, Reading], ReplyRow] = {}
    models: dict[str, str] = {}
    for conversation, id_, stored, rest in _messages(database, query, places):
        record = _record(rest)
        if record is None or conversation not in places or (query.model and str(record.model) != query.model):
            continue
        name = str(record.model)
        model = models.get(name) or models.setdefault(name, sanitize(name, strict=True))
        result, is_served = record.result, bool(record.model.server)
        reading = Reading.of(result.usage, result.timings, result.ttft_ms, result.first_thought_ms, is_served=is_served)
        found.pop((id_, reading), None)  # the older one stands where it stood
        found[id_, reading] = ReplyRow(reading, model, as_seconds(stored), *places[conversation])
    return list(found.values())


def _messages(database: Database, query: ReplyQuery, places: dict[int, tuple[str, str]]) -> Iterator[tuple[int, int, object, str]]:
    """conversation, id, time and rest of each reply, the newest first."""
    conditions, values = ["key < ?", "role = 'assistant'"], list[Any]()
    if query.since is not None:
        conditions.append("stored >= ?")
        values.append(milliseconds(query.since))
    if query.conversation:
        conditions.append("conversation = ?")
        values.append(next(iter(places), 0))
    statement = _MESSAGES.format(" AND ".join(conditions))
    before = _NEWEST
    while True:
        with database.read() as db:
            rows = db.execute(statement, (before, *values, PAGE)).fetchall()
        for key, *row in rows:
            yield row[0], as_int(row[1]), row[2], as_text(row[3])
            before = key
        if len(rows) < PAGE:
            return


def _record(rest: str) -> _Record | None:
    try:
        return from_json(rest, _Rest).record
    except ValueError:
        return None
