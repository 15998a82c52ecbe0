"""What can be wrong around a library: each time one clear sentence, nothing lost, and it works again when it has passed."""

import os
import shutil
import sqlite3
import stat
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, LibraryError
from nemochat.library.repair import damaged_libraries, repair
from tests.library.building import Clock, open_library, rows, talk, user
from tests.library.test_processes import start


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_reads_it_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_library(tmp_path / "data" / "library") as library:
            library.save(None, 0, None, talk("q"), model=ModelRef())
            library.put_picture("1" * 64, Original(b"x", "png"))
            folder = tmp_path / "data" / "library"
            assert {path.name for path in folder.iterdir()} == {"library.db", "library.db-wal", "library.db-shm", "originals"}
            assert {mode(path) for path in (tmp_path / "data").rglob("*") if path.is_file()} == {0o600}
            assert {mode(path) for path in (tmp_path / "data").rglob("*") if path.is_dir()} == {0o700}
            assert mode(tmp_path / "data") == 0o700
    finally:
        os.umask(before)


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    open_library(tmp_path).close()
    (tmp_path / "library.db").chmod(0o644)
    with open_library(tmp_path):
        assert mode(tmp_path / "library.db") == 0o600


def test_commits_are_on_the_disk_before_a_save_returns(tmp_path: Path) -> None:
    with open_library(tmp_path) as library, library._database.bare() as connection:
        for pragma, value in {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 5000}.items():
            assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "library"):
        with pytest.raises(LibraryError, match="The library cannot be opened in") as caught:
            Library.open(folder)
        assert caught.value.hint


def test_a_folder_that_may_not_be_written() -> None:
    folder = Path(tempfile.mkdtemp(prefix="nemochat-read-only-"))
    child = start("read-only", str(folder))
    opening, saving, last = child.communicate()[0].splitlines()
    shutil.rmtree(folder)
    assert child.returncode == 0
    assert opening.startswith("The library cannot be opened in")
    assert "cannot be written" in saving
    assert "permissions" in saving
    assert last == "x"


def test_a_library_that_another_program_has_locked(tmp_path: Path) -> None:
    with open_library(tmp_path, busy_seconds=0.05) as library:
        chat = talk("q")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LibraryError, match="is locked by another program") as caught:
                library.save(saved.id, saved.version, chat, chat.added(user("more")), model=ModelRef())
            assert "tries again" in caught.value.hint
            assert library.load(saved.id).chat == chat  # a reader waits for nobody
            other.execute("ROLLBACK")
        library.save(saved.id, saved.version, chat, chat.added(user("more")), model=ModelRef())
        assert library.load(saved.id).chat == chat.added(user("more"))


def test_a_library_that_is_locked_at_the_start(tmp_path: Path) -> None:
    open_library(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LibraryError, match="is locked"):
            Library.open(tmp_path, busy_seconds=0.05)
        other.execute("ROLLBACK")
    open_library(tmp_path).close()


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "head":
        content[:100] = bytes(100)
    elif how == "another file":
        content[:] = b"This is a letter. " * 400
    elif how == "cut":
        del content[len(content) // 2 + 17 :]
    else:
        content[4096:8192] = b"\xff" * 4096
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["head", "another file", "cut", "page"])
def test_a_broken_database_is_kept_aside_and_a_new_one_is_opened(tmp_path: Path, how: str) -> None:
    with open_library(tmp_path) as library:
        for number in range(50):
            library.save(None, 0, None, talk(f"question {number}", "word " * 500), model=ModelRef())
    damage(tmp_path / "library.db", how)
    broken = (tmp_path / "library.db").read_bytes()
    library, notices = Library.open(tmp_path, clock=Clock(1_790_000_000.0))
    with library:
        aside = tmp_path / "library-damaged-2026-09-21.db"
        assert aside.read_bytes() == broken
        assert mode(aside) == 0o600
        assert damaged_libraries(tmp_path) == [aside]
        (notice,) = notices
        assert str(aside) in notice
        assert "nemochat library repair" in notice
        assert library.conversations() == []
        library.save(None, 0, None, talk("new"), model=ModelRef())
        if how != "another file":
            assert len(repair(aside, library).conversations) > 10
        assert library.check() == []
    damage(tmp_path / "library.db", "head")
    library, notices = Library.open(tmp_path, clock=Clock(1_790_000_000.0))
    library.close()
    assert "library-damaged-2026-09-21-2.db" in notices[0]
    assert aside.read_bytes() == broken


