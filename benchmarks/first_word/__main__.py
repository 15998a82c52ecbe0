"""The first word at the limit, measured beside peers in one run, as a Markdown table.

    python -m benchmarks.first_word [--only NAME ...] [--model demo|full] [--runs N] [--programs NAME ...]
                                    [--folder FOLDER] [--server PATH] [--whole-window]

Scenarios: first, tenth, trim, resume, roleplay and shift (demo only unless named), decoding, lookup (full only), greedy. Models: the
built-in demo pair, and the random-weight pair of the full shape, which is written to FOLDER first where it is not there
(`benchmarks.full_shape`; 5 GB). With the full shape everything takes about 20 minutes on two cores, on an idle machine; nothing else should
run.

All programs get the same two files, threads, window, batch, flash attention, KV cache in q8_0 and no mmap, each in a process of its own at
nice 10. llama-server is the one within xllamacpp, whose wheel does without AVX-512: its share in the cold rows is also a share of that.
With --server a binary is taken instead; one of the same source with the same processor features is in `llama_cpp_python`'s source archive:

    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36
    cmake -S vendor/llama.cpp -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF
    (on a processor with AMX also -DGGML_NATIVE=OFF and its other features by name: see nemochat/engine/llama/processor.py)
    cmake --build build --target llama-server

Progress goes to standard error as it comes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.first_word.lab import OURS, PEERS, SERVER, Lab, say
from benchmarks.first_word.scenarios import SCENARIOS
from benchmarks.first_word.table import bounds, figures
from benchmarks.first_word.values import Pair
from benchmarks.full_shape import PLAIN_FILE, PROJECTOR_FILE, REPEATING_FILE
from nemochat.models.catalogue import DEMO

ONLY_SMALL, ONLY_LARGE = ("roleplay", "shift"), ("lookup",)


def _pairs(model: str | None, folder: Path) -> list[Pair]:
    demo = Pair("demo", DEMO.model_path, str(DEMO.mmproj_path), threads=1, words=0.62, picture=64)
    full = Pair("full", str(folder / PLAIN_FILE), str(folder / PROJECTOR_FILE), threads=os.cpu_count() or 1, words=0.9, picture=576)
    return [pair for pair in (demo, full) if model in (None, pair.name)]


def _write(folder: Path) -> None:
    for file, options in ((PLAIN_FILE, []), (REPEATING_FILE, ["--repeats"])):
        if not (folder / file).exists():
            say(f"writing {folder / file}")
            command = [sys.executable, "-m", "benchmarks.full_shape", str(folder), *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _measure(lab: Lab, scenario: str, pair: Pair) -> None:
    say(f"{scenario} with the {pair.name} pair; load {os.getloadavg()[0]:.1f}")
    if scenario == "lookup":
        pair = Pair("full", str(Path(pair.model).with_name(REPEATING_FILE)), pair.mmproj, pair.threads, pair.words, pair.picture)
    SCENARIOS[scenario](lab, pair)


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=[])
    parser.add_argument("--model", choices=("demo", "full"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--programs", nargs="+", choices=(OURS, *PEERS), default=[OURS, *PEERS])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "nemochat-full-shape")
    parser.add_argument("--server", default="")
    parser.add_argument("--whole-window", action="store_true")
    options = parser.parse_args()
    if SERVER in options.programs and not options.server and find_spec("xllamacpp") is None:
        raise SystemExit("llama-server is not there to be measured: pip install xllamacpp, or name a binary with --server.")
    pairs = _pairs(options.model, options.folder)
    if any(not pair.is_small for pair in pairs):
        _write(options.folder)
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(options.programs, options.runs, options.server, Path(folder), whole_window=options.whole_window)
        try:
            for pair in pairs:
                left_out = ONLY_LARGE if pair.is_small else ONLY_SMALL
                for scenario in SCENARIOS:
                    if scenario in options.only or (not options.only and scenario not in left_out):
                        _measure(lab, scenario, pair)
        finally:
            print("\n".join([*figures(lab), "", *bounds(lab)]))


if __name__ == "__main__":
    main()
