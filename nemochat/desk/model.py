"""Which model is open or being loaded. At most one: it is closed before the next one is opened, because two may not fit into memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nemochat.chat import ChatSession
from nemochat.desk.port import ModelChanged, Port
from nemochat.domain.replies import ModelRef
from nemochat.errors import EngineError


class OpenModel:
    """Owns the session. equip: gives a session what it needs before its model is loaded."""

    def __init__(
        self, port: Port, open_session: Callable[[str | None], Awaitable[ChatSession]], equip: Callable[[ChatSession], None]
    ) -> None:
        self._port, self._open_session, self._equip = port, open_session, equip
        self._opening: asyncio.Task[ChatSession] | None = None
        self._loaded = asyncio.Event()
        self._is_closed = False
        self.session: ChatSession | None = None
        """The session, whose model may still be loading."""
        self.is_loaded = False

    @property
    def name(self) -> str:
        """What people call the model; "" while there is none."""
        return self.session.model_name if self.session is not None else ""

    @property
    def ref(self) -> ModelRef:
        """The model, as it is stored; nameless while there is none."""
        return self.session.reader.model if self.session is not None else ModelRef()

    async def ready(self) -> ChatSession:
        """The session, as soon as there is one whose model is loaded, however long that takes."""
        while self.session is None or not self.is_loaded:
            if self._is_closed:
                raise EngineError("The program is ending.")
            await self._loaded.wait()
        return self.session

    async def open(self, name: str | None) -> ChatSession | None:
        """Open a model in place of the one before; returns when it is loaded, or None when a later `open` has taken its place.

        The opening goes on if this is cancelled: it belongs to the program, not to the one who waits for it. Raises NemochatError.
        """
        before, self._opening = self._opening, None
        opening = self._opening = asyncio.create_task(self._opened(name, before))
        await asyncio.wait({opening})
        return None if opening.cancelled() else opening.result()

    async def close(self) -> None:
        """End the engine for good, also in the middle of loading."""
        self._is_closed = True
        self._loaded.set()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._end()

    async def _opened(self, name: str | None, before: asyncio.Task[ChatSession] | None) -> ChatSession:
        if before is not None:
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        await self._end()
        self._port.tell(ModelChanged())
        session: ChatSession | None = None
        try:
            session = await self._open_session(name)
            self._equip(session)
            self.session = session
            self._port.tell(ModelChanged())
            async for progress in session.loaded():
                self._port.tell(ModelChanged(progress))
        except BaseException:
            self.session = None
            if session is not None:
                await session.close()
            raise
        self.is_loaded = True
        self._loaded.set()
        self._port.tell(ModelChanged())
        return session

    async def _end(self) -> None:
        session, self.session = self.session, None
        self.is_loaded = False
        if not self._is_closed:
            self._loaded.clear()
        if session is not None:
            await session.close()


