"""The conversation on the screen is in the library: before the engine is asked, while the reply grows, and whatever the disk does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.chat import Chat, ChatSession, growing
from nemochat.chat.keeping import Keeper
from nemochat.domain.events import TextDelta
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import ImagePart, Message, Role, TextPart
from nemochat.domain.replies import ModelRef
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import LoadRequest
from nemochat.errors import NemochatError
from nemochat.library import Library, LibraryError, Saved
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply

RED = RgbImage.from_rgb(2, 2, b"\xff\x00\x00" * 4)


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


CHAT = Chat().with_messages([user("hello")])


class Desk:
    """A keeper with what it says."""

    def __init__(self, library: Library) -> None:
        self.troubles: list[NemochatError] = []
        self.copies = 0
        originals = {RED.digest: Original(b"file", "png")}
        self.keeper = Keeper(library, lambda: originals, self.troubles.append, self.copied)

    def copied(self) -> None:
        self.copies += 1


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library, _ = Library.open(tmp_path / "library")
    with library:
        yield library


async def test_an_empty_conversation_is_not_kept(library: Library) -> None:
    desk = Desk(library)
    await desk.keeper.save(Chat(), ModelRef("demo"))
    assert (desk.keeper.id, library.conversations()) == ("", [])


async def test_each_value_is_stored_and_a_new_one_is_another_conversation(library: Library) -> None:
    desk = Desk(library)
    await desk.keeper.save(CHAT, ModelRef("demo"))
    first = desk.keeper.id
    longer = CHAT.with_messages([Message(Role.ASSISTANT, (TextPart("hi"),))])
    await desk.keeper.save(longer, ModelRef("demo"))
    assert library.load(first).chat == longer
    desk.keeper.begin()
    await desk.keeper.save(CHAT, ModelRef("demo"))
    assert desk.keeper.id != first
    assert library.load(first).chat == longer


async def test_pictures_are_kept_with_their_files(library: Library) -> None:
    desk = Desk(library)
    await desk.keeper.save(Chat().with_messages([Message(Role.USER, (ImagePart(RED.digest, "red.png"),))]), ModelRef("demo"))
    assert library.original(RED.digest) == Original(b"file", "png")


async def test_a_conversation_that_another_program_changed_goes_on_as_a_copy(library: Library) -> None:
    mine, other = Desk(library), Desk(library)
    await mine.keeper.save(CHAT, ModelRef("demo"))
    other.keeper.open(Saved(mine.keeper.id, 1), CHAT)
    await other.keeper.save(CHAT.with_messages([user("theirs")]), ModelRef("demo"))
    changed = CHAT.with_messages([user("mine")])
    before = mine.keeper.id
    await mine.keeper.save(changed, ModelRef("demo"))
    assert mine.copies == 1
    assert mine.keeper.id != before
    assert library.load(mine.keeper.id).chat == changed
    assert library.load(before).chat == CHAT.with_messages([user("theirs")])


async def test_a_disk_that_refuses_is_told_once_and_what_was_missed_is_kept_later(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(library)

    def refuse(*_: object, **__: object) -> Saved:
        raise LibraryError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(library, "save", refuse)
        await desk.keeper.save(CHAT, ModelRef("demo"))
        await desk.keeper.save(CHAT.with_messages([user("more")]), ModelRef("demo"))
    assert [error.message for error in desk.troubles] == ["The disk is full."]
    longest = CHAT.with_messages([user("more"), user("most")])
    await desk.keeper.save(longest, ModelRef("demo"))
    assert library.load(desk.keeper.id).chat == longest


async def test_the_users_words_are_stored_before_the_engine_is_asked_and_the_reply_as_it_grows(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "SAVE_SECONDS", 0.0)
    engine = FakeEngine(reply("one ", "two ", "three"))
    engine.gate = asyncio.Semaphore(0)
    desk = Desk(library)
    session = ChatSession(engine, LoadRequest("fake", "fake", None, EngineSettings()), Sampling(max_tokens=10))
    stored: list[list[str]] = []

    async def save(chat: Chat) -> None:
        assert bool(engine.requests) == (len(chat.entries) > 1), "the engine was asked before the words were kept"
        await desk.keeper.save(chat, ModelRef("fake"))
        stored.append([entry.message.text for entry in library.load(desk.keeper.id).chat.entries])

    session.save = save
    async for event in session.send(user("hello")):
        engine.gate.release()
        if isinstance(event, TextDelta):
            for _ in range(200):
                if stored[-1][1:] and stored[-1][1].endswith(event.text):
                    break
                await asyncio.sleep(0.01)
    assert stored[0] == ["hello"]
    assert ["hello", "one "] in stored or ["hello", "one"] in stored
    assert library.load(desk.keeper.id).chat.entries[1].interrupted
