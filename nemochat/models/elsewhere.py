"""Models that other programs on this machine have downloaded: found by the programs' own lists, used where they lie, never changed.

What those lists say is taken as a claim: only regular files that are there count, and nothing is looked at without bounds.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from nemochat.models.naming import models_among, projector_for
from nemochat.paths import at_home
from nemochat.reading import TooMuchError, all_parts, check_json, member, part_of, read_regular, tables

_MOST_MANIFEST = 1 << 20
_MOST_LOOKED_AT = 20_000
"""Entries of folders, of each program."""
_DEEPEST = 8
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MODEL, _PROJECTOR = "application/vnd.ollama.image.model", "application/vnd.ollama.image.projector"


class Found(msgspec.Struct, frozen=True):
    """A model of another program. label: what it is called there. program: which one. size: of all its files, in bytes."""

    label: str
    program: str
    model_path: Path
    mmproj_path: Path | None
    size: int


def find(environment: Mapping[str, str] = os.environ) -> tuple[Found, ...]:
    """All of them, each file once. Reads folders and small files; takes milliseconds for hundreds."""
    found: dict[Path, Found] = {}
    for each in (*_ollama(environment), *_lm_studio(environment), *_hub(environment), *_llama_cpp(environment)):
        found.setdefault(each.model_path, each)
    return tuple(found.values())


def in_hub_cache(repository: str, files: Iterable[tuple[str, int | None, str]], environment: Mapping[str, str]) -> list[Path] | None:
    """Where files of a repository (path, size, sha256) lie already, all in one folder of Hugging Face's cache; None where they do not.

    A file counts when its checksum is the name of what it links to, as that cache has it, or else by its size.
    """
    wanted = list(files)
    for cache in hub_caches(environment):
        for snapshot in _folders(cache / f"models--{repository.replace('/', '--')}" / "snapshots"):
            paths = [snapshot.joinpath(*PurePosixPath(path).parts) for path, _, _ in wanted]
            if wanted and all(_is_same(path, size, sha256) for path, (_, size, sha256) in zip(paths, wanted, strict=True)):
                return paths
    return None


def hub_caches(environment: Mapping[str, str]) -> list[Path]:
    """The folders in the layout of Hugging Face's cache, in the order in which llama.cpp looks, and its standard one."""
    at = environment.get
    places = [
        at("LLAMA_CACHE"),
        at("HF_HUB_CACHE") or at("HUGGINGFACE_HUB_CACHE") or ((home := at("HF_HOME")) and str(Path(home, "hub"))),
        str(Path(at("XDG_CACHE_HOME") or at_home("~/.cache"), "huggingface", "hub")),
    ]
    return list(dict.fromkeys(at_home(place) for place in places if place))


def _hub(environment: Mapping[str, str]) -> Iterator[Found]:
    for cache in hub_caches(environment):
        for repository in _folders(cache):
            if not repository.name.startswith("models--"):
                continue
            snapshots = {each.name: each for each in _folders(repository / "snapshots")}
            said = _text(repository / "refs" / "main").strip()
            snapshot = snapshots.get(said) if _COMMIT.fullmatch(said) else max(snapshots.values(), key=_changed, default=None)
            if snapshot is not None:
                yield from _of_folder(snapshot, "Hugging Face")


def _llama_cpp(environment: Mapping[str, str]) -> Iterator[Found]:
    """The cache that llama.cpp had of its own before it shared Hugging Face's."""
    at = environment.get
    if sys.platform == "darwin":
        standard = at_home("~/Library/Caches/llama.cpp")
    elif sys.platform == "win32":
        standard = Path(at("LOCALAPPDATA") or at_home("~/AppData/Local"), "llama.cpp")
    else:
        standard = Path(at("XDG_CACHE_HOME") or at_home("~/.cache"), "llama.cpp")
    for folder in dict.fromkeys((at_home(at("LLAMA_CACHE") or standard), standard)):
        files = {path.name: path for path in _files(folder, deepest=1)}
        for model in models_among(files):
            # All repositories lie in one folder, each name beginning with its own; a projector of another one's is none of this model's.
            owner = "_".join(model.split("_")[:2])
            beside = projector_for(model, [name for name in files if name.startswith(f"{owner}_")])
            yield from _found(Path(model).stem, "llama.cpp", files[model], files[beside] if beside else None)


