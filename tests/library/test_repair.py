"""What is readable in a damaged database comes back; a page that is overwritten costs what stood in it and nothing else."""

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, LibraryError, ListQuery
from nemochat.library.mending import mended
from nemochat.library.pages import Pages
from nemochat.library.repair import repair
from tests.library.building import RED, Clock, everything, open_library, reply, stored, talk, user

PAGE = 4096


def fill(folder: Path, count: int = 40) -> dict[str, Chat]:
    """A library with all sorts of conversations, two of them in the bin and tagged."""
    chats = {}
    with open_library(folder) as library:
        for number in range(count):
            chat = talk(*(f"{number} {index} " + "word " * (number * index % 50) for index in range(number)))
            chats[library.save(None, 0, None, chat, model=ModelRef("demo")).id] = chat
        for chat in (everything(), talk("long " * 20_000, "ü" * 9_000), talk("edited", "a", "b").rewritten(0, "again").cut(2)):
            id_ = library.save(None, 0, None, chat, model=ModelRef("demo")).id
            library.set_tags(id_, ["kept", "sea"])
            library.archive(id_)
            chats[id_] = stored(chat)
        library.delete(id_)
        library.put_picture(RED.digest, Original(b"jpeg", "jpg"))
    return chats


def overwrite(file: Path, pages: list[int], draw: random.Random) -> None:
    with file.open("r+b") as stream:
        for page in pages:
            stream.seek((page - 1) * PAGE)
            stream.write(draw.randbytes(PAGE))


def kinds(file: Path) -> dict[int, str]:
    """What each page holds, as SQLite says."""
    with closing(sqlite3.connect(file)) as connection:
        return dict(connection.execute("SELECT pageno, name || ' ' || pagetype FROM dbstat"))


def all_of(library: Library) -> dict[str, Chat]:
    rows = [row for deleted in (False, True) for row in library.conversations(ListQuery(archived=None, deleted=deleted))]
    return {row.id: library.load(row.id).chat for row in rows}


def test_all_of_a_healthy_library_comes_over(tmp_path: Path) -> None:
    chats = fill(tmp_path / "old")
    with open_library(tmp_path / "new", Clock(1.8e9)) as library:
        report = repair(tmp_path / "old" / "library.db", library)
        assert all_of(library) == chats
        assert set(report.conversations) == set(chats)
        assert report.incomplete == ()
        assert report.messages == sum(len(chat.nodes) for chat in chats.values())
        last = library.load(list(chats)[-1])
        assert (last.tags, last.archived, last.deleted) == (("kept", "sea"), True, True)
        assert (last.model, last.created) == (ModelRef("demo"), Clock().now)
        assert library.original(RED.digest) == Original(b"jpeg", "jpg")
        # once more, and nothing is there twice
        assert repair(tmp_path / "old" / "library.db", library).conversations == (last.id,)  # out of the bin and into it again
        assert all_of(library) == chats
        assert library.check() == []


def test_without_the_head_of_the_file_and_the_pages_above_nothing_is_lost(tmp_path: Path) -> None:
    chats = fill(tmp_path / "old")
    file = tmp_path / "old" / "library.db"
    above = [number for number, kind in kinds(file).items() if "internal" in kind]
    overwrite(file, [1, *above], random.Random(1))
    with closing(sqlite3.connect(file)) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute("SELECT * FROM message")
    with open_library(tmp_path / "new") as library:
        repair(file, library)
        assert all_of(library) == chats


@pytest.mark.parametrize("seed", range(4))
def test_an_overwritten_page_costs_what_stood_in_it(tmp_path: Path, seed: int) -> None:
    chats = fill(tmp_path / "old")
    file = tmp_path / "old" / "library.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    leaves = [number for number, kind in kinds(file).items() if kind in ("message leaf", "conversation leaf", "scene leaf")]
    draw = random.Random(seed)
    lost = draw.sample(leaves, 3)
    with Pages(file) as pages:
        before = {row.values for row in pages.rows()}
        rows_lost = sum(int.from_bytes(pages.read(number)[3:5], "big") for number in lost)
    overwrite(file, lost, draw)
    with Pages(file) as pages:
        assert len(before - {row.values for row in pages.rows()}) <= rows_lost
    with open_library(tmp_path / "new") as library:
        report = repair(file, library)
        back = all_of(library)
        words = {entry.message.text for chat in back.values() for node in chat.nodes for entry in [node.entry]}
        said = {node.entry.message.text for chat in chats.values() for node in chat.nodes}
        assert words <= said
        assert len(said - words) <= rows_lost
        assert {id_: chat for id_, chat in back.items() if id_ not in report.incomplete}.items() <= chats.items()
        assert library.check() == []


def test_what_is_in_the_journal_alone_comes_over(tmp_path: Path) -> None:
    with open_library(tmp_path / "old") as library:
        id_ = library.save(None, 0, None, talk("q", "a"), model=ModelRef()).id
        shutil.copytree(tmp_path / "old", tmp_path / "killed")
    assert (tmp_path / "killed" / "library.db-wal").stat().st_size > 0
    with open_library(tmp_path / "new") as library:
        repair(tmp_path / "killed" / "library.db", library)
        assert all_of(library) == {id_: talk("q", "a")}


