"""What is saved reads back the same, and only what has changed is written."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from nemochat.domain.chat import Chat, Entry, Node
from nemochat.domain.messages import ImagePart, Message, Role, TextPart, ToolCall
from nemochat.domain.personas import UserProfile
from nemochat.domain.replies import ModelRef
from nemochat.library import ConflictError, LibraryError
from nemochat.library.ids import is_id, new_id
from nemochat.library.saving import Difference, difference
from tests.calls import call_part
from tests.library.building import MIRA, Clock, everything, open_library, record, reply, rows, stored, talk, user


def test_a_conversation_with_everything_in_it_reads_back_the_same(tmp_path: Path) -> None:
    chat = everything()
    assert chat.aside
    assert chat.name
    with open_library(tmp_path) as library:
        saved = library.save(None, 0, None, chat, model=ModelRef("demo"))
        read = library.load(saved.id)
    assert read.chat == stored(chat)
    assert (read.id, read.version, read.model, read.damaged, read.archived, read.tags) == (saved.id, 1, ModelRef("demo"), 0, False, ())


def test_every_field_of_a_conversation_is_stored() -> None:
    # A field that is added to these values needs a place in the library.
    assert Chat.__struct_fields__ == (
        "frame", "entries", "first_kept", "name", "aside", "next_id", "persona", "user", "note", "examples_gone",
        "seed",
        "collections", "waiting", "sampling", "group", "variables", "readings", "lorebooks",
        "summaries", "remembered",
    )  # fmt: skip
    assert Entry.__struct_fields__ == ("message", "record", "interrupted", "speaker", "id", "at")
    assert Node.__struct_fields__ == ("entry", "parent", "chosen")
    assert Message.__struct_fields__ == ("role", "parts", "pinned", "excluded", "example")


@pytest.mark.parametrize(
    "chat",
    [
        Chat(),
        talk("a").cut(0),
        talk("a", "b").without(0).without(0),
        Chat(next_id=77, first_kept=5),
        talk("with \ud800 a lone surrogate", "and \0 a zero"),
        Chat().added(Entry(Message(Role.ASSISTANT, (call_part("x", (ToolCall("f", {"\udfff": "\ud800"}),)),)))),
        Chat().added(Entry(Message(Role.USER, (TextPart(""), TextPart(""))))),
        Chat().added(reply("one", record("another"))),
    ],
)
def test_odd_conversations_read_back_the_same(tmp_path: Path, chat: Chat) -> None:
    with open_library(tmp_path) as library:
        assert library.load(library.save(None, 0, None, chat, model=ModelRef()).id).chat == stored(chat)


def test_words_are_stored_once_and_prompts_never(tmp_path: Path) -> None:
    words = "A reply of words that are not found elsewhere."
    with open_library(tmp_path) as library:
        library.save(None, 0, None, talk("q").added(reply(words, record(words))), model=ModelRef())
    (row,) = rows(tmp_path, "SELECT text, rest FROM message WHERE id = 2")
    assert row[0] == words
    assert words not in str(row[1])
    assert "the prompt" not in str(row[1])


def test_what_a_reply_had_forgotten_does_not_grow_with_the_conversation(tmp_path: Path) -> None:
    chat = talk("q").added(reply("a", record("a", tuple(range(100_000)))))
    with open_library(tmp_path) as library:
        saved = library.save(None, 0, None, chat, model=ModelRef())
        assert library.load(saved.id).chat == stored(chat)
    assert rows(tmp_path, "SELECT max(length(rest)) < 2000 FROM message") == [(1,)]


def test_a_growing_reply_is_one_message(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = talk("q")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        before, after = chat, chat.added(reply("T"))
        for text in ("Th", "The", "The end."):
            saved = library.save(saved.id, saved.version, before, after, model=ModelRef())
            before, after = after, after.changed(1, reply(text))
        saved = library.save(saved.id, saved.version, before, after, model=ModelRef())
        assert library.load(saved.id).chat == after
    assert rows(tmp_path, "SELECT count(*) FROM message") == [(2,)]
    assert saved.version == 5


def test_a_change_in_a_long_conversation_touches_its_neighbours_alone() -> None:
    chat = talk(*(f"message {index}" for index in range(1000)))
    edited = chat.rewritten(500, "other words")
    change = difference(chat, edited)
    assert [node.id for node in change.written] == [1001]
    # its parent goes on with the new one, what came behind follows that, and it stands aside with nothing behind it
    assert sorted(node.id for node in change.moved) == [500, 501, 502]
    assert change.removed == ()
    assert [node.id for node in difference(chat, chat.cut(990)).moved] == [990]
    assert difference(chat, chat) == Difference()
    assert not difference(chat, talk(*(f"message {index}" for index in range(1000))))  # others, but the same


def test_a_message_of_ten_thousand_is_saved_quickly() -> None:
    # Comparing values is all that grows with the length; the bound leaves room for a busy machine.
    chat = talk(*(str(index) for index in range(10_000)))
    after = chat.added(user("one more"))
    seconds = []
    for _ in range(5):
        started = time.process_time()
        difference(chat, after)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.2


def test_an_earlier_value_is_no_basis(tmp_path: Path) -> None:
    with open_library(tmp_path) as library, open_library(tmp_path) as other:
        chat = talk("q", "a")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        other.save(saved.id, saved.version, chat, chat.added(user("theirs")), model=ModelRef())
        with pytest.raises(ConflictError):
            library.save(saved.id, saved.version, chat, chat.added(user("ours")), model=ModelRef())
        assert [entry.message.text for entry in library.load(saved.id).chat.entries] == ["q", "a", "theirs"]
        copy = library.save(None, 0, None, chat.added(user("ours")), model=ModelRef())
        assert copy.id != saved.id
        assert len(library.conversations()) == 2


def test_a_conversation_that_is_gone_is_a_conflict(tmp_path: Path) -> None:
    with open_library(tmp_path) as library, pytest.raises(ConflictError):
        library.save("0000000000000", 1, talk("q"), talk("q", "a"), model=ModelRef())
    with open_library(tmp_path) as library, pytest.raises(LibraryError):
        library.load("0000000000000")


def test_nothing_changed_writes_nothing(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = everything()
        saved = library.save(None, 0, None, chat, model=ModelRef("m"))
        assert library.save(saved.id, saved.version, chat, chat, model=ModelRef("m")) == saved
        assert library.save(saved.id, saved.version, stored(chat), stored(chat), model=ModelRef("m")) == saved


def test_without_the_earlier_value_everything_is_written(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        saved = library.save(None, 0, None, talk("a", "b", "c"), model=ModelRef())
        other = everything()
        saved = library.save(saved.id, saved.version, None, other, model=ModelRef())
        assert library.load(saved.id).chat == stored(other)


def test_what_is_around_the_messages_is_stored_when_it_changes(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = talk("q")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        changes = {"persona": MIRA, "user": UserProfile("Bob"), "seed": 1 << 70, "collections": ("chat:x",)}
        changes |= {"examples_gone": 3, "first_kept": 1, "next_id": 90}
        for field, value in changes.items():
            before, chat = chat, msgspec.structs.replace(chat, **{field: value})
            saved = library.save(saved.id, saved.version, before, chat, model=ModelRef())
            assert library.load(saved.id).chat == chat
        before, chat = chat, chat.framed("Be brief.")
        saved = library.save(saved.id, saved.version, before, chat, model=ModelRef("other"))
        assert library.load(saved.id).chat == chat
        assert library.load(saved.id).model == ModelRef("other")


def test_a_title_given_meanwhile_is_kept(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = talk("q")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        library.set_title(saved.id, "From\nelsewhere ")
        after = chat.added(reply("a"))
        saved = library.save(saved.id, saved.version, chat, after, model=ModelRef())
        assert library.load(saved.id).chat.name == "From elsewhere"
        saved = library.save(saved.id, saved.version, after, after.named("Mine"), model=ModelRef())
        assert library.conversations()[0].title == "Mine"
        with pytest.raises(LibraryError):
            library.set_title(saved.id, "\n")


def test_a_save_brings_a_deleted_conversation_back(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = talk("q")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        library.delete(saved.id)
        library.save(saved.id, saved.version, chat, chat.added(reply("a")), model=ModelRef())
        assert library.load(saved.id).deleted is False


def test_a_message_that_cannot_be_read_keeps_its_words(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        saved = library.save(None, 0, None, talk("q", "a"), model=ModelRef())
        with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
            connection.execute("UPDATE message SET rest = '{' || rest, role = 'x' WHERE id = 2")
            connection.execute("UPDATE scene SET frame = '[]'")
            connection.commit()
        read = library.load(saved.id)
    assert [entry.message.text for entry in read.chat.entries] == ["q", "a"]
    assert read.damaged == 2


def test_times_say_when_something_was_said(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    with open_library(tmp_path, clock) as library:
        chat = talk("q")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        clock.now = 2000.0
        named = chat.named("Other")
        saved = library.save(saved.id, saved.version, chat, named, model=ModelRef())
        assert library.load(saved.id).updated == 1000.0
        saved = library.save(saved.id, saved.version, named, named.added(reply("a")), model=ModelRef())
        read = library.load(saved.id)
        assert (read.created, read.updated) == (1000.0, 2000.0)


def test_ids_are_short_and_in_the_order_of_time() -> None:
    ids = [new_id(milliseconds) for milliseconds in (0, 1, 31, 32, 1_790_000_000_000, 1_790_000_000_001)]
    assert ids == sorted(ids)
    assert {len(id_) for id_ in ids} == {13}
    assert len({new_id(5) for _ in range(200)}) > 190  # chance may give two of them the same twenty bits
    assert all(map(is_id, ids))
    assert not is_id("../x")


def test_two_conversations_share_a_picture(tmp_path: Path) -> None:
    chat = Chat().added(user("q", ImagePart("a" * 64)))
    with open_library(tmp_path) as library:
        saved = library.save(None, 0, None, chat, model=ModelRef())
        library.save(None, 0, None, chat, model=ModelRef())
        assert rows(tmp_path, "SELECT count(*), count(DISTINCT digest) FROM picture_use") == [(2, 1)]
        library.save(saved.id, saved.version, chat, chat.without(0), model=ModelRef())
    assert rows(tmp_path, "SELECT count(*) FROM picture_use") == [(1,)]
