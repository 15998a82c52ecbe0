"""Values and libraries for the tests."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from nemochat.domain.chat import Chat, Entry, Reading
from nemochat.domain.events import FinishReason, Timings, Usage
from nemochat.domain.groups import Cards, Group, Member, Order
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import (
    ContextPart,
    Conversation,
    ImagePart,
    Message,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolResultPart,
    ToolSpec,
)
from nemochat.domain.personas import AuthorNote, Lorebook, LoreEntry, Persona, UserProfile
from nemochat.domain.replies import ModelRef, ReplyRecord, TurnResult
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Plain
from nemochat.domain.summaries import Summary
from nemochat.library import Library
from tests.calls import call_part

RED = RgbImage.from_rgb(2, 1, b"\xff\0\0" * 2)
BLUE = RgbImage.from_rgb(1, 2, b"\0\0\xff" * 2)
MIRA = Persona(
    name="Mira",
    system="You are {{char}}.",
    tags=("sea",),
    book=Lorebook(entries=(LoreEntry(content="The tower is tall.", keys=("tower",), id="a", extensions={"depth": 4}),)),
    extensions={"other/program": {"kept": [1, 2.5, None, "ü"]}},
)


class Clock:
    """A time that the test sets."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def open_library(folder: Path, clock: Clock | None = None, busy_seconds: float = 5.0) -> Library:
    """One that has nothing to say."""
    library, notices = Library.open(folder, clock=clock or Clock(), busy_seconds=busy_seconds)
    assert notices == []
    return library


def user(text: str, *parts: ImagePart | ContextPart) -> Entry:
    return Entry(Message(Role.USER, (*parts, TextPart(text))), at=1.5)


def reply(text: str, record: ReplyRecord | None = None) -> Entry:
    return Entry(Message(Role.ASSISTANT, (TextPart(text),)), record, speaker="Mira")


def record(text: str, forgotten: tuple[int, ...] = ()) -> ReplyRecord:
    result = TurnResult(text, FinishReason.STOP, (), Usage(prompt_tokens=9), Timings(load_ms=1.5), 12.5, forgotten)
    return ReplyRecord(result, Sampling(seed=4, stop=("\n",)), ModelRef("demo"), (Plain("the prompt"),))


def talk(*texts: str) -> Chat:
    """Questions and replies in turn."""
    chat = Chat()
    for index, text in enumerate(texts):
        chat = chat.added(reply(text) if index % 2 else user(text))
    return chat


def everything() -> Chat:
    """A conversation in which every field of every value is used."""
    call = call_part(' {"name": "add"} ', (ToolCall("add", {"a": [1, 2.5], "b": {"c": None, "d": 10**30}}),))
    frame = Conversation("Be brief.", (ToolSpec("add", "Adds.", {"type": "object"}),), ("a: context",))
    chat = Chat(frame=frame, persona=MIRA, user=UserProfile("Ada", "Tall."), note=AuthorNote("It rains.", 2), examples_gone=1, seed=7)
    group = Group((Member(MIRA, True, 0.25),), Order.POOLED, Cards.OWN, True, "Mira", "Mira")
    chat = replace(chat, group=group, variables={"mood": "ä"}, readings={"ab12": Reading("It is 12:30.", 3)}, lorebooks=("riverside",))
    chat = chat.added(user("What is this?", ImagePart(RED.digest, "red.png", 2, 1, 256), ContextPart("The tower.", "Book", "tower")))
    chat = chat.added(Entry(Message(Role.ASSISTANT, (TextPart("Let me add."), call)), record("Let me add. <toolcall>", (0, 1, 2, 7, 8))))
    result = ToolResultPart("call_2_1", "3", True, (ImagePart(BLUE.digest, "add"),))
    chat = chat.added(Entry(Message(Role.TOOL, (result, ToolResultPart("", "lost")), pinned=True), speaker="adder"))
    said = (ReasoningPart("One and two.", 1.5, 7), TextPart("Three"), TextPart(", it is."))
    chat = chat.added(Entry(Message(Role.ASSISTANT, said), record("Three, it is."), interrupted=True))
    chat = chat.added(Entry(Message(Role.USER, (), excluded=True)))
    chat = chat.added(Entry(Message(Role.ASSISTANT, (ImagePart(BLUE.digest),), example=True)))
    chat = chat.rewritten(0, "What is that?").cut(1).added(reply("Something else.", record("Something else.", (5, 3))))
    waits = Message(Role.USER, (ImagePart(RED.digest, "red.png", 2, 1), TextPart("And now?")))
    chat = chat.queued(waits, ("/tmp/ä.png",), 1, 1.5).queued(Message(Role.USER, (TextPart("Hello?"),)))
    chat = chat.named("Näme").sampled(temperature=0.0, top_k="auto", stop=("\n",)).swiped(0, 1)
    return replace(chat, summaries=(Summary("They met.", (1, 2), 40, is_on=False),), remembered=("Ada is tall.",))


def stored(chat: Chat) -> Chat:
    """As it reads back: without the prompts."""
    def bare(entry: Entry) -> Entry:
        return entry if entry.record is None else replace(entry, record=replace(entry.record, prompt=()))

    aside = {id_: replace(node, entry=bare(node.entry)) for id_, node in chat.aside.items()}
    return replace(chat, entries=tuple(map(bare, chat.entries)), aside=aside)


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """What SQLite says."""
    with closing(sqlite3.connect(folder / "library.db")) as connection:
        return connection.execute(query).fetchall()


def contents(folder: Path) -> Iterator[bytes]:
    """Every file in a folder."""
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())
