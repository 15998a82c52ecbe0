"""Ids of conversations: short, fit for a URL and a file name, in the order in which they were made."""

from __future__ import annotations

import re
import secrets

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: nothing that is easily mistaken
_TIME_DIGITS = 9  # 45 bits of milliseconds last until the year 3084
_RANDOM_DIGITS = 4
_VALID = re.compile(f"[{_DIGITS}]{{1,32}}")


def new_id(milliseconds: int) -> str:
    """An id made now; those of one millisecond differ by chance."""
    digits = [_DIGITS[milliseconds >> 5 * place & 31] for place in reversed(range(_TIME_DIGITS))]
    return "".join(digits) + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_DIGITS))


def is_id(text: str) -> bool:
    """Whether a text could be an id or the beginning of one."""
    return _VALID.fullmatch(text) is not None
