"""Which model is open or being loaded, and the choice of another one.

At most one is open: it is closed before the next one is opened, because two may not fit into memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nemochat.chat import ChatSession
from nemochat.desk.port import Answer, AskFile, AskItem, AskOne, Item, ModelChanged, Port, Workbench
from nemochat.domain.replies import ModelRef
from nemochat.errors import EngineError, NemochatError

_ADD = "\0add"
"""Stands for "Add a model" in the list of models: no model is called so."""


class OpenModel:
    """Owns the session. equip: gives a session what it needs before its model is loaded."""

    def __init__(self, port: Port, bench: Workbench, equip: Callable[[ChatSession], None]) -> None:
        self._port, self._bench, self._equip = port, bench, equip
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

    # -- the choice

    async def choose(self, title: str) -> str | None:
        """Let the user choose a model, or add one; its name. Raises NemochatError."""
        used = " · in use"
        items = [Item(each.name, each.name, f"{each.detail}{used if each.name == self.name else ''}") for each in self._bench.models()]
        adds = Item(_ADD, "Add a model…", "a GGUF file; its projector is found beside it")
        chosen: str | None = await self._port.ask(AskItem(title, (*items, adds), current=self.name))
        if chosen != _ADD:
            return chosen
        path = await self._port.ask(AskFile("Add a model", "Models", (".gguf",)))
        return await asyncio.to_thread(self._bench.add_model, path) if path is not None else None

    async def offer_others(self, error: NemochatError) -> str | None:
        """A model could not be loaded: say why, and what can be done; the name of another one. Raises NemochatError."""
        answers = (Answer("demo", "Use the demo model"), Answer("other", "Choose another"), Answer("later", "Not now"))
        chosen = await self._port.ask(AskOne("The model cannot be loaded", error.message, answers, error.hint))
        if chosen == "demo":
            return self._bench.demo_model
        return await self.choose("Choose another model") if chosen == "other" else None

    # -- within

    async def _opened(self, name: str | None, before: asyncio.Task[ChatSession] | None) -> ChatSession:
        if before is not None:
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        await self._end()
        self._port.tell(ModelChanged())
        session: ChatSession | None = None
        try:
            session = await self._bench.open(name)
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


