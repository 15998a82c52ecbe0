"""Holds the session with the model that is open now, and the conversation while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from nemochat.chat import Chat, ChatSession
from nemochat.chat.album import Album
from nemochat.chat.passages import FindPassages
from nemochat.chat.toolbox import Toolbox
from nemochat.domain.events import Progress
from nemochat.domain.images import RgbImage
from nemochat.domain.replies import ModelRef
from nemochat.tui.workbench import Workbench


class SessionHolder:
    """At most one session at a time: a model is closed before the next one is opened, because two may not fit into memory."""

    def __init__(self, bench: Workbench, on_progress: Callable[[Progress], None], on_opened: Callable[[], None]) -> None:
        """on_opened: called when a model's files have been looked at and its loading begins."""
        self._bench = bench
        self._on_progress = on_progress
        self._on_opened = on_opened
        self._ready = asyncio.Event()
        self._chat = Chat()
        self.album = Album(lambda digest: bench.library.original(digest))
        """The pictures of this run, whichever model looks at them."""
        self._key = ""
        self.save: Callable[[Chat], Awaitable[None]] | None = None
        """Keeps the conversation while a reply is being written."""
        self.toolbox: Toolbox | None = None
        """Answers the calls of tools."""
        self.find_passages: FindPassages | None = None
        """Of the conversation's documents, for each message."""
        self.session: ChatSession | None = None
        self.is_loaded = False

    @property
    def chat(self) -> Chat:
        """The conversation, with or without a session."""
        return self.session.chat if self.session is not None else self._chat

    @chat.setter
    def chat(self, chat: Chat) -> None:
        if self.session is not None:
            self.session.open_chat(chat)
        else:
            self._chat = chat

    @property
    def key(self) -> str:
        """The id of the conversation in the library, "" while it has none: what the engine knows it by."""
        return self._key

    @key.setter
    def key(self, key: str) -> None:
        self._key = key
        if self.session is not None:
            self.session.key = key

    @property
    def pictures(self) -> Mapping[str, RgbImage]:
        """What is shown of every picture, by digest."""
        return self.session.pictures if self.session is not None else self.album.previews(None)

    @property
    def model(self) -> ModelRef:
        """The model, as it is stored; nameless while there is none."""
        return self.session.model if self.session is not None else ModelRef()

    @property
    def model_name(self) -> str:
        """What people call the model; "" while there is none."""
        return self.session.model_name if self.session is not None else ""

    async def ready(self) -> ChatSession:
        """The session, as soon as there is one; its model may still be loading."""
        while self.session is None:
            await self._ready.wait()
        return self.session

    async def open(self, model: str | None) -> ChatSession:
        """Open a model in place of the one before, the conversation stays; returns when it is loaded. Raises NemochatError."""
        await self.close()
        session = await self._bench.open(model)
        self._on_opened()
        session.album = self.album
        session.open_chat(self._chat, key=self._key)
        session.save, session.toolbox, session.find_passages = self.save, self.toolbox, self.find_passages
        session.tools.budget = self._bench.settings.tools.budget
        session.holds_calls_to_schema = self._bench.settings.tools.constrained
        self.session = session
        self._ready.set()
        try:
            async for progress in session.loaded():
                self._on_progress(progress)
        except BaseException:
            await self.close()
            raise
        self.is_loaded = True
        return session

    async def forget(self, key: str) -> None:
        """A conversation was deleted: what engines have read of it goes. One that is brought back is read anew. Raises NemochatError."""
        if self.session is not None and self.is_loaded:
            await self.session.forget(key)
        await asyncio.to_thread(self._bench.forget_states, key)

    async def close(self) -> None:
        """End the engine; the conversation and its pictures stay here."""
        session = self.session
        if session is not None:
            self._chat = session.chat
            self.session = None
        self.is_loaded = False
        self._ready.clear()
        if session is not None:
            await session.close()
