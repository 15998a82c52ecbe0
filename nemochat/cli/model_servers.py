"""``nemochat servers``: add, list, check and remove."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from nemochat.chat.remotes import Listing, about
from nemochat.cli.output import StatusLine, print_error, print_json, print_note, print_notes, print_table, say
from nemochat.cli.setup import Setup, read_setup
from nemochat.domain.servers import ServedModel, Server
from nemochat.errors import NemochatError, UsageError
from nemochat.models.servers import named, normal_url, variable_of
from nemochat.numbers import duration, plural

_LONGEST_KEY = 16_384


class JsonServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server as it is told with ``--json``. leaves: its address is not this machine's. key: where its key is, never the key itself.

    error, hint, models, ms: what came of asking it; left out where it was not asked.
    """

    name: str
    url: str
    kind: str | None
    leaves: bool
    key: str
    error: str = ""
    hint: str = ""
    models: list[dict[str, Any]] | None = None
    ms: float | None = None

    @classmethod
    def of(cls, setup: Setup, server: Server, **told: Any) -> JsonServer:
        """All that is known of it."""
        return cls(server.name, server.url, server.kind, not server.is_here, setup.keys.place(server), **told)


def add(name: str, url: str, *, asks: bool, reads: bool, variable: str, has_more: bool) -> None:
    """Remember a server, with its key where one is given, and look at it. One that does not answer is remembered all the same.

    asks, reads, variable: where the key comes from. has_more: something stands behind the address, which may be a key: it is not repeated.
    Raises NemochatError.
    """
    if has_more:
        hint = "--key takes nothing behind it: it asks for the key, which others could see on the command line."
        raise UsageError("After the address there is one word too many.", hint)
    if asks + reads + bool(variable) > 1:
        raise UsageError("A server has one key.", "Give one of --key, --key-stdin and --key-env.")
    setup = read_setup()
    server = Server(named(name), normal_url(url))
    key = _key(server, asks=asks, reads=reads, variable=variable)
    server = setup.servers.add(server.name, server.url)
    print_notes(setup.servers.notices)
    kept = setup.keys.put(server, key) if key else ""
    say(f"Added {server.name}: {server.url}" + (f", its key in {kept}." if kept else ""), strict=True)
    if not server.is_here:
        way = " It is not encrypted on the way (http)." if server.url.startswith("http:") else ""
        print_note(f"It is not this machine: what its models are asked, words and pictures, is sent there.{way}")
    found = asyncio.run(_ask(setup, server))
    if isinstance(found, NemochatError):
        print_note(f"It could not be asked yet: {found.in_full}")
        say(f"Try again with: nemochat servers check {server.name}", strict=True)
        return
    assert found.server.kind is not None
    setup.servers.add(server.name, server.url, found.server.kind)
    say(f"It is {found.server.kind.label} and has {plural(len(found.models), 'model')}.", strict=True)
    if found.models:
        say(f"Ask one with: nemochat ask --model {found.models[0].name}", strict=True)


def print_list(*, as_json: bool) -> None:
    """The servers, which are not asked, and what else runs on this machine. Raises NemochatError."""
    setup = read_setup()
    servers = setup.servers.all()
    print_notes(setup.servers.notices)
    new = asyncio.run(setup.remotes.discovered())
    if as_json:
        print_json({"servers": [JsonServer.of(setup, each) for each in servers], "found": [each.server for each in new]})
        return
    rows = [
        (each.name, each.url, each.kind.label if each.kind else "not asked yet", _place(each), setup.keys.place(each) or "none")
        for each in servers
    ]
    if rows:
        print_table(("name", "address", "what it is", "where", "key"), rows)
    elif not new:
        print_note("There are no servers. nemochat servers add NAME URL adds one.")
    for each in new:
        assert each.server.kind is not None
        print_note(f"{each.server.kind.label} runs on this machine: nemochat servers add {each.server.name} {each.server.url}")


