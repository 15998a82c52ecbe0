"""The list, and what puts it in order."""

from pathlib import Path

import msgspec
import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.messages import ImagePart
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, LibraryError, ListQuery
from tests.library.building import MIRA, Clock, contents, open_library, rows, talk, user


def titles(library: Library, **query: object) -> list[str]:
    return [row.title for row in library.conversations(msgspec.convert(query, ListQuery))]


def store(library: Library, title: str) -> str:
    return library.save(None, 0, None, talk("first words", "last words").named(title), model=ModelRef("demo")).id


def test_a_row_says_what_a_list_shows(tmp_path: Path) -> None:
    with open_library(tmp_path, Clock(1000.5)) as library:
        chat = Chat(persona=MIRA).added(user("What  is\nthis?", ImagePart("a" * 64))).added(user("And that?")).cut(1)
        id_ = library.save(None, 0, None, chat, model=ModelRef("demo")).id
        library.set_tags(id_, ["sea", " two\nlines ", "", "sea"])
        (row,) = library.conversations()
    assert (row.id, row.title, row.preview, row.persona, row.model) == (id_, "What is this?", "What is this?", "Mira", "demo")
    assert (row.n_messages, row.has_picture, row.tags) == (1, True, ("sea", "two lines"))
    assert (row.archived, row.deleted, row.created, row.updated) == (False, False, 1000.5, 1000.5)


def test_the_preview_is_the_last_words(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.save(None, 0, None, talk("first", "long " * 9999).added(user(" ", ImagePart("a" * 64))), model=ModelRef())
        (row,) = library.conversations()
    assert row.preview.startswith("long long")
    assert len(row.preview) <= 160


def test_the_newest_come_first_page_by_page(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        ids = []
        for name in "abcd":
            clock.now += 1
            ids.append(store(library, name))
        clock.now += 1
        chat = library.load(ids[1]).chat
        library.save(ids[1], 1, chat, chat.added(user("x")), model=ModelRef())
        assert titles(library) == ["b", "d", "c", "a"]
        assert titles(library, limit=2, offset=1) == ["d", "c"]


def test_archive_tags_personas_and_the_bin(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        plain, old, gone = (store(library, name) for name in ("plain", "old", "gone"))
        library.save(None, 0, None, Chat(persona=MIRA).named("Mira's"), model=ModelRef())
        library.archive(old)
        library.set_tags(old, ["Sea"])
        library.set_tags(plain, ["Sea", "ant"])
        library.set_tags(gone, ["ant"])
        library.delete(gone)
        assert titles(library) == ["Mira's", "plain"]
        assert titles(library, archived=True) == ["old"]
        assert titles(library, archived=None, tag="Sea") == ["old", "plain"]
        assert titles(library, persona="Mira") == ["Mira's"]
        assert titles(library, deleted=True) == ["gone"]
        assert library.tags() == [("ant", 1), ("Sea", 2)]
        assert library.personas() == [("Mira", 1)]
        library.archive(old, False)
        library.restore(gone)
        assert titles(library) == ["Mira's", "gone", "old", "plain"]
        for act in (library.archive, library.delete, library.restore):
            with pytest.raises(LibraryError):
                act("0000000000000")


def test_the_beginning_of_an_id_is_enough(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        for id_ in ("abc1", "abd2", "xyz3"):
            library.add(talk(id_), id=id_)
        library.delete("abd2")
        assert library.find("x").id == "xyz3"
        assert library.find(" ABC1").id == "abc1"
        assert library.find("ab").id == "abc1"  # the other one is in the bin
        assert library.find("abd2").deleted
        library.restore("abd2")
        with pytest.raises(LibraryError, match="Several"):
            library.find("ab")
        for nothing in ("q", "", "%", "ab_", "../x", "a" * 99):
            with pytest.raises(LibraryError, match="No conversation"):
                library.find(nothing)
        assert library.holds("abc1")
        assert not library.holds("abc")


def test_a_purge_really_removes(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        kept = store(library, "kept")
        for number in range(50):
            id_ = library.save(None, 0, None, talk(f"the secretword {number}", "secretword " * 3000), model=ModelRef()).id
            library.set_tags(id_, ["secretword"])
            library.delete(id_)
        assert any(b"secretword" in data for data in contents(tmp_path))
        assert library.purge(clock.now) == 0  # not before then
        clock.now += 10
        late = store(library, "late")
        library.delete(late)
        assert library.purge(clock.now) == 50
        assert not any(b"secretword" in data for data in contents(tmp_path))
        assert library.holds(late)
        assert library.holds(kept)
        assert library.check() == []
    assert rows(tmp_path, "SELECT count(*) FROM message") == [(4,)]
    assert rows(tmp_path, "SELECT count(*) FROM tag") == [(0,)]
