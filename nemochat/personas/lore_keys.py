r"""Whether a key of a lorebook entry is in a text.

A plain key is looked for as a whole word, as people mean it: ``mill`` is in "the mill's wheel" and not in "windmill" or "million". What
counts is the key's own first and last character: when it is a letter, digit or ``_``, the character beside it in the text may not be one.
Scripts that do not put spaces between words (Chinese, Japanese, Thai, ...) or that put endings right behind a word (Korean) have no such
edge: there a key is found anywhere. Case does not matter unless the entry says so, kinds of white space never do.

A key written ``/pattern/flags``, or any key of an entry with `use_regex`, is a regular expression. It comes from a stranger, so it has a
limited length, may not multiply out to a large program, and may search for `_SEARCH_SECONDS` at most; all of a scan's expressions together
have `_SCAN_SECONDS`. One that does not keep to this counts as not found and is named.
"""

from __future__ import annotations

import re
import time
import unicodedata
from functools import cache, lru_cache
from math import prod
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import regex

_SEARCH_SECONDS, _SCAN_SECONDS = 0.02, 0.3
_MAX_PATTERN, _MAX_PROGRAM = 500, 50_000
_MAX_TEXT = 200_000  # characters at the end of a message
_MAX_TRIES = 200_000  # places where a key turned out to be inside of a word, in one scan
_MIN_REPEATS = re.compile(r"\{\s*(\d{1,9})")
_WRITTEN = re.compile(r"/(.+)/([dgimsuvy]*)", re.DOTALL)
# First and last code points of scripts whose words have no edges that could be seen.
_WITHOUT_EDGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1100, 0x11FF),  # Hangul
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0xA4CF),  # Han, kana, bopomofo, Yi
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # kana
    (0x1B000, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # Han
)


class Searched(msgspec.Struct, frozen=True):
    """A text in the forms that keys are looked for in: for regular expressions, and for plain keys with and without case."""

    raw: str
    exact: str
    folded: str


def searched(text: str) -> Searched:
    """Make a text ready to be searched."""
    exact = " ".join(unicodedata.normalize("NFC", text := text[-_MAX_TEXT:]).split())
    return Searched(text, exact, exact.casefold())


class KeyReader:
    """Looks for keys during one scan, and remembers which regular expressions were no good."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self._ends = 0.0
        self._tries = 0

    def found(self, key: str, text: Searched, *, use_regex: bool, case_sensitive: bool) -> bool:
        """Whether the key is in the text."""
        written = _WRITTEN.fullmatch(key.strip())
        if written is not None or use_regex:
            return self._matches(key, written, text.raw, case_sensitive=case_sensitive)
        return self._has_words(text.exact if case_sensitive else text.folded, _plain(key, case_sensitive=case_sensitive))

    def _has_words(self, text: str, key: str) -> bool:
        place = text.find(key) if key else -1
        while place >= 0 and self._tries < _MAX_TRIES:
            self._tries += 1
            before, after = text[place - 1 : place] if place else "", text[place + len(key) : place + len(key) + 1]
            if not (before and _in_word(key[0]) and _in_word(before)) and not (after and _in_word(key[-1]) and _in_word(after)):
                return True
            place = text.find(key, place + 1)
        return False

    def _matches(self, key: str, written: re.Match[str] | None, text: str, *, case_sensitive: bool) -> bool:
        if key in self.problems or not key.strip():
            return False
        pattern, flags = (written[1], written[2]) if written is not None else (key, "" if case_sensitive else "i")
        now = time.monotonic()
        self._ends = self._ends or now + _SCAN_SECONDS
        if now >= self._ends:
            self.problems[key] = "was not tried: the regular expressions of this lorebook take too long"
            return False
        try:
            return _compiled(pattern, flags).search(text, timeout=min(_SEARCH_SECONDS, self._ends - now)) is not None
        except TimeoutError:
            self.problems[key] = "takes too long as a regular expression"
        except _BadPattern as problem:
            self.problems[key] = str(problem)
        except (MemoryError, RecursionError):
            self.problems[key] = "is too much as a regular expression"
        return False


class _BadPattern(Exception):
    """Why a key is no regular expression that may be tried, going on from the key."""


def _compiled(pattern: str, flags: str) -> regex.Pattern[str]:
    import regex

    # The library writes repeats with a least count out in full: nested ones could fill the memory before any time limit holds.
    program = len(pattern) * prod(max(1, int(least)) for least in _MIN_REPEATS.findall(pattern))
    if len(pattern) > _MAX_PATTERN or program > _MAX_PROGRAM:
        raise _BadPattern("is too long as a regular expression")
    known = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL}
    try:
        return regex.compile(pattern, sum(known[flag] for flag in set(flags) if flag in known))
    except (regex.error, RecursionError, ValueError, OverflowError, LookupError, TypeError, AttributeError):
        raise _BadPattern("is no valid regular expression") from None


@cache
def _no_edge(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _WITHOUT_EDGES)


def _in_word(character: str) -> bool:
    """Whether a character goes on a word of a script that puts spaces between words."""
    return (character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M") and not _no_edge(character)


@lru_cache(maxsize=20_000)
def _plain(key: str, *, case_sensitive: bool) -> str:
    """A key as it is looked for in the forms of a text; "" for one that says nothing."""
    exact = " ".join(unicodedata.normalize("NFC", key).split())
    return exact if case_sensitive else exact.casefold()
