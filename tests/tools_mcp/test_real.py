"""Servers as people run them: one made with the SDK (pipes and HTTP), one from PyPI and two from npm."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nemochat.tools.mcp.config import ServerConfig, add
from nemochat.tools.mcp.servers import McpServers
from nemochat.tools.mcp.values import McpError, PromptArgument
from tests.tools_mcp.conftest import Make, hostile, processes

PROPER = Path(__file__).with_name("proper.py")
EVERYTHING = "@modelcontextprotocol/server-everything"
FILESYSTEM = "@modelcontextprotocol/server-filesystem"
NPX_SECONDS = 120.0


def proper() -> ServerConfig:
    return ServerConfig("proper", sys.executable, (str(PROPER),))


@pytest.fixture(scope="module")
def npx() -> str:
    """The command that runs npm packages, where there are any to be had."""
    found, npm = shutil.which("npx"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("npm is not installed on this machine")
    try:
        done = subprocess.run([npm, "view", EVERYTHING, "version"], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the npm registry does not answer")
    if done.returncode:
        pytest.skip("the npm registry cannot be reached from this machine")
    return found


async def test_tools_resources_and_prompts_of_a_server_made_with_the_sdk(make: Make) -> None:
    server = make(proper())
    tools = {tool.offered.name: tool for tool in await server.tools()}
    assert list(tools) == ["add", "dot", "fail"]
    assert tools["add"].offered.spec.parameters["required"] == ["a", "b"]
    assert (await tools["add"].run({"a": 2, "b": 3})).text == "5"
    assert (await tools["dot"].run({})).images[0].startswith(b"\x89PNG")
    failed = await tools["fail"].run({})
    assert failed.is_error
    assert "fail" in failed.text
    assert [(each.uri, each.mime_type) for each in await server.list_resources()] == [
        ("mem://greeting", "text/plain"),
        ("mem://dot", "image/png"),
    ]
    (text,) = await server.read_resource("mem://greeting")
    (data,) = await server.read_resource("mem://dot")
    assert text.content == "Hello"
    assert isinstance(data.content, bytes)
    with pytest.raises(McpError, match="with an error"):
        await server.read_resource("mem://missing")
    (prompt,) = await server.list_prompts()
    assert prompt.arguments == (PromptArgument("code", is_required=True), PromptArgument("tone"))
    assert await server.get_prompt("review", {"code": "x = 1"}) == [("user", "Review this in a kind tone: x = 1")]
    assert await server.description() == "proper 1.2"


@pytest.mark.registry
@pytest.mark.skipif(importlib.util.find_spec("mcp_server_time") is None, reason="mcp-server-time (PyPI) is not installed")
async def test_a_server_from_pypi(make: Make) -> None:
    server = make(ServerConfig("time", sys.executable, ("-m", "mcp_server_time", "--local-timezone", "Europe/Berlin")))
    tools = {tool.offered.name: tool for tool in await server.tools()}
    outcome = await tools["convert_time"].run({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"})
    assert not outcome.is_error
    assert "T21:00:00+09:00" in outcome.text


@pytest.mark.registry
async def test_a_server_from_npm(make: Make, npx: str) -> None:
    server = make(ServerConfig("everything", npx, ("-y", EVERYTHING)), start_seconds=NPX_SECONDS)
    tools = {tool.offered.name: tool for tool in await server.tools()}
    assert (await tools["echo"].run({"message": "hello"})).text == "Echo: hello"
    assert (await tools["get-tiny-image"].run({})).images[0].startswith(b"\x89PNG")
    assert await server.list_resources()
    assert "simple-prompt" in [prompt.name for prompt in await server.list_prompts()]
    assert await server.get_prompt("simple-prompt")


@pytest.mark.registry
async def test_the_file_server_from_npm_stays_in_its_folder(make: Make, npx: str, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "note.txt").write_text("noted\n")
    server = make(ServerConfig("files", npx, ("-y", FILESYSTEM, str(folder))), start_seconds=NPX_SECONDS)
    tools = {tool.offered.name: tool for tool in await server.tools()}
    assert "noted" in (await tools["read_text_file"].run({"path": str(folder / "note.txt")})).text
    assert (await tools["read_text_file"].run({"path": "/etc/hostname"})).is_error


@contextlib.asynccontextmanager
async def serving(*command: str) -> AsyncIterator[str]:
    """A server over HTTP in a process of its own, and its address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, str(port), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                await writer.wait_closed()
                break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_streamable_http_and_a_server_that_goes_away(make: Make) -> None:
    async with serving(str(PROPER)) as url:
        server = make(ServerConfig("web", url=url, headers={"X-Trace": "1"}))
        assert [tool.offered.name for tool in await server.tools()] == ["add", "dot", "fail"]
        assert (await server.call("add", {"a": 2, "b": 2})).text == "4"
    outcome = await server.call("add", {"a": 2, "b": 2})
    assert outcome.is_error
    assert "web" in outcome.text
    with pytest.raises(McpError, match="cannot be reached"):
        await server.start()


