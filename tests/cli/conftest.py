"""The command as users run it: a process of its own, its files in a temporary folder, a scripted model unless a test brings another."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing

from nemochat.domain.images import RgbImage
from nemochat.images import save_png

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]
WriteScript = Callable[..., str]
Fork = Callable[..., subprocess.CompletedProcess[str]]
LIMIT_SECONDS = 120

# Hundreds of commands are run in this process, and to make the options of all of them takes longer than to run one.
typer.main.get_command = typer.testing._get_command = cache(typer.main.get_command)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NEMOCHAT_")]:
        monkeypatch.delenv(name)
    for kind in ("CONFIG", "DATA", "LOG", "CACHE"):
        monkeypatch.setenv(f"NEMOCHAT_{kind}_DIR", str(tmp_path / kind.lower()))
    # Models of other programs on the machine that runs the tests are none of theirs.
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE", "XDG_CACHE_HOME", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    # The tree under test, installed or not, whatever folder the command runs in.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def forks() -> Iterator[Fork]:
    """Run the command, or without arguments many of them, in a fork of a process that has imported everything (tests/cli/forking.py)."""
    if sys.platform != "linux":  # macOS has no such sockets, Windows no forks
        yield _started
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = subprocess.Popen([sys.executable, "-m", "tests.cli.forking"], stdin=theirs.fileno(), cwd=ROOT)
    theirs.close()

    def run(
        arguments: Sequence[str] | None, input: str, folder: Path, environment: Mapping[str, str], limit: float = LIMIT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        asked = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            reading, writing = os.pipe()
            socket.send_fds(ours, [json.dumps(asked).encode()], [reading, out.fileno(), err.fileno()])
            os.close(reading)
            feeding = threading.Thread(target=_feed, args=(writing, input.encode()))
            feeding.start()
            pid = int(ours.recv(99))
            if not select.select([ours], [], [], limit)[0]:
                os.kill(pid, signal.SIGKILL)
            status = int(ours.recv(99))
            feeding.join()
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(["nemochat", *(arguments or ())], os.waitstatus_to_exitcode(status), out.read(), err.read())

    yield run
    ours.close()
    server.wait()


@pytest.fixture(scope="session")
def fork() -> Iterator[Fork]:
    """See `forks`."""
    yield from forks()


def _started(
    arguments: Sequence[str] | None, input: str, folder: Path, environment: Mapping[str, str], limit: float = LIMIT_SECONDS
) -> subprocess.CompletedProcess[str]:
    """The same by a new interpreter."""
    words = [sys.executable, "-m", "tests.cli.many_commands"] if arguments is None else command(*arguments)
    return subprocess.run(words, input=input, capture_output=True, text=True, timeout=limit, cwd=folder, env=environment, check=False)


def _feed(descriptor: int, data: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


@pytest.fixture
def nemochat(tmp_path: Path, fork: Fork) -> Run:
    """Run the command to its end; standard input is empty unless `input` is given."""

    def run(*arguments: str, input: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return fork(arguments, input, tmp_path, os.environ | environment)

    return run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nemochat", *arguments]


@pytest.fixture
def script(tmp_path: Path) -> WriteScript:
    """Write a script for the scripted engine (nemochat.engine.scripted) and return its path, ready for --model."""

    def write(*texts: str, **fields: Any) -> str:
        path = tmp_path / "model.script.json"
        replies = {"replies": [{"text": text} for text in texts]} if texts else {}
        path.write_text(json.dumps(replies | fields))
        return str(path)

    return write


@pytest.fixture
def red(tmp_path: Path) -> str:
    """A red picture, 6 x 4 pixels."""
    path = tmp_path / "red.png"
    save_png(RgbImage.from_rgb(6, 4, b"\xff\x00\x00" * 24), path)
    return str(path)