def test_what_was_deleted_for_good_does_not_come_back(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path / "old", clock) as library:
        kept = library.save(None, 0, None, talk("kept"), model=ModelRef()).id
        for number in range(30):
            library.delete(library.save(None, 0, None, talk(*(f"gone {number}" * 99 for _ in range(9))), model=ModelRef()).id)
        library.purge(clock.now + 1)
    with open_library(tmp_path / "new") as library:
        repair(tmp_path / "old" / "library.db", library)
        assert list(all_of(library)) == [kept]


def test_a_conversation_that_has_changed_meanwhile_becomes_a_copy(tmp_path: Path) -> None:
    with open_library(tmp_path / "old") as library:
        id_ = library.save(None, 0, None, talk("q"), model=ModelRef()).id
    with open_library(tmp_path / "new") as library:
        repair(tmp_path / "old" / "library.db", library)
        library.save(id_, 1, talk("q"), talk("q", "a"), model=ModelRef())
        (copy,) = repair(tmp_path / "old" / "library.db", library).conversations
        assert copy != id_
        assert {id_: talk("q", "a"), copy: talk("q")} == all_of(library)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"not a database at all" * 999, random.Random(3).randbytes(1 << 18)])
def test_a_file_with_nothing_in_it_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.db").write_bytes(content)
    with open_library(tmp_path / "new") as library:
        with pytest.raises(LibraryError, match="Nothing in this file"):
            repair(tmp_path / "broken.db", library)
        with pytest.raises(LibraryError, match="cannot be read"):
            repair(tmp_path / "none.db", library)


def test_random_damage_never_stops_a_repair(tmp_path: Path) -> None:
    fill(tmp_path / "old", 12)
    content = (tmp_path / "old" / "library.db").read_bytes()
    for seed in range(30):
        draw = random.Random(seed)
        broken = bytearray(content)
        for _ in range(draw.randint(1, 3000)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        (tmp_path / "broken.db").write_bytes(broken)
        with Pages(tmp_path / "broken.db") as pages:
            assert len(list(pages.rows())) >= 0
        if seed < 4:
            with open_library(tmp_path / str(seed)) as library:
                repair(tmp_path / "broken.db", library)
                assert library.check() == []


def test_a_path_with_a_gap_goes_on() -> None:
    nodes = [node for node in talk("1", "2", "3", "4", "5").nodes if node.id != 3]
    chat, whole = mended(nodes, 1, Chat())
    assert [entry.message.text for entry in chat.entries] == ["1", "2", "4", "5"]
    assert not whole
    chat, whole = mended(nodes[1:], 1, Chat())
    assert [entry.message.text for entry in chat.entries] == ["2", "4", "5"]
    assert chat.added(reply("x")).entries[-1].id == 6


def test_a_whole_tree_is_left_as_it_is() -> None:
    chat = everything().rewritten(0, "a").added(user("b")).cut(1).added(user("c")).swiped(0, 1)
    again, whole = mended(chat.nodes, chat.entries[0].id, Chat())
    assert whole
    assert (again.entries, again.aside) == (chat.entries, chat.aside)


def test_a_file_made_to_exhaust_its_reader_ends_soon(tmp_path: Path) -> None:
    """Every cell of every page claims a row as long as the file, in one chain of overflow pages; the journal claims page four billion."""
    size, count = 4096, 500
    pages = [bytearray(size) for _ in range(count)]
    for number, page in enumerate(pages):
        page[:4] = (number % count + 2 if number + 2 <= count else 2).to_bytes(4, "big")
    leaf = bytearray(size)
    leaf[0], leaf[3:5] = 0x0D, (500).to_bytes(2, "big")
    for pointer in range(500):
        leaf[8 + 2 * pointer : 10 + 2 * pointer] = (2000).to_bytes(2, "big")
    leaf[2000:2008] = bytes([0x80 | (1_900_000 >> 14), 0x80 | (1_900_000 >> 7 & 0x7F), 1_900_000 & 0x7F, 1, 2, 0, 0, 0])
    header = bytearray(size)
    header[:18] = b"SQLite format 3\0" + size.to_bytes(2, "big")
    file = tmp_path / "hostile.db"
    file.write_bytes(bytes(header) + b"".join(map(bytes, pages)) + bytes(leaf) * 200)
    wal = (0x377F0682).to_bytes(4, "big") + bytes(4) + size.to_bytes(4, "big") + bytes(20)
    frame = (0xFFFFFFFF).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes(16)
    file.with_name("hostile.db-wal").write_bytes(wal + frame + bytes(leaf))
    began = time.process_time()
    with open_library(tmp_path / "new") as library, pytest.raises(LibraryError, match="Nothing in this file"):
        repair(file, library)
    assert time.process_time() - began < 60


def test_a_file_that_is_one_hole_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "hole.db").touch()
    os.truncate(tmp_path / "hole.db", 1 << 40)
    began = time.process_time()
    with open_library(tmp_path / "new") as library, pytest.raises(LibraryError, match="Nothing in this file"):
        repair(tmp_path / "hole.db", library)
    assert time.process_time() - began < 60
