"""A real llama-server, from the wheel xllamacpp, in a process of its own on a free port of the loopback.

``python -m tests.remote.llama_server MODEL.gguf [PROJECTOR.gguf] [--slots N] [--context N] [--port N]`` runs one by hand, until its
standard input ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import nemochat.models
from nemochat.domain.servers import Server, ServerKind

DEMO = Path(nemochat.models.__file__).parent / "demo" / "nemochat-demo.gguf"
DEMO_PROJECTOR = DEMO.with_name("nemochat-demo-mmproj.gguf")
CONTEXT = 4096
_SECONDS_TO_END = 20


class LlamaServer:
    """The server with one model. slots: conversations that it holds, each with a window of `context` tokens. key: which it asks for.
    unified: with one store for all slots, as llama-server has by itself.

    It may be stopped (as by a crash: at once) and started again: its address stays the same. What it prints is in `log`.
    """

    def __init__(
        self,
        model: Path = DEMO,
        projector: Path | None = DEMO_PROJECTOR,
        *,
        slots: int = 2,
        context: int = CONTEXT,
        threads: int = 1,
        key: str = "",
        template: str = "",
        unified: bool = False,
    ) -> None:
        options = {"slots": slots, "context": context, "threads": threads, "key": key, "template": template, "unified": int(unified)}
        files = [str(file) for file in (model, projector) if file is not None]
        self._options = [*files, *(f"--{name}={value}" for name, value in options.items())]
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - it lives as long as this

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def server(self) -> Server:
        """The same as nemochat knows it."""
        return Server("llama", self.url, ServerKind.LLAMA_SERVER)

    @property
    def log(self) -> str:
        """What it has printed."""
        self._log.seek(0)
        return self._log.read()

    def start(self, *, waits: bool = True) -> None:
        """Start it, unless it runs. Without `waits` it is still loading its model: until that is there it answers 503, or not at all."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "tests.remote.llama_server", *self._options, f"--port={self._port}"]
        self._log.seek(0, os.SEEK_END)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=Path(__file__).parents[2]
        )
        if waits:
            self.wait()

    def wait(self) -> None:
        """Until the model is loaded."""
        assert self._process is not None
        address = _out(self._process).readline().strip()
        if not address:
            self.stop()
            raise RuntimeError(f"llama-server did not start:\n{self.log[-4000:]}")
        self._port = urlsplit(address).port or 0

    def stop(self) -> None:
        """End it at once, as a crash would: connections break off."""
        if (process := self._process) is None:
            return
        self._process = None
        process.kill()
        process.wait(_SECONDS_TO_END)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def restart(self) -> None:
        """A server that has forgotten everything, at the same address."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self._log.close()


@contextmanager
def running(model: Path = DEMO, projector: Path | None = DEMO_PROJECTOR, **options: Any) -> Iterator[LlamaServer]:
    """One that is there as long as the block lasts. options: see there."""
    server = LlamaServer(model, projector, **options)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _serve(options: argparse.Namespace) -> None:
    """Be the server until standard input ends, as it does when whoever started this has gone, however it went."""
    threading.Thread(target=_leave_when_alone, daemon=True).start()
    import xllamacpp  # only this process has it

    params = xllamacpp.CommonParams()
    params.model.path = options.files[0]
    if options.files[1:]:
        params.mmproj.path = options.files[1]
    params.n_parallel = options.slots
    params.n_ctx = options.context * options.slots
    params.port = options.port
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.warmup = False
    params.kv_unified = bool(options.unified)
    params.api_keys = [options.key] if options.key else []
    if options.template:
        params.chat_template = options.template
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()


def _leave_when_alone() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    for name, default in (("slots", 2), ("context", CONTEXT), ("threads", 1), ("port", 0), ("unified", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--key", default="")
    parser.add_argument("--template", default="")
    _serve(parser.parse_args())
