"""A conversation that is kept in memory alone, with the session that it goes on in: for one question, for a benchmark."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from nemochat.chat.cast import spoken_by
from nemochat.chat.session import IDS, ChatSession
from nemochat.chat.turn import Stop
from nemochat.chat.values import ChatEvent, Proposed
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.edits import applied
from nemochat.domain.messages import Conversation, Message


class Talk:
    """Owns the conversation `chat`. key: what the engine knows it by, "" for nothing."""

    def __init__(self, session: ChatSession, chat: Chat | None = None, key: str = "") -> None:
        self.session = session
        self.chat = chat or Chat()
        self.key = key
        self._stop = Stop()

    @property
    def conversation(self) -> Conversation:
        """All that was said."""
        return self.chat.conversation

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The messages with how they came to be."""
        return self.chat.entries

    def send(self, message: Message, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """As `ChatSession.send`; what is proposed is done and not told."""
        chat, stop = self._begun()
        return self._applied(self.session.send(chat, message, stop, key=self.key, asked_at=asked_at))

    def speak(self, name: str, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """As `ChatSession.speak`, by the member of a group with that name."""
        chat, stop = self._begun()
        return self._applied(self.session.speak(spoken_by(chat, name), stop, key=self.key, asked_at=asked_at))

    def regenerate(self, index: int | None = None, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """As `ChatSession.regenerate`."""
        chat, stop = self._begun()
        return self._applied(self.session.regenerate(chat, stop, index, key=self.key, asked_at=asked_at))

    def continue_reply(self, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """As `ChatSession.continue_reply`."""
        chat, stop = self._begun()
        return self._applied(self.session.continue_reply(chat, stop, key=self.key, asked_at=asked_at))

    def stop(self) -> None:
        """End the turn under way."""
        self._stop.set()

    def _begun(self) -> tuple[Chat, Stop]:
        chat, self._stop = self.chat, Stop()
        self.chat = chat.lent(IDS)
        return chat, self._stop

    async def _applied(self, events: AsyncGenerator[ChatEvent, None]) -> AsyncGenerator[ChatEvent, None]:
        async with contextlib.aclosing(events):
            async for event in events:
                if isinstance(event, Proposed):
                    self.chat = applied(self.chat, event.edit)
                else:
                    yield event
