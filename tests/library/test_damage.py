"""Any value in any column may be damaged: that costs at most the message that it stands in, it is found, and it can be mended."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, LibraryError, ListQuery, ReplyQuery
from nemochat.library.checking import _NUMBERS, _TEXTS
from nemochat.library.codec import VERSION
from nemochat.library.errors import NewerError
from nemochat.library.repair import repair
from nemochat.library.transfer import export_library, import_library
from tests.library.building import RED, everything, open_library, rows, stored, talk, user

NOT_UTF8 = "CAST(x'6869c328ff' AS TEXT)"
TEXT_DAMAGE = ("NULL", NOT_UTF8, "x'00ff'", "'{\"v\": 2, \"trunc'")
NUMBER_DAMAGE = ("NULL", "'x'", "-5", str(1 << 62), "1.5", "x'ff'")
FILE = Original(b"as it came", "jpg")
WHOLE_KEYS = {"tag", "picture_use"}
"""Tables whose every column is part of the key: no NULL can stand there."""
COLUMNS = [(table, column) for kinds in (_TEXTS, _NUMBERS) for table, columns in kinds.items() for column in columns]
COLUMNS.remove(("scene", "conversation"))  # an integer key holds nothing but integers


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "library"
    with open_library(folder) as library:
        library.put_picture(FILE.digest, FILE)
        shown = Chat().added(user("a file", ImagePart(FILE.digest)))
        for chat in (shown, everything(), talk("The lighthouse", "keeper", "and", "lamps"), talk("another")):
            id_ = library.add(chat, model=ModelRef("demo"), tags=["sea"], created=1000.0).id
        library.archive(id_)
    with closing(sqlite3.connect(folder / "library.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return folder


def damage(file: Path, statement: str) -> None:
    """Run a statement that no schema would let through."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        schema = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE sql NOT LIKE '%WITHOUT ROWID%'")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER message_changed")
        connection.execute("DROP TRIGGER title_changed")
        connection.execute(statement)
        connection.execute("PRAGMA writable_schema = ON")
        connection.executemany("UPDATE sqlite_master SET sql = ?2 WHERE name = ?1 AND type = 'table'", schema)


def words(library: Library) -> list[str]:
    """Of every message, wherever it is; a conversation that cannot be opened is none."""
    found = []
    for deleted in (False, True):
        for row in library.conversations(ListQuery(archived=None, deleted=deleted)):
            found += [node.entry.message.text for node in library.load(row.id).chat.nodes]
    return found


def listed(library: Library) -> int:
    return sum(len(library.conversations(ListQuery(archived=None, deleted=deleted))) for deleted in (False, True))


def lost(before: list[str], after: list[str]) -> int:
    return sum(max(0, before.count(text) - after.count(text)) for text in set(before))


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_damaged_value_costs_at_most_the_message_that_it_stands_in(whole: Path, tmp_path: Path, table: str, column: str) -> None:
    with open_library(whole) as library:
        said, count = words(library), listed(library)
    kinds = TEXT_DAMAGE if column in _TEXTS[table] else NUMBER_DAMAGE
    for number, value in enumerate(kinds):
        if value == "NULL" and table in WHOLE_KEYS:
            continue
        if "trunc" in value and column not in ("frame", "roleplay", "waiting", "rest", "role"):
            continue  # it is a text like any other there
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        which = "conversation = 1" if table in WHOLE_KEYS else f"rowid = (SELECT min(rowid) FROM {table})"
        statement = f"UPDATE {table} SET {column} = {value} WHERE {which}"
        damage(folder / "library.db", statement)
        with open_library(folder) as library:
            assert library.check() != [], value
            assert listed(library) == count, value
            assert lost(said, words(library)) <= 1, value
            assert {hit.title for hit in library.search("lamps")} == {"The lighthouse"}, value
            assert len(library.replies(ReplyQuery())) >= 2, value
            assert library.tags(), value
            library.personas()
            if number:
                continue
            report = export_library(library, tmp_path / f"{number}.zip")
            assert report.conversations >= count - (column == "deleted"), value  # what is in the bin stays behind
            for row in library.conversations(ListQuery(archived=None)):
                opened = library.load(row.id)
                after = opened.chat.added(user("one more"))
                saved = library.save(opened.id, opened.version, opened.chat, after, model=opened.model)
                assert library.load(saved.id).chat.entries[-1].message.text == "one more", value
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        damage(folder / "library.db", statement)
        with open_library(tmp_path / f"{number}-new") as library:
            repair(folder / "library.db", library)
            assert lost(said, words(library)) <= 1, value
            assert library.check() == [] or table == "picture", value
            assert import_library(library, tmp_path / f"{number}.zip").problems == (), value
        with open_library(folder) as library:
            copy, *_ = library.mend()
            assert copy.is_file()
            assert library.check() == [], value
            assert lost(said, words(library)) <= 1, value
            assert listed(library) >= count, value


