"""Models of other programs: found where they lie by the programs' own lists, used there, and never touched."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from nemochat.errors import ModelFileError
from nemochat.models.catalogue import Catalogue
from nemochat.models.elsewhere import find
from tests.tiny_gguf import write_language_model, write_projector

COMMIT = "ab" * 20


class Machine:
    """The folders of other programs in one home, made as they make them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"HOME": str(home)}

    def ollama(self, name: str, *layers: tuple[str, bytes]) -> None:
        root = self.home / ".ollama/models"
        listed = []
        for kind, data in layers:
            digest = hashlib.sha256(data).hexdigest()
            _write(root / "blobs" / f"sha256-{digest}", data)
            listed.append({"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)})
        _write(root / "manifests/registry.ollama.ai" / name, json.dumps({"schemaVersion": 2, "layers": listed}).encode())

    def hub(self, repository: str, files: dict[str, bytes], cache: str = ".cache/huggingface/hub", commit: str = COMMIT) -> Path:
        root = self.home / cache / f"models--{repository.replace('/', '--')}"
        snapshot = root / "snapshots" / commit
        snapshot.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            digest = hashlib.sha256(data).hexdigest()
            _write(root / "blobs" / digest, data)
            (snapshot / name).symlink_to(f"../../blobs/{digest}")
        _write(root / "refs/main", commit.encode())
        return snapshot

    def lm_studio(self, name: str, data: bytes) -> Path:
        return _write(self.home / ".lmstudio/models" / name, data)

    def llama_cpp(self, name: str, data: bytes) -> Path:
        return _write(self.home / ".cache/llama.cpp" / name, data)

    def state(self) -> dict[str, tuple[int, int, int, str]]:
        """All that could be touched: sizes, times, modes, targets of links."""
        found = {}
        for folder, folders, files in os.walk(self.home):
            for name in (*folders, *files):
                path = Path(folder, name)
                status = path.lstat()
                target = str(path.readlink()) if path.is_symlink() else ""
                found[str(path)] = status.st_size, status.st_mtime_ns, status.st_mode, target
        return found


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return Machine(home)


def labels(machine: Machine) -> list[tuple[str, str, bool]]:
    return [(each.program, each.label, each.mmproj_path is not None) for each in find(machine.environment)]


def test_a_hundred_models_of_four_programs_are_found_in_place_and_none_is_touched(machine: Machine) -> None:
    for number in range(25):
        layers = [("model", b"GGUF%d" % number), ("license", b"MIT"), ("params", b"{}")]
        machine.ollama(f"library/model{number}/4b", *layers, *([("projector", b"mm%d" % number)] if number % 2 else []))
        files = {f"hub{number}-Q8_0.gguf": b"GGUFh%d" % number, "mmproj-F16.gguf": b"m%d" % number, "README.md": b"#"}
        machine.hub(f"owner/repo{number}", files)
        machine.lm_studio(f"maker/model{number}-GGUF/lm{number}-Q4_K_M.gguf", b"GGUFl")
        machine.llama_cpp(f"org_repo{number}_llama{number}-Q4_0.gguf", b"GGUFc")
    before = machine.state()
    found = find(machine.environment)
    assert len(found) == 100
    assert {each.program for each in found} == {"Ollama", "Hugging Face", "LM Studio", "llama.cpp"}
    assert all(each.model_path.is_file() for each in found)
    assert sum(each.mmproj_path is not None for each in found) == 12 + 25
    catalogue = Catalogue(machine.home.parent / "models.json", machine.environment)
    assert len(catalogue.of_others()) == 100
    assert len({entry.name for entry in catalogue.of_others()}) == 100
    assert catalogue.get("model3-4b").origin.program == "Ollama"
    assert machine.state() == before


def test_one_is_used_in_place(machine: Machine, tmp_path: Path) -> None:
    model = write_language_model(tmp_path / "m.gguf").read_bytes()
    projector = write_projector(tmp_path / "p.gguf").read_bytes()
    machine.ollama("library/gemma3/latest", ("model", model), ("projector", projector))
    before = machine.state()
    catalogue = Catalogue(tmp_path / "models.json", machine.environment)
    files = catalogue.resolve("gemma3")
    assert files.model_path.parent == machine.home / ".ollama/models/blobs"
    assert files.mmproj_path is not None
    assert catalogue.use("gemma3").name == "gemma3"
    assert catalogue.default().model_path == str(files.model_path)
    assert [entry.name for entry in catalogue.of_others()] == []
    catalogue.remove("gemma3")
    assert machine.state() == before
    with pytest.raises(ModelFileError, match="belongs to Ollama"):
        catalogue.remove("gemma3")


def test_names_of_the_user_come_first(machine: Machine, tmp_path: Path) -> None:
    machine.lm_studio("maker/x/mine.gguf", b"GGUF")
    catalogue = Catalogue(tmp_path / "models.json", machine.environment)
    catalogue.add(write_language_model(tmp_path / "mine.gguf"))
    assert catalogue.get("mine").origin.program == ""
    assert [entry.name for entry in catalogue.of_others()] == ["mine-2"]


def test_ollama_names_as_its_people_type_them(machine: Machine) -> None:
    machine.ollama("library/llava/latest", ("model", b"1"))
    machine.ollama("library/llava/7b-q4", ("model", b"2"))
    machine.ollama("somebody/own/latest", ("model", b"3"))
    assert sorted(label for _, label, _ in labels(machine)) == ["llava", "llava-7b-q4", "somebody-own"]


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[" * 100_000,
        b"[]",
        b'{"layers": 7}',
        b'{"layers": [7, {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd"}]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:' + b"0" * 64 + b'"}]}',
        b'{"layers": [' + b"{}," * 300_000 + b"{}]}",
    ],
    ids=["empty", "deep", "list", "number", "traversal", "no blob", "long"],
)
def test_broken_and_hostile_manifests_are_passed_over(machine: Machine, manifest: bytes) -> None:
    _write(machine.home / ".ollama/models/manifests/registry.ollama.ai/library/bad/latest", manifest)
    machine.ollama("library/good/latest", ("model", b"1"))
    assert labels(machine) == [("Ollama", "good", False)]


def test_what_is_no_file_is_no_model(machine: Machine) -> None:
    machine.lm_studio("maker/x/whole.gguf", b"GGUF")
    os.mkfifo(machine.home / ".lmstudio/models/maker/x/pipe.gguf")
    (machine.home / ".lmstudio/models/maker/x/folder.gguf").mkdir()
    (machine.home / ".lmstudio/models/maker/x/gone.gguf").symlink_to("/nonexistent")
    (machine.home / ".lmstudio/models/maker/x/circle").symlink_to(machine.home)
    machine.lm_studio("maker/x/empty.gguf", b"")
    machine.lm_studio("maker/x/split-00001-of-00002.gguf", b"GGUF")
    assert labels(machine) == [("LM Studio", "whole", False)]


def test_the_hubs_newest_snapshot_is_the_one_that_it_names(machine: Machine) -> None:
    machine.hub("owner/repo", {"old.gguf": b"GGUFo"}, commit="cd" * 20)
    snapshot = machine.hub("owner/repo", {"new.gguf": b"GGUFn"})
    assert [each.model_path for each in find(machine.environment)] == [snapshot / "new.gguf"]


@pytest.mark.parametrize("variable", ["LLAMA_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_every_place_where_the_hubs_cache_may_be(machine: Machine, variable: str) -> None:
    inner = {"HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}.get(variable, "")
    machine.hub("owner/repo", {"x.gguf": b"GGUF"}, cache=f"there/{inner}")
    machine.environment[variable] = str(machine.home / "there")
    assert labels(machine) == [("Hugging Face", "x", False)]


def test_lm_studios_own_folder(machine: Machine, tmp_path: Path) -> None:
    _write(machine.home / ".lmstudio/settings.json", json.dumps({"downloadsFolder": str(tmp_path / "far")}).encode())
    _write(tmp_path / "far/maker/x/x-Q4_K_M.gguf", b"GGUF")
    _write(tmp_path / "far/maker/x/mmproj-x-F16.gguf", b"GGUF")
    assert labels(machine) == [("LM Studio", "x-Q4_K_M", True)]


def test_a_projector_of_another_repository_is_none_of_this_model(machine: Machine) -> None:
    machine.llama_cpp("a_one_m-Q4_0.gguf", b"GGUF")
    machine.llama_cpp("b_two_mmproj-F16.gguf", b"GGUF")
    machine.llama_cpp("b_two_m-Q4_0.gguf", b"GGUF")
    assert labels(machine) == [("llama.cpp", "a_one_m-Q4_0", False), ("llama.cpp", "b_two_m-Q4_0", True)]
