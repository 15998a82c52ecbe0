"""What a model is called, the model that a typed name means, and which of many files is meant, by names alone, as llama.cpp chooses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from nemochat.domain.sanitize import sanitize
from nemochat.errors import DownloadError
from nemochat.reading import all_parts, part_of

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


PREFERRED = ("Q4_K_M", "Q8_0")
"""What is taken where nobody says which; else the first."""
_NO_MODEL = ("mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-")
"""What names of files say that go beside a model."""
_TAG = re.compile(r"[-.]([A-Za-z0-9_]+)$")
_MOST_NAMED = 12


def models_among(paths: Iterable[str]) -> list[str]:
    """The models, of a split one its first part."""
    return [path for path in paths if _is_model(path) and (part_of(PurePosixPath(path)) or ("", 1, 1))[1] == 1]


def choose_model(paths: Sequence[str], quant: str, file: str, what: str) -> str:
    """The model of this quantisation, or the file of this name, among those of `what`. Raises DownloadError with those that there are."""
    models = models_among(paths)
    if file:
        named = [path for path in paths if path == file] or [path for path in models if PurePosixPath(path).name == file]
        if len(named) == 1:
            return named[0]
        raise DownloadError(f"{what} has no file {_short(file)}.", _there_are(models))
    for tag in (quant,) if quant else PREFERRED:
        # Not in the middle of a word: Q8_0 is no part of UD-IQ8_0.
        pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(tag)}[.-]", re.IGNORECASE)
        if found := [path for path in models if pattern.search(path)]:
            return found[0]
    if not models:
        raise DownloadError(f"{what} has no GGUF model.", "Look for a repository whose name ends with -GGUF.")
    if quant:
        raise DownloadError(f"{what} has no {_short(quant)}.", _there_are(models))
    return models[0]


def parts(model: str, paths: Sequence[str]) -> list[str]:
    """All files of a model that was split, itself alone where it was not. Raises DownloadError when one is missing."""
    wanted = [str(path) for path in all_parts(PurePosixPath(model))]
    missing = [path for path in wanted if path not in paths]
    if missing:
        raise DownloadError(f"A part of the model is missing there: {_short(missing[0])}.", "Choose another quantisation.")
    return wanted


def projector_for(model: str, paths: Iterable[str]) -> str | None:
    """The projector in the deepest folder that the model lies in too, then of the closest number of bits; None where there is none."""
    folders = PurePosixPath(model).parent.parts
    found = []
    for path in paths:
        pure = PurePosixPath(path)
        own = pure.parent.parts
        if pure.suffix.lower() == ".gguf" and "mmproj" in pure.name.lower() and folders[: len(own)] == own:
            found.append((-len(own), abs(_bits(path) - _bits(model)), path))
    return min(found, key=lambda each: each[:2])[2] if found else None


def _is_model(path: str) -> bool:
    name = PurePosixPath(path).name.lower()
    return name.endswith(".gguf") and not any(mark in name for mark in _NO_MODEL)


def _bits(path: str) -> int:
    """Q4_0 has 4, F16 has 16; 0 where the name does not say."""
    stem, _, _ = part_of(PurePosixPath(path)) or (PurePosixPath(path).stem, 1, 1)
    found = _TAG.search(stem)
    digits = re.search(r"\d{1,3}", found[1]) if found else None
    return int(digits[0]) if digits else 0


def _there_are(models: Sequence[str]) -> str:
    names = ", ".join(_short(PurePosixPath(path).name) for path in models[:_MOST_NAMED])
    return f"There are: {names}{' and more' if len(models) > _MOST_NAMED else ''}." if models else "It has no GGUF model."


def _short(text: str) -> str:
    return sanitize(text, strict=True)[:120]
