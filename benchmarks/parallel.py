"""Requests a second of ``nemochat ask --jsonl --parallel N`` with a llama-server, beside those of one request after the other.

    python -m benchmarks.parallel MODEL.gguf [--parallel 8] [--slots 4] [--requests 16] [--tokens 64] [--rounds 3] [--threads N]

The real command, its start included, in turns with and without; the server is the one of the wheel xllamacpp, in a process of its own
with a thread for each core, which needs a machine that does nothing else.
Each answer has to come in the place of its request. Medians, and their ratio with the bound in brackets.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nemochat.models import Servers
from nemochat.paths import find_paths
from tests.remote.llama_server import running

_TOPICS = ("tides", "glaciers", "bread", "bicycles", "lighthouses", "maps", "compasses", "honey", "volcanoes", "paper", "clocks", "rivers")


def _requests(n_requests: int, tokens: int) -> bytes:
    topics = [_TOPICS[at % len(_TOPICS)] for at in range(n_requests)]
    lines = [{"id": at, "question": f"Write about {topic}.", "max_tokens": tokens, "temperature": 0} for at, topic in enumerate(topics)]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def _seconds(requests: bytes, parallel: int, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "nemochat", "ask", "--jsonl", "--parallel", str(parallel), "--model", "server"]
    began = time.perf_counter()
    done = subprocess.run(command, input=requests, capture_output=True, env=environment, check=True)
    seconds = time.perf_counter() - began
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if [answer["id"] for answer in answers] != list(range(requests.count(b"\n"))) or any("text" not in answer for answer in answers):
        raise SystemExit("The answers are not those of the requests, in their order.")
    return seconds


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    for name, default in (("parallel", 8), ("slots", 4), ("requests", 16), ("tokens", 64), ("rounds", 3), ("threads", os.cpu_count() or 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    requests = _requests(options.requests, options.tokens)
    measured: dict[int, list[float]] = {1: [], options.parallel: []}
    with tempfile.TemporaryDirectory() as folder, running(options.model, None, slots=options.slots, threads=options.threads) as server:
        environment = {**os.environ, **{f"NEMOCHAT_{kind}_DIR": str(Path(folder) / kind) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}}
        Servers(find_paths(environment).servers_file).add("server", server.url, server.server.kind)
        for turn in range(options.rounds + 1):
            for parallel, seconds in measured.items():
                taken = _seconds(requests, parallel, environment)
                if turn:  # the first round only warms up
                    seconds.append(taken)
    pace = {parallel: options.requests / statistics.median(seconds) for parallel, seconds in measured.items()}
    for parallel, seconds in measured.items():
        print(f"--parallel {parallel}: {pace[parallel]:.2f} requests/s  ({', '.join(f'{each:.2f}' for each in seconds)} s)")
    print(f"ratio {pace[options.parallel] / pace[1]:.2f} [>= 1.4]")


if __name__ == "__main__":
    main()
