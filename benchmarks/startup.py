"""How long a person waits: ``nemochat --version``, and ``nemochat ask`` on the demo pair from start to the first character.

    python -m benchmarks.startup [--runs N]

Whole processes, one after another, `python -c pass` among them as the measure of this machine. Prints the median and the range.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.heldout.draw import make_picture


def to_exit(*arguments: str) -> float:
    """Seconds from start to end of a process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def to_first_byte(*arguments: str) -> float:
    """Seconds from start to the first byte on stdout."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not os.read(process.stdout.fileno(), 1):
            raise SystemExit(f"{' '.join(arguments)} printed nothing")
        elapsed = time.perf_counter() - started
        process.stdout.read()
    return elapsed


def main() -> None:
    """Measure in turns, so that a slow spell of the machine meets all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        picture = make_picture(random.Random(1), Path(folder), 2).path
        ask = ("-m", "nemochat", "ask", "What do you see?")
        cases: dict[str, tuple[Callable[[], float], str]] = {
            "python -c pass": (lambda: to_exit("-c", "pass"), ""),
            "nemochat --version": (lambda: to_exit("-m", "nemochat", "--version"), "0.25"),
            "nemochat ask, first character": (lambda: to_first_byte(*ask), "2.5"),
            "nemochat ask -i, first character": (lambda: to_first_byte(*ask, "-i", picture), "2.5"),
        }
        for measure, _ in cases.values():
            measure()
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(runs):
            for name, (measure, _bound) in cases.items():
                seconds[name].append(measure())
    print("| command | median s | min | max | bound |\n|---|---|---|---|---|")
    for name, times in seconds.items():
        print(f"| {name} | {statistics.median(times):.3f} | {min(times):.3f} | {max(times):.3f} | {cases[name][1]} |")


if __name__ == "__main__":
    main()
