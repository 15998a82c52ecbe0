"""The lorebook's part in a turn: what fires on the user's message is put beside it, once, and stays there."""

from __future__ import annotations

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.messages import ContextPart, Message, Role
from nemochat.domain.personas import UserProfile
from nemochat.personas.lore import Scan, Situation, scan
from nemochat.personas.prompt_text import macros_of

_BYTES_A_TOKEN = 4


def with_lore(chat: Chat, message: Message) -> Message:
    """The message that is about to be added, with the entries of the persona's lorebook that fire on it."""
    if message.role is not Role.USER:
        return message
    contexts = (ContextPart(each.text, each.source, each.reason) for each in fired(chat, message).fired)
    return msgspec.structs.replace(message, parts=(*message.parts, *contexts))


def fired(chat: Chat, message: Message) -> Scan:
    """What fires when `message` comes next. What the window still holds is not said again."""
    if chat.persona is None or chat.persona.book is None:
        return Scan()
    kept = [entry.message for entry in chat.entries[chat.first_kept :] if not entry.message.excluded]
    replies = [entry for entry in chat.entries if entry.message.role is Role.ASSISTANT]
    greeting = chat.alternatives(0).index(chat.entries[0].id) if chat.entries and chat.entries[0] in replies else None
    return scan(
        chat.persona.book,
        [*(each.text for each in kept), message.text],
        macros_of(chat.persona, chat.user or UserProfile(), seed=str(chat.seed)),
        count=lambda text: len(text.encode()) // _BYTES_A_TOKEN + 1,
        already={context.text for each in kept for context in each.contexts},
        situation=Situation(len(replies), greeting),
    )
