"""``nemochat mcp``: the servers whose tools the model may be offered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from nemochat.cli.asking import ask_yes, can_ask
from nemochat.cli.output import StatusLine, print_json, print_note, print_table
from nemochat.cli.servers import open_servers
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError, UsageError
from nemochat.paths import Paths, find_paths
from nemochat.tools.mcp import config
from nemochat.tools.mcp.client import McpServer
from nemochat.tools.mcp.offering import McpTool, tool_for_people
from nemochat.tools.mcp.pins import Pins
from nemochat.tools.mcp.servers import McpServers


def add(name: str, command: Sequence[str], *, env: Sequence[str], headers: Sequence[str], url: str) -> None:
    """Write a server into the file of servers; it is not started. Raises McpError and UsageError."""
    if bool(command) == bool(url):
        example = f"nemochat mcp add {sanitize(name, strict=True)} -- npx -y @modelcontextprotocol/server-everything"
        raise UsageError(f"A server needs a command or --url{', not both' if url else ''}.", example)
    first, *rest = command or ("",)
    server = config.ServerConfig(name, first, tuple(rest), _pairs("--env", env), "", url, _pairs("--header", headers))
    config.add(_paths().mcp_servers, server)
    print(f"Added {name}: {server.command_line()}")
    print(f"Look at what it offers and allow it: nemochat mcp check {name}")


def print_list(*, as_json: bool) -> None:
    """The servers, and whether they may start. Raises McpError for a file that cannot be read."""
    found = config.read_config(_paths().mcp_servers)
    pins = Pins(_paths().mcp_pins)
    rows = [(each.name, _state(each, pins), each.command_line()) for each in found.servers]
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
    print(f"Removed {sanitize(name, strict=True)}.")


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
        print(f"It answers{f' as {sanitize(described, strict=True)}' if described else ''}.")
        names = [tool.offered.name for tool in tools]
        for word, found in (("Tools", names), ("Resources", resources), ("Prompts", prompts)):
            print(sanitize(f"{word}: {', '.join(found) or 'none'}", strict=True))
        for problem in server.problems:
            print_note(problem)
        await _accept(server, tools, trust=trust)
    finally:
        await servers.close()


async def _allow(server: McpServer, *, trust: bool) -> None:
    """Raises NemochatError when the user does not allow this command."""
    started = f"This is started: {server.command_line()}"
    if server.is_trusted or trust or not can_ask():
        print_note(started)
    if server.is_trusted:
        return
    if not trust and not await ask_yes(started, "It runs with your rights and can do whatever you can do. Allow it?"):
        hint = "" if can_ask() else "There is no terminal to ask at; --trust allows it."
        raise NemochatError(f"The server “{server.name}” was not allowed to start.", hint)
    server.trust()


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
            print(shown)
        if changed and not trust and not await ask_yes(shown, "Accept them as they are now?"):
            hint = "" if can_ask() else "There is no terminal to ask at; --trust accepts them."
            raise NemochatError(f"The changed tools of “{server.name}” were not accepted: each call is asked about.", hint)
    server.accept()


async def _log(name: str, lines: int) -> None:
    servers = await _opened()
    text = servers.server(name).log_tail(lines)
    if text:
        print(sanitize(text))
    else:
        print_note(f"The server “{sanitize(name, strict=True)}” has printed nothing yet.")


async def _opened() -> McpServers:
    servers = open_servers(_paths())
    await servers.reload()
    return servers


def _state(server: config.ServerConfig, pins: Pins) -> str:
    if not server.is_on:
        return "off"
    return "allowed" if pins.is_trusted(server) else "not allowed yet"


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
