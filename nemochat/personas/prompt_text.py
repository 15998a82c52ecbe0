"""What a persona says to the model: the system text, the words behind the history, its greetings.

The system text is plain paragraphs, without headings or labels that a small model would repeat. `creator_notes` are for people and are in
none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from nemochat.domain.personas import AuthorNote, LoreEntry, Persona, UserProfile
from nemochat.domain.sanitize import sanitize
from nemochat.personas.lore import Lore, constants, lore_of
from nemochat.personas.macros import Macros

_ROLE = "You are {{char}}. Speak and act as {{char}} would, and stay in this role."
# The last ones are the full stop, the exclamation mark and the question mark of Chinese and Japanese.
_SENTENCE_END = re.compile("[.!?\N{HORIZONTAL ELLIPSIS}\u3002\uff01\uff1f]\\W{0,3}$")
_MAX_DEPTH = 1_000


def macros_of(persona: Persona, user: UserProfile, *, seed: str, values: Mapping[str, str] | None = None) -> Macros:
    """The macros of this persona with this user. values: further ones, such as ``time`` and ``date``."""
    name = sanitize(persona.user_name or user.name, strict=True).strip() or "User"
    bare = Macros(char=persona.called, user=name, seed=seed, values=values or {})
    own = {
        "description": persona.description,
        "personality": persona.personality,
        "scenario": persona.scenario,
        "persona": sanitize(user.description),
    }
    return msgspec.structs.replace(bare, values={**bare.values, **{key: bare.expand(text).strip() for key, text in own.items()}})


def system_text(
    persona: Persona,
    user: UserProfile,
    own_system: str,
    *,
    seed: str,
    values: Mapping[str, str] | None = None,
    lore: Lore | None = None,
) -> str:
    """The whole system text. own_system: the user's, which stands where the persona has none, and at ``{{original}}``. lore: of the
    conversation; None is the persona's own.

    In this order: system text; entries of the lorebook that are always there, before; description, personality, scenario, who the user is;
    such entries, after. A persona without a system text of its own gets a sentence that says whom to play.
    """
    macros = macros_of(persona, user, seed=seed, values=values)
    own = macros.expand(own_system).strip()
    system = macros.expand(persona.system, original=own).strip()
    before, after = constants(lore_of(persona) if lore is None else lore)
    parts = [
        *([system] if system else [own, _role(macros)]),
        *_lore(before, macros),
        macros.values["description"],
        _personality(macros),
        _scenario(macros),
        _user(macros),
        *_lore(after, macros),
    ]
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
    texts = (macros.expand(text).strip() for text in (persona.greeting, *persona.greetings))
    return tuple(text for text in texts if text)


def character_note(persona: Persona, macros: Macros) -> AuthorNote | None:
    """The note that SillyTavern's cards keep with the character (``depth_prompt``), to stay near the end; None without one."""
    kept = persona.extensions.get("depth_prompt")
    if not isinstance(kept, dict) or not isinstance(kept.get("prompt"), str):
        return None
    text = macros.expand(kept["prompt"]).strip()
    if not text:
        return None
    depth = kept.get("depth")
    return AuthorNote(text, depth) if isinstance(depth, int) and 0 <= depth <= _MAX_DEPTH else AuthorNote(text)


def _lore(entries: Iterable[LoreEntry], macros: Macros) -> list[str]:
    return [macros.expand(entry.content).strip() for entry in entries]


def _role(macros: Macros) -> str:
    """Whom to play, unless the description begins with it."""
    return "" if macros.values["description"].casefold().startswith("you are") else macros.expand(_ROLE)


def _personality(macros: Macros) -> str:
    """The personality. Most cards have a list of words there, which needs to say whose it is."""
    text = macros.values["personality"]
    return text if not text or _is_prose(text) else f"{_whose(macros.char)} personality: {text}."


def _scenario(macros: Macros) -> str:
    text = macros.values["scenario"]
    return text if not text or _is_prose(text) else f"What is going on: {text}."


def _user(macros: Macros) -> str:
    text = macros.values["persona"]
    return f"{macros.char} is talking with {macros.user}. {text}" if text else ""


def _whose(name: str) -> str:
    return f"{name}'" if name.endswith(("s", "S")) else f"{name}'s"


def _is_prose(text: str) -> bool:
    return "\n" in text or _SENTENCE_END.search(text) is not None
