"""Several personas in one conversation: who is in it, and who speaks next. Pure values; chance is handed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
import regex

from nemochat.domain.personas import Persona

TALKATIVENESS = 0.5
"""How likely a member speaks of whom neither the group nor the card says it."""
_SHORT = 3
_COMMON = frozenset(("the", "and", "von", "van", "der", "die", "das", "del", "des", "les"))
_UNSPACED = regex.compile(r"[\p{Line_Break=ID}\p{Line_Break=CJ}\p{Line_Break=NS}\p{Line_Break=SA}]")
"""Of a script that writes no spaces between words, so that a name may stand anywhere."""


class Order(StrEnum):
    """Who speaks after the user has. NATURAL: whom the message names, then who is drawn by talkativeness, at least one. LIST: everybody, in
    the order of the group. POOLED: one of those who have not spoken since. MANUAL: nobody, until the user says who."""

    NATURAL = "natural"
    LIST = "list"
    POOLED = "pooled"
    MANUAL = "manual"


class Cards(StrEnum):
    """Whose cards the model reads. JOINED: those of all who are not muted, WITH_MUTED: of all, so the prompt begins alike whoever speaks.
    OWN: the speaker's alone, so all of it is read anew when another one speaks."""

    JOINED = "joined"
    WITH_MUTED = "with_muted"
    OWN = "own"


class Member(msgspec.Struct, frozen=True):
    """Who is in a group. muted: it is not its turn by itself. talkativeness: from 0 to 1, None for what the card says."""

    persona: Persona
    muted: bool = False
    talkativeness: float | None = None

    @property
    def name(self) -> str:
        """By which messages say who spoke."""
        return self.persona.name

    @property
    def chance(self) -> float:
        """How likely it speaks without being named, from 0 to 1."""
        wanted = self.talkativeness
        if wanted is None:
            kept = self.persona.extensions.get("talkativeness")
            try:
                wanted = float(kept) if isinstance(kept, str | int | float) else TALKATIVENESS
            except ValueError:
                wanted = TALKATIVENESS
        return min(1.0, max(0.0, wanted)) if math.isfinite(wanted) else TALKATIVENESS


class Group(msgspec.Struct, frozen=True):
    """Several personas in one conversation. members: in their order, no two of one name. self_replies: one may speak twice in a row.

    speaking: the name of who speaks, or spoke last; the first of the members where there is none of that name. name: of the group, "" for
    none.
    """

    members: tuple[Member, ...] = ()
    order: Order = Order.NATURAL
    cards: Cards = Cards.JOINED
    self_replies: bool = False
    speaking: str = ""
    name: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all members."""
        return tuple(each.name for each in self.members)

    @property
    def title(self) -> str:
        """Its name, else those of its members."""
        return self.name or ", ".join(self.names)

    @property
    def speaker(self) -> Member | None:
        """Who speaks, None in an empty group."""
        return self.member(self.speaking) or next(iter(self.members), None)

    @property
    def read(self) -> tuple[Member, ...]:
        """Whose cards are in the prompt."""
        speaker = self.speaker
        if self.cards is Cards.OWN:
            return (speaker,) if speaker is not None else ()
        return tuple(each for each in self.members if not each.muted or self.cards is Cards.WITH_MUTED or each is speaker)

    def member(self, name: str) -> Member | None:
        """The member of exactly that name."""
        return next((each for each in self.members if each.name == name), None)

    def joined(self, persona: Persona) -> Group:
        """With one more member at the end; one whose name is taken gets a number behind it."""
        name, number = persona.name, 2
        while self.member(name) is not None:
            name, number = f"{persona.name} {number}", number + 1
        member = Member(msgspec.structs.replace(persona, name=name))
        return msgspec.structs.replace(self, members=(*self.members, member))

    def left(self, name: str) -> Group:
        """Without the member of that name."""
        return msgspec.structs.replace(self, members=tuple(each for each in self.members if each.name != name))

    def changed(self, name: str, member: Member) -> Group:
        """With another one in the place of the member of that name."""
        members = tuple(member if each.name == name else each for each in self.members)
        speaking = member.name if self.speaking == name else self.speaking
        return msgspec.structs.replace(self, members=members, speaking=speaking)

    def moved(self, name: str, by: int) -> Group:
        """With the member of that name so many places further down, as far as there are any."""
        at = self.names.index(name)
        members = [each for each in self.members if each.name != name]
        members.insert(min(max(0, at + by), len(members)), self.members[at])
        return msgspec.structs.replace(self, members=tuple(members))

    def spoken(self, name: str) -> Group:
        """With the member of that name as who speaks."""
        return self if name == self.speaking else msgspec.structs.replace(self, speaking=name)


def due(group: Group, said: str, since: Sequence[str], draw: Callable[[], float]) -> tuple[str, ...]:
    """The names of who is to speak now, in their order, each once.

    said: the last message. since: who has spoken since the user did, () when that message is the user's. draw: numbers from 0 to 1, 1 not
    among them.
    """
    last = since[-1] if since and not group.self_replies else ""
    awake = [each for each in group.members if not each.muted]
    able = [each for each in awake if each.name != last] or awake
    match group.order:
        case Order.MANUAL:
            return ()
        case Order.LIST:
            behind = group.names.index(last) + 1 if last in group.names else 0
            return tuple(sorted((each.name for each in able), key=lambda name: group.names.index(name) < behind))
        case Order.POOLED:
            pool = [each for each in able if each.name not in since] or able
            return (pool[_below(len(pool), draw)].name,) if pool else ()
    chosen = mentioned(able, said)
    chosen += [each for each in _shuffled(able, draw) if each.chance > draw()]
    if not chosen and able:
        pool = [each for each in able if each.chance > 0] or able
        chosen = [pool[_below(len(pool), draw)]]
    return tuple(dict.fromkeys(each.name for each in chosen))


def mentioned(members: Sequence[Member], text: str) -> list[Member]:
    """Whom a text names, in the order in which it does: by the name, the nickname, or a word of them that is no common one."""
    hay = text.casefold()
    places = [(min(found), at) for at, each in enumerate(members) if (found := list(_places(each, hay)))]
    return [members[at] for _, at in sorted(places)]


def _places(member: Member, hay: str) -> list[int]:
    names = {member.name.casefold().strip(), member.persona.called.casefold().strip()} - {""}
    words = {word for name in names for word in regex.findall(r"\w+", name) if len(word) >= _SHORT and word not in _COMMON}
    return [at for word in names | words if (at := _place(word, hay)) >= 0]


def _place(word: str, hay: str) -> int:
    if _UNSPACED.search(word):
        return hay.find(word)
    found = regex.search(rf"(?<!\w){regex.escape(word)}(?!\w)", hay)
    return found.start() if found else -1


def _below(n: int, draw: Callable[[], float]) -> int:
    return min(n - 1, int(draw() * n))


def _shuffled(members: Sequence[Member], draw: Callable[[], float]) -> list[Member]:
    left, order = list(members), list[Member]()
    while left:
        order.append(left.pop(_below(len(left), draw)))
    return order
