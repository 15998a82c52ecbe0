"""The variables of all chats: in a file that several programs change, and that may be anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nemochat.errors import NemochatError
from nemochat.personas.scene import Change
from nemochat.personas.shared_variables import SharedVariables

_ADDS = """
import sys
from pathlib import Path
from nemochat.personas.scene import Change
from nemochat.personas.shared_variables import SharedVariables
shared = SharedVariables(Path(sys.argv[1]))
for at in range(20):
    shared.change([Change("n", "1", adds=True), Change(f"own {sys.argv[2]} {at}", "x")])
"""


def test_programs_that_change_them_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "variables.json"
    programs = [subprocess.Popen([sys.executable, "-c", _ADDS, str(file), str(n)]) for n in range(3)]
    assert [program.wait(120) for program in programs] == [0, 0, 0]
    values = SharedVariables(file).values
    assert values["n"] == "60"
    assert len(values) == 61


def test_a_change_of_another_program_is_seen(tmp_path: Path) -> None:
    one, other = (SharedVariables(tmp_path / "variables.json") for _ in range(2))
    one.change([Change("mood", "calm")])
    assert other.values == {"mood": "calm"}
    other.change([Change("mood", "angry")])
    assert one.values == {"mood": "angry"}


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b'{"variables": 3}', b'{"variables": {"a": 3}}', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_file_is_kept_under_another_name_and_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "variables.json"
    file.write_bytes(content)
    shared = SharedVariables(file)
    assert shared.values == {}
    assert [notice.count("variables.json.broken-1") for notice in shared.notices] == [1]
    shared.change([Change("a", "b")])
    assert shared.values == {"a": "b"}
    assert (tmp_path / "variables.json.broken-1").read_bytes() == content


def test_a_file_that_cannot_be_read_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "variables.json"
    file.mkdir()
    shared = SharedVariables(file)
    assert shared.values == {}
    assert len(shared.notices) == 1
    with pytest.raises(NemochatError):
        shared.change([Change("a", "b")])
    assert file.is_dir()


def test_what_somebody_wrote_by_hand_is_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "variables.json"
    file.write_text('{"variables": {"a\\u001b[2J\\n": "\\u001b]0;x\\u0007", "": "x", "long": "' + "x" * 20_000 + '"}, "more": 1}')
    assert SharedVariables(file).values == {"a[2J": "]0;x"}


def test_without_a_file_they_end_with_the_program() -> None:
    shared = SharedVariables()
    shared.change([Change("a", "1"), Change("a", "2", adds=True)])
    assert shared.values == {"a": "3"}
