"""Who speaks in a chat: a persona or several, the macros of their texts, the names that stand before words, and how they open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
import regex

from nemochat.domain.chat import Chat, Entry
from nemochat.domain.edits import Speaks, applied
from nemochat.domain.groups import Cards, Group, due
from nemochat.domain.messages import Message, Part, Role, TextPart
from nemochat.domain.personas import Persona, UserProfile
from nemochat.domain.sanitize import sanitize
from nemochat.personas import prompt_text
from nemochat.personas.macros import Macros
from nemochat.personas.scene import Scene

_UNSPACED = regex.compile(r"[\p{Line_Break=ID}\p{Line_Break=CJ}\p{Line_Break=NS}\p{Line_Break=SA}]")
_MOST_NAMED = 4


class Moment(msgspec.Struct, frozen=True):
    """When a chat's texts are read, in the time zone of the user, and the variables of all chats by then."""

    now: datetime
    shared: Mapping[str, str] = {}

    @classmethod
    def present(cls) -> Moment:
        """Now, without such variables."""
        return cls(datetime.now().astimezone())

    def scene(self, chat: Chat) -> Scene:
        """A reading of a chat's texts."""
        return Scene(chat, self.now, self.shared)


# -- macros


def macros_of(chat: Chat, persona: Persona, scene: Scene) -> Macros:
    """The macros of a persona's texts in this chat."""
    user, group = chat.user or UserProfile(), chat.group
    values: dict[str, str] = {}
    if group is not None:
        others = [each.persona.called for each in group.members if each.name != persona.name]
        values = {**dict.fromkeys(("group", "charifnotgroup"), _names(group)), "notchar": ", ".join([*others, prompt_text.user_name(user)])}
    return prompt_text.macros_of(persona, user, seed=str(chat.seed), values=values, scene=scene)


def group_macros(chat: Chat, scene: Scene) -> Macros:
    """The macros of texts that are told of a whole group."""
    return macros_of(chat, Persona(name=_names(chat.group or Group())), scene)


def is_joined(chat: Chat) -> bool:
    """Whether the cards of several personas are read together."""
    return chat.group is not None and chat.group.cards is not Cards.OWN


def readers(chat: Chat) -> tuple[Persona, ...]:
    """Whose cards are in the prompt."""
    if chat.group is not None:
        return tuple(each.persona for each in chat.group.read)
    return () if chat.persona is None else (chat.persona,)


def actors(chat: Chat, scene: Scene) -> tuple[tuple[Persona, Macros], ...]:
    """The same, each with the macros of its texts."""
    return tuple((persona, macros_of(chat, persona, scene)) for persona in readers(chat))


def heard(chat: Chat, message: Message, id_: int, scene: Scene) -> Message:
    """The user's message with its macros replaced, in a roleplay. Two that are alike do not draw the same."""
    persona = chat.playing
    if persona is None or message.role is not Role.USER or "{{" not in message.text:
        return message
    macros = msgspec.structs.replace(macros_of(chat, persona, scene), seed=f"{chat.seed}\0{id_}")
    parts = (TextPart(macros.once(part.text)) if isinstance(part, TextPart) else part for part in message.parts)
    return msgspec.structs.replace(message, parts=tuple(parts))


def unknown_macros(scene: Scene) -> str:
    """A sentence about macros that are none."""
    names = [f"{{{{{name}}}}}" for name in list(scene.unknown)[:_MOST_NAMED]]
    return f"nemochat does not know the macro {' or '.join(names)}: it stays in the text as it is written."


def _names(group: Group) -> str:
    return ", ".join(each.persona.called for each in group.members)


# -- names before words


def label(chat: Chat, name: str) -> str:
    """What stands before the words of who is called so in a group: what the cards call it, unless two are called that."""
    group = chat.group or Group()
    called = [each.persona.called for each in group.members]
    member = group.member(name)
    words = member.persona.called if member is not None and called.count(member.persona.called) == 1 else name
    return sanitize(words, strict=True).replace(":", " ").strip()


def user_label(chat: Chat) -> str:
    """What stands before the user's words in a group."""
    return prompt_text.user_name(chat.user or UserProfile()).replace(":", " ").strip()


