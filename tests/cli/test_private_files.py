"""Nobody gets the command line to write into a file outside of its own places, whatever lies where its files should be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nemochat.cli.app import app
from nemochat.domain.personas import Persona
from nemochat.personas.store import PersonaStore
from nemochat.settings_file import write_setting
from tests.cli.conftest import Run, WriteScript
from tests.personas.build import png
from tests.test_files import NOBODY, mode, needs_root, plant
from tests.tiny_gguf import write_language_model

THEIRS = "somebody else's\n"
KINDS = ("link", "hard link", "dangling link", "pipe", "folder")
NO_LOG = "Nothing is logged"


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[str, str], Path]:
    """Put something in the place of one of nemochat's files; what is outside is returned."""

    def put(kind: str, name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        outside = tmp_path / "outside" / path.name
        outside.parent.mkdir(exist_ok=True)
        outside.write_text(THEIRS)
        outside.chmod(0o644)
        plant(kind, path, outside)
        return outside

    return put


def untouched(outside: Path) -> bool:
    """Whether it is as it was, and nothing has appeared beside it."""
    return (outside.read_text(), mode(outside)) == (THEIRS, 0o644) and not outside.with_name("nowhere").exists()


def invoke(*arguments: str) -> str:
    """A command in this process, to its end, well or not."""
    result = CliRunner().invoke(app, list(arguments))
    return f"{result.output}{result.exception or ''}"


# -- logs


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_answers_without_a_log_where_the_log_would_be_anothers(
    kind: str, nemochat: Run, script: WriteScript, planted: Callable[[str, str], Path]
) -> None:
    outside = planted(kind, "log/engine.log")
    done = nemochat("ask", "Hello?", "--model", script("Yes."))
    assert (done.returncode, done.stdout) == (0, "Yes.\n")
    assert done.stderr.count(NO_LOG) == 1
    assert untouched(outside)


def test_a_log_folder_that_cannot_be_used_stops_nothing_and_is_said_once(nemochat: Run, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(THEIRS)
    (tmp_path / "a.md").write_text("The lemon tree is Mr Okafor's.")
    model = {"NEMOCHAT_TOOLS_EMBEDDING_MODEL": str(write_language_model(tmp_path / "tiny.gguf"))}
    done = nemochat("ask", "Hello?", "--doc", "a.md", "--max-tokens", "4", **model)  # the demo model, and an embedding model beside it
    assert (done.returncode, done.stdout != "") == (0, True), done.stderr
    assert [line for line in done.stderr.splitlines() if NO_LOG in line] == [
        f"{NO_LOG}: the folder {tmp_path / 'log'} cannot be used (Not a directory). NEMOCHAT_LOG_DIR names another."
    ]
    assert (tmp_path / "log").read_text() == THEIRS


@pytest.mark.parametrize("kind", KINDS)
def test_the_logs_of_an_embedding_model_and_of_a_server(
    kind: str, nemochat: Run, tmp_path: Path, planted: Callable[[str, str], Path]
) -> None:
    outside = [planted(kind, f"log/{name}.log") for name in ("embedder", "mcp-small")]
    (tmp_path / "a.md").write_text("The lemon tree is Mr Okafor's.")
    done = nemochat("docs", "add", "a.md", NEMOCHAT_TOOLS_EMBEDDING_MODEL=str(write_language_model(tmp_path / "tiny.gguf")))
    assert (done.returncode, done.stderr.count(NO_LOG)) == (0, 1), done.stderr
    invoke("mcp", "add", "small", "--", sys.executable, "-c", "import sys; sys.exit('a word on stderr')")
    invoke("mcp", "check", "small", "--trust")
    assert all(map(untouched, outside))


@needs_root
def test_a_link_that_another_user_has_planted_in_an_open_folder(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    log, victim = tmp_path / "log", tmp_path / "victim"
    victim.mkdir()
    log.mkdir()
    log.chmod(0o777)
    for name, target in (("engine.log", "victim/notes"), ("states", "victim")):
        (log / name).symlink_to(tmp_path / target)
        os.chown(log / name, NOBODY, NOBODY, follow_symlinks=False)
    done = nemochat("ask", "Hello?", "--model", script("Yes."), NEMOCHAT_DATA_DIR=str(log / "states" / "data"))
    assert (done.returncode, done.stdout, done.stderr.count(NO_LOG)) == (0, "Yes.\n", 1)
    assert list(victim.iterdir()) == []
    assert mode(log) == 0o700, "closed to others, so that nothing more can be planted"
    refused = nemochat("models", "use", "nemochat-demo", NEMOCHAT_DATA_DIR=str(log / "states" / "data"))
    assert (refused.returncode, "belongs to another user" in refused.stderr, list(victim.iterdir())) == (1, True, [])


# -- what nemochat keeps


@pytest.mark.parametrize("kind", ["link", "hard link", "dangling link", "folder"])
def test_lists_that_it_keeps(kind: str, tmp_path: Path, planted: Callable[[str, str], Path]) -> None:
    names = ("notes.jsonl", "models.json", "mcp-pins.json", "personas/.index.json")
    outside = [planted(kind, f"data/{name}") for name in names]
    (tmp_path / "Anna.toml").write_text('name = "Anna"\n')
    for arguments in (
        ("tools", "test", "save_note", '{"text": "It rains."}', "--yes"),
        ("models", "use", "nemochat-demo"),
        ("mcp", "add", "small", "--", "true"),
        ("mcp", "check", "small", "--trust"),
        ("personas", "import", str(tmp_path / "Anna.toml")),
        ("personas", "list"),
    ):
        said = invoke(*arguments)
        assert "is a bug" not in said
    assert all(map(untouched, outside))
    written = {"models.json", "mcp-pins.json", "personas/.index.json"} if kind != "folder" else set()
    assert {name for name in names if stat.S_ISREG((tmp_path / "data" / name).lstat().st_mode)} >= written


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("library/library.db", ("library", "list")),
        ("library/library.db-wal", ("library", "list")),
        ("library/library.db-shm", ("library", "list")),
        ("library/library.db-journal", ("library", "list")),
        ("documents/index.db", ("docs", "list")),
    ],
)
def test_databases(
    kind: str, name: str, arguments: tuple[str, ...], tmp_path: Path, planted: Callable[[str, str], Path]
) -> None:
    outside = planted(kind, f"data/{name}")
    for _ in range(2):
        assert "is a bug" not in invoke(*arguments)
        assert untouched(outside)
    with contextlib.suppress(FileNotFoundError):  # set aside, or removed by SQLite
        (tmp_path / "data" / name).rename(tmp_path / "away")
    assert invoke("library", "list").startswith("There are no conversations yet")


@pytest.mark.parametrize("kind", ["link", "hard link", "dangling link", "pipe"])
def test_a_portrait_is_never_saved_into_what_another_has_put_there(kind: str, tmp_path: Path, planted: Callable[[str, str], Path]) -> None:
    store = PersonaStore(tmp_path / "data" / "personas")
    id_ = store.save(Persona(name="Anna"))
    outside = planted(kind, f"data/personas/{id_}/avatar.png")
    assert store.save(Persona(name="Anna"), id_, avatar=png()) == id_
    assert untouched(outside)
    assert store.load(id_)[1] == png()


# -- exports


@pytest.mark.parametrize("kind", KINDS)
def test_exports_go_through_no_link_and_are_for_the_user_alone(
    kind: str, tmp_path: Path, planted: Callable[[str, str], Path]
) -> None:
    out = tmp_path / "out"
    outside = [planted(kind, f"out/{name}") for name in ("library.zip", "anna.png", "anna.json", "anna.toml")]
    out.chmod(0o755)
    (tmp_path / "Anna.toml").write_text('name = "Anna"\n')
    invoke("personas", "import", str(tmp_path / "Anna.toml"))
    before = os.umask(0)
    try:
        said = invoke("library", "export", str(out / "library.zip"))
        assert ("conversations written" in said) is (kind == "hard link")
        assert kind == "hard link" or "what is there is no regular file" in said
        for suffix in ("png", "json", "toml"):
            assert "exists already" in invoke("personas", "export", "Anna", str(out / f"anna.{suffix}"))
            invoke("personas", "export", "Anna", str(out / f"new.{suffix}"))
    finally:
        os.umask(before)
    assert all(map(untouched, outside))
    assert [mode(out / f"new.{suffix}") for suffix in ("png", "json", "toml")] == [0o600] * 3
    assert mode(out) == 0o755, "the user's folder is left as it is"
    if kind == "hard link":
        assert (stat.S_ISREG((out / "library.zip").lstat().st_mode), mode(out / "library.zip")) == (True, 0o600)


def test_saved_pixels(nemochat: Run, script: WriteScript, red: str, tmp_path: Path, planted: Callable[[str, str], Path]) -> None:
    model = script("Red.")
    before = os.umask(0)
    try:
        assert nemochat("ask", "Which?", "-i", red, "--model", model, "--save-pixels", "new/pixels").returncode == 0
        (picture,) = (tmp_path / "new" / "pixels").iterdir()
        outside = [planted(kind, f"{folder}/{picture.name}") for folder, kind in (("linked", "link"), ("there", "hard link"))]
        (tmp_path / "there").chmod(0o755)
        assert nemochat("ask", "Which?", "-i", red, "--model", model, "--save-pixels", "there").returncode == 0
        assert "no regular file" in nemochat("ask", "Which?", "-i", red, "--model", model, "--save-pixels", "linked").stderr
    finally:
        os.umask(before)
    assert all(map(untouched, outside))
    assert (tmp_path / "there" / picture.name).read_bytes() == picture.read_bytes()
    places = (tmp_path / "new", picture.parent, picture, tmp_path / "there", tmp_path / "there" / picture.name)
    assert [mode(each) for each in places] == [0o700, 0o700, 0o600, 0o755, 0o600]


# -- what people write by hand


def test_a_configuration_that_a_dotfile_manager_has_linked_stays_linked(tmp_path: Path, nemochat: Run) -> None:
    kept = tmp_path / "dotfiles"
    (kept / "nemochat" / "themes").mkdir(parents=True)
    (kept / "nemochat").chmod(0o755)
    (tmp_path / "config").symlink_to("dotfiles/nemochat")  # the folder itself
    (kept / "real.toml").write_text("# mine\n[sampling]\ntemperature = 0.5\n")
    (kept / "real.toml").chmod(0o644)
    (tmp_path / "config" / "config.toml").symlink_to("../real.toml")
    (kept / "servers.json").write_text("{}")
    (tmp_path / "config" / "mcp.json").symlink_to("../servers.json")
    write_setting(tmp_path / "config" / "config.toml", "sampling.temperature", 0.7)
    assert nemochat("mcp", "add", "small", "--", "true").returncode == 0
    assert [path.is_symlink() for path in (tmp_path / "config", *(tmp_path / "config" / name for name in ("config.toml", "mcp.json")))]
    assert (kept / "real.toml").read_text() == "# mine\n[sampling]\ntemperature = 0.7\n"
    assert mode(kept / "real.toml") == 0o644
    assert "small" in (kept / "servers.json").read_text()
    assert mode(kept / "servers.json") == 0o600, "it may hold keys of servers"


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_a_hard_link_beside_a_library_that_is_there_is_not_written(
    ending: str, tmp_path: Path, planted: Callable[[str, str], Path]
) -> None:
    assert invoke("library", "list").startswith("There are no conversations yet")
    outside = planted("hard link", f"data/library/library.db{ending}")
    assert f"library.db{ending} has a second name elsewhere" in invoke("library", "import", str(talk(tmp_path)))
    assert untouched(outside)
    (tmp_path / "data" / "library" / f"library.db{ending}").unlink()
    assert "1 conversation added" in invoke("library", "import", str(talk(tmp_path)))


def test_a_library_whose_files_are_in_a_snapshot_as_well_is_opened(tmp_path: Path) -> None:
    invoke("library", "import", str(talk(tmp_path)))
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "library" / "library.db")) as other:  # another program has it open
        other.execute("SELECT * FROM conversation").fetchall()
        (tmp_path / "snapshot").mkdir()
        beside = sorted((tmp_path / "data" / "library").glob("library.db*"))
        assert len(beside) == 3
        for path in beside:
            (tmp_path / "snapshot" / path.name).hardlink_to(path)
        assert "Hello?" in invoke("library", "list")


def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.json"
    path.write_text('{"messages": [{"role": "user", "content": "Hello?"}]}')
    return path
