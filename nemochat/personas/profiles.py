"""Who the user is in a roleplay: profiles, of which one is active, in a TOML file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from nemochat.domain.personas import UserProfile
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError
from nemochat.files import set_aside, write_whole
from nemochat.personas import files
from nemochat.personas.cleaning import one_line
from nemochat.personas.files import MAX_NAME, MAX_TEXT, Unreadable
from nemochat.personas.toml_text import toml_string
from nemochat.reading import check_toml

_MAX_BYTES = 4 * 1024 * 1024
_MAX_PROFILES = 1_000


class Profiles(msgspec.Struct, frozen=True):
    """The profiles of the user; there is always at least one."""

    profiles: tuple[UserProfile, ...] = (UserProfile(),)
    active: int = 0

    @property
    def current(self) -> UserProfile:
        """The active one."""
        return self.profiles[self.active]


class _Profile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str = ""
    active: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    profiles: list[_Profile] = []


def write_text(profiles: Profiles) -> str:
    """The profiles as TOML."""
    blocks = ["# Who you are in a roleplay. {{user}} stands for the name; the description is for the model.\n"]
    for index, profile in enumerate(profiles.profiles):
        lines = ["[[profiles]]", f"name = {toml_string(profile.name)}"]
        lines += [f"description = {toml_string(profile.description)}"] if profile.description else []
        lines += ["active = true"] if index == profiles.active else []
        blocks.append("\n".join([*lines, ""]))
    return "\n".join(blocks)


def read_text(text: str) -> Profiles:
    """Profiles from TOML. Raises `Unreadable`."""
    try:
        check_toml(text)
        found = msgspec.toml.decode(text.removeprefix("\ufeff"), type=_File).profiles
    except (ValueError, RecursionError) as error:
        raise Unreadable(sanitize(str(error), strict=True)[:200].rstrip(".")) from None
    if not found:
        return Profiles()
    active = next((index for index, profile in enumerate(found) if profile.active), 0)
    return clean(Profiles(tuple(UserProfile(profile.name, profile.description) for profile in found), active))


def clean(profiles: Profiles) -> Profiles:
    """The profiles with their texts sanitised. Raises `Unreadable` for a profile without a name and for what is too large."""
    if not profiles.profiles or len(profiles.profiles) > _MAX_PROFILES:
        raise Unreadable(f"there have to be between 1 and {_MAX_PROFILES:,} profiles")
    cleaned = []
    for profile in profiles.profiles:
        name = one_line(profile.name, "name", MAX_NAME)
        if not name:
            raise Unreadable("a profile has no name")
        if len(profile.description) > MAX_TEXT:
            raise Unreadable(f"the description of {name} is longer than {MAX_TEXT:,} characters")
        cleaned.append(UserProfile(name, sanitize(profile.description)))
    return Profiles(tuple(cleaned), min(max(0, profiles.active), len(cleaned) - 1))


def load(file: Path) -> tuple[Profiles, str]:
    """The profiles in a file, and a sentence when it is broken: then it is kept under another name, and there is one plain profile."""
    if not os.path.lexists(file):
        return Profiles(), ""
    try:
        return read_text(files.read(file, _MAX_BYTES).decode()), ""
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    except Unreadable as error:
        problem = str(error)
    except NemochatError as error:  # it may be whole: it stays where it is
        return Profiles(), error.message
    kept = _aside(file)
    return Profiles(), f"The profiles in {shown(file)} cannot be read ({problem}); {kept}."


def save(file: Path, profiles: Profiles) -> None:
    """Write the profiles. Raises NemochatError."""
    try:
        profiles = clean(profiles)
    except Unreadable as problem:
        raise NemochatError(f"The profiles cannot be saved: {problem}.") from None
    with files.saving("The profiles"):
        write_whole(file, write_text(profiles).encode(), by_hand=True)


def _aside(file: Path) -> str:
    with contextlib.suppress(OSError):
        return f"the file is kept as {set_aside(file).name}"
    return "the file stays as it is"
