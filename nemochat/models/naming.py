"""What a model is called: a name that a person would type, made from its file, and the model that a typed name means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from nemochat.reading import part_of

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._]+")
_QUANTISATION = re.compile(
    r"(^|[-._ ])((ud|i1)[-_])?(i?q\d(_[0-9a-z]+)*|tq\d_\d|bf16|fp?(16|32|8)|(mx|nv)fp4(_moe)?)([-._](imat|imatrix|gguf))*$", re.IGNORECASE
)
_SAYS_NOTHING = re.compile(r"(ggml|model|gguf|weights|main|llm|consolidated|pytorch|sha256|[0-9a-f]{16,}|\d+|[-._])*", re.IGNORECASE)
_SHORTEST = 3


class Named(Protocol):
    """What can be found by a name."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def model_path(self) -> str:
        """Where its file lies."""


Each = TypeVar("Each", bound=Named)


def slug(name: str) -> str:
    """A name that can be typed: lower-case letters, digits, dots, underscores and dashes."""
    return _NOT_IN_NAMES.sub("-", name.lower())[:80].strip("-._") or "model"


def file_label(path: Path) -> str:
    """The name of a file without its ending, its quantisation and its number among parts."""
    stem, _, _ = part_of(path) or (path.stem, 1, 1)
    return _QUANTISATION.sub("", stem) or stem


def typed_name(path: Path, said: str) -> str:
    """What a person would type for a model: the name of its file, or what the file `said` of itself where its name says less."""
    label = slug(file_label(path))
    own = slug(_QUANTISATION.sub("", said))
    is_empty = len(label) < _SHORTEST or _SAYS_NOTHING.fullmatch(label) or _QUANTISATION.fullmatch(label)
    if is_empty or own.startswith(f"{label}-"):
        return own
    return label


def meant(typed: str, entries: Sequence[Each]) -> Sequence[Each]:
    """The models that a typed name may mean: by name, else by the name of the file, its stem, or the beginning of the name."""
    wanted = typed.strip().lower()
    ways = (
        lambda entry: wanted == entry.name,
        lambda entry: wanted in (Path(entry.model_path).name.lower(), Path(entry.model_path).stem.lower()),
        lambda entry: slug(wanted) == entry.name,
        lambda entry: entry.name.startswith(slug(wanted)),
    )
    found = (tuple(filter(way, entries)) for way in ways if _NOT_IN_NAMES.sub("", wanted))
    return next(filter(None, found), ())
