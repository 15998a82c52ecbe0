"""A library of every earlier version opens with all that is in it, and a copy of it is kept."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, LibraryError, ListQuery, migrations
from tests.library.building import Clock, everything, open_library, rows, stored, talk

EARLIER = range(1, migrations.newest())


def library_of(folder: Path, version: int) -> dict[str, Chat]:
    """One as the program of that version would have left it: its schema, and the rows that a program of today writes."""
    chats = {}
    with open_library(folder / "source") as source:
        for chat in (msgspec.structs.replace(everything(), waiting=()), talk("The lighthouse", "keeper").named("The lighthouse"), Chat()):
            chats[source.save(None, 0, None, chat, model=ModelRef("demo")).id] = stored(chat)
    file = folder / "library.db"
    with closing(sqlite3.connect(file)) as connection:
        migrations.migrate(connection, version)
        assert migrations.current(connection) == version
        connection.execute("ATTACH ? AS source", (str(folder / "source" / "library.db"),))
        for table in ("conversation", "scene", "message", "picture_use"):
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM source.{table}")
        connection.commit()
    return chats


def schema(file: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return sorted(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall(), key=str)


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_library_opens_with_everything_in_it(tmp_path: Path, version: int) -> None:
    chats = library_of(tmp_path, version)
    with open_library(tmp_path) as library:
        assert {row.id: library.load(row.id).chat for row in library.conversations()} == chats
        assert [(hit.node, hit.title) for hit in library.search("lighthouse")] == [(0, "The lighthouse"), (1, "The lighthouse")]
        id_ = next(row.id for row in library.conversations() if row.title == "The lighthouse")
        library.set_tags(id_, ["sea"])
        library.archive(id_)
        saved = library.save(id_, 1, chats[id_], chats[id_].named("Tower"), model=ModelRef("demo"))
        assert library.load(saved.id).chat.title == "Tower"
        assert [hit.title for hit in library.search("tower ")] == ["Tower"]
        assert [row.id for row in library.conversations(ListQuery(archived=True))] == [id_]
        assert library.check() == []
    with open_library(tmp_path / "new"):
        assert schema(tmp_path / "library.db") == schema(tmp_path / "new" / "library.db")


@pytest.mark.parametrize("version", EARLIER)
def test_a_copy_is_kept_as_it_was(tmp_path: Path, version: int) -> None:
    library_of(tmp_path, version)
    before = rows(tmp_path, "SELECT * FROM message")
    open_library(tmp_path).close()
    copy = tmp_path / f"library-version-{version}.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert migrations.current(connection) == version
        assert connection.execute("SELECT * FROM message").fetchall() == before
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sorted(path.name for path in tmp_path.glob("library-version-*")) == [copy.name]  # and nothing beside it


def test_a_new_library_and_one_of_today_are_not_copied(tmp_path: Path) -> None:
    open_library(tmp_path).close()
    open_library(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["library.db"]


def test_an_upgrade_that_fails_leaves_the_earlier_library(tmp_path: Path) -> None:
    library_of(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
        connection.execute("CREATE TABLE tag (in_the_way)")  # what the third step makes
        connection.commit()
    with pytest.raises(LibraryError, match="cannot be used"):
        Library.open(tmp_path)
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
        assert migrations.current(connection) == 1
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'message_index'").fetchone() == (0,)
        connection.execute("DROP TABLE tag")
        connection.commit()
    with open_library(tmp_path) as library:
        assert len(library.conversations()) == 3


def test_a_newer_library_is_refused_and_left_alone(tmp_path: Path) -> None:
    open_library(tmp_path, Clock()).close()
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
        connection.execute(f"PRAGMA user_version = {migrations.newest() + 1}")
    content = (tmp_path / "library.db").read_bytes()
    with pytest.raises(LibraryError, match="newer nemochat") as caught:
        Library.open(tmp_path)
    assert "Update nemochat" in caught.value.hint
    assert (tmp_path / "library.db").read_bytes() == content
    assert [path.name for path in tmp_path.glob("library*.db")] == ["library.db"]


def test_a_released_step_is_never_changed() -> None:
    # New steps are added at the end of this list; a line of it changes only until the first release that has the step.
    scripts = sorted(Path(migrations.__file__).parent.glob("*.sql"))
    assert {script.name: hashlib.sha256(script.read_bytes()).hexdigest()[:16] for script in scripts} == {
        "0001_conversations.sql": "53e6866ec74e8d2a",
        "0002_search.sql": "c5b7cee8f58dbb24",
        "0003_order.sql": "e724cbc172b67b0e",
        "0004_shapes.sql": "1302f7f0f4eca648",
        "0005_speakers.sql": "b8b99043a3f2d25e",
    }
