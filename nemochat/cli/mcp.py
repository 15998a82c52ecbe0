"""``nemochat mcp``: the servers whose tools the model may be offered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from nemochat.cli.asking import ask_yes, can_ask
from nemochat.cli.offering import open_servers
from nemochat.cli.output import StatusLine, print_json, print_note, print_table, say
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError, UsageError
from nemochat.paths import Paths, find_paths
from nemochat.tools.mcp import config
from nemochat.tools.mcp.client import McpServer
from nemochat.tools.mcp.launch import Launch, bind, current_folder, resolve, search_path
from nemochat.tools.mcp.offering import McpTool, tool_for_people
from nemochat.tools.mcp.pins import Pins
from nemochat.tools.mcp.servers import McpServers


def add(name: str, command: Sequence[str], *, env: Sequence[str], headers: Sequence[str], url: str, cwd: str) -> None:
    """Write a server into the file of servers, bound to the current folder where it names something in it; it is not started.

    Raises McpError and UsageError.
    """
    if bool(command) == bool(url):
        example = f"nemochat mcp add {sanitize(name, strict=True)} -- npx -y @modelcontextprotocol/server-everything"
        raise UsageError(f"A server needs a command or --url{', not both' if url else ''}.", example)
    first, *rest = command or ("",)
    entry = config.ServerConfig(name, first, tuple(rest), _pairs("--env", env), cwd, url, _pairs("--header", headers))
    server = bind(entry, current_folder())
    config.add(_paths().mcp_servers, server)
    say(f"Added {name}: {resolve(server, search_path(os.environ, server.env)).line()}", strict=True)
    say(f"Look at what it offers and allow it: nemochat mcp check {name}", strict=True)


def print_list(*, as_json: bool) -> None:
    """The servers, and whether they may start. Raises McpError for a file that cannot be read."""
    found = config.read_config(_paths().mcp_servers)
    pins = Pins(_paths().mcp_pins)
    launches = [(each, pins.launch(each, os.environ)) for each in found.servers]
    rows = [(each.name, _state(each, launch, pins), launch.line()) for each, launch in launches]
    if as_json:
        servers = [{"name": name, "state": state, "command": command} for name, state, command in rows]
        print_json({"servers": servers, "problems": found.problems})
        return
    if rows:
        print_table(("name", "", "what is started"), rows)
    for problem in found.problems.values():
        print_note(problem)
    if not rows and not found.problems:
        print_note("There are no servers. nemochat mcp add NAME -- COMMAND ARGUMENTS adds one.")


def remove(name: str) -> None:
    """Take a server out of the file, and forget what was allowed of it. Raises McpError."""
    paths = _paths()
    config.remove(paths.mcp_servers, name)
    Pins(paths.mcp_pins).forget(name)
    say(f"Removed {name}.", strict=True)


def check(name: str, *, trust: bool) -> None:
    """Show what is started, ask whether it may be, start it, list what it has and accept its tools. Raises NemochatError."""
    asyncio.run(_check(name, trust=trust))


def log(name: str, lines: int) -> None:
    """The end of what a server printed for people. Raises McpError."""
    asyncio.run(_log(name, lines))


async def _check(name: str, *, trust: bool) -> None:
    servers = await _opened()
    try:
        server = servers.server(name)
        await _allow(server, trust=trust)
        try:
            with StatusLine() as status:
                status.show(f"starting {name} ...")
                # The tools are listed once: what is shown here, and nothing that comes later, is what is accepted.
                tools = await server.tools()
                described = await server.description()
                resources = [resource.uri for resource in await server.list_resources()]
                prompts = [prompt.name for prompt in await server.list_prompts()]
        except NemochatError as error:
            raise NemochatError(error.message, f"{error.hint} Its log: nemochat mcp log {name}".strip()) from error
        say(f"It answers{f' as {described}' if described else ''}.", strict=True)
        names = [tool.offered.name for tool in tools]
        for word, found in (("Tools", names), ("Resources", resources), ("Prompts", prompts)):
            say(f"{word}: {', '.join(found) or 'none'}", strict=True)
        for problem in server.problems:
            print_note(problem)
        await _accept(server, tools, trust=trust)
    finally:
        await servers.close()


async def _allow(server: McpServer, *, trust: bool) -> None:
    """Show what is started. Raises NemochatError when the user does not allow it."""
    launch, pins = server.launch(), Pins(_paths().mcp_pins)
    started = f"This is started: {launch.line()}"
    if pins.has_changed(launch):
        started += "\nIt is not what you allowed before."
    is_trusted = pins.is_trusted(launch)
    if is_trusted or trust or not can_ask():
        print_note(started, strict=False)
    if is_trusted:
        return
    if not trust and not await ask_yes(started, "It runs with your rights and can do whatever you can do. Allow it?"):
        hint = "" if can_ask() else "There is no terminal to ask at; --trust allows it."
        raise NemochatError(f"The server “{server.name}” was not allowed to start.", hint)
    server.trust(launch)


async def _accept(server: McpServer, tools: Sequence[McpTool], *, trust: bool) -> None:
    """Take the tools as they are, with the user's word when they are not as they were. Raises NemochatError when that is not given."""
    pins = Pins(_paths().mcp_pins)
    changed = [tool for tool in tools if tool.original in server.changes()]
    if any(pins.is_known(server.name, tool.original) for tool in tools):
        words = ("Changed" if pins.is_known(server.name, tool.original) else "New" for tool in changed)
        shown = "\n".join(
            f"{word} since you accepted its tools: {tool_for_people(tool)}" for word, tool in zip(words, changed, strict=True)
        )
        if changed and (trust or not can_ask()):
            say(shown)
        if changed and not trust and not await ask_yes(shown, "Accept them as they are now?"):
            hint = "" if can_ask() else "There is no terminal to ask at; --trust accepts them."
            raise NemochatError(f"The changed tools of “{server.name}” were not accepted: each call is asked about.", hint)
    server.accept()


async def _log(name: str, lines: int) -> None:
    servers = await _opened()
    text = servers.server(name).log_tail(lines)
    if text:
        say(text)
    else:
        print_note(f"The server “{name}” has printed nothing yet.")


async def _opened() -> McpServers:
    servers = open_servers(_paths())
    await servers.reload()
    return servers


def _state(server: config.ServerConfig, launch: Launch, pins: Pins) -> str:
    if not server.is_on:
        return "off"
    if pins.has_changed(launch):
        return "changed since you allowed it"
    return "allowed" if pins.is_trusted(launch) else "not allowed yet"


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} takes NAME=VALUE, not {sanitize(text, strict=True)}.")
        pairs[name] = value
    return pairs


def _paths() -> Paths:
    return find_paths(os.environ)
