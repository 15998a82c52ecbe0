"""What is built of the project: the wheel has all of nemochat and nothing else, and works where it is all that there is of it."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import nemochat
from nemochat.engine.installed import WANTED
from nemochat.images import sample_picture, save_png
from tests.environments import make_environment, python_of

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INFO = f"nemochat-{nemochat.__version__}.dist-info"


def in_the_tree(folder: str) -> set[str]:
    """Files below a folder of the project, but for what Python leaves there."""
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    [built] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return Path(built)


def test_the_wheel_has_all_of_nemochat_and_nothing_else(wheel: Path) -> None:
    ours = in_the_tree("nemochat") | {f"nemochat/{theme}" for theme in in_the_tree("themes")}
    about = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    with zipfile.ZipFile(wheel) as packed:
        assert set(packed.namelist()) == ours | about
    assert wheel.stat().st_size < 15_000_000


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    assert "version" not in PROJECT
    with zipfile.ZipFile(wheel) as packed:
        told = Parser().parsestr(packed.read(f"{INFO}/METADATA").decode())
    assert told["Version"] == nemochat.__version__


def test_the_list_without_the_engine_is_that_of_the_project() -> None:
    listed = (ROOT / "docs/without-engine.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert listed == [each for each in PROJECT["dependencies"] if not each.startswith("llama-cpp-python")]


def test_what_people_are_told_to_install_is_what_the_project_asks_for() -> None:
    assert [each for each in PROJECT["dependencies"] if each.startswith("llama-cpp-python")] == [WANTED]


def test_the_source_package_has_what_its_tests_need(tmp_path: Path) -> None:
    [built] = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    folders = ("nemochat", "themes", "tests", "docs", "screenshots", "benchmarks", "training", ".ci")
    assert set().union(*map(in_the_tree, folders)) <= names
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml"} <= names


def test_what_was_installed_from_the_wheel_answers(wheel: Path, tmp_path: Path) -> None:
    packages = make_environment(tmp_path / "new")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def run(*words: str) -> str:
        command = [python_of(tmp_path / "new"), *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    save_png(sample_picture(), tmp_path / "picture.png")
    assert "green" in run("-m", "nemochat", "ask", "What colour is the triangle?", "-i", "picture.png")
    personas = {each["id"] for each in json.loads(run("-m", "nemochat", "personas", "list", "--json"))["personas"]}
    assert personas == {path.stem for path in (ROOT / "nemochat/personas/presets").glob("*.toml")}
    themes = run("-c", "from nemochat.tui.themes import built_in_folder; print(built_in_folder())").strip()
    assert Path(themes) == packages / "nemochat" / "themes"
