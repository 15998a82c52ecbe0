"""``nemochat stats``: the same figures as everywhere, over the library or one conversation."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from nemochat.domain.replies import ModelRef
from nemochat.domain.ttft import statistics_of
from nemochat.library import Library
from tests.cli.conftest import Run
from tests.library.building import Clock
from tests.library.test_figures import asked, timed


@pytest.fixture
def ids(tmp_path: Path) -> list[str]:
    """A library with two conversations: 10 and 20 ms by one model, 30 ms by another, long ago."""
    clock = Clock(time.time())
    with Library.open(tmp_path / "data" / "library", clock=clock)[0] as library:
        first = library.save(None, 0, None, asked(timed(10), timed(20)).named("The \x1b[2Jfirst"), model=ModelRef("demo"))
        clock.now = 1_000_000_000.0
        return [first.id, library.save(None, 0, None, asked(timed(30, "large")), model=ModelRef("large")).id]


def test_over_the_library(nemochat: Run, ids: list[str]) -> None:
    done = nemochat("stats")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"{len(ids) + 1} replies: 0 cold, 3 reused"
    assert next(line.split()[:4] for line in lines if line.startswith("all ")) == ["all", "p50", "3", "20"]
    assert "-" in next(line for line in lines if line.startswith("cold"))


def test_json_is_the_statistics_themselves(nemochat: Run, ids: list[str], tmp_path: Path) -> None:
    with Library.open(tmp_path / "data" / "library")[0] as library:
        expected = statistics_of(row.reading for row in library.replies())
    assert json.loads(nemochat("stats", "--json").stdout) == msgspec.to_builtins(expected)
    assert expected.all.replies == len(ids) + 1


@pytest.mark.parametrize(
    ("arguments", "replies"),
    [((), 3), (("--model", "demo"), 2), (("--model", "large"), 1), (("--model", "none"), 0), (("--since", "30"), 2)],
)
def test_narrowed(nemochat: Run, ids: list[str], arguments: tuple[str, ...], replies: int) -> None:
    assert ids
    assert json.loads(nemochat("stats", "--json", *arguments).stdout)["all"]["replies"] == replies


def test_of_one_conversation(nemochat: Run, ids: list[str]) -> None:
    done = nemochat("stats", ids[0])
    assert done.stdout.startswith("2 replies: 0 cold, 2 reused\n")
    assert done.stderr == "The [2Jfirst\n"
    missing = nemochat("stats", "zzzz")
    assert (missing.returncode, missing.stderr.splitlines()[0]) == (1, "Error: No conversation has this id.")


def test_an_empty_library_says_so(nemochat: Run) -> None:
    done = nemochat("stats")
    assert (done.returncode, done.stdout) == (0, "")
    assert "There is no reply yet" in done.stderr
    assert json.loads(nemochat("stats", "--json").stdout)["all"]["ttft_ms"] is None
    assert nemochat("stats", "--model", "demo").stderr == "No reply matches that.\n"
