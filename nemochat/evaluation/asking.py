"""Asks a model the questions of a benchmark, one after the other or several at a time, and keeps each answer as it comes."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from nemochat.chat import Attachment, Chat, ChatSession, RoundEnded, Talk, TurnResult
from nemochat.chat.album import Album
from nemochat.chat.pictures import OpenedPicture, check_room, open_picture, opened
from nemochat.domain.messages import Conversation, ImagePart, Message, Role, TextPart
from nemochat.domain.sampling import Source
from nemochat.errors import EngineError, NemochatError
from nemochat.evaluation.benchmarks import Benchmark, Item, together
from nemochat.evaluation.reading import Embedded, Picture
from nemochat.evaluation.runs import Answer, Writer, answered, failed
from nemochat.evaluation.scoring import score
from nemochat.evaluation.values import Reply
from nemochat.settings import SamplingSettings

_MOST_FAILURES = 10
"""One after the other, of the engine: then it is no question's fault."""
_LOOK_SECONDS = 0.5
"""How often it is looked whether a chat's reply is written by now."""
_PATIENCE_SECONDS = 900.0
"""A turn that takes longer waits for its user."""
_IMAGE = re.compile(r"<image (\d)>")


class Watcher(Protocol):
    """Who follows a run."""

    def see(self, answer: Answer) -> None:
        """An answer is there."""

    def wait(self, *, waits: bool) -> None:
        """It waits for a chat on this machine, or does not any more."""


class Asking:
    """The questions that a run has no answer to. is_chatting: whether a reply is being written on this machine, which comes first."""

    def __init__(
        self, benchmark: Benchmark, items: Sequence[Item], writer: Writer, watcher: Watcher, is_chatting: Callable[[], bool]
    ) -> None:
        self._benchmark, self._writer, self._watcher, self._is_chatting = benchmark, writer, watcher, is_chatting
        done = {id_ for id_, answer in writer.answers.items() if not answer.error}
        self._left = together(item for item in items if item.question.id not in done)
        self._begun: list[deque[Item]] = []
        self._failures = 0
        self._is_tired = False

    async def run(self, sessions: Sequence[ChatSession]) -> None:
        """Ask all of them with these sessions. Raises NemochatError when the engine fails at each question, or the disk is full."""
        setting = self._writer.run.told.setting
        sampling = SamplingSettings(temperature=setting.temperature, seed=setting.seed, max_tokens=setting.max_tokens, repeat_penalty=1.0)
        try:
            async with asyncio.TaskGroup() as group:
                for session in sessions:
                    # What the user's settings or the model's file ask for would make it another measurement.
                    layers = msgspec.structs.replace(sampling, repeat_penalty=None) if session.served is not None else sampling
                    session.reader.layers = {Source.REQUEST: layers}
                    session.holds_calls_to_schema, session.gate = setting.grammar, setting.gate
                    group.create_task(self._serve(session))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _serve(self, session: ChatSession) -> None:
        shown: tuple[Picture, ...] = ()
        attached: list[Attachment] = []
        group: deque[Item] = deque()
        while True:
            await self._make_way()
            if not group:
                if self._left:
                    self._begun.append(group := self._left.popleft())
                else:
                    group = max(self._begun, key=len, default=group)
            if not group:
                return
            item = group.popleft()
            try:
                if item.pictures != shown or not attached:
                    session.reader.album = Album()  # of the questions before no picture is wanted any more
                    shown, attached = item.pictures, await _attach(session, item.pictures)
                answer = await self._answer(session, item, attached)
                self._failures = 0
            except NemochatError as error:
                shown, attached = (), []
                self._failures += isinstance(error, EngineError)
                answer = failed(item, error.message)
                if self._failures >= _MOST_FAILURES:
                    raise
            self._writer.add(answer)
            self._watcher.see(answer)

    async def _make_way(self) -> None:
        """Return when no reply is being written, or when one is for so long that it is not worth waiting for."""
        is_told, until = False, time.monotonic() + _PATIENCE_SECONDS
        while (is_chatting := self._is_chatting()) and not self._is_tired:
            await asyncio.sleep(_LOOK_SECONDS)
            self._is_tired = time.monotonic() > until
            if not is_told and self._is_chatting():  # and not just another evaluation that looked at the same moment
                is_told = True
                self._watcher.wait(waits=True)
        if is_told:
            self._watcher.wait(waits=False)
        self._is_tired = self._is_tired and is_chatting

    async def _answer(self, session: ChatSession, item: Item, pictures: Sequence[Attachment]) -> Answer:
        """Raises NemochatError."""
        began = time.perf_counter()
        talk = Talk(session, Chat.of(Conversation(system=item.system, tools=item.question.tools)))
        result: TurnResult | None = None
        async with aclosing(talk.send(_message(item.question.prompt, [each.part for each in pictures]))) as events:
            async for event in events:
                if isinstance(event, RoundEnded):
                    result = event.result  # a call that does not fit is not asked for again: the first reply counts
                    talk.stop()
                elif isinstance(event, TurnResult):
                    result = result or event
        assert result is not None  # else the turn has raised
        reply = Reply(result.text, result.tool_calls)
        worth = await asyncio.to_thread(score, self._benchmark, item.question, reply, self._writer.run.told.setting.seed)
        usage = result.usage
        return answered(
            item,
            reply,
            worth,
            seconds=round(time.perf_counter() - began, 3),
            read=usage.evaluated_tokens,
            reused=usage.reused_tokens,
            said=usage.completion_tokens,
            pictures=usage.encoded_images,
            call_chance=result.call_chance,
        )


def _message(prompt: str, images: Sequence[ImagePart]) -> Message:
    """The pictures before the words, or where the words name them (``<image 1>``, as in MMMU)."""
    pieces = _IMAGE.split(prompt)
    named = {int(number) for number in pieces[1::2]}
    parts: list[ImagePart | TextPart] = [image for number, image in enumerate(images, 1) if number not in named]
    for at, piece in enumerate(pieces):
        if at % 2 and int(piece) <= len(images):
            parts.append(images[int(piece) - 1])
        elif at % 2:
            parts.append(TextPart(f"<image {piece}>"))
        elif piece:
            parts.append(TextPart(piece))
    return Message(Role.USER, tuple(parts))


def open_one(picture: Picture) -> OpenedPicture:
    """Read a picture of a question. Raises ImageError and EvaluationError."""
    if isinstance(picture, Embedded):
        return opened(picture.data(), picture.name)
    return opened(picture, "a picture") if isinstance(picture, bytes) else open_picture(str(picture))


async def _attach(session: ChatSession, pictures: Sequence[Picture]) -> list[Attachment]:
    """Raises NemochatError."""
    read: list[OpenedPicture] = []
    for picture in pictures:
        read.append(await asyncio.to_thread(open_one, picture))
        check_room(each.image for each in read)
    return [await session.reader.attach(each.image, "", each.original) for each in read]
