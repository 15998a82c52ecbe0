"""Several personas in the conversation on the desk: who is in it, in which order they speak, and who speaks now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from nemochat.chat import Chat
from nemochat.chat.cast import next_speakers
from nemochat.desk.conversation import Around
from nemochat.desk.port import Answer, AskItem, AskMenu, AskPersona, AskText, Item, PersonaAction, Port, RolesChanged, Said, Workbench
from nemochat.desk.sending import Sending
from nemochat.desk.turns import Turn, speaking
from nemochat.domain.groups import Cards, Group, Member, Order
from nemochat.domain.messages import Role
from nemochat.errors import ConversationError, NemochatError, UsageError
from nemochat.personas.index import named, named_in

Choice = TypeVar("Choice", bound=StrEnum)

_ORDERS = {
    Order.NATURAL: "whom you name, then by talkativeness",
    Order.LIST: "everybody, in the order of the list",
    Order.POOLED: "one of those who have not spoken yet",
    Order.MANUAL: "nobody, before you say who with /speak",
}
_CARDS = {
    Cards.JOINED: "of all who are not muted, read once",
    Cards.WITH_MUTED: "of all, also of those who are muted, read once",
    Cards.OWN: "of the speaker alone, read anew at each switch",
}
_SWITCH = {"on": True, "off": False}
_MOST_NAMED = 8


class Stage(Around, Protocol):
    """What groups need of the rest of the desk."""

    sending: Sending
    draw: Callable[[], float]


class Groups:
    """Does what ``/group`` and ``/speak`` say."""

    def __init__(self, port: Port, bench: Workbench, stage: Stage) -> None:
        self._port, self._bench, self._stage = port, bench, stage

    async def run(self, argument: str) -> None:
        """``/group``, see `WORDS`. Raises NemochatError."""
        word, _, rest = argument.strip().partition(" ")
        word, rest = word.lower(), rest.strip()
        if word and word not in WORDS:
            raise UsageError(f"/group has no {word}.", f"There are: {', '.join(WORDS)}.")
        if not word:
            await self._menu()
        elif not self._stage.refuse_while_busy():
            await WORDS[word](self, rest)

    def choices(self) -> dict[str, list[str]]:
        """What may stand behind the commands, for completion."""
        group = self._stage.conversation.chat.group
        names = list(group.names) if group is not None else []
        return {"group": [*WORDS, *(f"{word} {name}" for word in _OF_MEMBERS for name in names)], "speak": names}

    # -- who is in it

    async def add(self, name: str) -> None:
        """Take one more persona in; the user chooses where there is no name. Raises NemochatError."""
        id_ = await self._chosen(name)
        if id_ is None:
            return
        persona, _ = await asyncio.to_thread(self._bench.personas.load, id_)
        if self._stage.refuse_while_busy():
            return
        conversation = self._stage.conversation
        if _is_answered(conversation.chat):
            conversation.change(lambda chat: _with_group(chat, _group_of(chat).joined(persona)))
        else:
            opened = self._stage.opened(_with_group(_bare(conversation.chat), _group_of(conversation.chat).joined(persona)))
            conversation.change(lambda chat: _reopened(chat, opened))
        self._port.tell(RolesChanged())
        self._tell_members(f"{_group_of(conversation.chat).names[-1]} is in this chat now.")

    async def remove(self, name: str) -> None:
        """Take a member out; what it said stays. Raises ConversationError."""
        member = self._member(name)
        self._change(lambda group: group.left(member.name))
        self._port.tell(Said(f"{member.name} has left. What was said stays."))

    async def mute(self, name: str, *, muted: bool = True) -> None:
        """A member does not speak by itself, or does again. Raises ConversationError."""
        member = self._member(name)
        self._change(lambda group: group.changed(member.name, msgspec.structs.replace(member, muted=muted)))
        words = f"speaks only when you say so: /speak {member.name}" if muted else "speaks again."
        self._port.tell(Said(f"{member.name} {words}"))

    async def move(self, name: str, by: int) -> None:
        """A member further up or down the list. Raises ConversationError."""
        member = self._member(name)
        self._change(lambda group: group.moved(member.name, by))
        self._tell_members("")

    async def talk(self, argument: str) -> None:
        """``NAME 0.7``: how likely a member speaks without being named. Raises ConversationError and UsageError."""
        name, _, number = argument.rpartition(" ")
        try:
            chance = float(number)
        except ValueError:
            chance = -1.0
        if not 0 <= chance <= 1:
            raise UsageError("Talkativeness is a number from 0 to 1.", "Write it behind the name: /group talk Mira 0.7")
        member = self._member(name)
        self._change(lambda group: group.changed(member.name, msgspec.structs.replace(member, talkativeness=chance)))
        self._port.tell(Said(f"{member.name} speaks with a chance of {chance:.0%} when nobody names it."))

    # -- how it goes

    async def order(self, word: str) -> None:
        """Who speaks after the user has. Raises ConversationError and UsageError."""
        order = await self._one_of(word, Order, _ORDERS, "Who speaks after you?", self._group().order)
        if order is not None:
            self._change(lambda group: msgspec.structs.replace(group, order=order))
            self._port.tell(Said(f"After you speaks: {_ORDERS[order]}."))

    async def cards(self, word: str) -> None:
        """Whose cards the model reads. Raises ConversationError and UsageError."""
        cards = await self._one_of(word, Cards, _CARDS, "Whose cards does the model read?", self._group().cards)
        if cards is not None:
            self._change(lambda group: msgspec.structs.replace(group, cards=cards))
            self._port.tell(Said(f"The model reads the cards {_CARDS[cards]}."))

    async def self_replies(self, word: str) -> None:
        """Whether one may speak twice in a row. Raises ConversationError and UsageError."""
        if word.lower() not in _SWITCH:
            raise UsageError("/group self takes on or off.")
        allows = _SWITCH[word.lower()]
        self._change(lambda group: msgspec.structs.replace(group, self_replies=allows))
        self._port.tell(Said("One may speak twice in a row now." if allows else "Nobody speaks twice in a row now."))

    async def name(self, words: str) -> None:
        """What the group is called. Raises ConversationError."""
        self._change(lambda group: msgspec.structs.replace(group, name=words))

    async def off(self, _: str) -> None:
        """The group ends; the model is itself again. Raises ConversationError."""
        self._group()
        self._stage.conversation.change(lambda chat: msgspec.structs.replace(chat, group=None, examples_gone=0))
        self._port.tell(RolesChanged())
        self._port.tell(Said("The group has ended: the model is itself again. /undo brings it back."))

    # -- who speaks

    async def speak(self, name: str) -> None:
        """Let a member speak now, or whose turn it is; behind what is being said. Raises ConversationError."""
        conversation = self._stage.conversation
        chat = conversation.chat
        if chat.playing is None:
            self._port.tell(Said("Nobody is in this chat but the model: /persona chooses whom it plays."))
            return
        if not chat.entries:
            self._port.tell(Said("Nothing was said yet: write the first message."))
            return
        if name.strip() or chat.group is None:
            speaker = self._member(name).name if name.strip() and chat.group is not None else ""
        else:
            said = chat.entries[-1].message.text
            speaker = next(iter(next_speakers(chat, said, self._stage.draw, answers=False)), "") or await self._asked_for(chat.group)
            if not speaker:
                return
        label = f"{speaker or chat.playing.name} speaks"
        self._stage.sending.submit(Turn(conversation, label, play=speaking(speaker), speaker=speaker))

    async def _asked_for(self, group: Group) -> str:
        items = tuple(Item(each.name, each.name, _about(each)) for each in group.members)
        return await self._port.ask(AskItem("Who speaks?", items, current=group.speaking)) or ""

    # -- the list

    async def _menu(self) -> None:
        """Who is in the group, and what can be done with each; until something was chosen that leaves it. Raises NemochatError."""
        while True:
            group = _group_of(self._stage.conversation.chat)
            items = (
                *(Item(f"member {each.name}", each.name, _about(each)) for each in group.members),
                Item("add", "Take one more in…", "a persona of yours"),
                *([Item("order", "Who speaks after you", _ORDERS[group.order]), Item("cards", "Cards", _CARDS[group.cards])]
                  if self._stage.conversation.chat.group is not None else []),
            )  # fmt: skip
            chosen = await self._port.ask(AskItem(f"In this chat: {group.title or 'nobody'}", items))
            if chosen is None or self._stage.refuse_while_busy():
                return
            if not chosen.startswith("member "):
                await WORDS[chosen](self, "")
                continue
            if await self._act(chosen.removeprefix("member ")):
                return

    async def _act(self, name: str) -> bool:
        """What can be done with a member; whether that leaves the list. Raises NemochatError."""
        member = _group_of(self._stage.conversation.chat).member(name)
        if member is None:
            return False
        answers = (
            Answer("speak", "Let it speak now", "s"),
            Answer("unmute", "Let it speak by itself", "m") if member.muted else Answer("mute", "Let it speak only when told to", "m"),
            Answer("talk", f"Talkativeness: {member.chance:g}", "t"),
            Answer("up", "Further up", "u"),
            Answer("down", "Further down", "d"),
            Answer("remove", "Take it out", "r"),
        )
        chosen = await self._port.ask(AskMenu(name, answers))
        if chosen is None or (chosen != "speak" and self._stage.refuse_while_busy()):
            return False
        if chosen == "speak":
            await self.speak(name)
            return True
        if self._stage.conversation.chat.group is None:  # a persona alone becomes a group of one
            self._stage.conversation.change(lambda chat: _with_group(chat, _group_of(chat)))
        if chosen == "talk":
            number = await self._port.ask(AskText("Talkativeness", f"{member.chance:g}", "From 0 to 1.", one_line=True))
            name = f"{name} {number or member.chance}"
        await WORDS[chosen](self, name)
        return False

    # -- what these have in common

    def _group(self) -> Group:
        group = self._stage.conversation.chat.group
        if group is None:
            raise ConversationError("This chat has no group.", "/group add NAME takes one more persona in.")
        return group

    def _member(self, name: str) -> Member:
        """Whom somebody means by a name. Raises ConversationError."""
        group = self._group()
        found = [group.members[at] for at in named_in(name, group.names)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConversationError(f"Several are called like {name}: {', '.join(each.name for each in found)}.", "Write more of the name.")
        raise ConversationError(f"{name or 'Nobody'} is not in this chat.", f"There are: {group.title or 'none'}.")

    def _change(self, change: Callable[[Group], Group]) -> None:
        """Raises ConversationError where there is no group."""
        self._group()
        self._stage.conversation.change(lambda chat: chat if chat.group is None else _with_group(chat, change(chat.group)))
        self._port.tell(RolesChanged())

    async def _chosen(self, name: str) -> str | None:
        """The id of a persona. Raises NemochatError."""
        store = self._bench.personas
        personas = await asyncio.to_thread(store.list)
        if not name:
            user = store.profiles().current.name
            wish = await self._port.ask(AskPersona(tuple(personas), store.load, "", user))
            return wish.id if wish is not None and wish.action is PersonaAction.USE else None
        found = named(name, personas)
        if len(found) == 1:
            return found[0].id
        if found:
            several = ", ".join(each.name for each in found[:_MOST_NAMED])
            raise NemochatError(f"Several personas are called like {name}: {several}.", "Write more of the name.")
        raise NemochatError(f"There is no persona {name}.", "/persona lists them.")

    async def _one_of(self, word: str, kind: type[Choice], about: Mapping[Choice, str], title: str, now: Choice) -> Choice | None:
        """One of a few, by its word or as the user chooses it. Raises UsageError."""
        if not word:
            items = tuple(Item(each.value, each.value.replace("_", " "), about[each]) for each in kind)
            word = await self._port.ask(AskItem(title, items, current=now.value)) or now.value
        wanted = word.lower().replace(" ", "_").replace("-", "_")
        if wanted not in [each.value for each in kind]:
            raise UsageError(f"There is no {word}.", f"There are: {', '.join(each.value for each in kind)}.")
        return kind(wanted)

    def _tell_members(self, words: str) -> None:
        group = _group_of(self._stage.conversation.chat)
        self._port.tell(Said(f"{words} There are: {group.title}.".strip()))


WORDS: Mapping[str, Callable[[Groups, str], Awaitable[None]]] = {
    "add": Groups.add,
    "remove": Groups.remove,
    "mute": Groups.mute,
    "unmute": lambda groups, name: groups.mute(name, muted=False),
    "talk": Groups.talk,
    "up": lambda groups, name: groups.move(name, -1),
    "down": lambda groups, name: groups.move(name, 1),
    "order": Groups.order,
    "cards": Groups.cards,
    "self": Groups.self_replies,
    "name": Groups.name,
    "off": Groups.off,
}
"""What may stand behind ``/group``."""
_OF_MEMBERS = ("mute", "unmute", "remove", "up", "down")


def _about(member: Member) -> str:
    return "muted" if member.muted else f"talkativeness {member.chance:g}"


def _group_of(chat: Chat) -> Group:
    """The group of a chat; that of the persona alone where there is none."""
    if chat.group is not None:
        return chat.group
    return Group() if chat.persona is None else Group().joined(chat.persona)


def _with_group(chat: Chat, group: Group) -> Chat:
    return msgspec.structs.replace(chat, group=group if group.members else None, persona=None, examples_gone=0)


def _is_answered(chat: Chat) -> bool:
    return any(entry.message.role is not Role.ASSISTANT or entry.record is not None or not entry.speaker for entry in chat.entries)


def _bare(chat: Chat) -> Chat:
    """A new conversation with what stands around the messages of this one."""
    return msgspec.structs.replace(chat, entries=(), aside={}, next_id=1, readings={}, variables={}, first_kept=0)


def _reopened(chat: Chat, opened: Chat) -> Chat:
    """With the greetings of another one in place of those that are there; no id is used twice."""
    fresh = msgspec.structs.replace(chat, entries=(), aside={})
    by_parent: dict[int, list[str]] = {}
    for node in sorted(opened.nodes, key=lambda node: node.id):
        by_parent.setdefault(node.parent, []).append(node.entry.message.text)
    before = 0
    for entry in opened.entries:
        fresh = fresh.opened(by_parent[before], entry.speaker)
        before = entry.id
    around = {name: getattr(opened, name) for name in ("persona", "group", "user", "seed", "readings", "variables", "examples_gone")}
    return msgspec.structs.replace(fresh, **around)
