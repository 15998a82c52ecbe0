"""Turns: each bound to one conversation and stopped by one token; what is sent while one runs waits in a visible queue.

What was sent with Enter is part of the conversation from that moment (`Chat.waiting`), and so on the disk: the queue is a view of it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from nemochat.chat import Chat, ChatEvent, ChatSession, Entry, Proposed, Stop, ToolRun, TurnResult, visible
from nemochat.chat.cast import spoken_by
from nemochat.chat.session import IDS
from nemochat.chat.turn import Stopped
from nemochat.desk.conversation import OpenConversation
from nemochat.desk.draft import Draft, Incoming, parts_of, unsaid
from nemochat.desk.jobs import Jobs, Rank
from nemochat.desk.port import Port, QueueChanged, TurnBegan, TurnEnded, TurnOpened, TurnReported, TurnSaid
from nemochat.desk.tools import Tools
from nemochat.domain.events import TextDelta
from nemochat.domain.messages import ImagePart
from nemochat.errors import ConversationError, NemochatError, WindowError

Play = Callable[[ChatSession, Chat, Stop, str, float], AsyncGenerator[ChatEvent, None]]
"""Begins a turn that has no message: with the conversation, the stop, its key, and when it was asked for (time.perf_counter)."""


@dataclass
class Turn:
    """A turn that waits or runs. waiting: the id of its message, 0 for a turn that `play` begins. pictures: of the message, in order.

    is_kept: its message is on the disk (or cannot be written); before that it is not shown as one that waits. speaker: who replies, "" for
    whoever the conversation has. then: who speaks behind that, in a group; a stop ends their turns as well. replies: somebody does.
    is_behind: its clock begins when the turn before it has ended.
    continues: the last reply goes on. keeps: how many of the messages stay on the screen, None for all. drafts: gets the text in place of
    the conversation.
    """

    conversation: OpenConversation
    label: str
    waiting: int = 0
    text: str = ""
    pictures: Sequence[Incoming] = ()
    play: Play | None = None
    continues: bool = False
    keeps: int | None = None
    drafts: Callable[[str], None] | None = None
    is_kept: bool = True
    speaker: str = ""
    then: tuple[str, ...] = ()
    replies: bool = True
    is_behind: bool = False
    stop: Stop = field(default_factory=Stop)
    asked_at: float = field(default_factory=time.perf_counter)


def speaking(name: str, after: int = 0) -> Play:
    """Lets the member of a group with that name speak, at the end or behind the message with the id `after`."""

    def play(session: ChatSession, chat: Chat, stop: Stop, key: str, asked_at: float) -> AsyncGenerator[ChatEvent, None]:
        if name and (chat.group is None or chat.group.member(name) is None):
            raise ConversationError(f"{name} is not in this chat any more.", "/group lists who is.")
        index = chat.index_of(after) if after else None
        chat = chat if index is None else chat.cut(index + 1)
        return session.speak(spoken_by(chat, name), stop, key=key, asked_at=asked_at)

    return play


class Around(Protocol):
    """What turns need of the rest of the desk."""

    async def ready(self) -> ChatSession:
        """The session, as soon as its model is loaded."""

    def due(self, chat: Chat, said: str) -> tuple[str, ...]:
        """Who of a group is to answer a message of the user, in their order."""

    def turn_begins(self) -> None:
        """The engine is needed: nothing is asked of it ahead any more."""

    def turn_ended(self, turn: Turn, result: TurnResult | None) -> None:
        """A turn is over, and what came of it is in its conversation."""


class Turns:
    """The queue, and the loop that serves it."""

    def __init__(self, port: Port, jobs: Jobs, draft: Draft, tools: Tools, around: Around) -> None:
        self._port, self._jobs, self._draft, self._tools, self._around = port, jobs, draft, tools, around
        self._queue: deque[Turn] = deque()
        self.running: Turn | None = None
        self._is_serving = False
        self._is_leaving = False

    @property
    def is_running(self) -> bool:
        """Whether a turn runs or waits."""
        return self._is_serving

    def said(self) -> tuple[Entry, ...]:
        """What the running turn has said, as long as it is no part of the conversation yet."""
        turn = self.running
        if turn is None or not turn.waiting:
            return ()
        return tuple(Entry(each.message, id=each.id) for each in turn.conversation.chat.waiting if each.id == turn.waiting)

    @property
    def speakers(self) -> list[str]:
        """Who of a group speaks behind the turn that runs, in their order."""
        return [turn.speaker for turn in self._queue if turn.is_behind]

    def submit(self, turn: Turn) -> None:
        """Run it now, or behind those that wait. Its conversation is held from here on."""
        turn.conversation.hold()
        self._queue.append(turn)
        if self._is_serving:
            self.announce()
            return
        self._is_serving = True
        self._jobs.start(Rank.REPLY, "turns", self._serve)

    def announce(self) -> None:
        """Tell what waits. What is not on the disk yet comes last, since it was sent last."""
        self._port.tell(QueueChanged(tuple(turn.label for turn in self._queue if turn.is_kept)))

    def unqueue(self, index: int) -> None:
        """Take a waiting turn out of the queue; its message goes back into the prompt."""
        if 0 <= index < len(self._queue):
            turn = self._queue[index]
            del self._queue[index]
            self._give_up(turn)
            self.announce()

    def stop(self) -> bool:
        """Stop the turn that runs, whatever it is at; whether there is one."""
        if self.running is None:
            return self._is_serving
        self.running.stop.set()
        self._drop_with(self.running)
        return True

    def _drop_with(self, turn: Turn) -> None:
        """Those who were to speak behind a turn that was stopped, or that failed, do not."""
        dropped = [each for each in self._queue if each.stop is turn.stop]
        for each in dropped:
            self._queue.remove(each)
            each.conversation.release()
        if dropped:
            self.announce()

    def leave(self) -> None:
        """The program ends: what runs is stopped, and what waits stays with its conversation for the next time.

        So does what runs and has not been said yet: nobody sees the prompt any more into which it could be put back.
        """
        self._is_leaving = True
        for turn in self._queue:
            turn.conversation.release()
        self._queue.clear()
        self.stop()

    async def _serve(self, _: Stop) -> None:
        try:
            while self._queue:
                turn = self.running = self._queue.popleft()
                if turn.is_behind:
                    turn.asked_at = time.perf_counter()
                self.announce()
                self._around.turn_begins()
                await self._run(turn)
        finally:
            self.running = None
            self._is_serving = False

    async def _run(self, turn: Turn) -> None:
        is_reading = any(item.part is None for item in turn.pictures)
        self._port.tell(TurnBegan("waiting for the picture" if is_reading else "starting"))
        result: TurnResult | None = None
        error: NemochatError | None = None
        is_said = turn.play is not None
        try:
            events = await turn.stop.over(self._begun(turn))
            async with aclosing(events) as stream:
                async for event in stream:
                    if isinstance(event, Proposed):
                        turn.conversation.apply(event.edit)
                        if not is_said:
                            is_said = True
                            self._port.tell(TurnSaid())
                        if event.stores:
                            await turn.conversation.stored()
                    elif isinstance(event, TurnResult):
                        result = event
                    else:
                        self._report(turn, event)
        except Stopped:
            pass_on = True
        except NemochatError as failure:
            error, pass_on = failure, isinstance(failure, WindowError) or not is_said
            self._drop_with(turn)
        else:
            pass_on = False
        finally:
            turn.conversation.release()
            self.running = None
        if pass_on and not is_said and not self._is_leaving:
            self._take_back(turn)
        self._port.tell(TurnEnded(result, error))
        self._around.turn_ended(turn, result)

    async def _begun(self, turn: Turn) -> AsyncGenerator[ChatEvent, None]:
        """The stream of a turn, once the model is loaded, nothing else uses it, and the message's pictures are there."""
        await turn.conversation.stored()  # what is shown as sent is kept, and the engine knows the chat by its id
        if turn.waiting and turn.conversation.chat.group is not None:
            turn.speaker, *then = self._around.due(turn.conversation.chat, turn.text) or ("",)
            turn.then, turn.replies = tuple(then), bool(turn.speaker)
        self._queue_those_behind(turn)
        if turn.drafts is None:
            self._port.tell(TurnOpened(turn.keeps, turn.continues))
        session = await self._around.ready()
        await self._jobs.make_way()
        if turn.play is not None:
            chat = turn.conversation.lend(IDS)
            return turn.play(session, chat, turn.stop, turn.conversation.id, turn.asked_at)
        pictures = await parts_of(turn.pictures)
        waiting = next(each for each in turn.conversation.chat.waiting if each.id == turn.waiting)
        words = (part for part in waiting.message.parts if not isinstance(part, ImagePart))
        message = msgspec.structs.replace(waiting.message, parts=(*pictures, *words))
        chat = turn.conversation.lend(IDS)
        if (index := chat.index_of(waiting.replaces)) is not None:
            chat = chat.cut(index)
        chat = spoken_by(chat, turn.speaker) if turn.speaker else chat
        key = turn.conversation.id
        return session.send(chat, message, turn.stop, id_=turn.waiting, key=key, asked_at=turn.asked_at, replies=turn.replies)

    def _queue_those_behind(self, turn: Turn) -> None:
        """Who speaks behind a turn has the next ones, before what was sent meanwhile."""
        for name in reversed(turn.then):
            behind = Turn(turn.conversation, f"{name} speaks", play=speaking(name), speaker=name, stop=turn.stop, is_behind=True)
            turn.conversation.hold()
            self._queue.appendleft(behind)
        if turn.then:
            self.announce()

    def _report(self, turn: Turn, event: ChatEvent) -> None:
        if turn.drafts is not None and isinstance(event, TextDelta):
            turn.drafts(visible(event.parts))
        elif not isinstance(event, Proposed | TurnResult):
            if isinstance(event, ToolRun):
                self._tools.noted(event)
            self._port.tell(TurnReported(event))

    def _give_up(self, turn: Turn) -> None:
        turn.conversation.release()
        if turn.waiting:
            self._take_back(turn)

    def _take_back(self, turn: Turn) -> None:
        """What was not sent is in the prompt again: in the draft's file before it leaves the conversation's."""
        self._draft.put_back(unsaid(turn.text), turn.pictures, turn.asked_at)
        turn.conversation.change(lambda chat: chat.unqueued(turn.waiting), can_undo=False)
        self._draft.settle()
