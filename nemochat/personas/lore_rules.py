"""The rules of a lorebook entry, from wherever its author has written them: fields of the card, SillyTavern's extensions, decorators.

SillyTavern writes ``use_regex`` with every entry that it exports, but takes only ``/pattern/flags`` for a regular expression: where its
marks are present, a key without slashes is plain. Values of extensions that make no sense are passed over, as if they were not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from nemochat.domain.messages import Speaker
from nemochat.domain.personas import Lorebook, LoreEntry, Position
from nemochat.personas import decorators
from nemochat.reading import listed, member

_MARKS = ("selectiveLogic", "display_index")
_MOST = 1_000_000
SCAN_DEPTH = 4
"""How many messages are searched when the lorebook does not say."""
SOURCES = {
    "match_persona_description": "what you are",
    "match_character_description": "the description",
    "match_character_personality": "the personality",
    "match_character_depth_prompt": "the persona's note",
    "match_scenario": "the scenario",
    "match_creator_notes": "the author's notes about the persona",
}
"""What an entry may want searched besides the messages, by SillyTavern's names, and in words."""
DEPTH = 4
"""How many messages before the end an entry stands that only says that it stands among them; so does a note."""


class Logic(IntEnum):
    """What the further keys have to do with whether an entry fires, by SillyTavern's numbers."""

    AND_ANY = 0
    NOT_ALL = 1
    NOT_ANY = 2
    AND_ALL = 3


class Place(StrEnum):
    """Where an entry stands."""

    BEFORE = "before the description"
    AFTER = "after the description"
    NOTE_TOP = "above the author's note"
    NOTE_BOTTOM = "below the author's note"
    DEPTH = "among the messages"
    OUTLET = "where {{outlet::NAME}} is written"


# Those around the example dialogues (5, 6) are nearest to the end of the system text.
_PLACES = dict(
    enumerate((Place.BEFORE, Place.AFTER, Place.NOTE_TOP, Place.NOTE_BOTTOM, Place.DEPTH, Place.AFTER, Place.AFTER, Place.OUTLET))
)
PLACES = {place: number for number, place in reversed(_PLACES.items())}
"""SillyTavern's number for each place."""
_SPEAKERS = dict(enumerate(Speaker))


class Only(msgspec.Struct, frozen=True):
    """For which personas an entry is, by name and by tag; with `excludes` for all others. None is for everybody."""

    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    excludes: bool = False


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """When an entry fires, and where it stands then. said: its content without decorators, and what those say.

    id: by which it is known again, as long as what it says and its keys stay. always: it needs no key. is_expression: keys without slashes
    are regular expressions too. whole_words: keys are not found inside of words; loose: those of several words are all the same. keys that
    are missing of `needs` (one of each) or present of `excluded` hold it back. probability: in percent. groups: of which one entry fires,
    drawn by `weight`; `wins` comes before those that are drawn; `scores` is for more keys found. sticky, cooldown: for so many messages
    after it has fired it fires in any case, or not. delay: not before so many messages. delayed: only in the rounds of recursion from this
    level on, 0 for all. only: for whom it is. sources: what it wants searched besides the messages, of `SOURCES`. outlet: in which it
    stands, in small letters. ignores_budget: it is there however little room there is.

    Of its lorebook: book_at is its place among those that are scanned together, book_depth how many messages are searched where the entry
    does not say, chains whether what fired is searched too.
    """

    entry: LoreEntry
    said: decorators.Decorated
    id: str
    always: bool
    is_expression: bool
    case_sensitive: bool
    whole_words: bool
    loose: bool
    keys: tuple[str, ...]
    more: tuple[str, ...]
    logic: Logic
    needs: tuple[tuple[str, ...], ...]
    excluded: tuple[str, ...]
    scan_depth: int | None
    probability: float
    groups: tuple[str, ...]
    weight: int
    wins: bool
    scores: bool
    sticky: int
    cooldown: int
    delay: int
    is_no_chain: bool
    ends_chain: bool
    delayed: int
    place: Place
    depth: int | None
    speaker: Speaker
    only: Only
    sources: frozenset[str]
    outlet: str
    ignores_budget: bool
    book_at: int
    book_depth: int
    chains: bool

    @property
    def is_fixed(self) -> bool:
        """Whether it stands in every prompt: it needs no key, and nothing else of the conversation decides about it."""
        is_drawn = self.probability < 100 or self.groups or self.sticky or self.cooldown or self.delay or self.delayed
        return self.always and not self.said.conditional and not is_drawn and not self.excluded and not self.needs


