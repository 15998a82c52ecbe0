"""The conversation as a tree: nothing that was said is overwritten, and the path is always one way through it."""

from __future__ import annotations

from nemochat.domain.chat import Chat, Entry
from nemochat.domain.messages import Message, Role, TextPart


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


def reply(text: str) -> Message:
    return Message(Role.ASSISTANT, (TextPart(text),))


def texts(chat: Chat) -> list[str]:
    return [entry.message.text for entry in chat.entries]


CHAT = Chat().with_messages([user("u1"), reply("r1"), user("u2"), reply("r2")])


def test_another_reply_stands_beside_the_first_and_each_keeps_what_came_behind_it() -> None:
    chat = CHAT.cut(1).added(Entry(reply("other")))
    assert texts(chat) == ["u1", "other"]
    assert chat.alternatives(1) == (2, 5)
    assert chat.counters == {1: (2, 2)}
    back = chat.swiped(1, 2)
    assert texts(back) == ["u1", "r1", "u2", "r2"]
    assert texts(back.swiped(1, 5)) == ["u1", "other"]


def test_a_path_that_is_left_in_the_middle_is_found_again_where_it_was() -> None:
    """A swipe within a branch is remembered when the branch is left and entered again."""
    chat = CHAT.cut(3).added(Entry(reply("r2b")))
    chat = chat.swiped(3, 4)
    away = chat.cut(0).added(Entry(user("elsewhere")))
    assert texts(away.swiped(0, 1)) == ["u1", "r1", "u2", "r2"]


def test_an_edit_in_the_middle_keeps_the_old_words_aside_and_what_followed_on_the_path() -> None:
    chat = CHAT.rewritten(1, "better")
    assert texts(chat) == ["u1", "better", "u2", "r2"]
    assert texts(chat.swiped(1, 2)) == ["u1", "r1"]


def test_a_deleted_message_lets_what_is_behind_it_move_up() -> None:
    chat = CHAT.cut(1).added(Entry(reply("other"))).swiped(1, 2)
    assert texts(chat.without(1)) == ["u1", "u2", "r2"]
    assert texts(chat.cut(2).without(1)) == ["u1", "other"], "the alternative takes the place of a deleted last message"


def test_ids_are_never_used_twice() -> None:
    chat = CHAT.without(3).added(Entry(reply("new")))
    assert chat.entries[-1].id == 5


def test_a_fork_has_the_path_alone_and_leaves_the_tree_as_it_was() -> None:
    chat = CHAT.cut(1).added(Entry(reply("other")))
    fork = chat.forked(1)
    assert texts(fork) == ["u1"]
    assert not fork.aside
    assert chat.counters == {1: (2, 2)}


def test_the_path_through_a_message_aside() -> None:
    chat = CHAT.cut(0).added(Entry(user("elsewhere")))
    assert texts(chat.through(3)) == ["u1", "r1", "u2", "r2"]
    assert chat.through(99) is chat
    assert texts(CHAT.cut(2).through(4)) == ["u1", "r1", "u2", "r2"]


def test_greetings_are_alternatives_of_the_first_message() -> None:
    chat = Chat().opened(["Hello.", "Who is there?"], "Mira")
    assert texts(chat) == ["Hello."]
    assert texts(chat.swiped(0, chat.alternatives(0)[1])) == ["Who is there?"]
    assert {node.entry.speaker for node in chat.nodes} == {"Mira"}


def test_nodes_make_the_same_tree_again() -> None:
    chat = CHAT.cut(1).added(Entry(reply("other"))).rewritten(0, "first")
    assert Chat.of_nodes(chat.nodes, chat.entries[0].id, Chat(next_id=chat.next_id)) == chat


def test_broken_nodes_end_the_path_and_stay_aside() -> None:
    nodes = [node for node in CHAT.nodes if node.id != 2]
    chat = Chat.of_nodes(nodes, 1, Chat())
    assert texts(chat) == ["u1"]
    assert set(chat.aside) == {3, 4}
    assert chat.next_id == 5
