"""A persona's example dialogues, from the text of a card to messages. They are the first thing that the window forgets."""

from __future__ import annotations

import re

from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import Persona
from nemochat.personas.macros import Macros

_START = re.compile(r"^[ \t]*<START>[ \t]*$|<START>", re.IGNORECASE | re.MULTILINE)
_USER = ("{{user}}", "<user>", "you")
_CHAR = ("{{char}}", "<bot>", "<char>")


def blocks(persona: Persona, macros: Macros) -> tuple[tuple[Message, ...], ...]:
    """The dialogues, each a run of messages.

    A dialogue begins with ``<START>``; what stands before the first one is a dialogue too. A line that begins with ``{{user}}:``,
    ``{{char}}:`` or one of their names begins a message; the lines behind it go on with it. What stands before the first speaker is the
    persona's. Messages are as they are written: two of one speaker in a row stay two.
    """
    speakers = dict.fromkeys((*_USER, macros.user.casefold()), Role.USER)
    speakers |= dict.fromkeys((*_CHAR, persona.name.casefold(), persona.called.casefold()), Role.ASSISTANT)
    names = "|".join(re.escape(name) for name in sorted(filter(None, speakers), key=len, reverse=True))
    turn = re.compile(rf"^[ \t]*({names})[ \t]*:", re.IGNORECASE | re.MULTILINE)
    found = (_messages(block, turn, speakers, macros) for block in _START.split(persona.examples))
    return tuple(block for block in found if block)


def _messages(block: str, turn: re.Pattern[str], speakers: dict[str, Role], macros: Macros) -> tuple[Message, ...]:
    turns = list(turn.finditer(block))
    spoken = [(Role.ASSISTANT, block[: turns[0].start()] if turns else block)]
    for index, match in enumerate(turns):
        stop = turns[index + 1].start() if index + 1 < len(turns) else len(block)
        spoken.append((speakers.get(match[1].casefold(), Role.ASSISTANT), block[match.end() : stop]))
    said = ((role, macros.expand(text).strip()) for role, text in spoken)
    return tuple(Message(role, (TextPart(text),), example=True) for role, text in said if text)
