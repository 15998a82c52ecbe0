"""What came of an import: what is new here, what was here already, what has no meaning here, and what could not be read, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from nemochat.domain.sanitize import sanitize, shortened
from nemochat.numbers import count, plural

_MOST_NAMED = 12
_LONGEST = 60


class Kind(StrEnum):
    """Kinds of things, in the order in which they are told of."""

    PERSONA = "persona"
    LOREBOOK = "lorebook"
    CHAT = "chat"
    GROUP = "group chat"
    PROFILE = "profile"
    PRESET = "preset"


_WORDS = {
    Kind.CHAT: ("conversation", "conversations"),
    Kind.PROFILE: ("profile of yours", "profiles of yours"),
    Kind.PRESET: ("sampling preset", "sampling presets"),
}


class Thing(msgspec.Struct, frozen=True):
    """Something that came, or was here. file: where it was read, below the folder that was imported. id: by which it is known here."""

    kind: Kind
    name: str
    file: str = ""
    id: str = ""


class Left(msgspec.Struct, frozen=True):
    """What has no meaning here, why, and how often it was met. files: the first of them."""

    what: str
    why: str = ""
    times: int = 1
    files: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """A line: "instruct templates (31): nemochat takes the chat template of the model"."""
        times = f" ({count(self.times)})" if self.times > 1 else ""
        return f"{self.what}{times}{f': {self.why}' if self.why else ''}"


class Failure(msgspec.Struct, frozen=True):
    """A file that could not be read, or something in it. what: "file" or "conversation"; is_part: of something that came all the same."""

    file: str
    why: str
    what: str = "file"
    is_part: bool = False

    @property
    def words(self) -> str:
        """A line about it."""
        return f"{self.file}: {self.why}"


class Report(msgspec.Struct, frozen=True):
    """All of it. notes: sentences about single things that came. again: personas whose name is taken by another one here, which were
    left out; is_stopped: the user has ended it, and what is not told of stays for another time.
    """

    came: tuple[Thing, ...] = ()
    here: tuple[Thing, ...] = ()
    left: tuple[Left, ...] = ()
    failed: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    again: tuple[Thing, ...] = ()
    is_stopped: bool = False

    @property
    def has_brought_nothing(self) -> bool:
        """Nothing came, and nothing was here already."""
        return not (self.came or self.here or self.again)

    @property
    def lost(self) -> str:
        """How much could not be read: "2 conversations"; "" for nothing."""
        whole = [each.what for each in self.failed if not each.is_part]
        return plural(len(whole), "file" if "file" in whole else "conversation") if whole else ""

    @property
    def summary(self) -> str:
        """One line: "12 personas and 3 conversations added, 4 were here already"."""
        here = len(self.here) + len(self.again)
        stopped = "; the rest was stopped" if self.is_stopped else ""
        return f"{counted(self.came) or 'Nothing new'} added, {count(here)} {'was' if here == 1 else 'were'} here already{stopped}."

    @property
    def text(self) -> str:
        """All of it for people, over several lines."""
        failed = _block("Could not be read", [each.words for each in self.failed])
        return "\n\n".join(filter(None, [*self._blocks[:3], failed, *self._blocks[3:]]))

    @property
    def without_failures(self) -> str:
        """The same but for what could not be read."""
        return "\n\n".join(filter(None, self._blocks))

    @property
    def _blocks(self) -> list[str]:
        kinds = ((kind, [each for each in self.came if each.kind is kind]) for kind in Kind)
        came = [f"{_title(kind)}: {_names(things)}" for kind, things in kinds if things]
        return [
            self.summary,
            "\n".join(came),
            f"Left out, because another persona here has the name: {_names(self.again)}" if self.again else "",
            _block("To know", self.notes),
            _block("Without meaning here", [each.words for each in self.left]),
        ]


def counted(things: Iterable[Thing]) -> str:
    """How many of each kind: "12 personas, 3 lorebooks and 1 chat"; "" for none."""
    kinds = [each.kind for each in things]
    parts = [plural(kinds.count(kind), *_WORDS.get(kind, (kind.value,))) for kind in Kind if kind in kinds]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _title(kind: Kind) -> str:
    words = _WORDS.get(kind, ("", f"{kind.value}s"))[1]
    return words[0].upper() + words[1:]


def _names(things: Iterable[Thing]) -> str:
    names = [shortened(sanitize(each.name, strict=True) or each.file, _LONGEST) for each in things]
    more = f" and {count(len(names) - _MOST_NAMED)} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _block(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(f"· {sanitize(line, strict=True)}" for line in lines)]) if lines else ""
