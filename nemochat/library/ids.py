"""Ids of conversations: short, fit for a URL and a file name, in the order in which they were made."""

from __future__ import annotations

import re
import secrets
import sqlite3

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: nothing that is easily mistaken
_TIME_DIGITS = 9  # 45 bits of milliseconds last until the year 3084
_RANDOM_DIGITS = 4
_MARK_DIGITS = 14
_NAMELESS = "00000000000000"  # no time has so many noughts
_VALID = re.compile(f"[{_DIGITS}]{{1,32}}")


def new_id(milliseconds: int) -> str:
    """An id made now; those of one millisecond differ by chance."""
    digits = [_DIGITS[milliseconds >> 5 * place & 31] for place in reversed(range(_TIME_DIGITS))]
    return "".join(digits) + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_DIGITS))


def id_of(milliseconds: int | None, digest: bytes) -> str:
    """The id of a conversation from elsewhere, the same each time that it comes: of when it was begun, as far as that is known, and of a
    digest of 16 bytes or more of what is in it.
    """
    number = int.from_bytes(digest[:16], "big")
    mark = "".join(_DIGITS[number >> 5 * place & 31] for place in range(_MARK_DIGITS))
    return new_id(milliseconds)[:_TIME_DIGITS] + mark if milliseconds else f"z{mark}"  # no time begins with z for 1,000 years


def is_id(text: str) -> bool:
    """Whether a text could be an id or the beginning of one."""
    return _VALID.fullmatch(text) is not None


def shown_id(key: int, id_: object) -> str:
    """The id of the conversation in row `key`; where that is damaged, one by which it is found all the same."""
    return id_ if isinstance(id_, str) and is_id(id_) else f"{_NAMELESS}{key}"


def key_of(db: sqlite3.Connection, id_: str) -> int | None:
    """The row of a conversation by the id that is shown of it, None where there is none."""
    row = db.execute("SELECT key FROM conversation WHERE id = ?", (id_,)).fetchone()
    if row is None and id_.startswith(_NAMELESS) and id_.isdecimal():
        row = db.execute("SELECT key, id FROM conversation WHERE key = ?", (int(id_[len(_NAMELESS) :] or 0),)).fetchone()
        row = row if row is not None and shown_id(*row) == id_ else None
    return None if row is None else int(row[0])
