"""Which entries of a lorebook belong to what is being talked about.

Where they stand in nemochat: an entry that is always there (`constants`) is part of the system text, at its position. An entry that fires
(`scan`) enters once, as a ``<context>`` beside the user's message with which it fired, and stays there; all that was said before it keeps
its place in the prompt, and so in the KV cache. While its text is in the window it does not fire again; once the window has forgotten that
message, it may.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from nemochat.domain.personas import Lorebook, LoreEntry, Position
from nemochat.personas import decorators
from nemochat.personas.decorators import Decorated
from nemochat.personas.lore_keys import KeyReader, Searched, searched
from nemochat.personas.macros import Macros

SCAN_DEPTH = 4
"""How many messages are searched when the lorebook does not say."""
BUDGET = 512
"""Tokens that the entries of one turn may take when the lorebook does not say."""

_MAX_ROUNDS = 5
_BACK = ("the last message", "the message before the last")


class Situation(msgspec.Struct, frozen=True):
    """Where the conversation stands, for entries that ask for it. replies: how often the persona has spoken, its greeting included.
    greeting: which of its greetings the conversation began with, 0 for the first. None is not known: such conditions then hold.
    """

    replies: int | None = None
    greeting: int | None = None


class Fired(msgspec.Struct, frozen=True):
    """An entry that belongs into the prompt now. text: what goes there, macros replaced. reason: why, in plain words. depth: how many
    messages before the end its author would have it, None for no wish.
    """

    entry: LoreEntry
    text: str
    reason: str
    tokens: int
    depth: int | None = None

    @property
    def source(self) -> str:
        """What people know the entry by."""
        return title(self.entry)


class Scan(msgspec.Struct, frozen=True):
    """What a scan found. fired: in the order in which they stand. dropped: those that the budget had no room for. notices: sentences about
    keys that cannot be used.
    """

    fired: tuple[Fired, ...] = ()
    dropped: tuple[Fired, ...] = ()
    notices: tuple[str, ...] = ()


def title(entry: LoreEntry) -> str:
    """What people know an entry by: its name, else its comment, its first key or its first words."""
    words = entry.name or entry.comment or next((key for key in entry.keys if key.strip()), "") or decorators.read(entry.content).text
    line = next(iter(words.strip().splitlines()), "").strip()
    return line if len(line) <= 60 else line[:59].rstrip() + "…"


def constants(book: Lorebook | None) -> tuple[tuple[LoreEntry, ...], tuple[LoreEntry, ...]]:
    """The entries that are always there, without their decorators: those before the persona's description and those after it.

    One that holds only at some places of a conversation is not among them: it fires there.
    """
    before: list[LoreEntry] = []
    after: list[LoreEntry] = []
    for entry in sorted(book.entries, key=lambda entry: entry.order) if book is not None else ():
        read = decorators.read(entry.content)
        if _always(entry, read) and not read.conditional and read.text.strip():
            place = before if (read.position or entry.position) is Position.BEFORE else after
            place.append(msgspec.structs.replace(entry, content=read.text))
    return tuple(before), tuple(after)


def scan(
    book: Lorebook | None,
    texts: Sequence[str],
    macros: Macros,
    *,
    count: Callable[[str], int],
    already: Collection[str] = (),
    budget: int = BUDGET,
    situation: Situation | None = None,
) -> Scan:
    """Which entries fire on these messages, the newest last.

    already: texts of entries that the window still holds (`Fired.text` of earlier turns). count: tokens of a text, an estimate will do.
    budget: the most that nemochat gives to this turn's entries; the lorebook may ask for less.
    """
    if book is None:
        return Scan()
    scanner = _Scanner(book, texts, macros, situation or Situation(), already, count)
    places = {id(entry): index for index, entry in enumerate(book.entries)}
    found = sorted(scanner.run(), key=lambda each: (each.entry.order, places[id(each.entry)]))
    limit = budget if book.token_budget is None else min(budget, book.token_budget)
    fired, dropped = _within(found, limit)
    notices = (f"The key “{_short(key)}” {why}." for key, why in scanner.keys.problems.items())
    return Scan(tuple(fired), tuple(dropped), tuple(notices))


class _Scanner:
    """One scan; what is worked out once for all entries."""

    def __init__(
        self,
        book: Lorebook,
        texts: Sequence[str],
        macros: Macros,
        situation: Situation,
        already: Collection[str],
        count: Callable[[str], int],
    ) -> None:
        self.book = book
        self.macros = macros
        self.situation = situation
        self.already = set(already)
        self.count = count
        self.keys = KeyReader()
        self.texts = list(texts)
        self.forms: dict[int, Searched] = {}  # messages by how far back they are, made ready when first needed

    def run(self) -> list[Fired]:
        waiting = [
            (entry, read)
            for entry in self.book.entries
            if entry.enabled and not (read := decorators.read(entry.content)).dont_activate and self._holds(read)
            if read.text.strip() and (read.conditional or not _always(entry, read))
        ]
        fired: list[Fired] = []
        # Where to look besides the messages: entries that are in the prompt, by name.
        sources = [self._source(entry) for part in constants(self.book) for entry in part] if self.book.recursive else []
        n_old = 0
        for turn in range(_MAX_ROUNDS if self.book.recursive else 1):
            new, rest = [], []
            for entry, read in waiting:
                reason = self._why(entry, read, sources, None if turn == 0 else n_old)
                if reason:
                    new.append(self._fire(entry, read, reason))
                else:
                    rest.append((entry, read))
            fired += [each for each in new if each.text and each.text not in self.already]
            if not new:
                break
            waiting, n_old = rest, len(sources)
            sources += [self._source(each.entry) for each in new]
        return fired

    def _source(self, entry: LoreEntry) -> tuple[str, Searched]:
        text = self.macros.searched(decorators.read(entry.content).text)
        return f"the entry “{title(entry)}”", searched(text)

    def _fire(self, entry: LoreEntry, read: Decorated, reason: str) -> Fired:
        text = self.macros.expand(read.text).strip()
        return Fired(entry, text, reason, self.count(text), read.depth)

    def _holds(self, read: Decorated) -> bool:
        """Whether this is a place of the conversation at which the entry may be there."""
        replies, greeting = self.situation.replies, self.situation.greeting
        if replies is not None and read.after is not None and replies < read.after:
            return False
        if replies is not None and read.every is not None and read.every > 0 and replies % read.every:
            return False
        return greeting is None or read.greeting is None or greeting == read.greeting

    def _why(self, entry: LoreEntry, read: Decorated, sources: Sequence[tuple[str, Searched]], n_old: int | None) -> str:
        """Why the entry fires; "" when it does not. n_old: how many of the sources were searched in earlier rounds, None in the first."""
        if _always(entry, read):
            return "it always holds at this point"
        depth = read.scan_depth if read.scan_depth is not None else self.book.scan_depth
        n_messages = min(SCAN_DEPTH if depth is None else max(0, depth), len(self.texts))
        places = [*((_back(back), self._message(back)) for back in range(n_messages)), *sources]
        more = entry.secondary_keys if entry.selective and any(key.strip() for key in entry.secondary_keys) else ()
        # An entry with one condition alone was already looked for in the old places.
        new = places if n_old is None or more or read.additional else places[n_messages + n_old :]
        found = self._find(entry, entry.keys, new)
        if found is None or self._find(entry, read.excluded, places) is not None:
            return ""
        if read.additional and self._find(entry, read.additional, places) is None:
            return ""
        key, where = found
        if not more:
            return f"the key “{_short(key)}” in {where}"
        second = self._find(entry, more, places)
        if second is None:
            return ""
        if second[1] == where:
            return f"the keys “{_short(key)}” and “{_short(second[0])}” in {where}"
        return f"the key “{_short(key)}” in {where}, and “{_short(second[0])}” in {second[1]}"

    def _find(self, entry: LoreEntry, keys: Iterable[str], places: Sequence[tuple[str, Searched]]) -> tuple[str, str] | None:
        """The key that is found soonest, and where."""
        keys = [self.macros.expand(key) for key in keys]
        for where, text in places:
            for key in keys:
                if self.keys.found(key, text, use_regex=entry.use_regex, case_sensitive=entry.case_sensitive or False):
                    return key, where
        return None

    def _message(self, back: int) -> Searched:
        if back not in self.forms:
            self.forms[back] = searched(self.texts[len(self.texts) - 1 - back])
        return self.forms[back]


def _always(entry: LoreEntry, read: Decorated) -> bool:
    return entry.enabled and not read.dont_activate and (entry.constant or read.activate)


def _within(found: Sequence[Fired], limit: int) -> tuple[list[Fired], list[Fired]]:
    """Those that the budget has room for, and the others: what is too large on its own, then whatever has the lowest priority.

    Of equal priority the one that stands further down goes first.
    """
    fired = [each for each in found if each.tokens <= limit]
    dropped = [each for each in found if each.tokens > limit]
    ranked = sorted(fired, key=lambda each: -each.entry.priority)
    total = sum(each.tokens for each in fired)
    while total > limit:
        last = ranked.pop()
        total -= last.tokens
        dropped.append(last)
    kept = {id(each) for each in ranked}
    return [each for each in fired if id(each) in kept], dropped


def _back(back: int) -> str:
    return _BACK[back] if back < len(_BACK) else f"the message {back} before the last"


def _short(key: str) -> str:
    key = " ".join(key.split())
    return key if len(key) <= 60 else key[:59] + "…"
