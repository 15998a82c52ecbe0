"""Full-text search. What a user types is words and phrases, never the query language of FTS5."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from nemochat.domain.library import Hit, SearchFilters
from nemochat.domain.messages import Role
from nemochat.domain.sanitize import sanitize
from nemochat.library.codec import as_int, as_seconds, as_text, storable
from nemochat.library.ids import shown_id
from nemochat.library.saving import milliseconds

_MAX_WORDS = 32
_ROLES = tuple(Role)
_TITLE_SHARE = 4
_IDEOGRAPHS = "\u2e80"  # from here on, one character may be a word
_OPEN, _CLOSE = "\x02", "\x03"  # around what matched; no stored text has them: sanitised where it came in
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}?|{_CLOSE}")
_WORD = re.compile(r'"(?P<phrase>[^"]*)(?:"|$)|(?P<word>[^\s"]+)')

_TITLES = """
    SELECT c.key, c.id, 0, c.title, 'user', c.updated, highlight(title_index, 0, char(2), char(3))
    FROM title_index CROSS JOIN conversation AS c ON c.key = title_index.rowid
    WHERE title_index MATCH ? AND c.name <> ''
"""
_MESSAGES = """
    SELECT c.key, c.id, m.id, c.title, m.role, m.stored, snippet(message_index, 0, char(2), char(3), '…', 24)
    FROM message_index CROSS JOIN message AS m ON m.key = message_index.rowid CROSS JOIN conversation AS c ON c.key = m.conversation
    WHERE message_index MATCH ?
"""


def search(db: sqlite3.Connection, words: str, filters: SearchFilters, limit: int) -> list[Hit]:
    """Messages and given titles that hold all the words; a few titles first, each newest first. No words find nothing.

    A title that nobody gave is the beginning of a message, which is found itself.
    """
    match = to_match(words)
    if not match:
        return []
    hits: list[Hit] = []
    for statement, index, written, most in (
        (_TITLES, "title_index", "c.updated", -(-limit // _TITLE_SHARE)),
        (_MESSAGES, "message_index", "m.stored", limit),
    ):
        conditions, values = _narrowing(filters, written)
        whole = f"{statement} AND {' AND '.join(conditions)} ORDER BY {index}.rowid DESC LIMIT ?"
        hits.extend(_hit(row) for row in db.execute(whole, (match, *values, most - len(hits))))
    return hits


def to_match(words: str) -> str:
    """The query for FTS5: every word as a string, a last one that may be unfinished as the beginning of a word.

    A single letter is not: it begins too many words to be quick, and says too little.
    """
    words = sanitize(storable(words))
    terms = []
    for part in list(_WORD.finditer(words))[:_MAX_WORDS]:
        text = part["word"] or part["phrase"] or ""
        if not any(character.isalnum() for character in text):
            continue  # nothing that the index knows
        unfinished = part["word"] is not None and part.end() == len(words) and (len(text) > 1 or text >= _IDEOGRAPHS)
        terms.append(f'"{text}"{"*" if unfinished else ""}')
    return " AND ".join(terms)


def _narrowing(filters: SearchFilters, written: str) -> tuple[list[str], list[object]]:
    conditions, values = ["(c.deleted <= 0 OR typeof(c.deleted) = 'null')"], list[object]()
    if filters.persona:
        conditions.append("c.persona = ?")
        values.append(storable(filters.persona))
    if filters.model:
        conditions.append("CASE c.server WHEN '' THEN c.model ELSE c.server || '/' || c.model END = ?")
        values.append(storable(filters.model))
    if filters.since is not None:
        conditions.append(f"{written} >= ?")
        values.append(milliseconds(filters.since))
    if filters.until is not None:
        conditions.append(f"{written} < ?")
        values.append(milliseconds(filters.until))
    if filters.has_picture is not None:
        conditions.append("EXISTS (SELECT 1 FROM picture_use WHERE conversation = c.key) = ?")
        values.append(filters.has_picture)
    return conditions, values


def _hit(row: Any) -> Hit:
    key, conversation, node, title, role, written, marked = row
    snippet, spans = unmarked(as_text(marked))
    who = Role(role) if role in _ROLES else Role.ASSISTANT
    return Hit(shown_id(key, conversation), as_int(node), as_text(title), who, as_seconds(written), snippet, spans)


def unmarked(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """One line without the marks, and where they were."""
    text, spans, at = "", [], 0
    for found in _MARKED.finditer(marked):
        text += sanitize(marked[at : found.start()], strict=True)
        inside = sanitize(found[1] or "", strict=True)
        if inside:
            spans.append((len(text), len(text) + len(inside)))
        text += inside
        at = found.end()
    return text + sanitize(marked[at:], strict=True), tuple(spans)