def check(name: str | None, *, as_json: bool) -> int:
    """Ask one server, or all at once, and say what it is; the exit code, 1 when one does not answer. Raises NemochatError."""
    setup = read_setup()
    servers = [setup.servers.get(name)] if name is not None else setup.servers.all()
    print_notes(setup.servers.notices)
    if not servers:
        print_note("There are no servers. nemochat servers add NAME URL adds one.")
    with StatusLine() as status:
        status.show("asking ...")
        answers = asyncio.run(_ask_all(setup, servers))
    for listing, _ in answers:
        if listing.error is None:
            setup.servers.add(listing.server.name, listing.server.url, listing.server.kind)
    if as_json:
        print_json({"servers": [_told(setup, listing, ms) for listing, ms in answers]})
    else:
        for listing, ms in answers:
            _say(listing, ms)
    return int(any(listing.error is not None for listing, _ in answers))


def remove(name: str) -> None:
    """Forget a server, its key, and that its model was in use. Raises NemochatError."""
    setup = read_setup()
    server = setup.servers.remove(name)
    has_key = bool(setup.keys.place(server))
    setup.keys.forget(server.name)
    if setup.catalogue.served.startswith(f"{server.name}/"):
        setup.catalogue.use_served("")
    print_notes(setup.servers.notices)
    say(f"{server.name} is forgotten{', and its key' if has_key else ''}.", strict=True)
    if os.environ.get(variable_of(server.name)):
        print_note(f"{variable_of(server.name)} still holds a key.")


async def _ask(setup: Setup, server: Server) -> Listing | NemochatError:
    try:
        found = await setup.remotes.look_at(server)
    except NemochatError as error:
        return error
    return Listing(found.server, tuple(ServedModel(found.server, model) for model in found.models))


async def _ask_all(setup: Setup, servers: Sequence[Server]) -> list[tuple[Listing, float]]:
    async def one(server: Server) -> tuple[Listing, float]:
        began = time.perf_counter()
        found = await _ask(setup, server)
        listing = Listing(server, error=found) if isinstance(found, NemochatError) else found
        return listing, (time.perf_counter() - began) * 1000

    return list(await asyncio.gather(*map(one, servers)))


def json_models(listing: Listing) -> list[dict[str, Any]]:
    """The models of a server as they are told with ``--json``."""
    return [{"name": served.name, **msgspec.structs.asdict(served.model), "leaves": served.leaves} for served in listing.models]


def _told(setup: Setup, listing: Listing, ms: float) -> JsonServer:
    error = listing.error
    said: dict[str, Any] = {"error": error.message, "hint": error.hint} if error is not None else {"models": json_models(listing)}
    return JsonServer.of(setup, listing.server, ms=round(ms, 1), **said)


def _say(listing: Listing, ms: float) -> None:
    """What came of asking one server."""
    server = listing.server
    if listing.error is not None:
        print_error(listing.error)
        return
    assert server.kind is not None
    say(f"{server.name} is {server.kind.label} at {server.url}, {_place(server)}; it answered in {duration(ms)}.", strict=True)
    if listing.models:
        print_table(("", ""), [(served.name, about(served)) for served in listing.models])
    else:
        print_note(f"{server.name} has no model. Load one there first.")


def _place(server: Server) -> str:
    return "this machine" if server.is_here else "another machine"


def _key(server: Server, *, asks: bool, reads: bool, variable: str) -> str:
    """The key that was given, "" for none. Raises UsageError."""
    if asks:
        if not sys.stdin.isatty():
            hint = "--key-stdin reads it from standard input, --key-env from a variable."
            raise UsageError("There is no terminal to ask for the key at.", hint)
        key = getpass.getpass(f"Key of {server.name} (not shown): ")
    elif reads:
        key = sys.stdin.readline(_LONGEST_KEY)
    elif variable:
        key = os.environ.get(variable, "")
    else:
        return ""
    if not key.strip():
        where = "in that variable" if variable else "on standard input" if reads else "typed"
        raise UsageError(f"There is no key {where}.", "Leave it out for a server that wants none.")
    return key
