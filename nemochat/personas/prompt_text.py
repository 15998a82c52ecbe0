"""What a persona says to the model: the system text, the words behind the history, its greetings, its example dialogues.

The system text is plain paragraphs, without headings or labels that a small model would repeat. `creator_notes` are for people and are in
none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import AuthorNote, LoreEntry, Persona, UserProfile
from nemochat.domain.sanitize import sanitize
from nemochat.personas.lore import Lore, constants, lore_of
from nemochat.personas.macros import Macros
from nemochat.personas.scene import Scene
from nemochat.reading import listed, member

_ROLE = "You are {{char}}. Speak and act as {{char}} would, and stay in this role."
# The last ones are the full stop, the exclamation mark and the question mark of Chinese and Japanese.
_SENTENCE_END = re.compile("[.!?\N{HORIZONTAL ELLIPSIS}\u3002\uff01\uff1f]\\W{0,3}$")
_MAX_DEPTH = 1_000
_NEAR = 200
"""Where near the beginning of what is told of a member its name has to stand, in characters."""
_GROUP = (
    "You are {{group}}, who are talking with {{user}} and with one another. Each of your replies is by one of you alone, whose name begins "
    "it. Speak and act as that one would, and say nothing for the others or for {{user}}."
)
_OTHERS = "{{notChar}} are there too. The name of who says something stands before it. Write what {{char}} says, nothing for the others."


def user_name(user: UserProfile, persona: Persona | None = None) -> str:
    """What the user is called, by this persona."""
    return sanitize((persona.user_name if persona is not None else "") or user.name, strict=True).strip() or "User"


def macros_of(
    persona: Persona, user: UserProfile, *, seed: str, values: Mapping[str, str] | None = None, scene: Scene | None = None
) -> Macros:
    """The macros of this persona with this user. values: further ones, such as ``group``. scene: where its texts are read."""
    texts = {
        "description": persona.description,
        "personality": persona.personality,
        "scenario": persona.scenario,
        "persona": sanitize(user.description),
        "mesexamples": persona.examples,
        "mesexamplesraw": persona.examples,
        "charprompt": persona.system,
        "charinstruction": persona.post_history,
        "charjailbreak": persona.post_history,
        "charversion": persona.version,
        "char_version": persona.version,
    }
    return Macros(char=persona.called, user=user_name(user, persona), seed=seed, values=values or {}, texts=texts, scene=scene)


def system_text(
    persona: Persona,
    user: UserProfile,
    own_system: str,
    *,
    seed: str,
    values: Mapping[str, str] | None = None,
    lore: Lore | None = None,
) -> str:
    """The whole system text of a persona, as `alone` has it; lore: None is the persona's own."""
    return alone(persona, macros_of(persona, user, seed=seed, values=values), own_system, lore_of(persona) if lore is None else lore)


def alone(persona: Persona, macros: Macros, own_system: str, lore: Lore, *, in_group: bool = False) -> str:
    """The system text of one persona. own_system: the user's, which stands where the persona has none, and at ``{{original}}``. lore: of
    the conversation. in_group: others are there.

    In this order: system text; entries of the lorebook that are always there, before; description, personality, scenario, who the user is;
    such entries, after. A persona without a system text of its own gets a sentence that says whom to play.
    """
    own = macros.expand(own_system).strip()
    system = macros.expand(persona.system, original=own).strip()
    before, after = constants(lore)
    parts = [
        *([system] if system else [own, _role(macros)]),
        *_lore(before, macros),
        *_card(macros),
        _user(macros),
        *_lore(after, macros),
        macros.expand(_OTHERS) if in_group else "",
    ]
    return _paragraphs(parts)