def _lm_studio(environment: Mapping[str, str]) -> Iterator[Found]:
    homes = [at_home("~/.lmstudio"), at_home("~/.cache/lm-studio")]
    folders = [home / "models" for home in homes]
    for home in homes:
        chosen = Path(member(_json(home / "settings.json"), str, "downloadsFolder") or "")
        if chosen.is_absolute():
            folders.append(chosen)
    for folder in dict.fromkeys(folders):
        yield from _of_folder(folder, "LM Studio")


def _ollama(environment: Mapping[str, str]) -> Iterator[Found]:
    """Manifests by host, owner, model and tag, each with the digests of its files."""
    said = environment.get("OLLAMA_MODELS")
    of_service = (Path("/usr/share/ollama/.ollama/models"), Path("/var/lib/ollama/models"))
    for folder in [at_home(said)] if said else [at_home("~/.ollama/models"), *of_service]:
        manifests = folder / "manifests"
        for path in _files(manifests, deepest=_DEEPEST):
            layers = _layers(_json(path))
            blobs = {kind: folder / "blobs" / f"sha256-{digest}" for kind, digest in layers.items()}
            names = path.relative_to(manifests).parts
            if _MODEL in blobs and len(names) >= 3:
                owner = "" if names[-3] == "library" else f"{names[-3]}-"
                tag = "" if names[-1] == "latest" else f"-{names[-1]}"
                yield from _found(f"{owner}{names[-2]}{tag}", "Ollama", blobs[_MODEL], blobs.get(_PROJECTOR))


def _layers(manifest: Any) -> dict[str, str]:
    """The digest of each kind of file. Of several of one kind the first counts, as with Ollama."""
    found: dict[str, str] = {}
    for layer in tables(manifest, "layers"):
        kind = member(layer, str, "mediaType")
        if kind in (_MODEL, _PROJECTOR) and (matched := _DIGEST.fullmatch(str(layer.get("digest")))):
            found.setdefault(kind, matched[1])
    return found


def _of_folder(folder: Path, program: str) -> Iterator[Found]:
    files = {path.relative_to(folder).as_posix(): path for path in _files(folder, deepest=_DEEPEST)}
    for model in models_among(files):
        projector = projector_for(model, files)
        stem, _, _ = part_of(files[model]) or (files[model].stem, 1, 1)
        yield from _found(stem, program, files[model], files[projector] if projector else None)


def _found(label: str, program: str, model: Path, projector: Path | None) -> Iterator[Found]:
    """It, if its files are there and are files."""
    sizes = [_size(path) for path in all_parts(model)]
    if all(sizes):
        has_projector = projector is not None and _size(projector) > 0
        size = sum(sizes) + (_size(projector) if projector is not None and has_projector else 0)
        yield Found(label, program, model, projector if has_projector else None, size)


def _files(folder: Path, deepest: int) -> Iterator[Path]:
    """Files below a folder, in order; folders that are links are not entered."""
    left = _MOST_LOOKED_AT
    waiting: list[tuple[Path, int]] = [(folder, 1)]
    while waiting and left > 0:
        at, depth = waiting.pop(0)
        for entry in _entries(at):
            left -= 1
            if entry.is_dir(follow_symlinks=False):
                if depth < deepest:
                    waiting.append((Path(entry.path), depth + 1))
            else:
                yield Path(entry.path)


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]


def _entries(folder: Path) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listed:
            return sorted((entry for entry, _ in zip(listed, range(_MOST_LOOKED_AT), strict=False)), key=lambda entry: entry.name)
    except OSError:  # it is not there, or not for us
        return ()


def _is_same(path: Path, size: int | None, sha256: str) -> bool:
    there = _size(path)
    linked = path.resolve().name if path.is_symlink() else ""
    is_right = linked == sha256 if sha256 and _DIGEST.fullmatch(f"sha256:{linked}") else size is not None
    return there > 0 and size in (None, there) and is_right


def _size(path: Path) -> int:
    """Bytes of a regular file, 0 for anything else."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _text(path: Path) -> str:
    try:
        return read_regular(path, _MOST_MANIFEST).decode("utf-8", "replace")
    except OSError:
        return ""


def _json(path: Path) -> Any:
    try:
        text = _text(path)
        check_json(text)
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, TooMuchError, RecursionError):
        return None
