"""Which models there are: the built-in demo pair, and those that the user added, kept in a small JSON file."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import msgspec

from nemochat.errors import ModelFileError
from nemochat.files import reason, set_aside, write_whole
from nemochat.models.card import ModelCard, inspect
from nemochat.models.checks import shown
from nemochat.models.folders import find_pair, is_there, nvigi_name
from nemochat.paths import at_home
from nemochat.reading import read_regular

DEMO_NAME = "nemochat-demo"
_DEMO_FOLDER = Path(__file__).parent / "demo"
_MAX_BYTES = 1 << 20
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._]+")


class ModelFiles(msgspec.Struct, frozen=True):
    """What the engine loads: both files, and what people call the model."""

    name: str
    model_path: Path
    mmproj_path: Path | None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model in the catalogue: absolute paths as text."""

    name: str
    model_path: str
    mmproj_path: str | None = None
    is_builtin: bool = False

    @property
    def files(self) -> ModelFiles:
        """The paths as paths."""
        return ModelFiles(self.name, Path(self.model_path), Path(self.mmproj_path) if self.mmproj_path else None)


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of models.json. `default` names the model in use; "" is the demo pair."""

    default: str = ""
    models: tuple[Entry, ...] = ()


DEMO = Entry(DEMO_NAME, str(_DEMO_FOLDER / f"{DEMO_NAME}.gguf"), str(_DEMO_FOLDER / f"{DEMO_NAME}-mmproj.gguf"), is_builtin=True)
"""The pair that comes with nemochat."""


class Catalogue:
    """The models by name. Reads the file anew for each request, so several running programs agree.

    path: models.json in the user's data directory; it need not exist. A broken one is set aside under another name, and `notices` says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._notices: list[str] = []

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user about what was found wrong while reading."""
        return tuple(self._notices)

    def entries(self) -> tuple[Entry, ...]:
        """The demo pair first, then the user's models in the order in which they were added."""
        return (DEMO, *self._read().models)

    def default(self) -> Entry:
        """The model that `use` chose, else the demo pair."""
        stored = self._read()
        return next((entry for entry in stored.models if entry.name == stored.default), DEMO)

    def get(self, name: str) -> Entry:
        """The model of that name. Raises ModelFileError, with the nearest names as a hint, when there is none."""
        entries = {entry.name: entry for entry in self.entries()}
        if name in entries:
            return entries[name]
        near = difflib.get_close_matches(name, entries, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See `nemochat models list`."
        raise ModelFileError(f"There is no model called {shown(Path(name))}.", hint)

    def add(self, path: Path, mmproj: Path | None = None, name: str | None = None) -> Entry:
        """Check the files and remember them. Adding the same model again updates its entry; the default stays as it is.

        `path` is a .gguf file, a folder with a model and its projector, or a folder of the NVIGI SDK; the projector is looked for beside
        the model unless `mmproj` names it. `name` overrides the one made from the file's own. Raises ModelFileError.
        """
        model_path, mmproj_path = _pair(path, mmproj)
        card = inspect(model_path, mmproj_path)
        stored = self._read()
        others = tuple(entry for entry in stored.models if entry.model_path != str(model_path))
        known = next((entry for entry in stored.models if entry.model_path == str(model_path)), None)
        if name is None and known is not None:
            chosen = known.name
        else:
            chosen = _unique_name(name or nvigi_name(model_path) or card.name, card, {DEMO_NAME, *(entry.name for entry in others)})
        entry = Entry(chosen, str(model_path), str(mmproj_path) if mmproj_path else None)
        default = chosen if known is not None and stored.default == known.name else stored.default
        self._write(_Stored(default, (*others, entry)))
        return entry

    def use(self, name: str) -> Entry:
        """Make a model the default. Raises ModelFileError when there is none of that name."""
        entry = self.get(name)
        self._write(_Stored("" if entry.is_builtin else entry.name, self._read().models))
        return entry

    def resolve(self, name_or_path: str | None = None, mmproj: Path | None = None) -> ModelFiles:
        """The files of a model by its name or by a path, which need not have been added; None is the default model.

        `mmproj` replaces the projector. Raises ModelFileError when there is no such model or when a file is no longer there.
        """
        if name_or_path is None:
            files = self.default().files
        elif name_or_path in {entry.name for entry in self.entries()}:
            files = self.get(name_or_path).files
        elif _looks_like_path(name_or_path):
            model_path, mmproj_path = _pair(Path(name_or_path), mmproj)
            files = ModelFiles(_slug(nvigi_name(model_path) or model_path.stem), model_path, mmproj_path)
        else:
            files = self.get(name_or_path).files
        if mmproj is not None:
            files = ModelFiles(files.name, files.model_path, _absolute(mmproj))
        _check_present(files)
        return files

    def _read(self) -> _Stored:
        try:
            return _decode(read_regular(self._path, _MAX_BYTES))
        except FileNotFoundError:
            return _Stored()
        except OSError as error:
            raise ModelFileError(f"The list of models cannot be read: {shown(self._path)} ({reason(error)})") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._set_aside(str(error))
            return _Stored()

    def _set_aside(self, reason: str) -> None:
        """Move a broken file out of the way without losing what is in it."""
        try:
            kept = set_aside(self._path)
        except OSError as error:
            raise ModelFileError(f"The list of models is broken: {shown(self._path)} ({reason}; {error.strerror or error})") from None
        self._notices.append(f"The list of models was broken ({reason}); it is kept as {shown(kept)}, and a new one begins.")

    def _write(self, stored: _Stored) -> None:
        """Replace the file at once: a crash leaves the old one or the new one."""
        content = msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n"
        try:
            write_whole(self._path, content)
        except OSError as error:
            raise ModelFileError(f"The list of models cannot be saved: {shown(self._path)} ({reason(error)})") from None


def _decode(content: bytes) -> _Stored:
    stored = msgspec.json.decode(content, type=_Stored)
    names = [entry.name for entry in stored.models]
    if len(set(names)) != len(names) or any(name != _slug(name) or name == DEMO_NAME for name in names):
        raise msgspec.ValidationError("names must be unique, of lower-case letters, digits, dots, dashes and underscores")
    return stored


def _pair(path: Path, mmproj: Path | None) -> tuple[Path, Path | None]:
    if mmproj is not None and not (is_there(path) and path.is_dir()):
        return _absolute(path), _absolute(mmproj)
    model_path, found = find_pair(_absolute(path))
    return model_path, _absolute(mmproj) if mmproj is not None else found


def _absolute(path: Path) -> Path:
    """Links stay as they are: what they point to may move."""
    return at_home(path).absolute()


def _looks_like_path(text: str) -> bool:
    return any(mark in text for mark in ("/", os.sep)) or text.lower().endswith(".gguf") or is_there(Path(text))


def _check_present(files: ModelFiles) -> None:
    for path in (files.model_path, files.mmproj_path):
        if path is not None and not is_there(path):
            if path.parent == _DEMO_FOLDER:
                raise ModelFileError("The built-in demo model is missing from this installation.", "Install nemochat again.")
            hint = "Add it again from where it is now: `nemochat models add PATH`."
            raise ModelFileError(f"A file of the model {files.name} is not there: {shown(path)}", hint)


def _slug(name: str) -> str:
    """A name that can be typed: lower-case letters, digits, dots, underscores and dashes."""
    return _NOT_IN_NAMES.sub("-", name.lower())[:80].strip("-._") or "model"


def _unique_name(wanted: str, card: ModelCard, taken: set[str]) -> str:
    """The wanted name, with the quantisation and then a number put on as needed to make it unique."""
    base = _slug(wanted[:60])
    if base not in taken:
        return base
    with_type = base if base.endswith(_slug(card.quantisation)) else f"{base}-{_slug(card.quantisation)}"
    candidate, number = with_type, 2
    while candidate in taken:
        candidate, number = f"{with_type}-{number}", number + 1
    return candidate
