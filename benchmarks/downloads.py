"""Downloads: how quick they are beside curl, what memory they take, and that a kill at any moment leaves the right file or none.

    python -m benchmarks.downloads MODEL.gguf [--megabytes N] [--runs N] [--kills N]

All from a server on the loopback in a process of its own, in one run: as fast as it gives, and held to 100 MB/s, which is a fast line.
The file is MODEL followed by noise up to the size, so that it is a real model and large; curl gets it by the same address, without
checking anything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

NAME = "model-Q4_K_M.gguf"
FAST_LINE = 100_000_000
PULL = [sys.executable, "-m", "nemochat", "models", "pull", "owner/model"]


@contextmanager
def serving(folder: Path, rate: int = 0) -> Iterator[str]:
    """The address of a server for the files of a folder."""
    with subprocess.Popen([sys.executable, "-m", "tests.models.hub", str(folder), str(rate)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["endpoint"]
        finally:
            server.kill()


def environment(home: Path, endpoint: str) -> dict[str, str]:
    """A home of its own for each download."""
    own = {f"NEMOCHAT_{kind}_DIR": str(home) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}
    return {**os.environ, **own, "HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "XDG_CACHE_HOME": str(home)}


def seconds_of_curl(endpoint: str, folder: Path) -> float:
    """How long curl takes for it, by its own clock."""
    url = f"{endpoint}/owner/model/resolve/main/{NAME}"
    done = subprocess.run(
        ["curl", "-sL", "-o", str(folder / "curl.gguf"), "-w", "%{time_total}", url], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def seconds_of_ours(endpoint: str, home: Path) -> float:
    """How long the downloader takes for it, with its checksum, in a process that has started."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from nemochat.models import download, web; from nemochat.models.sources import look, read_source\n"
        "asker = web.client(); offer = look(asker, read_source('owner/model')); began = time.perf_counter()\n"
        "download.fetch(asker, offer.files[0], Path(sys.argv[1]) / 'ours.gguf', offer.place, lambda step: None)\n"
        "print(time.perf_counter() - began)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True, env=environment(home, endpoint)
    )
    return float(done.stdout)


def compare(folder: Path, runs: int, rate: int, size: int) -> None:
    """Both in turns."""
    with serving(folder, rate) as endpoint, tempfile.TemporaryDirectory(dir=folder.parent) as home:
        curl, ours = [], []
        for _ in range(runs):
            curl.append(size / seconds_of_curl(endpoint, Path(home)) / 1e6)
            ours.append(size / seconds_of_ours(endpoint, Path(home)) / 1e6)
            for path in Path(home).glob("*.gguf"):
                path.unlink()
        line = f"held to {rate / 1e6:.0f} MB/s" if rate else "as fast as it gives"
        ratio = statistics.median(ours) / statistics.median(curl)
        print(f"{line}: curl {statistics.median(curl):.0f} MB/s, nemochat {statistics.median(ours):.0f} MB/s, ratio {ratio:.2f}")


def peak(command: list[str], env: dict[str, str]) -> int:
    """Bytes that a command has in memory at most."""
    most = 0
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                most = max(most, process.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.005)
    assert running.returncode == 0
    return most


def memory(folder: Path) -> None:
    """Of a download, over the program that only lists models."""
    with serving(folder) as endpoint, tempfile.TemporaryDirectory(dir=folder.parent) as home:
        env = environment(Path(home), endpoint)
        idle, pulling = peak([*PULL[:-2], "list"], env), peak(PULL, env)
    print(f"memory: {idle / 1e6:.0f} MB for a list, {pulling / 1e6:.0f} MB at most while it comes: {(pulling - idle) / 1e6:.0f} MB more")


def kill(folder: Path, kills: int, whole: str, rate: int) -> None:
    """Kill it at random moments, then let it end."""
    chance = random.Random(7)
    with serving(folder, rate) as endpoint, tempfile.TemporaryDirectory(dir=folder.parent) as home:
        env = environment(Path(home), endpoint)
        target = Path(home) / "models/hf/owner/model" / NAME
        part, had, loaded = target.with_name(f"{NAME}.part"), 0, 0
        for _ in range(kills):
            with subprocess.Popen(PULL, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
                while chance.random() > 0.002 and (not part.exists() or part.stat().st_size == had) and running.poll() is None:
                    time.sleep(0.01)
                time.sleep(chance.uniform(0, 0.4))
                running.send_signal(signal.SIGKILL)
            assert not target.exists() or sha256(target) == whole, "a wrong file is there"
            has = part.stat().st_size if part.exists() else 0
            assert has >= had or target.exists(), "what had come is gone"
            loaded += has > had
            had = max(had, has)
        subprocess.run(PULL, env=env, stdout=subprocess.DEVNULL, check=True)
        assert sha256(target) == whole
        assert not part.exists()
    print(f"killed {kills} times, {loaded} of them with something new; never a wrong file, nothing lost, right at the end")


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="downloads-") as scratch:
        folder = Path(scratch, "served")
        folder.mkdir()
        shutil.copyfile(given.model, folder / NAME)
        with (folder / NAME).open("ab") as file:
            while file.tell() < given.megabytes * 1_000_000:
                file.write(random.Random(file.tell()).randbytes(1 << 20))
        size = (folder / NAME).stat().st_size
        compare(folder, given.runs, FAST_LINE, size)
        compare(folder, given.runs, 0, size)
        memory(folder)
        kill(folder, given.kills, sha256(folder / NAME), size // 12)


if __name__ == "__main__":
    main()
