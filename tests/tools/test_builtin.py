"""Notes, pictures, documents, and which tools there are."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.tools.builtin import notes as notes_module
from nemochat.tools.builtin.every import Needs, builtin_tools
from nemochat.tools.builtin.notes import MAX_CHARACTERS, Notes, note_tools
from nemochat.tools.builtin.pictures import Region, look_at_picture
from nemochat.tools.builtin.roots import FileRoots
from nemochat.tools.builtin.search import NOTHING, Passage, search_documents
from nemochat.tools.making import FunctionTool

NOW = datetime(2026, 3, 5, 14, 7, tzinfo=UTC)


def _now() -> datetime:
    return NOW


async def _search(query: str) -> Sequence[Passage]:
    return [] if query == "nothing" else [Passage("a.md\n\x1b[2J", "  The gate is blue. "), Passage("b.pdf, page 2", "It is high.")]


async def test_notes_last_and_are_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "notes.jsonl"
    save, list_all = note_tools(Notes(path), _now)
    assert (await list_all.run({})).text == "There are no notes."
    assert (await save.run({"text": "Buy apples\x1b[2J"})).text == "Kept as note 1."
    await save.run({"text": "Two\nlines"})
    _, again = note_tools(Notes(path), _now)
    assert (await again.run({})).text == "1. Buy apples[2J (2026-03-05)\n2. Two\nlines (2026-03-05)"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not save.offered.is_harmless
    assert list_all.offered.is_harmless


def test_a_broken_line_hides_no_other_note(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    notes = Notes(path)
    notes.add("one", NOW)
    with path.open("ab") as file:
        file.write(b'{"text": "half a li')
    notes.add("two", NOW)
    with path.open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"text": 3}\n')
    assert [note.text for note in notes.all()] == ["one", "two"]


def test_notes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_module, "MAX_NOTES", 2)
    notes = Notes(tmp_path / "notes.jsonl")
    for text in ("", "  ", "\x1b", "x" * (MAX_CHARACTERS + 1)):
        with pytest.raises(NemochatError):
            notes.add(text, NOW)
    assert [notes.add(text, NOW) for text in ("one", "two")] == [1, 2]
    with pytest.raises(NemochatError, match="2 notes already"):
        notes.add("three", NOW)


def test_notes_that_cannot_be_kept_say_so(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(NemochatError):
            Notes(path).add("one", NOW)
    assert not (tmp_path / "elsewhere").exists()


def _look(asked: list[tuple[bytes, Region]]) -> FunctionTool:
    def crop(data: bytes, region: Region) -> bytes:
        asked.append((data, region))
        return b"png"

    return look_at_picture({1: b"file"}.get, crop)


async def test_a_region_of_the_original_comes_back_as_a_picture() -> None:
    asked: list[tuple[bytes, Region]] = []
    outcome = await _look(asked).run({"picture": 1, "left": 10, "top": 0, "right": 60.5, "bottom": 100})
    assert outcome == ToolOutcome("Picture 1: 10 to 60.5 % across, 0 to 100 % down.", (b"png",))
    assert asked == [(b"file", Region(10, 0, 60.5, 100))]


@pytest.mark.parametrize(("picture", "edges"), [(2, (0, 0, 50, 50)), (1, (50, 0, 50, 50)), (1, (60, 0, 50, 50)), (1, (0, 50, 50, 50.5))])
async def test_no_such_picture_or_region(picture: int, edges: tuple[float, ...]) -> None:
    asked: list[tuple[bytes, Region]] = []
    with pytest.raises(NemochatError):
        await _look(asked).run({"picture": picture, **dict(zip(("left", "top", "right", "bottom"), edges, strict=True))})
    assert asked == []


async def test_passages_come_with_their_sources() -> None:
    outcome = await search_documents(_search).run({"query": "gate"})
    assert outcome.text == "a.md [2J: The gate is blue.\n\nb.pdf, page 2: It is high."
    assert outcome.sources == ("a.md [2J", "b.pdf, page 2")
    assert (await search_documents(_search).run({"query": "nothing"})).text == NOTHING


def _needs(tmp_path: Path) -> Needs:
    return Needs(
        _now, FileRoots([tmp_path]), Notes(tmp_path / "n"), original={1: b""}.get, crop=lambda data, _: data, search=_search, may_fetch=True
    )


def test_a_tool_is_there_when_what_it_needs_is(tmp_path: Path) -> None:
    names = [tool.offered.name for tool in builtin_tools(Needs(_now))]
    assert names == ["calculator", "current_time", "convert_units"]
    names = [tool.offered.name for tool in builtin_tools(_needs(tmp_path))]
    assert names[3:] == [
        "search_documents", "list_folder", "read_file", "find_in_files", "save_note", "list_notes", "look_at_picture", "fetch_url",
    ]  # fmt: skip


def test_what_is_harmless_and_what_is_not(tmp_path: Path) -> None:
    risky = {tool.offered.name for tool in builtin_tools(_needs(tmp_path)) if not tool.offered.is_harmless}
    assert risky == {"list_folder", "read_file", "find_in_files", "save_note", "fetch_url"}


def test_the_demo_model_knows_its_tools(tmp_path: Path) -> None:
    known = pytest.importorskip("training.corpus.tools", reason="the training is not part of the package")
    offered = {tool.offered.name: tool.offered.spec for tool in builtin_tools(_needs(tmp_path))}
    assert NOTHING in known.NOTHING_FOUND
    for name, (properties, required) in known._PARAMETERS.items():
        assert offered[name].description in known._DESCRIPTIONS[name]
        expected = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}, "required": required}
        assert offered[name].parameters == expected


def test_every_fingerprint_is_its_own(tmp_path: Path) -> None:
    prints = [tool.offered.fingerprint for tool in builtin_tools(_needs(tmp_path))]
    assert len(set(prints)) == len(prints)
    assert all(prints)
