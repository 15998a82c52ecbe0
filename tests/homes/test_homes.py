"""What an earlier version has left on the disk opens: every command that reads it, the interface, and the prompts as they were."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nemochat.chat.assembly import assemble
from nemochat.domain.messages import ToolCallPart, ToolResultPart
from nemochat.images import load
from nemochat.library import Library, ListQuery
from nemochat.library.transfer import import_library
from nemochat.prompt import nemotron
from nemochat.prompt.format import as_text
from tests.cli.conftest import ROOT, Fork, forks

HOMES = Path(__file__).parent
PROMPTS: dict[str, str] = json.loads((HOMES / "v0_1_prompts.json").read_text(encoding="utf-8"))
PICTURES, TREE, TOOLS, PLAY, GONE = "1m325a4v8jywa", "1m325dvzrf0v1", "1m325hk48g7rf", "1m325na8rjxva", "1ej3px000w7cg"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copytree(HOMES / "v0_1", tmp_path / "home")
    return tmp_path / "home"


def opened(folder: Path) -> Library:
    library, notices = Library.open(folder)
    assert notices == []
    return library


@pytest.fixture(scope="module")
def fork() -> Iterator[Fork]:
    yield from forks()


@pytest.fixture
def run(home: Path, fork: Fork) -> Callable[..., str]:
    """Run a command in this home; what it says on both of its outputs."""
    folders = {f"NEMOCHAT_{kind.upper()}_DIR": str(home / kind) for kind in ("config", "data", "log", "cache")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NEMOCHAT_")}

    def said(*arguments: str) -> str:
        done = fork(arguments, "", home, clean | folders | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"})
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    return said


@pytest.mark.parametrize("how", ["in place", "export"])
def test_every_conversation_has_the_prompt_that_it_had(home: Path, tmp_path: Path, how: str) -> None:
    folder = home / "data" / "library" if how == "in place" else tmp_path / "new"
    with opened(folder) as library:
        if how == "export":
            report = import_library(library, HOMES / "v0_1_export.zip")
            assert (len(report.added), report.problems) == (5, ())
        found = {}
        for deleted in (False, True):
            for row in library.conversations(ListQuery(archived=None, deleted=deleted)):
                stored = library.load(row.id)
                assert stored.damaged == 0
                found[row.id] = as_text(nemotron.render(assemble(stored.chat).conversation))
        assert found == {id_: prompt for id_, prompt in PROMPTS.items() if how == "in place" or id_ != GONE}
        assert library.check() == []


@pytest.mark.parametrize("how", ["in place", "export"])
def test_its_pictures_are_the_files_that_were_given(home: Path, tmp_path: Path, how: str) -> None:
    folder = home / "data" / "library" if how == "in place" else tmp_path / "new"
    with opened(folder) as library:
        if how == "export":
            import_library(library, HOMES / "v0_1_export.zip")
        sizes = {}
        for id_ in (PICTURES, TOOLS):
            for entry in library.load(id_).chat.entries:
                for part in entry.message.images:
                    original = library.original(part.digest)
                    assert original is not None
                    image = load(original.data)
                    sizes[part.name] = (image.width, image.height, original.suffix)
        # One with its file, upright by its metadata, and two of which the model's pixels are all that was kept.
        assert sizes == {"photo.jpg": (200, 320, "jpeg"), "clipboard": (84, 84, "png"), "draw": (84, 84, "png")}


def test_each_call_has_a_result_of_its_own(home: Path) -> None:
    with opened(home / "data" / "library") as library:
        parts = [part for entry in library.load(TOOLS).chat.entries for part in entry.message.parts]
    calls = [call.id for part in parts if isinstance(part, ToolCallPart) for call in part.calls]
    results = {part.call: part for part in parts if isinstance(part, ToolResultPart)}
    assert list(results) == calls
    assert len(calls) == 6
    texts = [results[call].text for call in calls]
    assert texts[:5] == ["42", "2", "4", "12:00\nMonday\nDrawn.", ""]  # two results of several lines had one text
    assert [len(results[call].images) for call in calls] == [0, 0, 0, 0, 1, 0]
    # What the model wrote is kept only where these calls would be written otherwise.
    assert [bool(part.verbatim) for part in parts if isinstance(part, ToolCallPart)] == [False, True, True, True, True]


def test_the_tree_and_the_play_are_as_they_were(home: Path) -> None:
    with opened(home / "data" / "library") as library:
        tree = library.load(TREE).chat
        assert [entry.message.excluded for entry in tree.entries][4:5] == [True]
        assert {node.entry.message.text for node in tree.nodes} >= {"The Baltic.", "The North Sea.", "How deep is it?"}
        assert any(node.entry.interrupted for node in tree.nodes)
        play = library.load(PLAY)
        assert (play.chat.persona and play.chat.persona.name, play.chat.user and play.chat.user.name) == ("Mira", "Ada")
        assert (play.chat.seed, play.chat.collections, play.chat.examples_gone, str(play.model)) == (11, ("manual",), 1, "other-model")
        assert play.chat.entries[-1].speaker == "Mira"
        assert library.load(PICTURES).tags == ("größe", "holiday")
        record = tree.entries[1].record
        assert record is not None
        assert (str(record.model), record.sampling.seed, record.result.forgotten) == ("nemochat-demo", 7, (0,))


def test_every_command_that_reads_it_works(run: Callable[..., str], tmp_path: Path) -> None:
    assert run("library", "check").strip() == "The library is in order."
    listed = run("library", "list")
    assert all(title in listed for title in ("Seas", "What is in this photo?", "What is 6 times 7?"))
    assert "North Sea" in run("search", "north", "--model", "nemochat-demo")
    assert json.loads(run("stats", "--json", "--model", "nemochat-demo"))["all"]["replies"] == 12
    assert "5 conversations" in run("library", "export", str(tmp_path / "all.zip"))
    assert "5 were here already" in run("library", "import", str(HOMES / "v0_1_export.zip"))
    assert "own" in run("models", "list")
    assert "Mira" in run("personas", "list")
    assert "greet" in run("tools", "list")
    assert "small" in run("mcp", "list")
    assert "green door" in run("docs", "search", "door", "--collection", "manual")


def test_the_copy_of_it_is_what_it_was(home: Path) -> None:
    before = (home / "data" / "library" / "library.db").read_bytes()
    opened(home / "data" / "library").close()
    copies = list((home / "data" / "library").glob("library-version-3.db"))
    assert len(copies) == 1
    assert len(copies[0].read_bytes()) == len(before)


DAMAGE = {
    "no text": "UPDATE message SET text = CAST(x'4ec328616d65' AS TEXT) WHERE text = 'Name a sea.'",
    "no text in JSON": "UPDATE message SET rest = CAST(CAST(rest AS BLOB) || x'c328' AS TEXT) WHERE text = 'Name a sea.'",
    "cut JSON": "UPDATE message SET rest = '{\"record\": {' WHERE text = 'The Baltic.'",
    "a blob": "UPDATE message SET rest = x'00ff' WHERE text = 'The Baltic.'",
    "a circle": "UPDATE message SET parent = id WHERE text = 'The Baltic.'",
    "a huge number": "UPDATE message SET id = 4611686018427387904 WHERE text = 'The Baltic.'",
    "a title": "UPDATE conversation SET title = CAST(x'c328' AS TEXT) WHERE name = 'Seas'",
    "a frame": "UPDATE scene SET frame = '{' WHERE conversation = (SELECT key FROM conversation WHERE name = 'Seas')",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_that_was_there_before_costs_no_more_than_what_it_stands_in(home: Path, statement: str) -> None:
    folder = home / "data" / "library"
    with closing(sqlite3.connect(folder / "library.db", isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0
    with opened(folder) as library:
        assert library.check() != []
        rows = [row for deleted in (False, True) for row in library.conversations(ListQuery(archived=None, deleted=deleted))]
        texts = [as_text(nemotron.render(assemble(library.load(row.id).chat).conversation)) for row in rows]
        assert len(texts) == len(PROMPTS)
        assert sum(text == PROMPTS[row.id] for row, text in zip(rows, texts, strict=True)) >= len(PROMPTS) - 1
        library.mend()
        assert library.check() == []


def test_an_invalid_byte_is_found_and_mended_by_the_commands(home: Path, run: Callable[..., str], tmp_path: Path) -> None:
    with closing(sqlite3.connect(home / "data" / "library" / "library.db", isolation_level=None)) as connection:
        connection.execute(DAMAGE["no text"])
    with pytest.raises(AssertionError, match="its text is damaged"):
        run("library", "check")
    assert "Seas" in run("library", "list")
    assert "North Sea" in run("search", "north")
    assert "5 conversations" in run("library", "export", str(tmp_path / "all.zip"))
    assert "1 conversations mended" in run("library", "repair")
    assert run("library", "check").strip() == "The library is in order."
