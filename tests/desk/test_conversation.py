"""One conversation has one writer: what is in it is in the library, and what is taken back is what the user did, nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.chat import Chat
from nemochat.chat.album import Album
from nemochat.desk.conversation import OpenConversation
from nemochat.domain.chat import Entry
from nemochat.domain.edits import Put, Trim, applied, taken_back
from nemochat.domain.groups import Group
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import ImagePart, Message, Role, TextPart, ToolCall, ToolCallPart
from nemochat.domain.replies import ModelRef
from nemochat.errors import NemochatError
from nemochat.library import Library, LibraryError, Saved

RED = RgbImage.from_rgb(2, 2, b"\xff\x00\x00" * 4)


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


def assistant(text: str) -> Message:
    return Message(Role.ASSISTANT, (TextPart(text),))


CHAT = Chat().with_messages([user("hello")])
TALK = Chat().with_messages([user("a"), assistant("A"), user("b"), assistant("B")])


class Told:
    """What conversations have told (nemochat.desk.conversation.Store)."""

    def __init__(self) -> None:
        self.troubles: list[NemochatError] = []
        self.copies = 0
        self.new: list[str] = []

    def model_in_use(self) -> ModelRef:
        return ModelRef("demo")

    def changed(self, conversation: OpenConversation) -> None:
        assert conversation.chat

    def stored(self, conversation: OpenConversation, *, is_new: bool) -> None:
        if is_new:
            self.new.append(conversation.id)

    def not_stored(self, error: NemochatError) -> None:
        self.troubles.append(error)

    def copied(self) -> None:
        self.copies += 1


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library, _ = Library.open(tmp_path / "library")
    with library:
        yield library


def texts(chat: Chat) -> list[str]:
    return [entry.message.text for entry in chat.entries]


async def test_an_empty_conversation_is_not_kept(library: Library) -> None:
    mine = OpenConversation(library, Album(), Told(), Chat())
    await mine.stored()
    assert (mine.id, library.conversations()) == ("", [])


async def test_each_value_is_stored_and_what_waits_with_it(library: Library) -> None:
    told = Told()
    mine = OpenConversation(library, Album(), told, CHAT)
    await mine.stored()
    mine.change(lambda chat: chat.with_messages([assistant("hi")]))
    await mine.stored()
    mine.change(lambda chat: chat.queued(user("next"), ("/tmp/a.png",)))
    await mine.stored()
    stored = library.load(mine.id).chat
    assert texts(stored) == ["hello", "hi"]
    assert [(each.message.text, each.sources) for each in stored.waiting] == [("next", ("/tmp/a.png",))]
    assert stored == mine.chat
    assert told.new == [mine.id]


async def test_what_waits_is_on_the_disk_before_anything_was_said(library: Library) -> None:
    mine = OpenConversation(library, Album(), Told(), Chat())
    mine.change(lambda chat: chat.queued(user("first words")), can_undo=False)
    await mine.stored()
    assert [each.message.text for each in library.load(mine.id).chat.waiting] == ["first words"]


async def test_pictures_are_kept_with_their_files_also_of_what_waits(library: Library) -> None:
    album = Album()
    mine = OpenConversation(library, album, Told(), Chat())
    album.keep({RED.digest: Original(b"file", "png")})
    mine.change(lambda chat: chat.queued(Message(Role.USER, (ImagePart(RED.digest, "red.png"),))))
    await mine.stored()
    assert library.original(RED.digest) == Original(b"file", "png")


async def test_a_conversation_that_another_program_changed_goes_on_as_a_copy(library: Library) -> None:
    told = Told()
    mine = OpenConversation(library, Album(), told, CHAT)
    await mine.stored()
    before = mine.id
    other = OpenConversation(library, Album(), Told(), CHAT, Saved(mine.id, 1))
    other.change(lambda chat: chat.with_messages([user("theirs")]))
    await other.stored()
    mine.change(lambda chat: chat.with_messages([user("mine")]))
    await mine.stored()
    assert told.copies == 1
    assert mine.id != before
    assert library.load(mine.id).chat == mine.chat
    assert texts(library.load(before).chat) == ["hello", "theirs"]


async def test_a_disk_that_refuses_is_told_once_and_what_was_missed_is_kept_later(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    mine = OpenConversation(library, Album(), told, CHAT)

    def refuse(*_: object, **__: object) -> Saved:
        raise LibraryError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(library, "save", refuse)
        await mine.stored()
        mine.change(lambda chat: chat.with_messages([user("more")]))
        await mine.stored()
    assert [error.message for error in told.troubles] == ["The disk is full."]
    mine.change(lambda chat: chat.with_messages([user("most")]))
    await mine.stored()
    assert texts(library.load(mine.id).chat) == ["hello", "more", "most"]


async def test_a_new_chat_that_is_saved_while_the_program_ends_is_stored_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss 6: two savers of one new conversation made two of it."""
    save = library.save

    def slow(*args: object, **options: object) -> Saved:
        time.sleep(0.05)
        return save(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(library, "save", slow)
    mine = OpenConversation(library, Album(), Told(), Chat())
    mine.change(lambda chat: chat.with_messages([user("hello")]))
    waiter = asyncio.create_task(mine.stored())
    await asyncio.sleep(0.01)
    waiter.cancel()
    mine.change(lambda chat: chat.with_messages([assistant("hi")]))
    await asyncio.gather(mine.stored(), mine.stored())
    assert [texts(library.load(row.id).chat) for row in library.conversations()] == [["hello", "hi"]]


# -- what turns propose


def test_an_edit_finds_its_message_by_its_id_whatever_was_done_meanwhile() -> None:
    chat = TALK.lent(4)
    grown = Put(Entry(assistant("C"), id=6), 4)
    assert texts(applied(chat, grown)) == ["a", "A", "b", "B", "C"]
    assert texts(applied(applied(chat, grown), Put(Entry(assistant("CC"), id=6), 4))) == ["a", "A", "b", "B", "CC"]
    assert texts(applied(chat.without(3), grown)) == ["a", "A", "b", "C"], "what it stood behind is gone"
    again = applied(chat, Put(Entry(assistant("B2"), id=6), 3))
    assert texts(again) == ["a", "A", "b", "B2"]
    assert again.aside[4].entry.message.text == "B", "the reply before stands beside the new one"


def test_calls_have_their_ids_wherever_a_reply_arrives_and_keep_them_as_it_grows() -> None:
    def put(*names: str) -> Put:
        calls = ToolCallPart(tuple(ToolCall(name, {}) for name in names))
        return Put(Entry(Message(Role.ASSISTANT, (calls,)), id=6), 4)

    chat = TALK.lent(4)
    for grown, ids in ((put("f"), ["call_6_1"]), (put("f", "g"), ["call_6_1", "call_6_2"])):
        chat = applied(chat, grown)
        assert [call.id for call in chat.entries[-1].message.tool_calls] == ids
    aside = applied(applied(chat, Put(Entry(assistant("other"), id=7), 4)), put("f", "g", "h"))
    assert [call.id for call in aside.aside[6].entry.message.tool_calls] == ["call_6_1", "call_6_2", "call_6_3"]


def test_a_message_that_waited_waits_no_more_once_it_is_said() -> None:
    chat = TALK.queued(user("c"))
    said = applied(chat, Put(Entry(user("c"), id=chat.waiting[0].id), 4))
    assert (texts(said)[-1], said.waiting) == ("c", ())


def test_the_line_of_forgetting_is_named_by_its_message() -> None:
    assert applied(TALK, Trim(3, 0)).first_kept == 2
    assert applied(TALK.without(0), Trim(3, 0)).first_kept == 1
    assert applied(TALK, Trim(99, 2)).first_kept == 0


# -- taking back

ACTIONS: list[Callable[[Chat, int], Chat]] = [
    lambda chat, at: chat.marked(at, pinned=True),
    lambda chat, at: chat.marked(at, excluded=True),
    lambda chat, at: chat.without(at),
    lambda chat, at: chat.rewritten(at, "other words"),
    lambda chat, at: chat.named("a name"),
    lambda chat, at: chat.framed("another system text"),
]


@pytest.mark.parametrize("action", range(len(ACTIONS)))
@pytest.mark.parametrize("at", range(4))
def test_what_is_taken_back_at_once_is_as_it_was(action: int, at: int) -> None:
    after = ACTIONS[action](TALK, at)
    back = taken_back(after, TALK, after)
    assert (texts(back), back.name, back.frame) == (texts(TALK), "", TALK.frame)
    assert [entry.message for entry in back.entries] == [entry.message for entry in TALK.entries]


def test_all_that_stands_around_the_messages_is_taken_back() -> None:
    """What is forgotten here makes /undo take back what the user did before that."""
    told = {"first_kept", "examples_gone", "next_id", "seed", "waiting", "readings"}  # by turns, or once
    path = {"entries", "aside", "frame", "variables"}  # have ways of their own
    for field in set(Chat.__struct_fields__) - told - path:
        after: Chat = msgspec.structs.replace(TALK, **{field: Group() if field == "group" else "another"})
        assert taken_back(after, TALK, after) == TALK, field


@pytest.mark.parametrize("action", range(len(ACTIONS)))
@pytest.mark.parametrize("at", range(4))
def test_turns_are_never_taken_back(action: int, at: int) -> None:
    """Loss 1: pin a reply, two further turns, undo: the disk went from six messages to two."""
    after = ACTIONS[action](TALK, at)
    later = after.with_messages([user("c"), assistant("C"), user("d"), assistant("D")])
    back = taken_back(later, TALK, after)
    assert texts(back)[-4:] == ["c", "C", "d", "D"]
    assert texts(back)[:-4] == texts(TALK)
    assert {node.id for node in back.nodes} >= {node.id for node in later.nodes}


def test_a_reply_that_stands_in_for_a_deleted_one_keeps_what_it_was_answered_with() -> None:
    two = applied(TALK.lent(1), Put(Entry(assistant("B2"), id=5), 3))
    after = two.without(3)
    assert texts(after) == ["a", "A", "b", "B"], "the other reply stands in"
    later = after.with_messages([user("c"), assistant("C")])
    back = taken_back(later, two, after)
    assert texts(back) == ["a", "A", "b", "B", "c", "C"]
    assert [back.aside[id_].entry.message.text for id_ in back.aside] == ["B2"], "and what was deleted is one swipe away"


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 30), st.booleans()), max_size=8))
def test_taking_everything_back_leaves_the_turns_and_nothing_else(steps: list[tuple[Callable[[Chat, int], Chat], int, bool]]) -> None:
    chat, done, said = TALK, [], texts(TALK)
    for number, (action, at, speaks) in enumerate(steps):
        before = chat
        if chat.entries:
            chat = action(chat, at % len(chat.entries))
        done.append((before, chat))
        if speaks:
            chat = chat.with_messages([user(f"u{number}"), assistant(f"r{number}")])
            said += [f"u{number}", f"r{number}"]
    for before, after in reversed(done):
        chat = taken_back(chat, before, after)
    # An earlier wording that came to stand in for a deleted message and was answered stays in its place; that message is beside it then.
    beside = {node.entry.message.text for node in chat.aside.values()}
    assert [text for text in texts(chat) if text in said] == [text for text in said if text in texts(chat)]
    assert set(said) <= {*texts(chat), *beside}
    assert all(text in texts(chat) for text in said if text[0] in "ur"), "what was said since stays"
    assert len({entry.id for entry in chat.entries}) == len(chat.entries), "no message is on the path twice"
    assert all(not entry.message.pinned and not entry.message.excluded for entry in chat.entries)
    assert len({node.id for node in chat.nodes}) == len(chat.nodes), "no message is there twice"