@pytest.mark.parametrize(("mode", "words"), [("large", "larger than 1,048,576 bytes"), ("packed", "compressed"), ("events", "web")])
async def test_http_answers_without_measure_are_refused(make: Make, mode: str, words: str) -> None:
    async with serving(str(PROPER.with_name("hostile_http.py")), mode) as url:
        outcome = await make(ServerConfig("web", url=url), call_seconds=10).call("act", {})
    assert outcome.is_error
    assert words in outcome.text


async def test_one_broken_server_never_hides_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    broken, plain = hostile("dies-at-start"), hostile("plain")
    for config in (broken, plain, hostile("rugpull"), ServerConfig("off", "false", is_on=False)):
        add(path, config)
    entries = json.loads(path.read_text())
    entries["mcpServers"]["wrong"] = {"args": []}
    path.write_text(json.dumps(entries))
    servers = McpServers(path, tmp_path / "pins.json", tmp_path / "logs")
    try:
        await servers.reload()
        for server in (servers.server("dies-at-start"), servers.server("plain")):
            server.trust(server.launch())
        assert [(tool.offered.source, tool.offered.name) for tool in await servers.tools()] == [("plain", "act")]
        assert sorted(servers.problems) == ["dies-at-start", "rugpull", "wrong"]
        assert "not been allowed" in servers.problems["rugpull"]
        with pytest.raises(McpError, match="needs either"):
            servers.server("wrong")
        with pytest.raises(McpError, match="no server named"):
            servers.server("missing")
        report = await servers.check("plain")
        assert (report.tools, report.changes, report.problem) == (("act",), ("act",), "")
        assert servers.server("plain").is_running, "a check does not end what runs"
        assert "ended with code 4" in (await servers.check("dies-at-start")).problem
    finally:
        await servers.close()


async def test_a_check_ends_what_it_started_and_a_changed_entry_ends_the_old_server(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    add(path, hostile("plain"))
    servers = McpServers(path, tmp_path / "pins.json", tmp_path / "logs")
    await servers.reload()
    server = servers.server("plain")
    server.trust(server.launch())
    await servers.check("plain")
    assert not server.is_running
    await server.start()
    await servers.reload()
    assert servers.server("plain") is server
    assert len(processes("plain")) == 1, "an entry that did not change keeps its server"
    add(path, ServerConfig("plain", "other"), replace=True)
    await servers.reload()
    assert processes("plain") == []
    assert not servers.server("plain").is_trusted
    await servers.close()


async def test_a_slow_server_is_not_waited_for_and_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    add(path, hostile("late"))
    add(path, hostile("plain"))
    servers = McpServers(path, tmp_path / "pins.json", tmp_path / "logs")
    await servers.reload()
    for server in servers.servers:
        server.trust(server.launch())
    await servers.server("plain").start()
    assert [tool.offered.source for tool in await servers.tools(patience=0.2)] == ["plain"]
    assert "still starting" in servers.problems["late"]
    assert [tool.offered.source for tool in await servers.tools()] == ["late", "plain"]
    assert servers.problems == {}
    await servers.tools(patience=0)
    await servers.close()
    assert processes("late") == []
