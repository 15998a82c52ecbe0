r"""Whether a key of a lorebook entry is in a text.

A plain key is looked for as a whole word, as people mean it: ``mill`` is in "the mill's wheel" and not in "windmill" or "million". What
counts is the key's own first and last character: when it is a letter, digit or ``_``, the character beside it in the text may not be one.
Scripts that do not put spaces between words (Chinese, Japanese, Thai, ...) or that put endings right behind a word (Korean) have no such
edge: there a key is found anywhere. Case does not matter unless the entry says so, kinds of white space never do.

Plain keys are looked for all at once (`KeyIndex`), whatever their number: each is filed under one run of its letters, and a text is taken
apart into its runs. A regular expression is filed too, under a run that has to be there for it to match, where one is plain to see.

A key written ``/pattern/flags``, or any key of an entry with `use_regex`, is a regular expression. It comes from a stranger, so it has a
limited length, may not multiply out to a large program, and may search for `_SEARCH_SECONDS` at most; all of a scan's expressions together
have `_SCAN_SECONDS`. One that does not keep to this counts as not found and is named.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

import msgspec

from nemochat.reading import MAX_PATTERN, TooMuchError, expression

_SEARCH_SECONDS, _SCAN_SECONDS = 0.02, 0.3
_MAX_TEXT = 200_000  # characters at the end of a message
_MAX_TRIES = 200_000  # places where a key turned out to be inside of a word, in one scan
_RUN, _SELECTIVE = 6, 4
"""Letters of a run, and how many at least have to stand in what an expression matches for it to be filed by them."""
_MOST_RUNS = 64
_FEW = 16
"""So many times fewer runs than a text has letters are looked for one by one."""
_BARE_SLASH = re.compile(r"(?<!\\)/")
# Inline flags, conditions, verbs and code points by number: what they do to letters is not looked at.
_UNPLAIN = re.compile(r"\(\?(?![:=!<])|\(\*|\\[0-9xuUNpPcQEkgLXR]|\{[^}]*[a-z]")
_ESCAPES = re.compile(r"\\.", re.DOTALL)
_GROUPS = re.compile(r"\[[^\[\]]*\](?:[?*+]|\{\d*,?\d*\})*|\([^()\[\]]*\)(?:[?*+]|\{\d*,?\d*\})*")
_OPTIONAL = re.compile(r".(?:[?*+]|\{\d*,?\d*\})+", re.DOTALL)
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


class Needle(msgspec.Struct, frozen=True):
    """A key, ready to be looked for. text: as it stands in the forms of a text; with a `pattern` it is what has to be there for that to
    match, "" where that is not known. is_word: found only where it is no part of a longer word. key: as it was written.
    """

    key: str
    text: str
    case_sensitive: bool = False
    is_word: bool = True
    pattern: str = ""
    flags: str = ""


def needle(key: str, *, use_regex: bool, case_sensitive: bool, whole_words: bool = True) -> Needle | None:
    """A key as it is looked for; None for one that says nothing. use_regex: without slashes it is a regular expression too."""
    if not key.strip():
        return None
    written = _WRITTEN.fullmatch(key.strip())
    if written is not None and _BARE_SLASH.search(written[1]) is None:
        return Needle(key, _required(written[1]), pattern=written[1], flags="".join(sorted(set(written[2]) & {"i", "m", "s"})))
    if use_regex:
        return Needle(key, _required(key), pattern=key, flags="" if case_sensitive else "i")
    return Needle(key, _plain(key, case_sensitive=case_sensitive), case_sensitive, whole_words)


class KeyReader:
    """Looks for keys during one scan, and remembers which regular expressions were no good."""

    def __init__(self, problems: Mapping[str, str] | None = None) -> None:
        """`problems`: of keys that are known to be no good."""
        self.problems = dict(problems or {})
        self._ends = 0.0
        self._tries = 0

    def found(self, key: str, text: Searched, *, use_regex: bool, case_sensitive: bool) -> bool:
        """Whether the key is in the text."""
        wanted = needle(key, use_regex=use_regex, case_sensitive=case_sensitive)
        return wanted is not None and self.has(text, wanted)

    def has(self, text: Searched, wanted: Needle) -> bool:
        """Whether a key is in the text."""
        if wanted.pattern:
            return self._matches(wanted, text.raw)
        where = text.exact if wanted.case_sensitive else text.folded
        return self._has_word(where, wanted.text) if wanted.is_word else bool(wanted.text) and wanted.text in where

    def check(self, needles: Iterable[Needle]) -> None:
        """Name the regular expressions that are none, as far as there is time to look."""
        ends = time.monotonic() + _SCAN_SECONDS
        for each in needles:
            if each.pattern and time.monotonic() < ends:
                self._search(each, "", _SEARCH_SECONDS)

    def _has_word(self, text: str, key: str) -> bool:
        place = text.find(key) if key else -1
        while place >= 0 and self._tries < _MAX_TRIES:
            self._tries += 1
            before, after = text[place - 1 : place] if place else "", text[place + len(key) : place + len(key) + 1]
            if not (before and _in_word(key[0]) and _in_word(before)) and not (after and _in_word(key[-1]) and _in_word(after)):
                return True
            place = text.find(key, place + 1)
        return False

    def _matches(self, wanted: Needle, text: str) -> bool:
        key = wanted.key
        if key in self.problems:
            return False
        now = time.monotonic()
        self._ends = self._ends or now + _SCAN_SECONDS
        if now >= self._ends:
            self.problems[key] = "was not tried: the regular expressions of this lorebook take too long"
            return False
        return self._search(wanted, text, min(_SEARCH_SECONDS, self._ends - now))

    def _search(self, wanted: Needle, text: str, seconds: float) -> bool:
        try:
            return expression(wanted.pattern, wanted.flags).search(text, timeout=seconds) is not None
        except TimeoutError:
            self.problems[wanted.key] = "takes too long as a regular expression"
        except TooMuchError:
            self.problems[wanted.key] = "is too long as a regular expression"
        except ValueError:
            self.problems[wanted.key] = "is no valid regular expression"
        except (MemoryError, RecursionError):
            self.problems[wanted.key] = "is too much as a regular expression"
        return False


class KeyIndex:
    """Many keys, found in a text all at once."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        self._anywhere: list[Needle] = []
        self._expressions: list[Needle] = []
        known: list[tuple[str, Needle]] = []
        for each in needles:
            if each.pattern:
                self._expressions.append(each)
            if each.text:
                known.append((each.text.casefold(), each))
            elif each.pattern:
                self._anywhere.append(each)
        common = Counter(run for text, _ in known for run in _runs(text))
        self._filed: dict[int, dict[str, list[tuple[str, Needle]]]] = {}
        for text, each in known:
            rarest = min(_runs(text), key=lambda run: (common[run], run))
            self._filed.setdefault(len(rarest), {}).setdefault(rarest, []).append((text, each))

    def found(self, text: Searched, reader: KeyReader) -> set[Needle]:
        """Those of the keys that are in a text."""
        folded = text.folded
        perhaps = list(self._anywhere)
        if not unicodedata.is_normalized("NFC", text.raw):  # then letters may be others to a regular expression than they are here
            perhaps += self._expressions
        for size, filed in self._filed.items():
            if len(filed) * _FEW < len(folded):
                there = {run for run in filed if run in folded}
            else:
                there = filed.keys() & {folded[at : at + size] for at in range(len(folded) - size + 1)}
            perhaps += [each for run in there for known, each in filed[run] if known in folded]
        return {each for each in perhaps if reader.has(text, each)}


def _runs(text: str) -> set[str]:
    """The runs of letters under which a key may be filed: as long as it is, but not longer than `_RUN`, and of its beginning."""
    size = min(len(text), _RUN)
    return {text[at : at + size] for at in range(min(len(text) - size, _MOST_RUNS) + 1)} if size else set()


def _required(pattern: str) -> str:
    """Letters and digits that stand in whatever a regular expression matches, as far as that is plain to see; else "".

    Only what stands outside of all groups, sets and repetitions is looked at; with alternatives there is nothing that must be there.
    """
    if len(pattern) > MAX_PATTERN or _UNPLAIN.search(pattern):
        return ""
    outside = _GROUPS.sub("\0", _ESCAPES.sub("\0", pattern))
    while (less := _GROUPS.sub("\0", outside)) != outside:
        outside = less
    if any(mark in outside for mark in "|()[]"):
        return ""
    runs = _OPTIONAL.sub("\0", outside)
    return max(re.findall(rf"[A-Za-z0-9]{{{_SELECTIVE},}}", runs), key=len, default="").casefold()


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
