"""Whatever the user does in whatever order, with every wait as slow as it likes: nothing is lost, twice, or in another chat."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nemochat.chat.assembly import assemble
from nemochat.desk.conversation import OpenConversation
from nemochat.domain.chat import Chat
from nemochat.domain.events import TextDelta
from nemochat.domain.messages import Role
from nemochat.domain.segments import Segment
from nemochat.engine.protocol import Asked, GenerateRequest, ModelInfo
from nemochat.errors import EngineDiedError
from nemochat.settings import InterfaceSettings, Settings
from tests.chat.fake_engine import FakeEngine, reply
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting
from tests.desk.virtual_time import VirtualLoop
from tests.images.pictures import draw_circle

EXAMPLES = int(os.environ.get("DESK_EXAMPLES", "60"))
PAUSES = (0.0, 0.0, 0.001, 0.01, 0.2)
"""Seconds that any wait may take; none of them passes."""


class SlowEngine(FakeEngine):
    """Answers everything, with a pause before and within whatever is asked; now and then it dies."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(context_length=1400)  # a dozen turns, and the window begins to forget
        self.dice = dice
        self.deaths = 0
        self.made = 0

    async def _pause(self) -> None:
        await asyncio.sleep(self.dice.choice(PAUSES))

    async def load(self, *arguments: Any, **options: Any) -> ModelInfo:
        await self._pause()
        return await super().load(*arguments, **options)

    async def add_image(self, image: Any) -> int:
        await self._pause()
        return await super().add_image(image)

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        await self._pause()
        counts = await super().count(segments, asked)
        await self._pause()
        return counts

    async def generate(self, request: GenerateRequest) -> Any:
        await self._pause()
        self.made += 1
        events: list[Any] = list(reply("one ", "two ", f"reply-{self.made}"))
        if self.deaths:
            self.deaths -= 1
            events = [TextDelta("half a re"), EngineDiedError("The engine died.")]
        self.replies = [events]
        async for event in super().generate(request):
            await self._pause()
            yield event

    async def cancel(self) -> None:
        await self._pause()
        await super().cancel()