def is_of_silly_tavern(entry: LoreEntry) -> bool:
    """Whether SillyTavern has written an entry."""
    return any(mark in entry.extensions for mark in _MARKS)


def rules_of_entry(entry: LoreEntry, book: Lorebook) -> Rules:
    """The rules of one entry, in use or not, as it has them in this lorebook."""
    return _rules(entry, decorators.read(entry.content), book, 0)


def rules_of(book: Lorebook, at: int = 0) -> list[Rules]:
    """The rules of each entry that may fire at all, in the book's order. at: which of the lorebooks it is that are scanned together."""
    read = (_rules(entry, decorators.read(entry.content), book, at) for entry in book.entries if entry.enabled)
    return [rules for rules in read if rules.said.text.strip() and not rules.said.dont_activate]


def _rules(entry: LoreEntry, said: decorators.Decorated, book: Lorebook, at: int) -> Rules:
    extensions, is_theirs = entry.extensions, is_of_silly_tavern(entry)
    is_expression = entry.use_regex and not is_theirs
    has_keys = any(key.strip() for key in entry.keys)
    case = entry.case_sensitive if entry.case_sensitive is not None else member(extensions, bool, "case_sensitive")
    whole = member(extensions, bool, "match_whole_words")
    keys, needs, excluded = entry.keys, said.needs, said.excluded
    if is_expression:  # as version 3 has it: further keys are then more of the same, and these others mean nothing
        keys, needs, excluded = (*keys, *(key for each in needs for key in each)), (), ()
    more = entry.secondary_keys if entry.selective and not is_expression and any(key.strip() for key in entry.secondary_keys) else ()
    position = _whole(extensions, "position")
    place = _PLACES.get(position, Place.BEFORE) if position is not None else Place[entry.position.name]
    depth = _whole(extensions, "depth") if place is Place.DEPTH else None
    if said.position is not None:
        place, depth = Place.BEFORE if said.position is Position.BEFORE else Place.AFTER, None
    elif said.depth is not None:
        place, depth = Place.DEPTH, max(0, said.depth)
    elif place is Place.DEPTH and depth is None:
        depth = DEPTH
    group, logic = extensions.get("group"), _whole(extensions, "selectiveLogic")
    depth_wanted = said.scan_depth if said.scan_depth is not None else _whole(extensions, "scan_depth")
    uses_probability = member(extensions, bool, "useProbability") is not False
    return Rules(
        entry=entry,
        said=said,
        id=hashlib.blake2b("\0".join([entry.content, *entry.keys]).encode(errors="replace"), digest_size=8).hexdigest(),
        always=said.activate or (entry.constant and not (is_expression and has_keys)),
        is_expression=is_expression,
        case_sensitive=bool(case),
        whole_words=whole is not False,
        loose=is_theirs,
        keys=keys,
        more=more,
        logic=Logic(logic) if logic in set(Logic) else Logic.AND_ANY,
        needs=needs,
        excluded=excluded,
        scan_depth=None if depth_wanted is None else max(0, depth_wanted),
        probability=_number(extensions, "probability", 100) if uses_probability else 100,
        groups=tuple(name for each in group.split(",") if (name := each.strip())) if isinstance(group, str) else (),
        weight=int(_number(extensions, "group_weight", 100)),
        wins=bool(member(extensions, bool, "group_override")),
        scores=bool(member(extensions, bool, "use_group_scoring")),
        sticky=_whole(extensions, "sticky") or 0,
        cooldown=_whole(extensions, "cooldown") or 0,
        delay=_whole(extensions, "delay") or 0,
        is_no_chain=bool(member(extensions, bool, "exclude_recursion")),
        ends_chain=bool(member(extensions, bool, "prevent_recursion")),
        delayed=1 if extensions.get("delay_until_recursion") is True else _whole(extensions, "delay_until_recursion") or 0,
        place=place,
        depth=depth,
        speaker=said.role or _SPEAKERS.get(_whole(extensions, "role") or 0, Speaker.SYSTEM),
        only=_only(extensions.get("character_filter")),
        sources=frozenset(name for name in SOURCES if member(extensions, bool, name)),
        outlet=outlet.strip().casefold() if isinstance(outlet := extensions.get("outlet_name"), str) else "",
        ignores_budget=bool(member(extensions, bool, "ignore_budget")),
        book_at=at,
        book_depth=SCAN_DEPTH if book.scan_depth is None else max(0, book.scan_depth),
        chains=book.recursive,
    )


