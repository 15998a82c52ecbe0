"""The lorebooks' part in a turn: what fires on the user's message is put beside it, once, and stays there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from nemochat.chat.cast import Moment, actors, group_macros, is_joined, macros_of, readers
from nemochat.domain.chat import Chat
from nemochat.domain.messages import ContextPart, Message, Role
from nemochat.domain.personas import Lorebook, Persona
from nemochat.errors import NemochatError
from nemochat.personas import prompt_text
from nemochat.personas.lore import Fired, Lore, Scan, Situation, lore_of, outlets, scan, standing
from nemochat.personas.lore_rules import DEPTH, Place
from nemochat.personas.macros import Macros
from nemochat.personas.scene import Scene
from nemochat.reading import member
from nemochat.settings import LoreSettings

SHARE = 0.25
"""Of the window, what the entries of one turn may take when a lorebook does not say."""
PLAIN = Persona(name="Assistant")
"""Who speaks, to a lorebook, where no persona does."""
_BYTES_A_TOKEN = 4
_OUTLET = re.compile(r"\{\{\s*outlet\s*::?\s*([^{}]*?)\s*\}\}", re.IGNORECASE)


class Shelf:
    """The lorebooks of conversations: their own, their persona's, those of all.

    get: one by its id, the same value until it changes, which may raise NemochatError; None where there are none but those within personas.
    changed: gets one that is another than the last time.
    """

    def __init__(
        self,
        get: Callable[[str], Lorebook] | None = None,
        settings: LoreSettings | None = None,
        changed: Callable[[Lorebook], None] | None = None,
    ) -> None:
        self._get, self._changed = get, changed
        self._seen: dict[str, Lorebook] = {}
        self.own: set[str] = set()
        """Ids of those that the program itself is changing: nothing is told of them."""
        self.settings = settings or LoreSettings()

    def lore_of(self, chat: Chat) -> Lore:
        """What is scanned in a conversation. A lorebook that cannot be read is named in its problems; one that changed counts as it is now.

        One that is attached to several of these is there once: as one of all chats, else as the chat's. The books within the cards of a
        group whose cards are joined are not among them (`lore_by_member`).
        """
        persona, everywhere = chat.playing, dict.fromkeys(self.settings.books)
        attached = [id_ for each in readers(chat) for id_ in each.lorebooks]
        own = [id_ for id_ in dict.fromkeys(chat.lorebooks) if id_ not in everywhere]
        theirs = [id_ for id_ in dict.fromkeys(attached) if id_ not in {*everywhere, *own}]
        problems: list[str] = []
        books = [
            *self._books(own, problems),
            *([persona.book] if persona is not None and persona.book is not None and not is_joined(chat) else []),
            *self._books(theirs, problems),
            *self._books(everywhere, problems),
        ]
        texts = _texts_of(chat)
        note = chat.note.text if chat.note is not None else ""
        written = [*texts.values(), note, chat.frame.system, *((persona.system, persona.post_history) if persona is not None else ())]
        return Lore(
            books=tuple(books),
            name=persona.name if persona is not None else "",
            tags=persona.tags if persona is not None else (),
            texts={name: text for name, text in texts.items() if text},
            note=note if self.settings.scan_note else "",
            outlets=frozenset(name.casefold() for text in written for name in _OUTLET.findall(text)),
            at_least=self.settings.min_entries,
            names=self.settings.names,
            problems=tuple(problems),
        )

    def _books(self, ids: Iterable[str], problems: list[str]) -> list[Lorebook]:
        books: list[Lorebook] = []
        if (get := self._get) is None:
            return books
        for id_ in ids:
            try:
                book = get(id_)
            except NemochatError as error:
                problems.append(error.message)
                continue
            books.append(book)
            before, self._seen[id_] = self._seen.get(id_, book), book
            if before is not book and id_ not in self.own and self._changed is not None:
                self._changed(book)
        return books


def macros_in(chat: Chat, lore: Lore, scene: Scene | None = None) -> Macros:
    """The macros of a conversation's texts, with what stands in the outlets of its lorebooks; those of the whole group where its cards are
    joined. scene: where they are read, None for now."""
    scene = scene or Moment.present().scene(chat)
    joined = chat.group is not None and is_joined(chat)
    macros = group_macros(chat, scene) if joined else macros_of(chat, chat.playing or PLAIN, scene)
    if not lore.outlets:
        return macros
    values = {f"outlet::{name}": macros.expand(text) for name, text in outlets(lore).items()}
    return msgspec.structs.replace(macros, values={**macros.values, **values})


def lore_by_member(chat: Chat, scene: Scene) -> tuple[tuple[Lore, Macros], ...]:
    """The books within the cards of a group whose cards are joined, each with its own macros."""
    return tuple((lore_of(persona), macros) for persona, macros in actors(chat, scene)) if is_joined(chat) else ()


def with_lore(
    chat: Chat, message: Message, room: int | None = None, lore: Lore | None = None, scene: Scene | None = None
) -> Message:
    """The message that is about to be added, with the entries of its lorebooks that fire on it; the rest as for `fired`."""
    if message.role is not Role.USER:
        return message
    contexts = (_part(chat, each) for each in fired(chat, message, room, lore, scene).fired)
    return msgspec.structs.replace(message, parts=(*message.parts, *contexts))


def fired(
    chat: Chat, message: Message, room: int | None = None, lore: Lore | None = None, scene: Scene | None = None
) -> Scan:
    """What fires when `message` comes next. What the window still holds is not said again.

    room: tokens of the window that are not kept for the reply; None is not known. lore: of the conversation; None is the persona's own.
    scene: where the entries are read, None for now.
    """
    scene = scene or Moment.present().scene(chat)
    lore = own_lore(chat) if lore is None else lore
    scans = [_fired(chat, message, room, lore, macros_in(chat, lore, scene), scene)]
    scans += [_fired(chat, message, room, theirs, macros, scene) for theirs, macros in lore_by_member(chat, scene) if theirs.books]
    if len(scans) == 1:
        return scans[0]
    return Scan(**{field: tuple(each for one in scans for each in getattr(one, field)) for field in Scan.__struct_fields__})


def own_lore(chat: Chat) -> Lore:
    """What is part of the cards alone; nothing of a group whose cards are joined (`lore_by_member`)."""
    return Lore() if is_joined(chat) else lore_of(chat.playing)


def _fired(chat: Chat, message: Message, room: int | None, lore: Lore, macros: Macros, scene: Scene) -> Scan:
    if not lore.books:
        return Scan(notices=lore.problems)
    kept = [entry for entry in chat.entries[chat.first_seen :] if not entry.message.excluded]
    replies = [entry for entry in chat.entries if entry.message.role is Role.ASSISTANT]
    greeting = chat.alternatives(0).index(chat.entries[0].id) if chat.entries and chat.entries[0] in replies else None
    n_messages, before = _history(chat)
    return scan(
        lore,
        [*(_said(each.message, each.speaker, lore, macros) for each in kept), _said(message, "", lore, macros)],
        macros,
        count=_tokens,
        already={context.text for each in kept for context in each.message.contexts},
        budget=None if room is None else _budget(chat, message, lore, room, scene),
        situation=Situation(len(replies), greeting, n_messages + 1, before),
    )


def fired_last(chat: Chat, room: int | None = None, lore: Lore | None = None) -> Scan:
    """What fired with the last message of the user, and what did not: the same as was found when it was sent."""
    at = next((index for index in reversed(chat.shown) if chat.entries[index].message.role is Role.USER), None)
    if at is None:
        return msgspec.structs.replace(fired(chat, Message(Role.USER, ()), room, lore), fired=(), dropped=())
    return fired(chat.cut(at), chat.entries[at].message, room, lore)


def tried(lore: Lore, text: str, chat: Chat | None = None) -> Scan:
    """What a text by itself would call, said by nobody. chat: whose persona and user it is, None for none."""
    return scan(lore, [text], macros_in(chat or Chat(), lore), count=_tokens)


def system_of(chat: Chat, lore: Lore, scene: Scene) -> str:
    """The system text of a conversation, with what its lorebooks always have there."""
    persona, system, macros = chat.playing, chat.frame.system, macros_in(chat, lore, scene)
    if persona is None:
        return prompt_text.plain_system_text(system, lore, macros) if lore.books else system
    if is_joined(chat):
        return prompt_text.together(actors(chat, scene), system, macros, lore)
    return prompt_text.alone(persona, macros, system, lore, in_group=chat.group is not None and len(chat.group.members) > 1)


def _said(message: Message, speaker: str, lore: Lore, macros: Macros) -> str:
    """A message as it is searched: with who speaks, as SillyTavern has it."""
    if not lore.names or message.role is Role.TOOL:
        return message.text
    return f"{macros.user if message.role is Role.USER else speaker or macros.char}: {message.text}"


def _texts_of(chat: Chat) -> dict[str, str]:
    """What entries may want searched besides the messages, by the names of `SOURCES`."""
    persona, user = chat.playing, chat.user
    texts = {"match_persona_description": user.description if user is not None else ""}
    if persona is not None:
        texts |= {
            "match_character_description": persona.description,
            "match_character_personality": persona.personality,
            "match_character_depth_prompt": member(persona.extensions, str, "depth_prompt", "prompt") or "",
            "match_scenario": persona.scenario,
            "match_creator_notes": persona.creator_notes,
        }
    return texts


def _budget(chat: Chat, message: Message, lore: Lore, room: int, scene: Scene) -> int:
    """What entries may take: what the lorebooks say, of which those that are always there are a part, within what will be free.

    Those that do not say share a part of the window.
    """
    free = room - _tokens(system_of(chat, lore, scene)) - _tokens(message.text)
    said = [book.token_budget for book in lore.books if book.token_budget is not None]
    asked = max(0, sum(said) - sum(_tokens(text) for text in standing(lore))) if said else 0
    share = SHARE * room if len(said) < len(lore.books) else 0
    return max(0, min(asked + int(share), free))


def _history(chat: Chat) -> tuple[int, Mapping[str, list[int]]]:
    """How many messages there are, and at how many of them each entry fired."""
    n_messages, before = 0, dict[str, list[int]]()
    for index in chat.shown:
        message = chat.entries[index].message
        n_messages += message.role is not Role.TOOL
        for part in message.parts:
            if isinstance(part, ContextPart) and part.entry:
                before.setdefault(part.entry, []).append(n_messages)
    return n_messages, before


def _part(chat: Chat, each: Fired) -> ContextPart:
    rules = each.rules
    depth = rules.depth or 0
    if rules.place in (Place.NOTE_TOP, Place.NOTE_BOTTOM):
        depth = chat.note.depth if chat.note is not None else DEPTH
    return ContextPart(each.text, each.source, each.reason, each.id, depth, rules.speaker)


def _tokens(text: str) -> int:
    return len(text.encode()) // _BYTES_A_TOKEN + 1
