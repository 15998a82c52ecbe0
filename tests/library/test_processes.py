"""Programs that are killed, that meet, and that find the disk full."""

import signal
import subprocess
import sys
from pathlib import Path

from nemochat.domain.chat import Chat
from nemochat.library import Library
from tests.library.building import open_library

ROOT = Path(__file__).parents[2]
KILLS = 8
WRITES = 300


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.library.children", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_what_was_saved_survives_kill_9(tmp_path: Path) -> None:
    # Two at a time, so that a start falls into the other one's stream.
    said: dict[str, tuple[int, int]] = {}
    running = [start("grow", str(tmp_path))]
    for kill in range(KILLS):
        if kill + 1 < KILLS:
            running.append(start("grow", str(tmp_path)))
        child = running.pop(0)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(10 + 17 * kill % 60)]
        child.send_signal(signal.SIGKILL)
        lines += child.communicate()[0].splitlines()
        saved, *numbers = lines[-1].split()
        said[saved] = int(numbers[0]), int(numbers[1])
    assert len(said) == KILLS
    with open_library(tmp_path) as library:
        assert library.check() == []
        for id_, (messages, length) in said.items():
            entries = library.load(id_).chat.entries
            if len(entries) == messages:
                assert entries[-1].message.text.count("word") >= length
            else:  # it was killed between the save and the word of it
                assert len(entries) > messages
                assert messages == 0 or entries[messages - 1].message.text.count("word") == length


def test_two_programs_write_hundreds_of_times_and_everything_is_there(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.add(Chat(), id="shared")
    with start("write", str(tmp_path), "one two", str(WRITES // 2)) as writing:
        assert writing.wait() == 0
    with open_library(tmp_path) as library:
        assert library.check() == []
        own = [library.load(row.id).chat for row in library.conversations() if row.id != "shared"]
        assert sorted(chat.name for chat in own) == ["one", "two"]
        for chat in own:
            assert [entry.message.text for entry in chat.entries] == [f"{chat.name} {number}" for number in range(WRITES // 4)]
        shared = [entry.message.text for entry in library.load("shared").chat.entries]
        for name in ("one", "two"):  # each in its order, none missing
            assert [text for text in shared if text.startswith(name)] == [f"{name} {number}" for number in range(WRITES // 4)]


def test_a_new_library_may_be_made_by_two_at_once(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        with start("write", str(folder), "a b c d", "0") as writing:
            assert writing.wait() == 0
        with open_library(folder) as library:
            assert len(library.conversations()) == 4


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    child = start("fill", str(tmp_path))
    first, picture, last = child.communicate()[0].splitlines()
    assert child.returncode == 0
    assert first.startswith("The ")
    assert "kept, and the next save tries again" in first
    assert picture.startswith("The picture cannot be stored")
    assert int(last.split()[0]) > 5


def test_a_full_database_is_told_and_goes_on(tmp_path: Path) -> None:
    # SQLITE_FULL, as a full file system gives it: here by a bound on the number of pages.
    with open_library(tmp_path) as library:
        _bounded(library, 80)
        chat = Chat()
        try:
            for number in range(100):
                library.add(chat.named("word " * 500 + str(number)))
        except Exception as error:  # noqa: BLE001
            message = str(error)
        assert "the disk is full" in message
        before = len(library.conversations())
        _bounded(library, 1 << 30)
        library.add(chat)
        assert len(library.conversations()) == before + 1
        assert library.check() == []


def _bounded(library: Library, pages: int) -> None:
    with library._database.bare() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
