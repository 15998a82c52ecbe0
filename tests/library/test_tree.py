"""Whatever is done to a conversation, the library holds the same tree as the value, with one save after each step."""

import shutil
import tempfile
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nemochat.domain.chat import Chat
from nemochat.domain.messages import ImagePart
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, ListQuery
from tests.library.building import open_library, record, reply, stored, user

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.strip)
PLACES = st.integers(min_value=0, max_value=1000)


class Tree(RuleBasedStateMachine):
    """Several conversations; `self.at` is the open one. `self.chats` is what the library must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="nemochat-tree-"))
        self.library: Library = open_library(self.folder)
        self.chats: dict[str, Chat] = {}
        self.versions: dict[str, int] = {}
        self.history: dict[str, list[Chat]] = {}
        self.deleted: set[str] = set()
        self.at = ""
        self.store(None, Chat())

    def teardown(self) -> None:
        assert self.library.check() == []
        self.library.close()
        shutil.rmtree(self.folder)

    @property
    def chat(self) -> Chat:
        return self.chats[self.at]

    def store(self, before: Chat | None, after: Chat) -> None:
        """What the interface does after each change; a new conversation has no earlier value."""
        id_ = self.at if before is not None else None
        saved = self.library.save(id_, self.versions[self.at] if id_ else 0, before, after, model=ModelRef("demo"))
        self.at = saved.id
        self.chats[saved.id], self.versions[saved.id] = after, saved.version
        self.history.setdefault(saved.id, []).append(after)
        if before is not None and before != after:
            self.deleted.discard(saved.id)

    def change(self, after: Chat) -> None:
        self.store(self.chat, after)

    @rule(question=TEXTS, answer=TEXTS, picture=st.booleans())
    def send(self, question: str, answer: str, picture: bool) -> None:
        self.change(self.chat.added(user(question, *([ImagePart("e" * 64)] if picture else []))))
        growing = self.chat.added(reply(""))
        self.change(growing)
        self.change(growing.changed(len(growing.entries) - 1, reply(answer, record(answer, (0, 1)))))

    @precondition(lambda self: self.chat.entries)
    @rule(place=PLACES, text=TEXTS)
    def edit(self, place: int, text: str) -> None:
        self.change(self.chat.rewritten(place % len(self.chat.entries), text))

    @precondition(lambda self: self.chat.entries)
    @rule(place=PLACES, text=TEXTS)
    def regenerate(self, place: int, text: str) -> None:
        self.change(self.chat.cut(place % len(self.chat.entries)).added(reply(text)))

    @precondition(lambda self: self.chat.entries)
    @rule(place=PLACES, which=PLACES)
    def swipe(self, place: int, which: int) -> None:
        index = place % len(self.chat.entries)
        others = self.chat.alternatives(index)
        self.change(self.chat.swiped(index, others[which % len(others)]))

    @precondition(lambda self: self.chat.entries)
    @rule(place=PLACES)
    def delete_message(self, place: int) -> None:
        self.change(self.chat.without(place % len(self.chat.entries)))

    @precondition(lambda self: self.chat.entries)
    @rule(place=PLACES)
    def mark(self, place: int) -> None:
        index = place % len(self.chat.entries)
        self.change(self.chat.marked(index, pinned=not self.chat.entries[index].message.pinned, excluded=place % 2 == 0))

    @rule(place=PLACES)
    def undo(self, place: int) -> None:
        past = self.history[self.at]
        self.change(msgspec.structs.replace(past[place % len(past)], next_id=self.chat.next_id))

    @precondition(lambda self: self.chat.entries)
    @rule(place=PLACES)
    def fork(self, place: int) -> None:
        self.store(None, self.chat.forked(place % len(self.chat.entries) + 1))

    @rule(name=TEXTS)
    def rename(self, name: str) -> None:
        self.change(self.chat.named(name))

    @rule(place=PLACES)
    def switch(self, place: int) -> None:
        # In the order of their making: by their random ids, a run that is repeated would do something else.
        self.at = list(self.chats)[place % len(self.chats)]

    @rule()
    def open_again(self) -> None:
        """From here on the value is the one that was read, as after a start."""
        self.library.close()
        self.library = open_library(self.folder)
        read = self.library.load(self.at)
        self.chats[self.at], self.versions[self.at] = read.chat, read.version

    @rule()
    def delete_conversation(self) -> None:
        self.library.delete(self.at)
        self.deleted.add(self.at)

    @rule()
    def restore_conversation(self) -> None:
        self.library.restore(self.at)
        self.deleted.discard(self.at)

    @invariant()
    def the_library_holds_the_value(self) -> None:
        read = self.library.load(self.at)
        assert read.chat == stored(self.chat)
        assert (read.version, read.deleted, read.damaged) == (self.versions[self.at], self.at in self.deleted, 0)
        shows = any(entry.message.images for entry in (*self.chat.entries, *(node.entry for node in self.chat.aside.values())))
        listed = {row.id: row for deleted in (False, True) for row in self.library.conversations(ListQuery(deleted=deleted))}
        assert {id_ for id_, row in listed.items() if row.deleted} == self.deleted
        assert {id_: row.title for id_, row in listed.items()} == {id_: chat.title for id_, chat in self.chats.items()}
        assert (listed[self.at].n_messages, listed[self.at].has_picture) == (len(self.chat.entries), shows)


Tree.TestCase.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
test_the_library_and_the_value_agree = Tree.TestCase
