"""A desk without a screen: a port that only remembers, and the prompt that a screen would show."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import msgspec
import pytest

from nemochat.chat.recall import PromptHistory
from nemochat.desk import commands
from nemochat.desk.desk import Desk
from nemochat.desk.draft import put_between
from nemochat.desk.jobs import Jobs
from nemochat.desk.port import (
    Ask,
    Complained,
    DraftLoaded,
    DraftPutBack,
    Event,
    QueueChanged,
    Said,
    TextInserted,
    TokenAdded,
    TokenRemoved,
    TurnEnded,
    Workbench,
)
from nemochat.errors import NemochatError
from nemochat.library import Library
from tests.chat.fake_engine import FakeEngine, reply
from tests.desk.bench import Bench

PATIENCE = 4000
"""Turns of the event loop that something may take."""


class Prompt:
    """What a screen's prompt would hold, and everything that was told (nemochat.desk.port.Port). answers: to what is asked, in order."""

    def __init__(self, *answers: object) -> None:
        self.text = ""
        self.tokens: list[str] = []
        self.told: list[Event] = []
        self.asked: list[Ask] = []
        self.queue: tuple[str, ...] = ()
        self.answers = deque(answers)

    @property
    def notices(self) -> list[str]:
        said: list[str] = []
        for event in self.told:
            match event:
                case Said(text):
                    said.append(text)
                case Complained(error) | TurnEnded(_, NemochatError() as error):
                    said.append(f"{error.message} {error.hint}".strip())
        return said

    def tell(self, event: Event) -> None:
        self.told.append(event)
        match event:
            case DraftLoaded(text, tokens):
                self.text, self.tokens = text, [key for key, _ in tokens]
            case DraftPutBack(text, tokens, lead):
                self.text = put_between(lead, text, self.text)
                self.tokens = list(dict.fromkeys([*(key for key, _ in tokens), *self.tokens]))
            case TextInserted(text):
                self.text += text
            case TokenAdded(key):
                self.tokens.append(key)
            case TokenRemoved(key):
                self.tokens = [each for each in self.tokens if each != key]
            case QueueChanged(labels):
                self.queue = labels

    async def ask(self, ask: Ask) -> Any:
        self.asked.append(ask)
        await asyncio.sleep(0)
        return self.answers.popleft() if self.answers else None


class Sitting:
    """One run of the program."""

    def __init__(self, bench: Workbench, *answers: object) -> None:
        self.bench = bench
        self.port = Prompt(*answers)
        self.errors: list[BaseException] = []
        self.desk = Desk(bench, self.port, Jobs(self.errors.append), PromptHistory(bench.paths.prompt_history))

    async def begin(self) -> Sitting:
        """Open the desk, and wait until its model is loaded and the conversation is there with which it begins."""
        self.desk.start()
        await self.until(lambda: self.desk.model.is_loaded and not self.desk.sending.is_resuming)
        await self.settle()
        return self

    @property
    def said(self) -> list[str]:
        return [entry.message.text for entry in self.desk.chat.entries]

    def type(self, text: str) -> None:
        """Put text into the prompt."""
        self.port.text += text
        self.desk.draft.typed(self.port.text)

    def enter(self, text: str = "") -> None:
        """Type, and press Enter."""
        self.type(text)
        text, tokens = self.port.text, list(self.port.tokens)
        self.port.text, self.port.tokens = "", []
        commands.submit(self.desk, text, tokens)

    async def send(self, text: str) -> None:
        """Type, press Enter, and wait until nothing runs any more."""
        self.enter(text)
        await self.settle()

    async def act(self, index: int, name: str) -> None:
        """What a key on a message does."""
        await self.desk.messages.act(self.desk.chat.entries[index].id, name)

    async def until(self, holds: Callable[[], object]) -> None:
        for attempt in range(PATIENCE):
            if self.errors:
                raise self.errors[0]
            if holds():
                return
            await asyncio.sleep(0.001 if attempt < PATIENCE // 2 else 0.05)
        raise AssertionError("it never came true")

    async def settle(self) -> None:
        """Wait until nothing is under way, and all is on the disk."""
        await self.until(lambda: not self.desk.is_busy and not self.desk.reading.is_at_work)
        await self.desk.conversation.stored()

    async def close(self) -> None:
        await self.desk.close()
        if self.errors:
            raise self.errors[0]


def engine_of(texts: Sequence[str] = (), **options: Any) -> FakeEngine:
    """An engine that has an answer to everything: these first, and then numbers."""
    engine = FakeEngine(*(reply(text) for text in texts), **options)
    numbers = itertools.count()

    class Endless(list):  # type: ignore[type-arg]
        def pop(self, index: SupportsIndex = -1) -> Any:
            return super().pop(index) if self else reply(f"reply {next(numbers)}")

    engine.replies = Endless(engine.replies)
    return engine


def engine(sitting: Sitting) -> FakeEngine:
    """The one that the demo model is played by."""
    assert isinstance(sitting.bench, Bench)
    demo = sitting.bench.engines["demo"]
    assert isinstance(demo, FakeEngine)
    return demo


def drafts(sitting: Sitting) -> list[str]:
    """The words of the drafts that are on the disk."""
    return [msgspec.json.decode(path.read_bytes())["text"] for path in sitting.bench.paths.drafts.glob("*.json")]


def slow_down(monkeypatch: pytest.MonkeyPatch, library: Library, method: str, seconds: float) -> None:
    """Let a method of the library take its time."""
    usual = getattr(library, method)

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return usual(*arguments, **options)

    monkeypatch.setattr(library, method, slow)
