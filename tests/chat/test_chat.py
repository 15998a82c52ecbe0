"""The changes that a user can make to a conversation, as values."""

from __future__ import annotations

import pytest

from nemochat.chat import Entry
from nemochat.domain.chat import Chat, pictures_of, without_pictures
from nemochat.domain.messages import Conversation, ImagePart, Message, Role, TextPart, ToolCall, ToolCallPart, ToolResultPart
from nemochat.errors import ConversationError
from tests.calls import call_part


def said(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


CALL = Message(Role.ASSISTANT, (call_part(" {} ", (ToolCall("add", {}),)),))
CHAT = Chat.of(
    Conversation(
        "Be kind.",
        messages=(
            said(Role.USER, "one"),
            said(Role.ASSISTANT, "two"),
            said(Role.USER, "three"),
            CALL,
            said(Role.TOOL, "4"),
            said(Role.TOOL, "5"),
            said(Role.ASSISTANT, "six"),
        ),
    )
)


def texts(chat: Chat) -> list[str]:
    return [entry.message.text for entry in chat.entries]


def test_the_conversation_comes_back_as_it_went_in() -> None:
    assert CHAT.conversation.system == "Be kind."
    assert [message.text for message in CHAT.conversation.messages] == ["one", "two", "three", "", "4", "5", "six"]
    assert Chat.of(CHAT.conversation) == CHAT


@pytest.mark.parametrize("index", [3, 4, 5])
def test_a_call_and_its_results_are_never_parted(index: int) -> None:
    assert texts(CHAT.without(index)) == ["one", "two", "three", "six"]
    assert [entry.message.excluded for entry in CHAT.marked(index, excluded=True).entries] == [False] * 3 + [True] * 3 + [False]


@pytest.mark.parametrize("index", [0, 1, 2, 6])
def test_other_messages_go_alone(index: int) -> None:
    assert len(CHAT.without(index).entries) == 6
    assert sum(entry.message.excluded for entry in CHAT.marked(index, excluded=True).entries) == 1


def test_pinning_marks_one_message_and_can_be_taken_back() -> None:
    pinned = CHAT.marked(4, pinned=True)
    assert [entry.message.pinned for entry in pinned.entries].index(True) == 4
    assert sum(entry.message.pinned for entry in pinned.entries) == 1
    assert pinned.marked(4, pinned=False) == CHAT


def test_the_visible_conversation_leaves_out_what_is_excluded() -> None:
    chat = CHAT.marked(0, excluded=True).marked(1, excluded=True)
    assert [message.text for message in chat.visible.messages][:1] == ["three"]
    assert chat.shown == (2, 3, 4, 5, 6)


def test_the_windows_cut_follows_the_messages() -> None:
    chat = Chat(CHAT.frame, CHAT.entries, first_kept=2)
    assert chat.first_shown == 2
    assert chat.marked(0, excluded=True).first_shown == 1
    assert chat.without(0).first_kept == 1
    assert chat.without(3).first_kept == 2
    assert chat.cut(1).first_kept == 1


def test_rewriting_keeps_pictures_and_pin_and_drops_the_figures() -> None:
    message = Message(Role.USER, (ImagePart("d", "cat.png"), TextPart("old")), pinned=True)
    chat = Chat().added(Entry(message, interrupted=True)).rewritten(0, "new")
    assert chat.entries == (Entry(Message(Role.USER, (ImagePart("d", "cat.png"), TextPart("new")), pinned=True), id=2),)
    assert chat.swiped(0, 1).entries == (Entry(message, interrupted=True, id=1),)


def test_a_message_cannot_be_emptied_by_rewriting() -> None:
    with pytest.raises(ConversationError, match="empty"):
        CHAT.rewritten(0, "  ")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", "New chat"),
        ("Hello there", "Hello there"),
        ("one two three four five six seven eight nine", "one two three four five six seven eight…"),
        ("a" * 80, "a" * 47 + "…"),
    ],
)
def test_titles_are_the_first_words(text: str, title: str) -> None:
    chat = Chat.of(Conversation(messages=(said(Role.USER, text),) if text else ()))
    assert chat.title == title
    assert chat.named("Mine").title == "Mine"


def test_what_waits_has_ids_of_its_own_and_leaves_by_them() -> None:
    chat = CHAT.queued(said(Role.USER, "one"), when=1.0).queued(said(Role.USER, "two"))
    ids = [each.id for each in chat.waiting]
    assert len({*ids, *(node.id for node in chat.nodes)}) == len(chat.nodes) + 2
    assert [each.message.text for each in chat.unqueued(ids[0]).waiting] == ["two"]
    assert chat.unqueued(999) is chat
    later = chat.unqueued(ids[1]).queued(said(Role.USER, "three"))
    assert later.waiting[-1].id not in ids
    assert later.added(Entry(later.waiting[0].message)).entries[-1].id == later.waiting[-1].id + 1
    assert later.forked(1).waiting == ()
    assert Chat().queued(said(Role.USER, "Only this")).title == "Only this"
    again = Chat.of_nodes(chat.nodes, chat.entries[0].id, Chat(waiting=chat.waiting))
    assert again.next_id == max(ids) + 1, "no id is used twice, even where the count was lost"


def test_calls_get_ids_that_stay_while_a_reply_grows_and_that_no_other_call_has() -> None:
    call = ToolCallPart((ToolCall("f", {}), ToolCall("g", {})))
    chat = Chat().added(Entry(said(Role.USER, "?"))).added(Entry(Message(Role.ASSISTANT, (call,))))
    assert [each.id for each in chat.entries[1].message.tool_calls] == ["call_2_1", "call_2_2"]
    grown = chat.changed(1, Entry(Message(Role.ASSISTANT, (call, call))))
    assert [each.id for each in grown.entries[1].message.tool_calls] == ["call_2_1", "call_2_2", "call_2_3", "call_2_4"]
    taken = Chat().added(Entry(Message(Role.ASSISTANT, (ToolCallPart((ToolCall("f", {}, "call_2_1"),)),))))
    called = taken.added(Entry(Message(Role.ASSISTANT, (call,))))
    assert [each.id for each in called.entries[1].message.tool_calls] == ["call_2_2", "call_2_3"]


def test_a_result_that_is_reworded_stays_with_its_call() -> None:
    results = (ToolResultPart("a", "1", True), ToolResultPart("b", "2"))
    chat = Chat().added(Entry(Message(Role.TOOL, results)))
    assert [(part.call, part.text) for part in parts_of(chat.rewritten(0, "one\ntwo"))] == [("a", "one"), ("b", "two")]
    assert [(part.call, part.text) for part in parts_of(chat.rewritten(0, "one\nand\nmore"))] == [("a", "one\nand\nmore"), ("b", "")]


def parts_of(chat: Chat) -> list[ToolResultPart]:
    return [part for part in chat.entries[0].message.parts if isinstance(part, ToolResultPart)]


def test_a_conversation_without_some_of_its_pictures() -> None:
    one, two = ImagePart("1"), ImagePart("2")
    chat = Chat().added(Entry(Message(Role.USER, (one, two)))).added(Entry(Message(Role.TOOL, (ToolResultPart("a", "x", False, (two,)),))))
    assert [image.digest for image in pictures_of(without_pictures(chat, {"2"}))] == ["1"]
    assert [image.digest for image in pictures_of(chat.queued(Message(Role.USER, (one,))))] == ["1", "2", "2", "1"]
