"""Servers for the tests: how one is configured, allowed and closed again."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from nemochat.tools.mcp.client import McpServer
from nemochat.tools.mcp.config import ServerConfig
from nemochat.tools.mcp.pins import Pins
from nemochat.tools.mcp.values import Limits

HOSTILE = Path(__file__).with_name("hostile.py")
QUICK = Limits(start_seconds=20, call_seconds=20, ping_seconds=0.3, message_bytes=1024 * 1024, log_bytes=16 * 1024)

Make = Callable[..., McpServer]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "registry: runs a server that is published in a package registry; skipped where it cannot be had")


def hostile(mode: str, *more: str) -> ServerConfig:
    return ServerConfig(mode, sys.executable, ("-S", "-E", str(HOSTILE), mode, *more))


def processes(mode: str) -> list[int]:
    """Running servers of a mode, by what /proc says."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"hostile.py" in b" ".join(words) and mode.encode() in words and str(os.getpid()) == _parent(entry):
                found.append(int(entry.name))
    return found


def _parent(entry: Path) -> str:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemochat.tools.mcp.transport._EXIT_SECONDS", 0.3)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes trusted servers and ends them after the test."""
    made: list[McpServer] = []

    def maker(
        config: ServerConfig | str, *, is_trusted: bool = True, environment: dict[str, str] | None = None, **limits: float
    ) -> McpServer:
        config = hostile(config) if isinstance(config, str) else config
        bounds = msgspec.structs.replace(QUICK, **limits)
        log = tmp_path / f"{config.name}.log"
        server = McpServer(config, Pins(tmp_path / "pins.json"), log, environment=environment, limits=bounds)
        if is_trusted:
            server.trust(server.launch())
        made.append(server)
        return server

    yield maker
    for server in made:
        await server.close()
