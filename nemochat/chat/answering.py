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
from nemochat.domain.messages import ImagePart, Message, Role, TextPart
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
        self._texts: list[str] = []
        self._pictures: list[ImagePart] = []

    @property
    def message(self) -> Message:
        """What the tools brought, as far as they have run."""
        return Message(Role.TOOL, (*self._pictures, TextPart("\n".join(self._texts))))

    async def runs(self) -> AsyncGenerator[ToolRun, None]:
        """Run the calls; each is told when it begins and when it has ended."""
        for call in self._box.calls(self._chat):
            run = ToolRun(call.name or "a call", call.arguments, None, ToolState.RUNNING)
            yield run
            started = time.perf_counter()
            try:
                outcome, state = await self._stop.over(self._box.call(call, self._chat))
                await self._stop.over(self._take_pictures(outcome, call.name))
            except Stopped:
                outcome, state = ToolOutcome(_STOPPED, is_error=True), ToolState.REFUSED
            self._texts.append(outcome.text)
            elapsed = (time.perf_counter() - started) * 1000
            yield msgspec.structs.replace(run, result=outcome.text, state=state, elapsed_ms=elapsed)
            if self._stop.is_set:
                return

    async def _take_pictures(self, outcome: ToolOutcome, name: str) -> None:
        """The pictures that a tool gave back, as far as the model can see them."""
        for data in outcome.images:
            with contextlib.suppress(ImageError):  # a picture that cannot be read is no reason to lose the words beside it
                picture = await asyncio.to_thread(images.load, data, f"a picture of {name}")
                self._pictures.append((await self._attach(picture, name)).part)
