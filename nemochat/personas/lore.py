"""Which entries of a lorebook belong to what is being talked about: SillyTavern's rules, and those of version 3 where it says otherwise.

Where they stand in nemochat: an entry that is always there (`constants`, `notes`) is part of the system text or of a note, at its place.
An entry that fires (`scan`) enters once, beside the user's message with which it fired, and stays there; all that was said before it keeps
its place in the prompt, and so in the KV cache. While its text is in the window it does not fire again, unless it has a cooldown, which
then decides; once the window has forgotten that message, it may. What is drawn hangs on the chat, the entry and the place in the
conversation alone: a prompt that is made again is the same.

Of one round of a scan these are left out, in this order: entries whose chance is not drawn, all but one of each group, and what the budget
has no room for. Then, where what fired is searched too (`Lorebook.recursive`), another round follows.

Several lorebooks are scanned as one, with one budget, as SillyTavern does by itself: where room is short, and in groups, the entries of the
chat's come first, then those of the persona's, then those of all chats; what is there stands in the order that the entries ask for,
wherever they come from. An entry that is in two of them counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from nemochat.domain.personas import Lorebook, LoreEntry, Persona
from nemochat.domain.sanitize import shortened
from nemochat.personas import decorators
from nemochat.personas.lore_keys import KeyIndex, KeyReader, Needle, Searched, needle, searched
from nemochat.personas.lore_rules import SOURCES, Logic, Place, Rules, rules_of
from nemochat.personas.macros import Macros

_MAX_ROUNDS = 100
_MOST_BOOKS = 8
_MOST_TEXTS = 256
_SHOWN = 60
_BACK = ("the last message", "the message before the last")


class Lore(msgspec.Struct, frozen=True):
    """The lorebooks of a conversation, and what their entries may ask about it besides its messages.

    books: those that come first where room is short before the others. name, tags: of the persona, "" and none for the model itself. texts:
    what an entry may want searched too, by the names that SillyTavern has for it. note: what is searched with the messages. outlets: the
    names of those that stand in some text. at_least: of so many entries that fire, older messages are searched until there are as many.
    names: who speaks is searched with each message. problems: sentences about lorebooks that cannot be read.
    """

    books: tuple[Lorebook, ...] = ()
    name: str = ""
    tags: tuple[str, ...] = ()
    texts: Mapping[str, str] = {}
    note: str = ""
    outlets: frozenset[str] = frozenset()
    at_least: int = 0
    names: bool = True
    problems: tuple[str, ...] = ()


class Situation(msgspec.Struct, frozen=True):
    """Where the conversation stands, for entries that ask for it. None is not known: such conditions then hold.

    replies: how often the persona has spoken, its greeting included. greeting: which of its greetings the conversation began with, 0 for
    the first. messages: how many there are with the last one. fired: how many there were when an entry fired, by `Fired.id`, in order.
    """

    replies: int | None = None
    greeting: int | None = None
    messages: int | None = None
    fired: Mapping[str, Sequence[int]] = {}


class Fired(msgspec.Struct, frozen=True):
    """An entry that belongs into the prompt now, or would but for `reason`. text: what goes there, macros replaced. reason: why, in plain
    words.
    """

    rules: Rules
    text: str
    reason: str
    tokens: int

    @property
    def entry(self) -> LoreEntry:
        """As it stands in the lorebook."""
        return self.rules.entry

    @property
    def id(self) -> str:
        """By which it is known again."""
        return self.rules.id

    @property
    def depth(self) -> int | None:
        """How many messages before the end its author would have it, None for no wish."""
        return self.rules.depth

    @property
    def source(self) -> str:
        """What people know the entry by."""
        return title(self.entry)


class Scan(msgspec.Struct, frozen=True):
    """What a scan found. fired: in the order in which they stand. dropped: those that were called, but are not there all the same; their
    reason says why not. notices: sentences about keys that cannot be used, and lorebooks that cannot be read. always: those that need no
    call, which stand in every prompt.
    """

    fired: tuple[Fired, ...] = ()
    dropped: tuple[Fired, ...] = ()
    notices: tuple[str, ...] = ()
    always: tuple[Fired, ...] = ()


def lore_of(persona: Persona | None) -> Lore:
    """The lorebook that is part of a persona."""
    return Lore() if persona is None or persona.book is None else Lore((persona.book,), persona.name, persona.tags)


def title(entry: LoreEntry) -> str:
    """What people know an entry by: its name, else its comment, its first key or its first words."""
    words = entry.name or entry.comment or next((key for key in entry.keys if key.strip()), "") or decorators.read(entry.content).text
    line = next(iter(words.strip().splitlines()), "").strip()
    return shortened(line, _SHOWN)


def constants(lore: Lore) -> tuple[tuple[LoreEntry, ...], tuple[LoreEntry, ...]]:
    """The entries that always stand in the system text, without their decorators: before the persona's description, and after it.

    One that holds only at some places of a conversation is not among them: it fires there.
    """
    fixed = _compiled(lore).fixed
    before, after = ([rules for rules in fixed if rules.place is place] for place in (Place.BEFORE, Place.AFTER))
    return tuple(map(_bare, before)), tuple(map(_bare, after))


def notes(lore: Lore) -> tuple[Rules, ...]:
    """The entries that are always there, but among the messages or with the author's note, in their order."""
    return tuple(rules for rules in _compiled(lore).fixed if rules.place not in (Place.BEFORE, Place.AFTER, Place.OUTLET))


