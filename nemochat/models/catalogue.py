"""Which models there are: the built-in demo pair, those that the user added or downloaded, kept in a small JSON file, and those of other
programs, which are only found."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar, cast

import msgspec

from nemochat.domain.devices import PLACING
from nemochat.errors import ModelFileError
from nemochat.files import reason, set_aside, write_whole
from nemochat.models.card import ModelCard, inspect
from nemochat.models.checks import shown
from nemochat.models.elsewhere import find
from nemochat.models.folders import find_pair, is_there, nvigi_name
from nemochat.models.known import About, about
from nemochat.models.naming import file_label, meant, slug, typed_name
from nemochat.paths import at_home
from nemochat.reading import all_parts, read_regular
from nemochat.settings import DeviceNames, EngineSettings, GpuLayers, MainGpu, SamplingSettings, TensorSplit, typed_value

DEMO_NAME = "nemochat-demo"
_DEMO_FOLDER = Path(__file__).parent / "demo"
_MAX_BYTES = 1 << 20
_MOST_NAMED = 5
_MOST_TOLD = 1000
Value = str | int | float | bool | tuple[float, ...]


class OwnSettings(msgspec.Struct, frozen=True):
    """What is set for one model alone, besides its sampling.

    format: the chat format, "auto" for the one that its file says, "nemotron", "template", or a template's file. picture_tokens: the most
    tokens that a picture may take, where the projector can make them fewer; 0 leaves it to the file. gpu_layers, device, main_gpu,
    tensor_split: as in the settings of the engine; None is as for all models.
    """

    format: str = "auto"
    picture_tokens: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 0
    gpu_layers: GpuLayers | None = None
    device: DeviceNames | None = None
    main_gpu: MainGpu | None = None
    tensor_split: TensorSplit | None = None


class ModelFiles(msgspec.Struct, frozen=True):
    """What the engine loads: both files, and what people call the model. own, sampling: what is set for it alone."""

    name: str
    model_path: Path
    mmproj_path: Path | None
    own: OwnSettings = OwnSettings()
    sampling: SamplingSettings = SamplingSettings()

    def picture_tokens(self, settings: EngineSettings) -> int:
        """The most tokens that a picture may take: as is set for this model, else for all of them. 0 leaves it to the file."""
        return self.own.picture_tokens or settings.picture_tokens

    def placed(self, settings: EngineSettings, locked: Container[str] = ()) -> EngineSettings:
        """The settings with what is set for this model alone of where it runs. locked: the keys ("engine.device") that go before that."""
        own = {name: getattr(self.own, name) for name in PLACING if f"engine.{name}" not in locked}
        return msgspec.structs.replace(settings, **{name: value for name, value in own.items() if value is not None})


Own = TypeVar("Own", OwnSettings, SamplingSettings)


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a model came from. source: as it can be typed again, "" for a file that was added. licence: as it was said there. is_ours: it
    was downloaded by nemochat, which may delete it. program: the other program that it belongs to, "" for none."""

    source: str = ""
    licence: str = ""
    is_ours: bool = False
    program: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model in the catalogue: absolute paths as text. settings: those of this model alone, by name; sampling is among them."""

    name: str
    model_path: str
    mmproj_path: str | None = None
    is_builtin: bool = False
    settings: dict[str, Value] = {}
    origin: Origin = Origin()

    @property
    def files(self) -> ModelFiles:
        """The paths as paths. Raises ModelFileError for a setting that is not allowed."""
        mmproj = Path(self.mmproj_path) if self.mmproj_path else None
        return ModelFiles(self.name, Path(self.model_path), mmproj, self._own(OwnSettings), self._own(SamplingSettings))

    def _own(self, kind: type[Own]) -> Own:
        said = {name: self.settings[name] for name in kind.__struct_fields__ if name in self.settings}
        try:
            return msgspec.convert(said, kind)
        except msgspec.ValidationError as error:
            raise ModelFileError(f"A setting of the model {self.name} is not allowed: {shown(Path(str(error)))}.") from None


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of models.json. `default` names the model in use, "" is the demo pair; ``server/model`` is a server's. told: the files of
    which the user has been told under which licence they are."""

    default: str = ""
    models: tuple[Entry, ...] = ()
    told: tuple[str, ...] = ()


DEMO = Entry(DEMO_NAME, str(_DEMO_FOLDER / f"{DEMO_NAME}.gguf"), str(_DEMO_FOLDER / f"{DEMO_NAME}-mmproj.gguf"), is_builtin=True)
"""The pair that comes with nemochat."""


