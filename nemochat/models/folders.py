"""Which files belong together: a model and the projector (mmproj) that lies beside it."""

from __future__ import annotations

from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import ModelFileError
from nemochat.models import gguf
from nemochat.models.card import inspect
from nemochat.models.checks import shown
from nemochat.reading import all_parts

# Folders of NVIDIA's NVIGI SDK are named by GUID and hold minitron*.gguf, mmproj-model-f16.gguf and nvigi.model.config.json.
_NVIGI_NAMES = {
    "0BAEDD5C-F2CA-49AA-9892-621C40030D12": "nemovision-4b-instruct-fp16",
    "0BAEDD5C-F2CA-49AA-9892-621C40030D13": "nemovision-4b-instruct-q4_0",
}


def find_pair(path: Path) -> tuple[Path, Path | None]:
    """The model that a path means, itself or the one in a folder, and the projector beside it, where there is one.

    Beside a file, only a projector that fits it counts. A folder is taken as a whole: when none of its projectors fits, one is returned
    all the same, for `inspect` to say what is wrong. Raises ModelFileError when there is nothing, or more than one to choose from.
    """
    if not is_there(path):
        return path, None
    if not path.is_dir():
        projectors = [file for file in _gguf_files(path.parent) if file != path and _is_projector(file)]
        return path, _choose(path, [file for file in projectors if _fits(path, file)])
    files = _gguf_files(path)
    projectors = [file for file in files if _is_projector(file)]
    models = [file for file in files if file not in projectors]
    if len(models) == 1:
        fitting = [file for file in projectors if _fits(models[0], file)]
        return models[0], _choose(models[0], fitting or projectors[:1])
    if models:
        raise ModelFileError(f"{shown(path)} holds {len(models)} models: {_names(models)}.", "Name one of the files.")
    inner = [folder for folder in _entries(path) if folder.is_dir() and _gguf_files(folder)]
    if inner:
        raise ModelFileError(f"{shown(path)} holds models in folders of its own: {_names(inner)}.", "Name one of these folders.")
    if projectors:
        raise ModelFileError(f"{shown(path)} holds a projector for pictures but no model.", "Put the model's .gguf beside it.")
    raise ModelFileError(f"{shown(path)} holds no .gguf model.", "Name a .gguf file or a folder that holds one.")


def is_there(path: Path) -> bool:
    """Whether a path leads to something that may be looked at; False too for text that can be no path (too long, say)."""
    try:
        return path.exists()
    except OSError:
        return False


def nvigi_name(model: Path) -> str | None:
    """What people call a model in a folder of the NVIGI SDK; None for any other folder."""
    return _NVIGI_NAMES.get(model.parent.name.upper())


def _choose(model: Path, projectors: list[Path]) -> Path | None:
    if len(projectors) > 1:
        raise ModelFileError(f"Several projectors beside {shown(model)} fit it: {_names(projectors)}.", "Name one with --mmproj.")
    return projectors[0] if projectors else None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ModelFileError(f"The folder cannot be read: {shown(folder)} ({error.strerror or error})") from None


def _gguf_files(folder: Path) -> list[Path]:
    """Of a model that was split, the first part."""
    return [file for file in _entries(folder) if file.suffix.lower() == ".gguf" and all_parts(file)[0] == file and file.is_file()]


def _is_projector(file: Path) -> bool:
    if "mmproj" in file.name.lower():
        return True
    try:
        return gguf.read(file).text("general.architecture") == "clip"
    except ModelFileError:
        return False  # a broken file counts as a model: choosing it then says what is wrong with it


def _fits(model: Path, projector: Path) -> bool:
    try:
        inspect(model, projector)
    except ModelFileError:
        return False
    return True


def _names(paths: list[Path]) -> str:
    return ", ".join(sanitize(path.name, strict=True) for path in paths)
