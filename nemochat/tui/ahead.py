"""What the engine is asked while the user writes: what the draft costs, how the window is filled, and to look at the pictures already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING

from textual.worker import Worker

from nemochat.chat import Attachment, ContextView
from nemochat.domain.events import Progress
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.errors import NemochatError
from nemochat.tui.widgets.status import state_words

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

PAUSE = 0.25
"""How long typing must pause before the draft is counted, in seconds."""


class Ahead:
    """Asks in the background; a newer question replaces an older one."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self.view: ContextView | None = None
        """The last answer."""

    def count(self, delay: float = PAUSE) -> None:
        """Ask soon how the window is filled with the draft in it."""
        self._screen.prompt.token_count = None
        self._ask("count", partial(self._count, delay))

    def prepare(self) -> None:
        """Let the engine look at the draft's pictures and read what stands before them, while the user writes."""
        self._ask("prepare", self._prepare)

    def _ask(self, group: str, question: Callable[[], Coroutine[None, None, None]]) -> Worker[None]:
        return self._screen.background(question, group, exclusive=True)

    def _attached(self) -> list[Attachment]:
        return [item.attachment for item in self._screen.incomings.items if item.attachment]

    async def _count(self, delay: float) -> None:
        await asyncio.sleep(delay)
        screen = self._screen
        if not screen.holder.is_loaded:
            return
        session = await screen.holder.ready()
        text, attached = screen.prompt.plain_text, self._attached()
        parts = (*(each.part for each in attached), *((TextPart(text),) if text else ()))
        try:
            view = await session.context_view(Message(Role.USER, parts) if parts else None)
        except NemochatError as error:
            screen.set_state(f"stopped: {error.message}")
            return
        self.view = view
        screen.prompt.room = view.limit - view.reserve - view.used
        screen.prompt.token_count = view.draft + sum(each.tokens for each in attached) if parts else 0
        screen.counted()

    async def _prepare(self) -> None:
        screen = self._screen
        session = await screen.holder.ready()
        attached = self._attached()
        if not attached or screen.turns.is_running:
            return
        try:
            await session.prepare(Message(Role.USER, tuple(each.part for each in attached)), self._works)
        except NemochatError as error:
            screen.set_state(f"stopped: {error.message}")
            return
        for item in screen.incomings.items:
            if item.attachment in attached:
                item.state = "encoded"
        if not screen.turns.is_running:
            screen.set_state("ready")
        screen.draw_side()
        self.count(0)

    def _works(self, progress: Progress) -> None:
        if not self._screen.turns.is_running:
            self._screen.set_state(state_words(progress))
