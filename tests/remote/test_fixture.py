"""The server that the other tests speak to: it comes back at the same address, and nothing of it is left behind."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.engine.processes import is_running
from tests.remote.llama_server import LlamaServer

_PROGRAM = """
import os
from tests.remote.llama_server import LlamaServer
server = LlamaServer()
server.start()
print(server._process.pid, flush=True)
os._exit(1)
"""


def test_it_comes_back_at_the_same_address(demo_server: LlamaServer) -> None:
    url = demo_server.url
    demo_server.restart()
    assert demo_server.url == url
    with urllib.request.urlopen(f"{url}/health", timeout=120) as answer:
        assert answer.status == 200


def test_it_ends_with_whoever_started_it() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    pid, end = int(done.stdout), time.monotonic() + 120
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_running(pid)
