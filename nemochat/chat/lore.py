"""The lorebook's part in a turn: what fires on the user's message is put beside it, once, and stays there."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.messages import ContextPart, Message, Role
from nemochat.domain.personas import UserProfile
from nemochat.personas.lore import Fired, Scan, Situation, scan, standing
from nemochat.personas.lore_rules import DEPTH, Place
from nemochat.personas.prompt_text import macros_of, system_text

SHARE = 0.25
"""Of the window, what the entries of one turn may take when the lorebook does not say."""
_BYTES_A_TOKEN = 4


def with_lore(chat: Chat, message: Message, room: int | None = None) -> Message:
    """The message that is about to be added, with the entries of the persona's lorebook that fire on it; `room` as for `fired`."""
    if message.role is not Role.USER:
        return message
    contexts = (_part(chat, each) for each in fired(chat, message, room).fired)
    return msgspec.structs.replace(message, parts=(*message.parts, *contexts))


def fired(chat: Chat, message: Message, room: int | None = None) -> Scan:
    """What fires when `message` comes next. What the window still holds is not said again.

    room: tokens of the window that are not kept for the reply; None is not known.
    """
    if chat.persona is None or chat.persona.book is None:
        return Scan()
    kept = [entry.message for entry in chat.entries[chat.first_kept :] if not entry.message.excluded]
    replies = [entry for entry in chat.entries if entry.message.role is Role.ASSISTANT]
    greeting = chat.alternatives(0).index(chat.entries[0].id) if chat.entries and chat.entries[0] in replies else None
    n_messages, before = _history(chat)
    return scan(
        chat.persona.book,
        [*(each.text for each in kept), message.text],
        macros_of(chat.persona, chat.user or UserProfile(), seed=str(chat.seed)),
        count=_tokens,
        already={context.text for each in kept for context in each.contexts},
        budget=None if room is None else _budget(chat, message, room),
        situation=Situation(len(replies), greeting, n_messages + 1, before),
    )


def fired_last(chat: Chat, room: int | None = None) -> Scan:
    """What fired with the last message of the user, and what did not: the same as was found when it was sent."""
    at = next((index for index in reversed(chat.shown) if chat.entries[index].message.role is Role.USER), None)
    return Scan() if at is None else fired(chat.cut(at), chat.entries[at].message, room)


def _budget(chat: Chat, message: Message, room: int) -> int:
    """What entries may take: what the lorebook says, of which those that are always there are a part, within what will be free."""
    persona = chat.persona
    assert persona is not None
    assert persona.book is not None
    system = system_text(persona, chat.user or UserProfile(), chat.frame.system, seed=str(chat.seed))
    free = room - _tokens(system) - _tokens(message.text)
    wanted = persona.book.token_budget
    limit = SHARE * room if wanted is None else wanted - sum(_tokens(text) for text in standing(persona.book))
    return max(0, min(int(limit), free))


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