@pytest.mark.parametrize("parents", [{1: 2, 2: 1}, {1: 1}, {1: 3, 2: 1, 3: 2}, {4: 999}, {2: 4, 3: 2, 4: 3}])
def test_messages_that_follow_each_other_in_a_circle_are_all_there(tmp_path: Path, parents: dict[int, int]) -> None:
    with open_library(tmp_path) as library:
        id_ = library.add(talk("1", "2", "3", "4")).id
    for message, parent in parents.items():
        damage(tmp_path / "library.db", f"UPDATE message SET parent = {parent} WHERE id = {message}") if message == min(parents) else None
        with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as connection:
            connection.execute("UPDATE message SET parent = ? WHERE id = ?", (parent, message))
    with open_library(tmp_path) as library:
        chat = library.load(id_).chat
        assert sorted(node.entry.message.text for node in chat.nodes) == ["1", "2", "3", "4"]
        assert {id_ for node in chat.nodes for id_ in [node.id] if chat.through(id_).entries[-1:]} == {1, 2, 3, 4}
        assert "do not hang together" in library.check()[0]
        library.mend()
        assert library.check() == []
        assert library.load(id_).chat == chat


def test_a_conversation_of_a_newer_nemochat_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        newer = library.add(talk("from the future", "indeed")).id
        other = library.add(talk("of today")).id
    with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as connection:
        rest = f'{{"v": {VERSION + 1}, "parts": [{{"type": "hologram"}}]}}'
        connection.execute("UPDATE message SET rest = ? WHERE conversation = (SELECT key FROM conversation WHERE id = ?)", (rest, newer))
    before = rows(tmp_path, "SELECT * FROM message")
    with open_library(tmp_path) as library:
        with pytest.raises(NewerError, match="made by a newer nemochat"):
            library.load(newer)
        with pytest.raises(LibraryError):
            library.save(newer, 1, None, Chat().added(user("over it")), model=ModelRef())
        assert [hit.conversation for hit in library.search("future")] == [newer]
        assert len(library.conversations()) == 2
        assert library.check() == []
        library.mend()
        report = export_library(library, tmp_path / "all.zip")
        assert (report.conversations, len(report.problems)) == (1, 1)
        assert "newer" in report.problems[0]
        assert library.load(other).chat == talk("of today")
    assert rows(tmp_path, "SELECT * FROM message") == before


def test_what_has_lost_its_conversation_is_gathered(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.add(everything())
        library.add(talk("kept"))
    damage(tmp_path / "library.db", "DELETE FROM conversation WHERE key = 1")
    with open_library(tmp_path) as library:
        assert any("that is gone" in sentence for sentence in library.check())
        _, mended, made = library.mend()
        assert (mended, made) == (0, 1)
        assert library.check() == []
        assert {row.title for row in library.conversations()} == {"kept", "Recovered"}
        back = next(library.load(row.id).chat for row in library.conversations() if row.title == "Recovered")
        assert {node.id: node.entry for node in back.nodes} == {node.id: node.entry for node in stored(everything()).nodes}


def test_check_finds_a_picture_that_is_damaged_or_gone(tmp_path: Path) -> None:
    file = Original(b"file", "png")
    with open_library(tmp_path) as library:
        library.put_picture(RED.digest, file)
        library.add(everything())
        assert library.check() == []
        path = next((tmp_path / "originals").iterdir())
        path.write_bytes(b"fil")
        assert library.check() == [f"The picture {RED.digest[:16]} is damaged."]
        path.unlink()
        assert library.check() == [f"The picture {RED.digest[:16]} is missing."]