def outlets(lore: Lore) -> dict[str, str]:
    """What ``{{outlet::name}}`` stands for, by the name: the entries that are always there and want to stand in it."""
    texts: dict[str, list[str]] = {name: [] for name in lore.outlets}
    for rules in _compiled(lore).fixed:
        if rules.place is Place.OUTLET:
            texts[rules.outlet].append(rules.said.text.strip())
    return {name: "\n".join(each) for name, each in texts.items()}


def standing(lore: Lore) -> list[str]:
    """The texts of all entries that are always there."""
    return [rules.said.text for rules in _compiled(lore).fixed]


def scan(
    lore: Lore,
    texts: Sequence[str],
    macros: Macros,
    *,
    count: Callable[[str], int],
    already: Collection[str] = (),
    budget: int | None = None,
    situation: Situation | None = None,
) -> Scan:
    """Which entries fire on these messages, the newest last.

    already: texts of entries that the window still holds (`Fired.text` of earlier turns). count: tokens of a text, an estimate will do.
    budget: the most that there is room for; the lorebook may ask for less. None is no bound.
    """
    if not lore.books:
        return Scan(notices=lore.problems)
    book = _compiled(lore)
    scanner = _Scanner(book, lore, texts, macros, situation or Situation(), already, count, budget)
    scanner.run()
    bad_keys = tuple(f"The key “{_short(key)}” {why}." for key, why in scanner.reader.problems.items())
    in_order = sorted(scanner.fired, key=lambda each: book.ranks[each.id])
    always = tuple(Fired(rules, text := macros.expand(rules.said.text).strip(), "it is always there", count(text)) for rules in book.fixed)
    return Scan(tuple(in_order), tuple(scanner.dropped), (*lore.problems, *bad_keys), always)


