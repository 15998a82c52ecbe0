"""What .github/workflows/ci.yml runs is there: systems, versions, commands with their options, extras, files."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.specifiers import SpecifierSet

from nemochat.cli.app import app
from tests.conftest import needs_posix

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WHEELS = "https://abetlen.github.io/llama-cpp-python/whl/cpu"


def jobs(text: str = TEXT) -> list[dict[str, Any]]:
    return list(yaml.safe_load(text)["jobs"].values())


def wrong(text: str) -> Iterator[str]:
    """What of a workflow is not there."""
    for job in jobs(text):
        for step in job["steps"]:
            if "uses" in step and not re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+)*|[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]):
                yield f"{step['uses']} names no version"
            if file := step.get("with", {}).get("cache-dependency-path"):
                yield from () if (ROOT / file).is_file() else (f"there is no {file}",)
            for line in step.get("run", "").splitlines():
                yield from _wrong_command(shlex.split(line.removesuffix("|| true"), comments=True))


def _wrong_command(words: list[str]) -> Iterator[str]:
    match words:
        case []:
            return
        case ["python", "-m", "nemochat", *arguments] | ["nemochat", *arguments]:
            yield from _wrong_arguments(arguments)
        case ["python", "-m", "pip", "install", *arguments]:
            names = [name for each in arguments for name in re.sub(r"^\.\[(.+)\]$|.*", r"\1", each).split(",") if name]
            yield from (f"there is no extra {name}" for name in names if name not in PROJECT["optional-dependencies"])
        case ["python", "-m", module, *arguments]:
            if importlib.util.find_spec(module) is None:
                yield f"there is no module {module}"
            files = [each.split("::")[0] for each in arguments if each.startswith("tests")]
            yield from (f"there is no {file}" for file in files if not (ROOT / file).exists())
        case _:
            yield f"{words[0]} is not known"


def _wrong_arguments(arguments: list[str]) -> Iterator[str]:
    """Read as the command line reads them; nothing is run."""
    group = typer.main.get_command(app)
    names: dict[str, Any] = vars(group)["commands"]
    try:
        if arguments and not arguments[0].startswith("-"):
            if arguments[0] not in names:
                yield f"there is no command {arguments[0]}"
                return
            names[arguments[0]].make_context(arguments[0], arguments[1:])
        else:
            group.make_context("nemochat", list(arguments))
    except typer.Exit:  # --version has been said
        return
    except Exception as error:  # noqa: BLE001  # typer's own classes, or click's
        yield f"{shlex.join(arguments)}: {error}"


def test_what_it_runs_is_there() -> None:
    assert list(wrong(TEXT)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('".[dev]"', '".[devel]"'),
        ("nemochat --version", "nemochat --versions"),
        ("nemochat paths", "nemochat path"),
        ("--stats", "--statistics"),
        ("python -m pytest", "python -m pytests"),
        ("python -m pytest", "python -m pytest tests/nowhere"),
        ("actions/checkout@v4", "actions/checkout"),
        ("cache-dependency-path: pyproject.toml", "cache-dependency-path: setup.py"),
        ("python -m pytest", "make check"),
    ],
)
def test_what_is_not_there_is_found(before: str, after: str) -> None:
    assert before in TEXT
    assert list(wrong(TEXT.replace(before, after)))


def test_it_runs_on_every_system_and_every_python_that_is_supported() -> None:
    [job] = jobs()
    matrix = job["strategy"]["matrix"]
    assert {each.partition("-")[0] for each in matrix["os"]} == {"ubuntu", "macos", "windows"}
    versions: list[str] = matrix["python"]
    assert all(isinstance(each, str) for each in versions), "3.10 without quotes is 3.1"
    allowed = SpecifierSet(PROJECT["requires-python"])
    minors = [int(each.split(".")[1]) for each in versions]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert all(f"3.{minor}" in allowed for minor in minors)
    assert f"3.{minors[0] - 1}" not in allowed, "the oldest one that is allowed"
    assert minors[-1] >= 14


def test_it_knows_no_other_place_than_the_wheels_of_llama_cpp_python() -> None:
    assert re.findall(r"https?://[^\s\"']+", TEXT) == [WHEELS]
    assert "secrets." not in TEXT


def test_it_installs_the_llama_cpp_that_the_project_asks_for() -> None:
    [wanted] = [each for each in PROJECT["dependencies"] if each.startswith("llama-cpp-python")]
    assert f'"{wanted}"' in TEXT


def test_windows_leaves_out_what_needs_posix_and_nothing_else() -> None:
    """tests/conftest.py decides it by what a file names."""
    left = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py") if needs_posix(path)}
    assert {"tests/terminal/test_quit.py", "tests/tools/test_python_tools.py"} <= left
    assert not {"tests/system/test_deaths.py", "tests/system/test_places.py", "tests/chat/test_session.py"} & left
    assert len(left) < len(list((ROOT / "tests").rglob("test_*.py"))) / 3


