"""Models of servers: which one a name means, what each server has, and what the user has let leave this machine."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import RemoteModel, ServedModel, Server, ServerKind
from nemochat.errors import NemochatError, ServerError, UsageError
from nemochat.models import Catalogue, Keys, Servers
from nemochat.models.folders import is_there

if TYPE_CHECKING:
    from nemochat.engine.remote.finding import Found

_PATIENCE_SECONDS = 4.0
"""How long a server is waited for where the models of all are listed."""
_LOADING_SECONDS, _LOOKS_AGAIN = 300.0, 0.5
"""How long a server that is loading its model is waited for where one of its models is to be opened, and how often it is looked at."""
_NO_ROUTE = (404, 405, 501)
_MOST_NAMED = 5


class Listing(msgspec.Struct, frozen=True):
    """What a server has. error: why that is not known, None where it is. is_new: it runs on this machine, and the user has not added it."""

    server: Server
    models: tuple[ServedModel, ...] = ()
    error: NemochatError | None = None
    is_new: bool = False


class Remotes:
    """The user's servers with their keys, and what they have. What waits for files here is called in a thread, or does so itself."""

    def __init__(self, servers: Servers, keys: Keys) -> None:
        self.servers, self.keys = servers, keys
        self._seen: dict[str, tuple[str, ...]] = {}

    def names(self) -> Sequence[str]:
        """What may be typed for a model: those that each server had when it was asked last, or the server's name. None is asked."""
        try:
            servers = self.servers.all()
        except NemochatError:
            return ()  # what is wrong with the list is told when a model is chosen
        return [name for server in servers for name in self._seen.get(server.name, (f"{server.name}/",))]

    async def listings(
        self, servers: Sequence[Server], *, discovers: bool = False
    ) -> AsyncGenerator[tuple[str, Sequence[Listing]], None]:
        """What each of these servers has, by its name, as the answers come; if it `discovers`, what else runs on this machine, by "".

        All are asked at once, and none is waited for longer than a few seconds.
        """

        async def one(server: Server) -> tuple[str, Sequence[Listing]]:
            return server.name, [await self._listed(server)]

        async def others() -> tuple[str, Sequence[Listing]]:
            return "", await self.discovered()

        asked = [asyncio.create_task(each) for each in (*map(one, servers), *([others()] if discovers else []))]
        try:
            for answer in asyncio.as_completed(asked):
                yield await answer
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def discovered(self) -> list[Listing]:
        """What runs on this machine and is not one of the user's servers, each under a name that is free."""
        from nemochat.engine.remote import finding

        known = await asyncio.to_thread(self.servers.all)
        taken, found = {server.name for server in known}, []
        for each in await finding.discover():
            if not any(server.is_at(each.server) for server in known):
                name = next(name for name in _numbered(each.server.name) if name not in taken)
                taken.add(name)
                server = msgspec.structs.replace(each.server, name=name)
                found.append(Listing(server, tuple(ServedModel(server, model) for model in each.models), is_new=True))
        return found

    async def look_at(self, server: Server) -> Found:
        """Which program a server is and which models it has. Raises ServerError, and NemochatError for a key that cannot be had."""
        from nemochat.engine.remote import finding
        from nemochat.engine.remote.client import ServerClient

        client = ServerClient(server, await asyncio.to_thread(self.keys.get, server), limits=finding.QUICK)
        try:
            return await finding.look(client)
        finally:
            await client.close()

    async def find(
        self, wanted: str | None, catalogue: Catalogue, *, waits: Callable[[str], None] = lambda sentence: None
    ) -> ServedModel | None:
        """The model that a name means: ``server/model``, each of the two in whole or its beginning; None for one of this machine.

        The server's name alone means its only model, or the only one that is loaded. One that is loading its model is waited for, of which
        `waits` is told. Raises UsageError for what may mean several, and ServerError.
        """
        meant = await asyncio.to_thread(self._meant, wanted, catalogue) if wanted else None
        if meant is None:
            return None
        server, model = meant
        try:
            found = await self._loaded(server, waits)
        except ServerError as error:
            if error.status not in _NO_ROUTE or not model:
                raise
            # Some have no list: what was typed is taken for what it is called there.
            return ServedModel(msgspec.structs.replace(server, kind=server.kind or ServerKind.OPENAI), RemoteModel(model))
        return ServedModel(found.server, _chosen(found.server, found.models, model))

    async def server_of(self, wanted: str | None, catalogue: Catalogue) -> Server | None:
        """The server whose model a name means, which is not asked for it; None for one of this machine. Raises UsageError as `find`."""
        meant = await asyncio.to_thread(self._meant, wanted, catalogue) if wanted else None
        return meant[0] if meant is not None else None

    def _meant(self, wanted: str, catalogue: Catalogue) -> tuple[Server, str] | None:
        """The server that a name begins with, and what it says of the model.

        A server's whole name goes before a path that is there, and that before the beginning of a name.
        """
        servers = self.servers.all()
        name, slash, model = wanted.partition("/")
        if exact := [server for server in servers if server.name == name.lower()]:
            return None if not slash and catalogue.knows(wanted) else (exact[0], model)
        if wanted == catalogue.served:
            gone = f"The model in use is {wanted}, but there is no server called {name} any more."
            raise UsageError(gone, "Choose another one: nemochat models use NAME")
        if not servers or is_there(Path(wanted)) or catalogue.knows(wanted):
            return None
        is_near = slash and difflib.get_close_matches(name.lower()[:80], [server.name for server in servers])
        return (self.servers.get(name), model) if is_near or self.servers.meant(name) else None

    async def _loaded(self, server: Server, waits: Callable[[str], None]) -> Found:
        """As `look_at`, as soon as the server has loaded its model."""
        clock = asyncio.get_running_loop().time
        until, is_told = clock() + _LOADING_SECONDS, False
        while True:
            try:
                return await self.look_at(server)
            except ServerError as error:
                if error.status != 503 or not re.search(r": .*\bloading", error.message, re.I) or clock() > until:
                    raise
            if not is_told:
                waits(f"{server.name} is loading its model ...")
            is_told = True
            await asyncio.sleep(_LOOKS_AGAIN)

    async def _listed(self, server: Server) -> Listing:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                found = await self.look_at(server)
        except TimeoutError:
            late = f"{server.name} has not said in {_PATIENCE_SECONDS:.0f} s which models it has."
            return Listing(server, error=ServerError(late, f"nemochat servers check {server.name} waits longer."))
        except NemochatError as error:
            return Listing(server, error=error)
        listing = Listing(found.server, tuple(ServedModel(found.server, model) for model in found.models))
        self._seen[server.name] = tuple(served.name for served in listing.models)
        return listing


