"""Whom the model plays: personas with their lorebook, and who the user is. Pure values; reading and writing is `nemochat.personas`.

The fields are those of the community's character cards (versions 1 to 3) under plainer names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from nemochat.domain.sampling import Unset


class Position(StrEnum):
    """Where a lorebook entry that is always there stands: before or after the persona's description."""

    BEFORE = "before_char"
    AFTER = "after_char"


class LoreEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of knowledge that enters the prompt when one of its `keys` is read.

    order: lower stands higher up. priority: lower is dropped first when the budget is short. selective: one of `secondary_keys` has to be
    there too. constant: always in the prompt. use_regex: the keys are regular expressions. case_sensitive: None is no. id: as the card had
    it. extensions: what other programs keep there, carried along untouched.
    """

    content: str
    keys: tuple[str, ...] = ()
    secondary_keys: tuple[str, ...] = ()
    name: str = ""
    comment: str = ""
    enabled: bool = True
    constant: bool = False
    selective: bool = False
    use_regex: bool = False
    case_sensitive: bool | None = None
    order: int = 100
    priority: int = 10
    position: Position = Position.BEFORE
    id: int | str | None = None
    extensions: dict[str, Any] = {}


class Lorebook(msgspec.Struct, frozen=True, kw_only=True):
    """Entries with the rules of reading. scan_depth: how many of the last messages are searched. token_budget: the most that fired
    entries may take; None is nemochat's own default for both. recursive: what fired is searched too.
    """

    entries: tuple[LoreEntry, ...] = ()
    name: str = ""
    description: str = ""
    scan_depth: int | None = None
    token_budget: int | None = None
    recursive: bool = False
    extensions: dict[str, Any] = {}


class PersonaSampling(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling that a persona asks for; None leaves the user's own setting, "auto" leaves it to the model."""

    temperature: float | Unset | None = None
    top_k: int | Unset | None = None
    top_p: float | Unset | None = None
    min_p: float | Unset | None = None
    repeat_penalty: float | Unset | None = None
    max_tokens: int | Unset | None = None
    repeat_last_n: int | Unset | None = None
    presence_penalty: float | Unset | None = None
    frequency_penalty: float | Unset | None = None
    dry_multiplier: float | Unset | None = None
    dry_base: float | Unset | None = None
    dry_allowed_length: int | Unset | None = None
    dry_penalty_last_n: int | Unset | None = None
    dry_sequence_breakers: tuple[str, ...] | Unset | None = None
    top_n_sigma: float | Unset | None = None
    typical_p: float | Unset | None = None
    xtc_probability: float | Unset | None = None
    xtc_threshold: float | Unset | None = None
    dynatemp_range: float | Unset | None = None
    dynatemp_exponent: float | Unset | None = None
    mirostat: int | Unset | None = None
    mirostat_tau: float | Unset | None = None
    mirostat_eta: float | Unset | None = None
    logit_bias: dict[str, float] | Unset | None = None
    banned_strings: tuple[str, ...] | Unset | None = None


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the model plays. Texts may hold macros such as ``{{char}}`` and ``{{user}}``.

    name: who speaks; nickname replaces it for ``{{char}}`` when it is there. summary: one line for lists. system: replaces the user's own
    system text (``{{original}}`` puts that back in). greeting, greetings: how the persona opens, and other ways to. examples: dialogues
    in the form of cards, blocks that begin with ``<START>``. post_history: said again behind the history. creator_notes: for people,
    never in the prompt. model: a model's name, "" for whichever is open. accent: a colour (``#rrggbb``) or "". user_name: what the
    persona calls the user, "" for the profile's. lorebooks: ids of those besides its own `book`; remembered: what the user has noted down
    for all chats with it; cards have neither. card: fields of the card that nemochat does not use, kept for the next export (``assets``,
    ``source``, dates).
    """

    name: str
    nickname: str = ""
    summary: str = ""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    system: str = ""
    greeting: str = ""
    greetings: tuple[str, ...] = ()
    examples: str = ""
    post_history: str = ""
    creator_notes: str = ""
    creator: str = ""
    version: str = ""
    tags: tuple[str, ...] = ()
    model: str = ""
    accent: str = ""
    user_name: str = ""
    sampling: PersonaSampling = PersonaSampling()
    book: Lorebook | None = None
    lorebooks: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()
    extensions: dict[str, Any] = {}
    card: dict[str, Any] = {}

    @property
    def called(self) -> str:
        """What ``{{char}}`` becomes."""
        return self.nickname or self.name


class UserProfile(msgspec.Struct, frozen=True):
    """Who the user is in a roleplay. `description` is for the model."""

    name: str = "User"
    description: str = ""


class AuthorNote(msgspec.Struct, frozen=True):
    """A text that stays `depth` messages before the end of the conversation; 0 is with the last message of the user."""

    text: str
    depth: int = 4
