"""One turn at a time: what was sent while a reply is being written waits in a visible queue."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from nemochat.chat import ChatEvent, ChatSession, RoundEnded, ToolRun, ToolsAnswered, TurnResult
from nemochat.domain.events import Progress, TextDelta
from nemochat.domain.messages import Message
from nemochat.errors import NemochatError

_LEAVE_SECONDS = 1.0


class Play(Protocol):
    """Starts a turn that has no message of its own. asked_at: when it was asked for (time.perf_counter)."""

    def __call__(self, session: ChatSession, /, *, asked_at: float) -> AsyncGenerator[ChatEvent, None]:
        """The turn's events."""


@dataclass
class Job:
    """A turn that waits or runs. `label` is what the queue shows; `message` is awaited for, because a picture may still be on its way in.

    Without a message it is a turn that `play` starts: a regeneration, say. continues: the last reply goes on. drafts: what comes is no
    reply but a draft for the user. keeps: how many of the messages stay on the screen, None for all. restore: brings a message that was
    not sent back.
    """

    label: str
    message: Callable[[], Awaitable[Message]] | None = None
    play: Play | None = None
    continues: bool = False
    drafts: bool = False
    keeps: int | None = None
    restore: Callable[[], None] = lambda: None
    asked_at: float = field(default_factory=time.perf_counter)


class Stage(Protocol):
    """Where turns are shown."""

    async def session_ready(self) -> ChatSession:
        """The session, as soon as there is one."""

    def turn_begins(self, job: Job) -> None:
        """A job has left the queue."""

    def turn_opens(self) -> None:
        """The session has it, and what the user said is kept: it may be shown."""

    def turn_reports(self, event: Progress | TextDelta | ToolRun | RoundEnded | ToolsAnswered) -> None:
        """Something came."""

    def turn_ends(self, result: TurnResult | None, error: NemochatError | None) -> None:
        """It is over: with a result, with an error, or (neither) because the job was given up before the engine had it."""

    def queue_changed(self, labels: tuple[str, ...]) -> None:
        """What waits now."""


class TurnRunner:
    """The queue and the loop that serves it. `start` runs a coroutine in the background (a Textual worker)."""

    def __init__(self, stage: Stage, start: Callable[[Awaitable[None]], object]) -> None:
        self._stage = stage
        self._start = start
        self._waiting: deque[Job] = deque()
        self._session: ChatSession | None = None
        self._task: asyncio.Task[AsyncGenerator[ChatEvent, None]] | None = None
        self._is_leaving = False
        """The program ends: there may be no screen any more."""
        self._serving: asyncio.Task[None] | None = None
        self.is_running = False

    def submit(self, job: Job) -> None:
        """Run a job now, or behind those that wait."""
        self._waiting.append(job)
        if self.is_running:
            self._announce()
            return
        self.is_running = True
        self._start(self._serve())

    def unqueue(self, index: int) -> Job | None:
        """Take a waiting job out of the queue."""
        if not 0 <= index < len(self._waiting):
            return None
        job = self._waiting[index]
        del self._waiting[index]
        self._announce()
        return job

    async def stop(self) -> None:
        """End the reply under way; what came of it stays. Nothing happens when there is none."""
        if self._session is not None:
            await self._session.stop()
        elif self._task is not None:
            self._task.cancel()

    async def leave(self) -> None:
        """The program ends: stop the reply under way and wait until what came of it is in the conversation, but not for long."""
        self._is_leaving = True
        self._waiting.clear()
        await self.stop()
        if self._serving is not None:
            _, late = await asyncio.wait({self._serving}, timeout=_LEAVE_SECONDS)
            for task in late:  # an engine that does not stop
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        try:
            while self._waiting:
                job = self._waiting.popleft()
                self._announce()
                self._stage.turn_begins(job)
                await self._run(job)
        finally:
            self._serving = None
            self.is_running = False

    async def _run(self, job: Job) -> None:
        result: TurnResult | None = None
        error: NemochatError | None = None
        try:
            # A task of its own, so that Esc can end the wait for a model without ending the loop.
            self._task = asyncio.create_task(self._opened(job))
            events = await self._task
            async with aclosing(events) as stream:
                async for event in stream:
                    if isinstance(event, TurnResult):
                        result = event
                    elif not self._is_leaving:
                        self._stage.turn_reports(event)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                self._is_leaving = True
                raise
            job.restore()
        except NemochatError as failure:
            error = failure
        finally:
            self._session = self._task = None
            if not self._is_leaving:
                self._stage.turn_ends(result, error)

    async def _opened(self, job: Job) -> AsyncGenerator[ChatEvent, None]:
        """The stream of a job, once the session is there and its message is complete."""
        session = await self._stage.session_ready()
        if job.play is not None:
            events = job.play(session, asked_at=job.asked_at)
        else:
            assert job.message is not None
            try:
                message = await job.message()
            except NemochatError:
                job.restore()
                raise
            events = session.send(message, asked_at=job.asked_at, on_kept=self._stage.turn_opens)
        self._session = session
        if job.play is not None:
            self._stage.turn_opens()
        return events

    def _announce(self) -> None:
        self._stage.queue_changed(tuple(job.label for job in self._waiting))
