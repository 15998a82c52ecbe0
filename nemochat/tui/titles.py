"""Names a conversation when nothing else is to be done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nemochat.domain.messages import Role
from nemochat.errors import NemochatError

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

IDLE_SECONDS = 4.0
"""How long nothing must have happened before the model is asked."""


class Titles:
    """Asks the model for a title once a conversation has a reply and no name. The demo model is not asked: the first words do."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self._asking: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """A turn has ended: ask when it stays quiet."""
        screen = self._screen
        is_wanted = screen.bench.settings.interface.titles and screen.holder.model_name != screen.bench.demo_model
        if is_wanted and not screen.chat.name and any(entry.message.role is Role.ASSISTANT for entry in screen.chat.entries):
            screen.background(self._ask_when_quiet, "title", exclusive=True)

    async def stop(self) -> None:
        """Something else is to be done. Returns when the engine is free."""
        self._screen.workers.cancel_group(self._screen, "title")
        asking = self._asking
        if asking is not None:
            if self._screen.holder.session is not None:
                await self._screen.holder.session.stop()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask_when_quiet(self) -> None:
        await asyncio.sleep(IDLE_SECONDS)
        screen = self._screen
        await screen.ahead.warming.finished()
        if not screen.turns.is_running and screen.holder.is_loaded and not screen.prompt.plain_text:
            # A task of its own: leaving it in the middle would leave the engine at work.
            self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        screen = self._screen
        session = await screen.holder.ready()
        asked = screen.chat
        try:
            title = await session.suggest_title()
        except NemochatError:
            return  # a chat without a title has its first words; the next turn says what is wrong with the engine
        finally:
            self._asking = None
        if title and screen.chat is asked:
            screen.conversations.change(asked.named(title), can_undo=False)
        else:
            screen.ahead.opened()  # what was asked for the title stands where the next message will