def together(cast: Sequence[tuple[Persona, Macros]], own_system: str, shared: Macros, lore: Lore) -> str:
    """The system text of several personas, the same whoever of them speaks. shared: the macros of the whole group. lore: of the chat,
    without the books within their cards."""
    first, last = constants(lore)
    parts = [shared.expand(own_system).strip(), shared.expand(_GROUP), *_lore(first, shared)]
    for persona, macros in cast:
        before, after = constants(lore_of(persona))
        system = macros.expand(persona.system).strip()
        about = _paragraphs([system, *_lore(before, macros), *_card(macros), *_lore(after, macros)])
        names_itself = macros.char.casefold() in about[:_NEAR].casefold()
        parts += [about if not about or names_itself else f"This is {macros.char}.\n\n{about}"]
    return _paragraphs([*parts, _user(shared), *_lore(last, shared)])


def _card(macros: Macros) -> list[str]:
    return [macros.own("description"), _personality(macros), _scenario(macros)]


def _paragraphs(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def plain_system_text(own_system: str, lore: Lore, macros: Macros) -> str:
    """The system text of a conversation without a persona: the user's, and what its lorebooks always have there."""
    before, after = constants(lore)
    return "\n\n".join(part for part in (own_system.strip(), *_lore(before, macros), *_lore(after, macros)) if part)


def post_history(persona: Persona, own: str, macros: Macros) -> str:
    """What is said again behind the history. own: the user's, which stands where the persona has none, and at ``{{original}}``."""
    text = macros.expand(own).strip()
    return macros.expand(persona.post_history, original=text).strip() or text


def greetings(persona: Persona, user: UserProfile, *, seed: str, values: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """How the persona may open, its greeting first; the others are swipes of it. None when it lets the user begin."""
    macros = macros_of(persona, user, seed=seed, values=values)
    texts = (macros.expand(text).strip() for text in openings(persona))
    return tuple(text for text in texts if text)


def openings(persona: Persona, *, in_group: bool = False) -> tuple[str, ...]:
    """Its greetings as they are written. in_group: those that are for groups alone, where it has any."""
    kept = listed(persona.card, "group_only_greetings") if in_group else ()
    own = [text for text in kept if isinstance(text, str) and text.strip()]
    return tuple(own) or (persona.greeting, *persona.greetings)


def character_note(persona: Persona, macros: Macros) -> AuthorNote | None:
    """The note that SillyTavern's cards keep with the character (``depth_prompt``), to stay near the end; None without one."""
    text = macros.expand(member(persona.extensions, str, "depth_prompt", "prompt") or "").strip()
    if not text:
        return None
    depth = member(persona.extensions, int, "depth_prompt", "depth")
    return AuthorNote(text, depth) if depth is not None and 0 <= depth <= _MAX_DEPTH else AuthorNote(text)


def _lore(entries: Iterable[LoreEntry], macros: Macros) -> list[str]:
    return [macros.expand(entry.content).strip() for entry in entries]


def _role(macros: Macros) -> str:
    """Whom to play, unless the description begins with it."""
    return "" if macros.own("description").casefold().startswith("you are") else macros.expand(_ROLE)


def _personality(macros: Macros) -> str:
    """The personality. Most cards have a list of words there, which needs to say whose it is."""
    text = macros.own("personality")
    return text if not text or _is_prose(text) else f"{_whose(macros.char)} personality: {text}."


def _scenario(macros: Macros) -> str:
    text = macros.own("scenario")
    return text if not text or _is_prose(text) else f"What is going on: {text}."


def _user(macros: Macros) -> str:
    text = macros.own("persona")
    return f"{macros.char} is talking with {macros.user}. {text}" if text else ""


def _whose(name: str) -> str:
    return f"{name}'" if name.endswith(("s", "S")) else f"{name}'s"


def _is_prose(text: str) -> bool:
    return "\n" in text or _SENTENCE_END.search(text) is not None


_START = re.compile(r"^[ \t]*<START>[ \t]*$|<START>", re.IGNORECASE | re.MULTILINE)
_USER = ("{{user}}", "<user>", "you")
_CHAR = ("{{char}}", "<bot>", "<char>")


def example_dialogues(persona: Persona, macros: Macros) -> tuple[tuple[Message, ...], ...]:
    """The persona's example dialogues, each a run of messages; they are the first thing that the window forgets.

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