def named(chat: Chat, entry: Entry) -> Message:
    """A message as it enters the prompt: in a group with the name of who says it before its words.

    The name of a persona is a part of its own, so that what the model wrote behind it stays what it was to the engine.
    """
    message = entry.message
    at = next((at for at, part in enumerate(message.parts) if isinstance(part, TextPart) and part.text.strip()), None)
    if chat.group is None or at is None or message.role is Role.TOOL:
        return message
    first = message.parts[at]
    assert isinstance(first, TextPart)
    if message.role is Role.USER:
        words: tuple[TextPart, ...] = (TextPart(f"{user_label(chat)}: {first.text.lstrip()}"),)
    elif entry.speaker:
        words = (TextPart(f"{label(chat, entry.speaker)}:"), TextPart(f"{gap(first.text)}{first.text}"))
    else:
        return message
    return msgspec.structs.replace(message, parts=(*message.parts[:at], *words, *message.parts[at + 1 :]))


def gap(text: str) -> str:
    """What stands between a name and these words, which are kept without it."""
    return "" if not text or text[0].isspace() or _UNSPACED.match(text) else " "


def opening(chat: Chat, speaks: Role = Role.ASSISTANT) -> str:
    """The name with which the next message begins, "" where there is none."""
    if chat.group is None or chat.group.speaker is None:
        return ""
    return f"{user_label(chat) if speaks is Role.USER else label(chat, chat.group.speaker.name)}:"


def stops(chat: Chat) -> tuple[str, ...]:
    """What ends the speaker's reply in a group: a line that begins with the name of another one, or of the user."""
    if chat.group is None or chat.group.speaker is None:
        return ()
    others = [label(chat, name) for name in chat.group.names if name != chat.group.speaker.name]
    return tuple(f"\n{name}:" for name in dict.fromkeys([user_label(chat), *others]) if name)


class Lead:
    """Takes a name away that a model has put before its words though the prompt has it there, or was to be without it; while they come."""

    def __init__(self, name: str, ends: tuple[str, ...]) -> None:
        """name: with its colon. ends: lines that are another one's."""
        self._name, self._ends = name, ends
        self._held = ""
        self._has_begun = False

    @classmethod
    def of(cls, chat: Chat) -> Lead | None:
        """For the next reply in a chat; None where there are no names."""
        begins = opening(chat)
        return cls(begins, stops(chat)) if begins else None

    def push(self, text: str) -> str:
        """What of the words may be shown by now."""
        if self._has_begun:
            return text
        self._held += text
        said = self._held.lstrip()
        if self._name.startswith(said):
            return ""
        self._has_begun, self._held = True, ""
        if not said.startswith(self._name):
            return said
        said = said.removeprefix(self._name).lstrip()
        self._has_begun = bool(said)
        return said

    def finish(self) -> str:
        """What was held back and is no name."""
        said, self._held = self._held.strip(), ""
        return "" if said == self._name else said

    def kept(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """The parts of a reply as they are kept: without the name, without what stands between it and the words, and up to a line that is
        another one's."""
        at = next((at for at, part in enumerate(parts) if isinstance(part, TextPart) and part.text.strip()), None)
        if at is None:
            return parts
        first = parts[at]
        assert isinstance(first, TextPart)
        text = first.text.lstrip().removeprefix(self._name) if first.text.lstrip().startswith(self._name) else first.text
        if text.startswith(" ") and gap(text[1:]):
            text = text[1:]
        for end in self._ends:
            text = text.partition(end)[0]
        return (*parts[:at], TextPart(text), *parts[at + 1 :])


# -- who speaks


def next_speakers(chat: Chat, said: str, draw: Callable[[], float], *, answers: bool) -> tuple[str, ...]:
    """The names of those who are to speak next, in their order; () where nobody is. answers: to `said`, a message of the user that is about
    to be part of the chat."""
    return () if chat.group is None else due(chat.group, said, () if answers else chat.since, draw)


def spoken_by(chat: Chat, name: str) -> Chat:
    """The chat with the member of that name as who speaks."""
    return applied(chat, Speaks(name))


# -- how they open


def opened(chat: Chat, scene: Scene) -> Chat:
    """An empty chat in which the persona, or everybody of the group in turn, has greeted the user.

    What the first of each one's greetings sets stays set; what it says otherwise is beside it.
    """
    personas = [] if chat.persona is None else [chat.persona]
    for persona in personas if chat.group is None else [each.persona for each in chat.group.members if not each.muted]:
        macros = macros_of(chat, persona, scene)
        written = [text for text in prompt_text.openings(persona, in_group=chat.group is not None) if text.strip()]
        said = [macros.expand(text).strip() for text in written[:1]]
        aside = msgspec.structs.replace(macros, scene=scene.aside())
        said += [aside.expand(text).strip() for text in written[1:]]
        if aside.scene is not None:
            scene.remember(aside.scene)
        chat = chat.opened([text for text in said if text], persona.name)
    return chat