class _Compiled:
    """Lorebooks with their keys ready to be looked for.

    fixed: the rules of what always stands at its place, in order. rules: of all others. users: which of these have a key, of whatever kind.
    by_macros: those that have keys with macros, which are made ready for whoever speaks. found: in texts that were searched before.
    """

    def __init__(self, lore: Lore) -> None:
        self.lore = lore
        every: dict[str, Rules] = {}
        for number, book in enumerate(lore.books):
            for rules in rules_of(book, number):
                every.setdefault(rules.id, rules)
        in_order = sorted(every.values(), key=lambda rules: rules.entry.order)
        self.ranks = {rules.id: rank for rank, rules in enumerate(in_order)}
        self.fixed = [rules for rules in in_order if rules.is_fixed and not self.hindered(rules)]
        fixed = {rules.id for rules in self.fixed}
        self.rules = [rules for rules in every.values() if rules.id not in fixed]
        self.depths = sorted({rules.book_depth for rules in self.rules})
        self.deepest = max([0, *self.depths, *(rules.scan_depth or 0 for rules in self.rules)])
        self.without_keys = [rules for rules in self.rules if rules.always or rules.sticky or rules.said.keeps]
        self.levels = sorted({rules.delayed for rules in self.rules if rules.delayed})
        self.users: dict[Needle, list[Rules]] = {}
        self.by_macros: list[tuple[str, Rules]] = []
        for rules in self.rules:
            for key in keys_of(rules):
                if "{{" in key or "<" in key:
                    self.by_macros.append((key, rules))
                elif (wanted := as_needle(key, rules)) is not None:
                    self.users.setdefault(wanted, []).append(rules)
        self.plain = KeyIndex(each for each in self.users if not each.pattern)
        self.expressions = KeyIndex(each for each in self.users if each.pattern)
        reader = KeyReader()
        reader.check(self.users)
        self.problems = reader.problems
        self._found: dict[str, frozenset[Needle]] = {}
        self._spoken: _Spoken | None = None

    def hindered(self, rules: Rules) -> str:
        """Why an entry never is in this conversation, whatever is said; "" when nothing speaks against it."""
        only = rules.only
        for which, own in ((only.names, [self.lore.name]), (only.tags, self.lore.tags)):
            known = {each.casefold() for each in own}
            if which and any(each.casefold() in known for each in which) is only.excludes:
                return f"it is {'not ' if only.excludes else ''}for {_several(which)}"
        if rules.place is Place.OUTLET and rules.outlet not in self.lore.outlets:
            return f"its outlet “{_short(rules.outlet)}” stands in no text"
        return ""

    def is_for(self, lore: Lore) -> bool:
        """Whether it was made of the same lorebooks, for the same persona."""
        mine = self.lore
        is_same = len(mine.books) == len(lore.books) and all(a is b for a, b in zip(mine.books, lore.books, strict=True))
        return is_same and (mine.name, mine.tags, mine.outlets) == (lore.name, lore.tags, lore.outlets)

    def spoken(self, macros: Macros) -> _Spoken:
        """The keys with macros as they are for these; those of the last ones are kept."""
        if self._spoken is None or self._spoken.macros != macros:
            self._spoken = _Spoken(macros, self.by_macros)
        return self._spoken

    def found(self, text: Searched, reader: KeyReader) -> frozenset[Needle]:
        """The keys that are in a text. What was searched before is known; regular expressions have to keep to their time anew."""
        known = self._found.get(text.raw)
        if known is None:
            known = frozenset(self.plain.found(text, reader))
            if len(self._found) >= _MOST_TEXTS:
                del self._found[next(iter(self._found))]
            self._found[text.raw] = known
        return known | self.expressions.found(text, reader)


class _Spoken:
    """The keys of a lorebook that have macros. needles: by the entry's id and the key as it is written."""

    def __init__(self, macros: Macros, keys: Iterable[tuple[str, Rules]]) -> None:
        self.macros = macros
        self.needles: dict[tuple[str, str], Needle | None] = {}
        self.users: dict[Needle, list[Rules]] = {}
        for key, rules in keys:
            wanted = self.needles[rules.id, key] = as_needle(macros.expand(key), rules)
            if wanted is not None:
                self.users.setdefault(wanted, []).append(rules)
        self.index = KeyIndex(self.users)


_books: list[_Compiled] = []


def _compiled(lore: Lore) -> _Compiled:
    """The last few are kept: a conversation scans the same books with every message."""
    known = next((each for each in _books if each.is_for(lore)), None)
    if known is None:
        known = _Compiled(lore)
        _books.append(known)
        del _books[:-_MOST_BOOKS]
    return known


def keys_of(rules: Rules) -> Iterable[str]:
    """Every key that has a part in whether an entry fires."""
    return (*rules.keys, *rules.more, *rules.excluded, *(key for each in rules.needs for key in each))


def as_needle(key: str, rules: Rules) -> Needle | None:
    """A key as this entry wants it looked for."""
    is_word = rules.whole_words and not (rules.loose and len(key.split()) > 1)
    return needle(key, use_regex=rules.is_expression, case_sensitive=rules.case_sensitive, whole_words=is_word)


class _Spot(msgspec.Struct, frozen=True):
    """A place where keys are looked for. where: in words. found: the keys in it. back: how many messages before the last one, None for
    what is no message. source: as which only some entries want it searched, "" for all.
    """

    where: str
    found: frozenset[Needle]
    back: int | None = None
    source: str = ""


