"""Which model is open or being loaded, and the choice of another one.

At most one is open: it is closed before the next one is opened, because two may not fit into memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from nemochat.chat import ChatSession
from nemochat.chat.remotes import Listing, about
from nemochat.desk.port import AboutToAsk, Answer, AskFile, AskItem, AskLeave, AskOne, Item, Leave, ModelChanged, Port, Workbench
from nemochat.domain.replies import ModelRef
from nemochat.domain.servers import ServedModel
from nemochat.engine.protocol import Counts
from nemochat.errors import EngineError, EngineMissingError, NemochatError

_ADD, _GET, _NEW = "\0add", "\0get", "\0new "
"""Stand for "Add a model", "Get a model", and for a server that runs on this machine and is to be added, in the list of models: none is
called so."""


class OpenModel:
    """Owns the session. equip: gives a session what it needs before its model is loaded. get_more: lets the user get a model."""

    def __init__(
        self, port: Port, bench: Workbench, equip: Callable[[ChatSession], None], get_more: Callable[[], Awaitable[None]]
    ) -> None:
        self._port, self._bench, self._equip, self._get_more = port, bench, equip, get_more
        self._opening: asyncio.Task[ChatSession | None] | None = None
        self._loaded = asyncio.Event()
        self._is_closed, self._is_opening = False, True  # the program opens one when it starts
        self.coming = ""
        """The model that is being opened, as it was asked for; "" where that is left to the settings."""
        self.session: ChatSession | None = None
        """The session, whose model may still be loading."""
        self.is_loaded = False

    @property
    def is_missing(self) -> bool:
        """Whether there is no model, and none on its way: the user has to choose one."""
        return self.session is None and not self._is_opening

    @property
    def name(self) -> str:
        """What people call the model; "" while there is none."""
        return self.session.model_name if self.session is not None else ""

    @property
    def ref(self) -> ModelRef:
        """The model, as it is stored; nameless while there is none."""
        return self.session.reader.model if self.session is not None else ModelRef()

    @property
    def leaves(self) -> bool:
        """Whether what it reads leaves this machine."""
        return self.session is not None and self.session.served is not None and self.session.served.leaves

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that it runs on, none where that is the processor, or not known."""
        info = self.session.reader.engine.info if self.session is not None and self.is_loaded else None
        return info.devices if info is not None else ()

    @property
    def is_unprotected(self) -> bool:
        """Whether somebody's words could become control tokens; that may change with a picture."""
        return self.session is not None and self.is_loaded and not self.session.reader.engine.capabilities.keeps_words_apart

    @property
    def counts_pictures(self) -> bool:
        """Whether it is known beforehand what a picture takes in the prompt; else it is near that."""
        return self.session is None or self.session.reader.counts_pictures

    @property
    def counts_exactly(self) -> bool:
        """The same for words."""
        return self.session is None or self.session.reader.engine.capabilities.counts is Counts.EXACT

    async def ready(self) -> ChatSession:
        """The session, as soon as there is one whose model is loaded, however long that takes."""
        while self.session is None or not self.is_loaded:
            if self._is_closed:
                raise EngineError("The program is ending.")
            await self._loaded.wait()
        return self.session

    async def open(self, name: str | None) -> ChatSession | None:
        """Open a model in place of the one before; returns when it is loaded, or None when a later `open` has taken its place, or the user
        does not let words leave this machine for it: the one before stays then, as it does when a server cannot be asked.

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
        remotes = self._bench.remotes
        self._port.tell(AboutToAsk())
        servers = await asyncio.to_thread(remotes.servers.all)
        found: dict[str, Listing] = {}

        async def later() -> AsyncGenerator[tuple[str, Sequence[Item]], None]:
            async with aclosing(remotes.listings(servers, discovers=True)) as answers:
                async for name, listings in answers:
                    found.update({listing.server.name: listing for listing in listings})
                    rows = [row for listing in listings for row in self._rows(listing)]
                    yield (f"{name}/" if name else ""), rows

        local = [self._item(each.name, each.detail) for each in self._bench.models()]
        if self.name and self.name not in {item.value for item in local} and not any(self.name.startswith(f"{s.name}/") for s in servers):
            is_served = self.session is not None and self.session.served is not None
            local.insert(0, self._item(self.name, "of a server that was taken out" if is_served else "opened by its path"))
        adds = Item(_ADD, "Add a model…", "a GGUF file; its projector is found beside it")
        gets = Item(_GET, "Get a model…", "from Hugging Face, NGC or an address; a short list of good ones")
        asked = [Item(f"{server.name}/", f"{server.name}/", "asking …") for server in servers]
        chosen: str | None = await self._port.ask(AskItem(title, (*local, *asked, gets, adds), current=self.name, later=later))
        if chosen is not None and chosen.startswith(_NEW):
            listing = found[chosen.removeprefix(_NEW)]
            server = await asyncio.to_thread(remotes.servers.add, listing.server.name, listing.server.url, listing.server.kind)
            return listing.models[0].name if len(listing.models) == 1 else await self.choose(f"Choose a model of {server.name}")
        if chosen == _GET:
            await self._get_more()
            return None
        if chosen != _ADD:
            return chosen
        path = await self._port.ask(AskFile("Add a model", "Models", (".gguf",)))
        return await asyncio.to_thread(self._bench.add_model, path) if path is not None else None

    def _item(self, name: str, detail: str) -> Item:
        return Item(name, name, f"{detail}{' · in use' if name == self.name else ''}")

    def _rows(self, listing: Listing) -> Sequence[Item]:
        """The models of a server, or a line that says why there are none; to choose that one is to ask again."""
        server, error = listing.server, listing.error
        if listing.is_new:
            return [Item(f"{_NEW}{server.name}", f"Add {server.name}", f"it runs on this machine, at {server.url}")]
        if listing.models:
            return [self._item(served.name, about(served)) for served in listing.models]
        return [Item(f"{server.name}/", f"{server.name}/ not available", error.message if error is not None else "has no model")]

    async def offer_others(self, error: NemochatError) -> str | None:
        """A model could not be loaded: say why, and what can be done; the name of another one. Raises NemochatError."""
        demo = () if isinstance(error, EngineMissingError) else (Answer("demo", "Use the demo model"),)
        answers = (*demo, Answer("other", "Choose another"), Answer("later", "Not now"))
        chosen = await self._port.ask(AskOne("The model cannot be loaded", error.message, answers, error.hint))
        if chosen == "demo":
            return self._bench.demo_model
        return await self.choose("Choose another model") if chosen == "other" else None

    # -- within

    async def _opened(self, name: str | None, before: asyncio.Task[ChatSession | None] | None) -> ChatSession | None:
        if before is not None:
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        self._hold()
        self._is_opening, self.coming = True, name or ""
        try:
            served = await self._bench.find(name)
            may_open = served is None or await self._may_leave(served)
        except NemochatError:
            self._stay()
            raise
        if not may_open:
            self._stay()
            return None
        await self._end()
        self._port.tell(ModelChanged())
        session: ChatSession | None = None
        try:
            session = await self._bench.open(served or name)
            self._equip(session)
            self.session = session
            self._port.tell(ModelChanged())
            async for progress in session.loaded():
                self._port.tell(ModelChanged(progress))
        except BaseException as error:
            self.session = None
            if session is not None:
                await session.close()
            if isinstance(error, NemochatError):
                self._stay()
            raise
        self.is_loaded = True
        self._loaded.set()
        self._port.tell(ModelChanged())
        return session

    def _hold(self) -> None:
        """Another model is to be opened: nothing begins with this one any more, which is there until it is clear that the other can be."""
        self.is_loaded = False
        if not self._is_closed:
            self._loaded.clear()

    def _stay(self) -> None:
        """It was not to be: this one, if there is one, goes on."""
        self.is_loaded, self._is_opening = self.session is not None, False
        if self.is_loaded:
            self._loaded.set()
        self._port.tell(ModelChanged())

    async def _may_leave(self, served: ServedModel) -> bool:
        """Whether words may leave this machine for a model; asked once for each server and address."""
        keys = self._bench.remotes.keys
        if not served.leaves or await asyncio.to_thread(keys.is_allowed, served.server):
            return True
        said = await self._port.ask(AskLeave(served))
        if said == Leave.ALWAYS:
            await asyncio.to_thread(keys.allow, served.server)
        return said in (Leave.ALWAYS, Leave.ONCE)

    async def _end(self) -> None:
        session, self.session = self.session, None
        self._hold()
        if session is not None:
            await session.close()