def about(served: ServedModel, *, sight: bool = True) -> str:
    """What is known of a model, in few words; an arrow says that words leave this machine for it. sight: whether it sees is said too."""
    model = served.model
    words = [
        f"{model.context_length:,} tokens" if model.context_length else "",
        {True: "sees pictures", False: "text only", None: ""}[model.has_vision if sight else None],
        "not loaded" if model.is_loaded is False else "",
    ]
    return " ".join(filter(None, ("↗" if served.leaves else "", ", ".join(filter(None, words)))))


def _chosen(server: Server, models: Sequence[RemoteModel], typed: str) -> RemoteModel:
    """The one model that a typed name means. Raises UsageError."""
    wanted = typed.strip().casefold()
    ways: tuple[Callable[[RemoteModel], bool], ...] = (
        lambda model: typed in (model.id, model.label),
        lambda model: model.label.casefold() in (wanted, f"{wanted}:latest"),
        lambda model: model.label.casefold().startswith(wanted),
        lambda model: model.label.rpartition("/")[2].casefold().startswith(wanted),
    )
    found = next(filter(None, (list(filter(way, models)) for way in ways)), [])
    if not wanted:
        found = [model for model in models if model.is_loaded] or found
    if len(found) == 1:
        return found[0]
    if not models:
        raise UsageError(f"{server.name} has no model.", "Load one there first.")
    if not wanted:
        several = f"{server.name} has several models: {_named(model.label for model in models)}."
        raise UsageError(several, f"Write {server.name}/ and the beginning of one.")
    said = sanitize(typed, strict=True)[:80]
    if found:
        raise UsageError(f"{server.name}/{said} may be {_named(model.label for model in found)}.", "Write more of the name.")
    near = difflib.get_close_matches(typed, [model.label for model in models], n=3, cutoff=0.4)
    raise UsageError(f"{server.name} has no model called {said}.", f"It has {_named(near or [model.label for model in models])}.")


def _named(each: Iterable[str]) -> str:
    names = list(each)
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _numbered(name: str) -> Iterable[str]:
    """The name, then with -2, -3, ..."""
    yield name
    for number in range(2, 1000):
        yield f"{name}-{number}"
