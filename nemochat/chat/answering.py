"""Runs the tools that a reply has called, and makes the message that answers it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from nemochat import images
from nemochat.chat.stopping import Stop, Stopped
from nemochat.chat.toolbox import Toolbox
from nemochat.chat.values import Attachment, ToolRun, ToolState
from nemochat.domain.chat import Chat
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart, Message, Role, ToolResultPart
from nemochat.domain.tools import ToolOutcome
from nemochat.errors import ImageError

_STOPPED = "The user stopped it."


class Answering:
    """The calls of the last reply of `chat`, one after the other. attach: makes a picture of a tool known to the engine.

    A stop ends the call under way, and those behind it are not begun.
    """

    def __init__(self, box: Toolbox, chat: Chat, attach: Callable[[RgbImage, str], Awaitable[Attachment]], stop: Stop) -> None:
        self._box = box
        self._chat = chat
        self._attach = attach
        self._stop = stop
        self._results: list[ToolResultPart] = []

    @property
    def message(self) -> Message:
        """What the tools brought: a result for each call, as far as they have run."""
        return Message(Role.TOOL, tuple(self._results))

    async def runs(self) -> AsyncGenerator[ToolRun, None]:
        """Run the calls; each is told when it begins and when it has ended."""
        for call in self._box.calls(self._chat):
            run = ToolRun(call.name or "a call", call.arguments, None, ToolState.RUNNING)
            yield run
            started = time.perf_counter()
            try:
                outcome, state = await self._stop.over(self._box.call(call, self._chat))
            except Stopped:
                outcome, state = ToolOutcome(_STOPPED, is_error=True, is_refused=True), ToolState.REFUSED
            # The words count before the pictures are looked at: what stops that must not lose them.
            self._results.append(ToolResultPart(call.id, outcome.text, outcome.is_error, is_refused=outcome.is_refused))
            with contextlib.suppress(Stopped):
                pictures = await self._stop.over(self._take_pictures(outcome, call.name))
                self._results[-1] = msgspec.structs.replace(self._results[-1], images=pictures)
            elapsed = (time.perf_counter() - started) * 1000
            yield msgspec.structs.replace(run, result=outcome.text, state=state, elapsed_ms=elapsed)
            if self._stop.is_set:
                return

    async def _take_pictures(self, outcome: ToolOutcome, name: str) -> tuple[ImagePart, ...]:
        """The pictures that a tool gave back, as far as the model can see them."""
        taken: list[ImagePart] = []
        for data in outcome.images:
            with contextlib.suppress(ImageError):  # a picture that cannot be read is no reason to lose the words beside it
                picture = await asyncio.to_thread(images.load, data, f"a picture of {name}")
                taken.append((await self._attach(picture, name)).part)
        return tuple(taken)
