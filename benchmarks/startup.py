"""How long a person waits: for commands, for ``nemochat ask`` on the demo pair from start to the first character, and for installing it.

    python -m benchmarks.startup [--runs N] [--wheels NEMOCHAT.whl TEXTUAL.whl]

Whole processes, one after another, in turns, so that a slow spell of the machine meets all of them; `python -c pass` is among them as its
measure. Prints the median and the range, and what part one is of the other within the same turn. With --wheels also what both wheels hold,
and how long pip takes to install them into new environments in which all that they depend on is there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.heldout.draw import make_picture
from tests.environments import make_environment, python_of

Seconds = dict[str, list[float]]


def to_exit(*arguments: str, expects: Sequence[int] = (0,)) -> float:
    """Seconds from start to end of a process."""
    started = time.perf_counter()
    code = subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=False).returncode
    elapsed = time.perf_counter() - started
    if code not in expects:
        raise SystemExit(f"{' '.join(arguments)} ended with {code}")
    return elapsed


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


def to_loaded() -> float:
    """Seconds that `ask` waits for its model, as it says itself."""
    command = [sys.executable, "-m", "nemochat", "ask", "What do you see?", "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return float(json.loads(done.stdout)["timings"]["load_ms"]) / 1000


def to_installed(wheel: Path, places: Iterator[Path]) -> float:
    """Seconds that pip takes for a wheel in a new environment with everything else, at the next of these places."""
    folder = next(places)
    make_environment(folder, wheel.name.partition("-")[0])
    started = time.perf_counter()
    words = ["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run([python_of(folder), *words], check=True)
    return time.perf_counter() - started


def in_turns(cases: Mapping[str, Callable[[], float]], runs: int) -> Seconds:
    """Seconds of each in each turn, after one that does not count."""
    for measure in cases.values():
        measure()
    seconds: Seconds = {name: [] for name in cases}
    for _ in range(runs):
        for name, measure in cases.items():
            seconds[name].append(measure())
    return seconds


def show(seconds: Seconds, bounds: Mapping[str, str]) -> None:
    """A table."""
    print("| command | median s | min | max | bound |\n|---|---|---|---|---|")
    for name, times in seconds.items():
        print(f"| {name} | {statistics.median(times):.3f} | {min(times):.3f} | {max(times):.3f} | {bounds.get(name, '')} |")


def ratio(seconds: Seconds, one: str, other: str, bound: str) -> None:
    """The median of what one is of the other within the same turn."""
    parts = sorted(a / b for a, b in zip(seconds[one], seconds[other], strict=True))
    print(f"{one} is {statistics.median(parts):.1f} times {other} ({parts[0]:.1f} to {parts[-1]:.1f}; {bound})")


def commands(runs: int, folder: Path) -> None:
    """Start-up."""
    picture = make_picture(random.Random(1), folder, 2).path
    ask = ("-m", "nemochat", "ask", "What do you see?")
    blank, version, doctor, loading = "python -c pass", "nemochat --version", "nemochat doctor", "nemochat ask, its model loaded"
    seconds = in_turns(
        {
            blank: lambda: to_exit("-c", "pass"),
            version: lambda: to_exit("-m", "nemochat", "--version"),
            "nemochat --help": lambda: to_exit("-m", "nemochat", "--help"),
            doctor: lambda: to_exit("-m", "nemochat", "doctor", expects=(0, 1)),
            loading: to_loaded,
            "nemochat ask, first character": lambda: to_first_byte(*ask),
            "nemochat ask -i, first character": lambda: to_first_byte(*ask, "-i", picture),
        },
        runs,
    )
    first = "2.5"
    show(seconds, {version: "0.25", "nemochat ask, first character": first, "nemochat ask -i, first character": first})
    ratio(seconds, version, blank, "at most 5")
    ratio(seconds, doctor, loading, "at most 3")


def installing(ours: Path, textual: Path, runs: int, folder: Path) -> None:
    """What the wheels hold, and how long they take."""
    print("| wheel | size | files | unpacked |\n|---|---|---|---|")
    for wheel in (ours, textual):
        with zipfile.ZipFile(wheel) as packed:
            sizes = [each.file_size for each in packed.infolist()]
        print(f"| {wheel.name} | {wheel.stat().st_size / 1e6:.1f} MB | {len(sizes)} | {sum(sizes) / 1e6:.1f} MB |")
    places = (folder / str(number) for number in range(2 * runs + 2))
    seconds = in_turns({wheel.name: partial(to_installed, wheel, places) for wheel in (ours, textual)}, runs)
    show(seconds, {})
    ratio(seconds, ours.name, textual.name, "no bound was set")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--wheels", type=Path, nargs=2, metavar=("NEMOCHAT", "TEXTUAL"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands(given.runs, Path(folder))
        if given.wheels is not None:
            ours, textual = given.wheels
            installing(ours, textual, given.runs, Path(folder))


if __name__ == "__main__":
    main()