class DeskMachine(RuleBasedStateMachine):
    """The ledger: every text that was sent, with the conversation in which it was."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.sent: dict[str, OpenConversation] = {}
        self.early: list[str] = []
        self.ids: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.number = 0
        self.has_failed = False
        self.seconds = itertools.count(1_700_000_000.0)

    @initialize(seed=st.integers(0, 2**16))
    def sit_down(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.loop = VirtualLoop(self.dice, PAUSES)
        folder = Path(self.folder.name)
        self.picture = folder / "circle.png"
        draw_circle(self.picture, (220, 40, 40))
        self.engine = SlowEngine(self.dice)
        interface = InterfaceSettings(summaries=self.dice.random() < 0.5)
        self.bench = Bench(folder, {"demo": self.engine}, Settings(interface=interface), clock=lambda: next(self.seconds))
        self.library = self.bench.library
        self.sitting = Sitting(self.bench)
        self.go(self.sitting.begin())

    def go(self, work: Coroutine[Any, Any, Any] | None = None, seconds: float = 0.0) -> None:
        """Do something, and let a little time pass, in which everything else goes on."""

        async def run() -> None:
            if work is not None:
                await work
            await asyncio.sleep(seconds)

        self.has_failed, failed = True, self.has_failed
        self.loop.run_until_complete(run())
        if self.sitting.errors:
            raise self.sitting.errors[0]
        self._arrived()
        self.has_failed = failed

    def in_loop(self, act: Callable[[], object]) -> None:
        async def run() -> None:
            act()

        self.go(run())

    def note(self, text: str) -> None:
        if self.sitting.desk.sending.is_resuming:
            self.early.append(text)
        else:
            self.sent[text] = self.sitting.desk.conversation

    def _arrived(self) -> None:
        """What was sent before the resumed chat was there belongs to it from now on."""
        desk = self.sitting.desk
        if not desk.sending.is_resuming:
            self.sent |= {text: desk.conversation for text in self.early if _holds(desk.conversation.chat, text)}
            self.early.clear()

    pauses = st.sampled_from((0.0, 0.0, 0.002, 0.05, 0.5, 2.0))

    @rule(pause=pauses, with_picture=st.booleans())
    def send(self, pause: float, with_picture: bool) -> None:
        self.number += 1
        text = f"message-{self.number}."

        def act() -> None:
            desk = self.sitting.desk
            if with_picture and len(desk.draft.items) < 2:
                desk.draft.add_source(str(self.picture))
            before = self.sitting.port.text
            self.sitting.enter(text)
            # What had come back to the prompt was sent once more with this.
            self.sent = {each: conversation for each, conversation in self.sent.items() if each not in before}
            self.note(text)

        self.in_loop(act)
        self.go(None, pause)

    @rule(pause=pauses)
    def stop(self, pause: float) -> None:
        def act() -> None:
            turn = self.sitting.desk.turns.running
            self.sitting.desk.stop()
            if turn is not None:
                self.stopped = turn

        self.in_loop(act)
        self.go(None, pause)

    @precondition(lambda self: self.sitting.desk.chat.entries)
    @rule(at=st.integers(0, 30), name=st.sampled_from(("pin", "exclude", "regenerate", "swipe_left", "swipe_right", "fork")), pause=pauses)
    def act_on_a_message(self, at: int, name: str, pause: float) -> None:
        entries = self.sitting.desk.chat.entries
        self.go(self.sitting.desk.messages.act(entries[at % len(entries)].id, name), pause)

    @precondition(lambda self: self.sitting.desk.chat.entries)
    @rule(at=st.integers(0, 30))
    def delete(self, at: int) -> None:
        entries = self.sitting.desk.chat.entries
        entry = entries[at % len(entries)]
        if not self.sitting.desk.is_busy:
            self.deleted |= {word for word in self.sent if word in entry.message.text}
        self.go(self.sitting.desk.messages.act(entry.id, "delete"))

    @precondition(lambda self: any(entry.message.role is Role.USER for entry in self.sitting.desk.chat.entries))
    @rule(at=st.integers(0, 30))
    def edit(self, at: int) -> None:
        users = [entry for entry in self.sitting.desk.chat.entries if entry.message.role is Role.USER]
        self.sitting.port.answers.append("no")
        empty = self.sitting.desk.draft.is_empty
        self.go(self.sitting.desk.messages.edit(users[at % len(users)].id))
        if empty and self.sitting.desk.draft.editing is not None:
            self.in_loop(lambda: self._replace("edited-"))
        self.sitting.port.answers.clear()

    def _replace(self, beginning: str) -> None:
        self.number += 1
        text = f"{beginning}{self.number}."
        self.sitting.port.text = ""
        self.sitting.enter(text)
        self.note(text)

    @rule()
    def undo(self) -> None:
        chat = self.sitting.desk.chat
        said = {node.id for node in chat.nodes}
        self.in_loop(self.sitting.desk.undo)
        assert {node.id for node in self.sitting.desk.chat.nodes} >= said, "undo has taken a message away"

    @rule(pause=pauses)
    def new_chat(self, pause: float) -> None:
        self.in_loop(self.sitting.desk.new)
        self.go(None, pause)

    @rule(at=st.integers(0, 30), pause=pauses)
    def open_another(self, at: int, pause: float) -> None:
        async def start() -> None:
            rows = await self.sitting.desk.chats.rows()
            if rows:
                row = rows[at % len(rows)]
                self.sitting.desk.do(lambda: self.sitting.desk.chats.open(row.id))

        self.go(start(), pause)

    @rule(pause=pauses)
    def rename(self, pause: float) -> None:
        self.number += 1
        name = f"/rename name {self.number}"
        self.in_loop(lambda: self.sitting.enter(name) if not self.sitting.port.text else None)
        self.go(None, pause)

    @rule(command=st.sampled_from(("/compact", "/compact the names", "/remember this")), pause=pauses)
    def compact_or_remember(self, command: str, pause: float) -> None:
        self.in_loop(lambda: self.sitting.enter(command) if not self.sitting.port.text else None)
        self.go(None, pause)

    @precondition(lambda self: self.sitting.desk.chat.summary is not None)
    @rule(what=st.sampled_from(("on", "off", "edit", "delete")))
    def change_the_summary(self, what: str) -> None:
        self.sitting.port.answers.append("an edited summary")
        self.go(self.sitting.desk.memory.visit(what))
        self.sitting.port.answers.clear()

    @rule()
    def the_engine_dies_next(self) -> None:
        self.engine.deaths = 1

    @rule()
    def quit_and_come_back(self) -> None:
        self.go(self.sitting.close())
        self._again()

    @rule()
    def killed_and_come_back(self) -> None:
        """Nothing gets a chance to finish but what is in the hands of the system. What was sent is on the disk by then."""

        async def kill() -> None:
            for text, conversation in self.sent.items():
                if text not in self.ids:  # else of an earlier run, of which nothing goes on
                    await conversation.stored()
            await _end_all(self.sitting)
            await asyncio.sleep(2 * max(PAUSES))  # a file that is being written is written before another program can begin

        self.go(kill())
        self._again()

    def _again(self) -> None:
        kept = self.sitting.port.text
        self.early.clear()
        self.ids |= {text: conversation.id for text, conversation in self.sent.items()}
        self.engine = SlowEngine(self.dice)
        self.bench.engines = {"demo": self.engine}
        self.bench.resume = self.dice.choice((None, ""))
        self.sitting = Sitting(self.bench)
        if kept:
            self.sitting.port.text = ""
        self.go(self.sitting.begin())

    @invariant()
    def what_was_sent_is_somewhere(self) -> None:
        """Without waiting for anything: in the prompt, the queue, the chat, or the earlier prompts."""
        if not hasattr(self, "sitting"):
            return
        history = None
        for text, conversation in self.sent.items():
            if text in self.deleted or text in self.ids or _holds(conversation.chat, text) or text in self.sitting.port.text:
                continue
            history = history if history is not None else _history(self.sitting)
            assert any(text in each for each in history), f"{text} is nowhere"

    def teardown(self) -> None:
        if not hasattr(self, "sitting"):
            return
        try:
            if not self.has_failed:
                self.go(self.sitting.settle())
            self.go(self.sitting.close())
            if not self.has_failed:
                self._check_the_disk()
        finally:
            self.loop.run_until_complete(_end_all(self.sitting))
            self.library.close()
            self.bench.documents.close()
            self.loop.close()
            self.folder.cleanup()

    def _check_the_disk(self) -> None:
        """Each text is in the chat in which it was sent, once, and in no other but what was forked from that."""
        chats = {row.id: self.library.load(row.id).chat for row in self.sitting.bench.library.conversations()}
        for chat in chats.values():
            made = assemble(chat)
            read = made.indices(range(len(made.sources)))
            assert sorted((*read, *made.summed)) == list(chat.shown), "a message is neither read nor summed up, or both"
            assert (made.summary is not None) == bool(made.summed), "a summary stands for nothing"
        for text, conversation in self.sent.items():
            if text in self.deleted:
                continue
            id_ = conversation.id or self.ids.get(text, "")
            found = [node for node in chats[id_].nodes if text in node.entry.message.text] if id_ in chats else []
            waits = [each for each in chats[id_].waiting if text in each.message.text] if id_ in chats else []
            if not found and not waits:
                assert text in self.sitting.port.text or any(text in each for each in _history(self.sitting)), f"{text} is lost"
                assert not any(_holds(chat, text) for chat in chats.values()), f"{text} is in another chat"
            else:
                assert len(found) + len(waits) <= 1, f"{text} is there twice"


async def _end_all(sitting: Sitting) -> None:
    """No task of this run goes on, and none begins any more."""
    sitting.desk.jobs.is_closed = True
    while tasks := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _holds(chat: Chat, text: str) -> bool:
    messages = [node.entry.message for node in chat.nodes] + [each.message for each in chat.waiting]
    return any(text in message.text for message in messages)


def _history(sitting: Sitting) -> list[str]:
    texts: list[str] = []
    sitting.desk.history.reset()
    while (text := sitting.desk.history.older("")) is not None:
        texts.append(text)
    sitting.desk.history.reset()
    return texts


DeskMachine.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 100
)
TestDesk = DeskMachine.TestCase