class Catalogue:
    """The models by name. Reads the file anew for each request, so several running programs agree.

    path: models.json in the user's data directory; it need not exist. A broken one is set aside under another name, and `notices` says so.
    environment: by which models of other programs are found; without it none are looked for.
    """

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None) -> None:
        self._path, self._environment = path, environment
        self._notices: list[str] = []

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user about what was found wrong while reading."""
        return tuple(self._notices)

    def entries(self) -> tuple[Entry, ...]:
        """The demo pair first, then the user's models in the order in which they were added."""
        return (DEMO, *self._read().models)

    def of_others(self) -> tuple[Entry, ...]:
        """The models of other programs that are not among the user's, by names that none of those has. Nothing of them is stored."""
        entries: list[Entry] = []
        own = self.entries()
        paths, names = {entry.model_path for entry in own}, {entry.name for entry in own}
        for found in find(self._environment) if self._environment is not None else ():
            if str(found.model_path) not in paths:
                base = chosen = slug(found.label[:60])
                number = 2
                while chosen in names:
                    chosen, number = f"{base}-{number}", number + 1
                names.add(chosen)
                mmproj = str(found.mmproj_path) if found.mmproj_path is not None else None
                entries.append(Entry(chosen, str(found.model_path), mmproj, origin=Origin(program=found.program)))
        return tuple(entries)

    def default(self) -> Entry:
        """The model that `use` chose, else the demo pair."""
        stored = self._read()
        return next((entry for entry in stored.models if entry.name == stored.default), DEMO)

    @property
    def served(self) -> str:
        """The model of a server (``server/model``) that `use_served` chose; "" when a model of this machine is in use."""
        default = self._read().default
        return default if "/" in default else ""

    def get(self, name: str) -> Entry:
        """The model that a name means: its own, its file's with or without the ending, or the beginning of one.

        Raises ModelFileError when several begin so, or with the nearest names as a hint when there is none.
        """
        entries = self.entries()
        found = meant(name, entries)
        if not found:
            entries = self.of_others()
            found = meant(name, entries)
        if len(found) == 1:
            return found[0]
        if found:
            which = " or ".join(entry.name for entry in found[:_MOST_NAMED])
            raise ModelFileError(f"{shown(Path(name))} may be {which}.", "Write more of the name.")
        near = difflib.get_close_matches(name, [entry.name for entry in (*self.entries(), *entries)], n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See `nemochat models list`."
        raise ModelFileError(f"There is no model called {shown(Path(name))}.", hint)

    def knows(self, name: str) -> bool:
        """Whether a name means one of the models."""
        return len(meant(name, self.entries()) or meant(name, self.of_others())) == 1

    def add(self, path: Path, mmproj: Path | None = None, name: str | None = None, origin: Origin | None = None) -> Entry:
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
            wanted = name or nvigi_name(model_path) or typed_name(model_path, card.name)
            chosen = _unique_name(wanted, card, {DEMO_NAME, *(entry.name for entry in others)})
        settings = known.settings if known is not None else {}
        origin = origin or (known.origin if known is not None else Origin())
        entry = Entry(chosen, str(model_path), str(mmproj_path) if mmproj_path else None, settings=settings, origin=origin)
        default = chosen if known is not None and stored.default == known.name else stored.default
        self._write(msgspec.structs.replace(stored, default=default, models=(*others, entry)))
        return entry

    def use(self, name: str) -> Entry:
        """Make a model the default, one of another program by its files where they are. Raises ModelFileError when there is none."""
        entry, stored = self._kept(self.get(name))
        self._write(msgspec.structs.replace(stored, default="" if entry.is_builtin else entry.name))
        return entry

    def use_served(self, name: str) -> None:
        """Make a model of a server the default: ``server/model``. Raises ModelFileError."""
        self._write(msgspec.structs.replace(self._read(), default=name))

    def remove(self, name: str) -> Entry:
        """Forget a model that was added; its files stay. Raises ModelFileError when there is none of that name."""
        entry, stored = self._added(name)
        if entry not in stored.models:
            raise ModelFileError(f"{entry.name} belongs to {entry.origin.program} and stays.", f"Remove it with {entry.origin.program}.")
        default = "" if stored.default == entry.name else stored.default
        models = tuple(other for other in stored.models if other.name != entry.name)
        self._write(msgspec.structs.replace(stored, default=default, models=models))
        return entry

    def set(self, name: str, key: str, value: str, check: Callable[[ModelFiles], None] = lambda _: None) -> Entry:
        """Set something for one model alone, as it was typed; nothing at all leaves it as it is for all.

        check: looks at the model as it would be, before it is stored. Raises ModelFileError, SettingsError saying what is allowed, and
        what `check` does.
        """
        entry, stored = self._kept(self._added(name)[0])
        kinds = {field.name: field.type for group in (OwnSettings, SamplingSettings) for field in msgspec.structs.fields(group)}
        del kinds["stop"]  # a list
        if key not in kinds:
            raise ModelFileError(f"There is no setting {shown(Path(key))} of a model.", f"There are {', '.join(kinds)}.")
        settings = {other: said for other, said in entry.settings.items() if other != key}
        if value:
            settings[key] = cast(Value, typed_value(key, kinds[key], value))
        changed = msgspec.structs.replace(entry, settings=settings)
        check(changed.files)
        models = tuple(changed if other.name == entry.name else other for other in stored.models)
        self._write(msgspec.structs.replace(stored, models=models))
        return changed

    def about(self, files: ModelFiles, card: ModelCard) -> About:
        """What is to be known of a model before it is used."""
        origin = next((entry.origin for entry in self.entries() if entry.model_path == str(files.model_path)), Origin())
        return about(files.model_path, origin.source, origin.licence, card.licence)

    def first_use(self, files: ModelFiles, card: ModelCard) -> str:
        """What the user is told when a model is used for the first time, "" from then on and of the built-in one."""
        path = str(files.model_path)
        stored = self._read()
        if files.model_path.parent == _DEMO_FOLDER or path in stored.told:
            return ""
        with suppress(ModelFileError):  # it cannot be remembered, so it is told again
            self._write(msgspec.structs.replace(stored, told=(*stored.told, path)[-_MOST_TOLD:]))
        return self.about(files, card).in_words(files.name)

    def resolve(self, name_or_path: str | None = None, mmproj: Path | None = None) -> ModelFiles:
        """The files of a model by its name or by a path, which need not have been added; None is the default model.

        `mmproj` replaces the projector. Raises ModelFileError when there is no such model or when a file is no longer there.
        """
        if name_or_path is None:
            files = self.default().files
        elif name_or_path in {entry.name for entry in self.entries()}:
            files = self.get(name_or_path).files
        elif _looks_like_path(name_or_path) and (is_there(Path(name_or_path)) or not self.knows(name_or_path)):
            model_path, mmproj_path = _pair(Path(name_or_path), mmproj)
            known = next((entry.files for entry in self.entries() if entry.model_path == str(model_path)), None)
            label = slug(nvigi_name(model_path) or file_label(model_path))
            own, sampling = (known.own, known.sampling) if known is not None else (OwnSettings(), SamplingSettings())
            files = ModelFiles(label, model_path, mmproj_path, own, sampling)
        else:
            files = self.get(name_or_path).files
        if mmproj is not None:
            files = msgspec.structs.replace(files, mmproj_path=_absolute(mmproj))
        _check_present(files)
        return files

    def _kept(self, entry: Entry) -> tuple[Entry, _Stored]:
        """The entry among those that are stored: one of another program becomes one of them."""
        stored = self._read()
        if entry.is_builtin or any(other.name == entry.name for other in stored.models):
            return entry, stored
        return entry, msgspec.structs.replace(stored, models=(*stored.models, entry))

    def _added(self, name: str) -> tuple[Entry, _Stored]:
        entry = self.get(name)
        if entry.is_builtin:
            raise ModelFileError(f"{entry.name} is built in and stays as it is.", "Name a model that was added.")
        return entry, self._read()

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
    if len(set(names)) != len(names) or any(name != slug(name) or name == DEMO_NAME for name in names):
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
    for path in (*all_parts(files.model_path), *([files.mmproj_path] if files.mmproj_path is not None else [])):
        if not is_there(path):
            if path.parent == _DEMO_FOLDER:
                raise ModelFileError("The built-in demo model is missing from this installation.", "Install nemochat again.")
            hint = "Add it again from where it is now: `nemochat models add PATH`."
            raise ModelFileError(f"A file of the model {files.name} is not there: {shown(path)}", hint)


def _unique_name(wanted: str, card: ModelCard, taken: set[str]) -> str:
    """The wanted name, with the quantisation and then a number put on as needed to make it unique."""
    base = slug(wanted[:60])
    if base not in taken:
        return base
    with_type = base if base.endswith(slug(card.quantisation)) else f"{base}-{slug(card.quantisation)}"
    candidate, number = with_type, 2
    while candidate in taken:
        candidate, number = f"{with_type}-{number}", number + 1
    return candidate