@pytest.mark.parametrize("how", ["head", "another file", "cut"])
def test_what_is_in_the_journal_is_kept_with_it(tmp_path: Path, how: str) -> None:
    with open_library(tmp_path) as library:
        saved = library.save(None, 0, None, talk("q"), model=ModelRef())
    with open_library(tmp_path) as library:
        library.save(saved.id, saved.version, talk("q"), talk("q", "in the journal"), model=ModelRef())
        shutil.copytree(tmp_path, tmp_path / "killed")
    damage(tmp_path / "killed" / "library.db", how)
    library, notices = Library.open(tmp_path / "killed")
    with library:
        assert len(notices) == 1
        (aside,) = (tmp_path / "killed").glob("library-damaged-*.db")
        (id_,) = repair(aside, library).conversations
        assert library.load(id_).chat.entries[-1].message.text == "in the journal"


def test_what_breaks_while_it_is_open_is_told(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        for number in range(50):
            library.save(None, 0, None, talk(f"question {number}", "word " * 500), model=ModelRef())
    with open_library(tmp_path) as library:
        id_ = library.conversations()[0].id
        damage(tmp_path / "library.db", "another file")
        library.close()  # as if its pages were no longer in memory
        with pytest.raises(LibraryError, match="is damaged") as caught:
            library.load(id_)
        assert "nemochat library repair" in caught.value.hint


def test_a_broken_index_is_made_anew(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.save(None, 0, None, talk("a lighthouse", "keeper"), model=ModelRef())
        with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
            connection.execute("UPDATE message_index_data SET block = x'ffffffffffff' WHERE id > 10")
            connection.commit()
        assert library.check()
        with pytest.raises(LibraryError, match="made anew"):
            library.search("keeper")
        assert library.check() == []
        assert [hit.node for hit in library.search("keeper")] == [2]


def test_an_index_that_is_broken_at_the_start_is_made_anew(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.save(None, 0, None, talk("a lighthouse", "keeper"), model=ModelRef())
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
        connection.execute("UPDATE message_index_data SET block = x'ffffffffffff' WHERE id > 10")
        connection.commit()
    with open_library(tmp_path) as library:
        assert library.check() == []
        assert [hit.node for hit in library.search("keeper")] == [2]


def test_an_index_that_cannot_be_made_anew_is_a_broken_database(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        id_ = library.save(None, 0, None, talk("a lighthouse", "keeper"), model=ModelRef()).id
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
        connection.execute("UPDATE message_index_data SET block = x'ffffffffffff'")
        connection.commit()
    library, notices = Library.open(tmp_path)
    with library:
        assert len(notices) == 1
        (aside,) = tmp_path.glob("library-damaged-*.db")
        assert repair(aside, library).conversations == (id_,)


def test_a_library_that_is_moved_away_while_it_is_open_is_made_anew(tmp_path: Path) -> None:
    with open_library(tmp_path / "library") as library:
        chat = talk("q")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        shutil.move(tmp_path / "library", tmp_path / "elsewhere")
        with pytest.raises(LibraryError, match="no longer in the library"):  # a conflict: the caller stores it as a new one
            library.save(saved.id, saved.version, chat, chat.added(user("more")), model=ModelRef())
        library.save(None, 0, None, chat.added(user("more")), model=ModelRef())
        assert [row.n_messages for row in library.conversations()] == [2]
    with open_library(tmp_path / "elsewhere") as library:
        assert library.load(saved.id).chat == chat


def test_many_threads_share_one_library(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.save(None, 0, None, talk("word"), model=ModelRef())

        def use(number: int) -> None:
            chat = Chat()
            saved = library.save(None, 0, None, chat, model=ModelRef())
            for index in range(20):
                after = chat.added(user(f"word {number} {index}"))
                saved, chat = library.save(saved.id, saved.version, chat, after, model=ModelRef()), after
                assert library.load(saved.id).chat == chat
                assert library.search("word")

        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(library.conversations()) == 9
    assert rows(tmp_path, "SELECT count(*) FROM message") == [(161,)]


def test_readers_and_a_writer_do_not_stop_each_other(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.add(Chat())
        with closing(sqlite3.connect(tmp_path / "library.db")) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM conversation").fetchone() == (1,)
            library.add(Chat())
            assert reader.execute("SELECT count(*) FROM conversation").fetchone() == (1,)


def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = talk("q", "a")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        with library._database.bare() as connection:
            connection.execute("CREATE TEMP TRIGGER no AFTER INSERT ON message BEGIN SELECT raise(ABORT, 'no'); END")
        with pytest.raises(LibraryError, match="cannot be used"):
            library.save(saved.id, saved.version, chat, chat.cut(1).added(user("b")), model=ModelRef())
        with library._database.bare() as connection:
            connection.execute("DROP TRIGGER no")
        assert library.load(saved.id).chat == chat
        assert library.load(saved.id).version == saved.version
        library.save(saved.id, saved.version, chat, chat.added(user("b")), model=ModelRef())