def _only(value: object) -> Only:
    """As SillyTavern writes it: names, tags, isExclude."""
    names, tags = (tuple(each for each in listed(value, field) if isinstance(each, str)) for field in ("names", "tags"))
    return Only(names, tags, member(value, bool, "isExclude") is True)


def _number(extensions: Mapping[str, Any], name: str, default: float) -> float:
    value = extensions.get(name)
    return min(max(0.0, value), _MOST) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _whole(extensions: Mapping[str, Any], name: str) -> int | None:
    value = _number(extensions, name, -1)
    return None if value < 0 else int(value)


def in_words(rules: Rules) -> list[str]:
    """What there is to say about when an entry fires and where it stands, besides its keys: a few words each."""
    said, more = rules.said, ", ".join(rules.more)
    logic = {Logic.AND_ANY: "with one of", Logic.AND_ALL: "with all of", Logic.NOT_ALL: "without one of", Logic.NOT_ANY: "without any of"}
    depth = "" if rules.depth is None else f", {rules.depth} before the end"
    who = "" if rules.speaker is Speaker.SYSTEM else f", as the {rules.speaker}'s words"
    names = ", ".join((*rules.only.names, *rules.only.tags))
    words = (
        (more, f"{logic[rules.logic]}: {more}"),
        (rules.excluded, f"without: {', '.join(rules.excluded)}"),
        (rules.case_sensitive, "case counts"),
        (not rules.whole_words, "also inside of words"),
        (rules.scan_depth is not None, f"in the last {rules.scan_depth} messages"),
        (rules.sources, f"in {', '.join(words for name, words in SOURCES.items() if name in rules.sources)}"),
        (rules.probability < 100, f"chance {rules.probability:g} %"),
        (rules.groups, f"group {', '.join(rules.groups)}, weight {rules.weight}{', first of all' if rules.wins else ''}"),
        (rules.sticky, f"stays {rules.sticky} messages"),
        (rules.cooldown, f"rests {rules.cooldown} messages"),
        (rules.delay, f"waits for {rules.delay} messages"),
        (rules.is_no_chain, "not called by others"),
        (rules.ends_chain, "calls no others"),
        (rules.delayed, f"called by others only, level {rules.delayed}"),
        (names, f"{'not ' if rules.only.excludes else ''}for {names}"),
        (said.conditional, "at some places of a conversation only"),
        (said.dont_activate, "never by itself"),
        (rules.ignores_budget, "without limit"),
        (rules.place is Place.OUTLET, f"in the outlet {rules.outlet}"),
        (rules.place is not Place.OUTLET, f"{rules.place}{depth}{who}"),
        (True, f"order {rules.entry.order}"),
    )
    return [each for is_so, each in words if is_so]
