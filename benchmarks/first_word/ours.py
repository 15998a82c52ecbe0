"""nemochat as the interface drives it: a session with its engine's worker, and the reading ahead."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import msgspec

from benchmarks.first_word.program import peak_of
from benchmarks.first_word.values import Memory, Open, Said, Send, Spec, Turn, Type
from nemochat.chat import Attachment, Chat, ChatSession, Talk
from nemochat.chat.pictures import open_picture
from nemochat.chat.previews import EMPTY, Preview
from nemochat.chat.reader import PromptReader
from nemochat.chat.warming import AtHand, WarmAhead
from nemochat.domain.edits import Trim, applied
from nemochat.domain.events import Progress, TextDelta
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.domain.replies import TurnResult
from nemochat.domain.sampling import Sampling, Source
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest, Prepared
from nemochat.errors import NemochatError
from nemochat.models import inspect
from nemochat.settings import EngineSettings

LOOK = 0.005
"""Seconds between two looks at whether anything is still being read."""


class CountingReader(PromptReader):
    """A reader that adds up what is done ahead of the turns. ahead, encoded: since they were last set to 0."""

    ahead = 0
    encoded = 0

    async def prepare(
        self, shown: Preview, key: str, on_progress: Callable[[Progress], None] | None = None, *, following: bool = False
    ) -> Prepared:
        """As before."""
        done = await super().prepare(shown, key, on_progress, following=following)
        self.ahead += done.evaluated_tokens
        self.encoded += done.encoded_images
        return done


class Nemochat:
    """One session, as the screen holds it."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._log = Path(tempfile.mkdtemp()) / "engine.log"
        self._attached: list[Attachment] = []
        self._is_busy = self._is_cold = False
        pair = spec.pair
        settings = EngineSettings(context_length=spec.context, batch=spec.batch, threads=pair.threads, mmap=False)
        self._engine = WorkerEngine(self._log)
        settings = msgspec.convert(msgspec.to_builtins(settings) | spec.engine, EngineSettings)
        request = LoadRequest(pair.name, pair.model, pair.mmproj, settings, spec.states or None)
        projector = inspect(Path(pair.model), Path(pair.mmproj)).projector
        side = projector.image_size if projector is not None and projector.is_fixed_size else None
        layers = {Source.REQUEST: Sampling(temperature=0.0, max_tokens=spec.reply)}
        self._session = ChatSession(self._engine, request, layers, side)
        self._reader = self._session.reader = CountingReader(self._engine, request, layers, side)
        self._talk = Talk(self._session)
        self._warming = WarmAhead(self._at_hand, self)

    async def start(self) -> None:
        """The model is loaded, and nothing is open."""
        self._session.start_loading()
        async for _ in self._session.loaded():
            pass

    async def open(self, command: Open) -> None:
        """Go on with another conversation; its pictures are known as the library knows them."""
        messages = [await self._message(said) for said in command.said]
        self._talk = Talk(self._session, Chat.of(Conversation(command.system, messages=tuple(messages))), command.chat)
        self._attached = []
        self._is_cold = command.cold
        if not self._is_cold:
            self._warming.opened()

    async def attach(self, picture: str) -> None:
        """As a dropped file is."""
        self._attached.append(await self._picture(picture))
        if not self._is_cold:
            self._warming.attached(self._draft(""))

    async def idle(self, seconds: float) -> None:
        """Until nothing more is read ahead, at most so long."""
        until = time.perf_counter() + seconds
        while self._warming.is_reading and time.perf_counter() < until:
            await asyncio.sleep(LOOK)

    async def type(self, command: Type) -> None:
        """Key by key, at an even pace."""
        pause = len(command.text.split()) / command.words_per_second / len(command.text)
        began = time.perf_counter()
        for at in range(1, len(command.text) + 1):
            await asyncio.sleep(began + at * pause - time.perf_counter())
            self._warming.draft_changed(self._draft(command.text[:at]))

    async def send(self, command: Send) -> Turn:
        """The clock starts at Enter."""
        asked = time.perf_counter()
        self._is_busy = True
        self._warming.stop()
        reader = self._reader
        said: list[float] = []
        async with aclosing(self._talk.send(self._draft(command.text), asked_at=asked)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    said.append(time.perf_counter() - asked)
                result = event
        assert isinstance(result, TurnResult)
        usage = result.usage
        turn = Turn(
            ttft=said[0],
            total=said[-1],
            prompt=usage.prompt_tokens,
            evaluated=usage.evaluated_tokens,
            tokens=usage.completion_tokens,
            encoded=usage.encoded_images + reader.encoded,
            text=result.text,
            ahead=reader.ahead,
        )
        reader.ahead = reader.encoded = 0
        self._attached = []
        self._is_busy = self._is_cold = False
        self._warming.replied()
        return turn

    def memory(self) -> Memory:
        """Of the worker, and of this process."""
        assert self._engine.pid is not None
        return Memory(peak_of(self._engine.pid), peak_of())

    async def close(self) -> None:
        """What was read is kept on the disk."""
        await self._warming.close()
        await self._session.close()

    def _draft(self, text: str) -> Message:
        parts = (*(each.part for each in self._attached), *((TextPart(text),) if text else ()))
        return Message(Role.USER, parts) if parts else EMPTY

    async def _message(self, said: Said) -> Message:
        pictures = [(await self._picture(said.picture)).part] if said.picture else []
        return Message(Role(said.role), (*pictures, TextPart(said.text)))

    async def _picture(self, path: str) -> Attachment:
        return await self._reader.attach(open_picture(path).image, Path(path).name)

    def _at_hand(self) -> AtHand | None:
        return None if self._is_busy else AtHand(self._reader, self._talk.chat, self._talk.key)

    # -- nemochat.chat.warming.Watcher

    def reads_ahead(self, progress: Progress) -> None:
        """Nobody looks."""

    def read_ahead(self, draft: Message, *, is_complete: bool) -> None:
        """Nobody looks."""

    def forgot_ahead(self, trim: Trim) -> None:
        """The next turn begins with it."""
        self._talk.chat = applied(self._talk.chat, trim)

    def failed_ahead(self, error: NemochatError) -> None:
        """A measurement in which this happens is none."""
        raise SystemExit(f"reading ahead failed: {error.message}")


def program(spec: Spec) -> Nemochat:
    """nemochat."""
    return Nemochat(spec)