class _Scanner:
    """One scan; what is worked out once for all entries."""

    def __init__(
        self,
        book: _Compiled,
        lore: Lore,
        texts: Sequence[str],
        macros: Macros,
        situation: Situation,
        already: Collection[str],
        count: Callable[[str], int],
        budget: int | None,
    ) -> None:
        self.book, self.lore, self.macros, self.situation = book, lore, macros, situation
        self.already, self.count, self.left = set(already), count, budget
        self._own = [each.token_budget for each in lore.books]  # what is left of what each asks for
        self.reader = KeyReader(book.problems)
        self.fired: list[Fired] = []
        self.dropped: list[Fired] = []
        self._budget = budget
        self._taken_groups: set[str] = set()
        self._done: set[str] = set()
        self._spoken = book.spoken(macros)
        self._needles = dict(self._spoken.needles)
        self._texts, self._further = texts, 0
        self._spots: list[_Spot] = []
        self._messages: list[_Spot] = []  # those of them that are messages, the newest first
        self._there = len(book.fixed)

    def run(self) -> None:
        """Round after round, until nothing new is called."""
        levels = list(self.book.levels)
        level = levels.pop(0) if levels else 0
        called = list(self.book.without_keys)
        self._look_back(self.book.deepest, called)
        for name, text in self.lore.texts.items():
            self._look(_Spot(SOURCES[name], self._found(self.macros.expand(text)), source=name), called)
        if self.lore.note:
            self._look(_Spot("the author's note", self._found(self.macros.expand(self.lore.note))), called)
        sources = [rules for rules in self.book.fixed if not rules.ends_chain]
        waiting: list[Rules] = []
        recurses, rounds = False, 0
        while rounds < _MAX_ROUNDS:
            ready = {rules.id: rules for rules in (*waiting, *called) if rules.id not in self._done}
            sources += (each.rules for each in self._round(ready.values(), level if recurses else 0, recurses=recurses))
            waiting = [rules for rules in ready.values() if rules.delayed > (level if recurses else 0) and rules.id not in self._done]
            sources = [rules for rules in sources if not rules.ends_chain]
            chained, called = [rules for rules in sources if rules.chains], []
            recurses = bool(chained) and self.left != -1
            if not recurses and self._wants_more():
                self._look_further(called)
                continue
            if not recurses and not levels:
                break
            if not recurses:
                level, recurses, chained = levels.pop(0), True, sources
            for rules in chained:
                text = self.macros.searched(rules.said.text)
                self._look(_Spot(f"the entry “{title(rules.entry)}”", self._found(text)), called)
            sources, rounds = [], rounds + 1

    def _found(self, text: str) -> frozenset[Needle]:
        there = searched(text)
        return self.book.found(there, self.reader) | self._spoken.index.found(there, self.reader)

    def _look(self, spot: _Spot, called: list[Rules]) -> None:
        """Search one place more; `called` gets the entries that have any of the keys in it."""
        self._spots.append(spot)
        called += self._users(spot)

    def _look_back(self, depth: int, called: list[Rules]) -> None:
        """Search so many messages."""
        for back in range(len(self._messages), min(depth, len(self._texts))):
            spot = _Spot(_back(back), self._found(self._texts[-1 - back]), back)
            self._messages.append(spot)
            self._look(spot, called)

    def _users(self, spot: _Spot) -> Iterable[Rules]:
        for each in spot.found:
            yield from self.book.users.get(each, ())
            yield from self._spoken.users.get(each, ())

    def _wants_more(self) -> bool:
        """Whether an older message is to be searched, because fewer entries are there than shall be."""
        is_there = any(depth + self._further < len(self._texts) for depth in self.book.depths)
        return self._there < self.lore.at_least and self.left != -1 and is_there

    def _look_further(self, called: list[Rules]) -> None:
        """Search one message more, for entries that do not say themselves how many are to be."""
        self._further += 1
        self._look_back(max(self.book.depths) + self._further, [])
        for depth in self.book.depths:
            if depth + self._further <= len(self._messages):
                spot = self._messages[depth + self._further - 1]
                called += (rules for rules in self._users(spot) if rules.scan_depth is None and rules.book_depth == depth)

    # -- one round

    def _round(self, ready: Iterable[Rules], level: int, *, recurses: bool) -> list[Fired]:
        """The entries that are new in this round, those that the window holds already among them; what fires is in `fired`."""
        new: list[Fired] = []
        for rules in ready:
            if rules.delayed > level and not self._is_sticky(rules):
                continue
            if recurses and rules.is_no_chain and rules.chains and not self._is_sticky(rules):
                continue
            if reason := self._why(rules):
                text = self.macros.expand(rules.said.text).strip()
                new.append(Fired(rules, text, self._with_book(rules, reason), 0))
        new = [each for each in new if each.text and not self._rests(each)]
        new.sort(key=lambda each: (not self._is_sticky(each.rules), each.rules.book_at, -each.rules.entry.order))
        new = [each for each in self._of_groups(new) if self._is_drawn(each)]
        self._done |= {each.id for each in new}
        return self._within(new)

    def _with_book(self, rules: Rules, reason: str) -> str:
        """A reason that names the lorebook, where there are several."""
        name = self.lore.books[rules.book_at].name
        return f"{reason}, of the lorebook “{_short(name)}”" if name and len(self.lore.books) > 1 else reason

    def _rests(self, each: Fired) -> bool:
        """Whether it is held back: by whom it is for, by when it fired, or by how short the conversation is; it is dropped then."""
        rules, now = each.rules, self.situation.messages
        if why := self.book.hindered(rules):
            self._drop(each, why)
            return True
        if now is None:
            return False
        if rules.delay > now:
            self._drop(each, f"it waits until there are {rules.delay} messages")
            return True
        last = self._last(rules)
        ends = last + rules.sticky + rules.cooldown if last is not None else 0
        if not rules.cooldown or self._is_sticky(rules) or now >= ends:
            return False
        self._drop(each, f"it rests until there are {ends} messages")
        return True

    def _is_sticky(self, rules: Rules) -> bool:
        last, now = self._last(rules), self.situation.messages
        return last is not None and now is not None and now < last + rules.sticky

    def _last(self, rules: Rules) -> int | None:
        """How many messages there were when it last fired, before this one."""
        now = self.situation.messages
        before = [at for at in self.situation.fired.get(rules.id, ()) if now is None or at < now]
        return max(before, default=None)

    def _of_groups(self, new: list[Fired]) -> list[Fired]:
        """Of each group one entry: what is sticky, else what comes first, else one that is drawn by weight."""
        groups: dict[str, list[Fired]] = {}
        for each in new:
            for name in each.rules.groups:
                groups.setdefault(name, []).append(each)
        out: set[str] = set()
        for name, members in groups.items():
            if any(self._is_sticky(each.rules) for each in members):
                winners = [each for each in members if self._is_sticky(each.rules)]
            elif name in self._taken_groups:
                winners = []
            else:
                left = [each for each in self._best(members) if each.id not in out]
                winners = left if len(left) < 2 else [next((each for each in left if each.rules.wins), None) or self._by_weight(name, left)]
            kept = {each.id for each in winners}
            for each in members:
                if each.id not in kept and each.id not in out:
                    out.add(each.id)
                    other = f"“{winners[0].source}” was" if winners else "another one was"
                    self._drop(each, f"{other} taken of the group “{_short(name)}”")
        staying = [each for each in new if each.id not in out]
        self._taken_groups |= {name for each in staying for name in each.rules.groups}
        return staying

    def _best(self, members: list[Fired]) -> list[Fired]:
        """Without those that go by how many of their keys are found and have fewer than another one."""
        if not any(each.rules.scores for each in members):
            return members
        scores = {each.id: self._score(each.rules) for each in members}
        most = max(scores.values())
        return [each for each in members if not each.rules.scores or scores[each.id] == most]

    def _score(self, rules: Rules) -> int:
        first = sum(self._place(rules, key) is not None for key in rules.keys)
        more = sum(self._place(rules, key) is not None for key in rules.more)
        counts = rules.logic is Logic.AND_ANY or (rules.logic is Logic.AND_ALL and more == len(rules.more))
        return first + more if rules.keys and counts else first

    def _by_weight(self, name: str, members: Sequence[Fired]) -> Fired:
        at = self._chance(f"group\0{name}") * sum(each.rules.weight for each in members)
        for each in members:
            at -= each.rules.weight
            if at <= 0:
                return each
        return members[-1]

    def _is_drawn(self, each: Fired) -> bool:
        chance = each.rules.probability
        if chance >= 100 or self._is_sticky(each.rules) or self._chance(each.id) * 100 < chance:
            return True
        self._drop(each, f"its chance of {chance:g} % did not come up")
        return False

    def _chance(self, what: str) -> float:
        """A number from 0 to 1, always the same at this place of this chat."""
        words = f"{self.macros.seed}\0{self.situation.messages}\0{what}"
        return int.from_bytes(hashlib.blake2b(words.encode(errors="replace"), digest_size=7).digest()) / (1 << 56)

    def _within(self, new: Sequence[Fired]) -> list[Fired]:
        """Those that the budget has room for; what has the lowest priority goes first, of equal priority what stands furthest up.

        Once something had to go, nothing more is called by what has fired (`left` is -1 then).
        """
        fits: list[Fired] = []
        is_over = False
        ranked = sorted(new, key=lambda each: (each.rules.said.yields, each.rules.book_at, -each.rules.entry.priority))
        for each in ranked:
            if each.text in self.already and not each.rules.cooldown:
                fits.append(each)
                continue
            sized = msgspec.structs.replace(each, tokens=self.count(each.text))
            own = self._own[each.rules.book_at]
            left = min((limit for limit in (self.left, own) if limit is not None), default=None)
            if left is None or sized.tokens <= left or each.rules.ignores_budget:
                self.left = None if self.left is None else max(0, self.left - sized.tokens)
                self._own[each.rules.book_at] = None if own is None else max(0, own - sized.tokens)
                self.fired.append(sized)
                fits.append(sized)
            else:
                is_over = True
                self._drop(sized, f"its {sized.tokens:,} tokens are more than what is left of {self._limit(each.rules):,}")
        if is_over:
            self.left = -1
        self._there += len(fits)
        return fits

    def _limit(self, rules: Rules) -> int:
        """What it was that was too little: the budget of its lorebook, or that of all."""
        limits = (self._budget, self.lore.books[rules.book_at].token_budget)
        return min(limit for limit in limits if limit is not None)

    def _drop(self, each: Fired, why: str) -> None:
        self._done.add(each.id)
        self.dropped.append(msgspec.structs.replace(each, reason=f"{why}; called by {each.reason}"))

    # -- one entry

    def _why(self, rules: Rules) -> str:
        """Why the entry fires; "" when it does not."""
        said, before = rules.said, self._last(rules)
        if said.keeps and before is not None:
            return "it has fired before"
        if (said.once and before is not None) or not self._holds(said):
            return ""
        if rules.always:
            return "it always holds at this point"
        if self._is_sticky(rules):
            return "it stays for a while after it has fired"
        found = self._soonest(rules, rules.keys)
        if found is None or self._soonest(rules, rules.excluded) is not None:
            return ""
        if any(self._soonest(rules, keys) is None for keys in rules.needs):
            return ""
        key, where = found
        named = f"the key “{_short(key)}” in {where}"
        if not rules.more:
            return named
        seconds = [self._place(rules, each) for each in rules.more]
        missing = [key for key, place in zip(rules.more, seconds, strict=True) if place is None]
        match rules.logic:
            case Logic.NOT_ALL:
                return f"{named}, without “{_short(missing[0])}”" if missing else ""
            case Logic.NOT_ANY:
                return f"{named}, without “{_short(rules.more[0])}”" if len(missing) == len(rules.more) else ""
            case Logic.AND_ALL if missing:
                return ""
        second = self._soonest(rules, rules.more)
        if second is None:
            return ""
        if second[1] == where:
            return f"the keys “{_short(key)}” and “{_short(second[0])}” in {where}"
        return f"{named}, and “{_short(second[0])}” in {second[1]}"

    def _holds(self, said: decorators.Decorated) -> bool:
        """Whether this is a place of the conversation at which the entry may be there."""
        replies, greeting = self.situation.replies, self.situation.greeting
        if replies is not None and said.after is not None and replies < said.after:
            return False
        if replies is not None and said.every is not None and said.every > 0 and replies % said.every:
            return False
        return greeting is None or said.greeting is None or greeting == said.greeting

    def _soonest(self, rules: Rules, keys: Sequence[str]) -> tuple[str, str] | None:
        """The key that is found soonest, and where."""
        places = [(place, number, key) for number, key in enumerate(keys) if (place := self._place(rules, key)) is not None]
        if not places:
            return None
        place, _, key = min(places)
        return self.macros.expand(key), self._spots[place].where

    def _place(self, rules: Rules, key: str) -> int | None:
        """The first of the places in its reach where a key is."""
        known = (rules.id, key)
        if known not in self._needles:
            self._needles[known] = as_needle(key, rules)
        wanted = self._needles[known]
        if wanted is None:
            return None
        depth = rules.book_depth + self._further if rules.scan_depth is None else rules.scan_depth
        for place, spot in enumerate(self._spots):
            in_reach = spot.back < depth if spot.back is not None else not spot.source or spot.source in rules.sources
            if in_reach and wanted in spot.found:
                return place
        return None


def _bare(rules: Rules) -> LoreEntry:
    return msgspec.structs.replace(rules.entry, content=rules.said.text)


def _several(names: Collection[str]) -> str:
    return _short(", ".join(names))


def _back(back: int) -> str:
    return _BACK[back] if back < len(_BACK) else f"the message {back} before the last"


def _short(key: str) -> str:
    return shortened(" ".join(key.split()), _SHOWN)
