"""``nemochat eval run own`` on pictures that the demo model has never seen, and what a run costs and is worth.

    python -m benchmarks.evaluation ask [--pictures N] [--questions N] [--seed N] [--model NAME] [--keep FOLDER]
    python -m benchmarks.evaluation server [--pictures N] [--questions N] [--parallel N] [--rounds N]
    python -m benchmarks.evaluation beside MODEL.gguf [--rounds N] [--tokens N]

N questions about each picture, in an order drawn at random, as a file of them might have it. `ask`: beside ``nemochat ask --jsonl``
with the same questions: questions a minute, tokens read, processor time, how many are right, and how many verdicts differ from those of
the judges of benchmarks/heldout; the file of questions, its pictures and the run are kept in FOLDER. `server`: one question and several
at a time on a llama-server with four slots. `beside`: replies in a chat (``--plain``), in turns with a run on the same machine and without.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.heldout.cases import Judge, question_about
from benchmarks.heldout.draw import BACKGROUNDS, COLOURS, KINDS, PLACES, make_picture
from nemochat.domain.ttft import Reading
from nemochat.library import Library
from nemochat.models import Servers
from nemochat.paths import find_paths
from tests.remote.llama_server import running

_SPELLED = {"1": "one", "2": "two", "3": "three", "4": "four"}
_NAMES = {"colour": tuple(COLOURS), "shape": KINDS, "where": PLACES, "background": tuple(BACKGROUNDS)}
_SKILLS = (*_NAMES, "count", "yes/no")


def pattern(skill: str, expected: str) -> str:
    """What a right answer matches: the expected name and no other."""
    if skill == "count":
        return rf"\b(?:{expected}|{_SPELLED[expected]})\b"
    if skill == "yes/no":
        return rf"^\W*{expected}\b"
    others = "|".join(_spelled(name) for name in _NAMES[skill] if name != expected)
    return rf"(?s)^(?!.*\b(?:{others})\b).*\b{_spelled(expected)}\b"


def _spelled(name: str) -> str:
    plural = {"cross": "cross(?:es)?"}.get(name, f"{re.escape(name)}s?") if name in KINDS else re.escape(name)
    return plural.replace("gray", "gr[ae]y")


class Asked(NamedTuple):
    """A question as a line of own questions, and who judges the answer."""

    row: dict[str, Any]
    judge: Judge


class Spent(NamedTuple):
    """What a command printed, and the seconds that it took on the clock and of processors."""

    said: str
    clock: float
    processor: float


def _run(arguments: Sequence[str], folder: Path, given: str = "", environment: dict[str, str] | None = None) -> Spent:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "nemochat", *arguments]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(done.stdout, time.monotonic() - began, spent)


def _write(folder: Path, options: argparse.Namespace) -> list[Asked]:
    """The questions in own.jsonl, with their pictures beside it."""
    rng = random.Random(options.seed)
    asked = []
    for _ in range(options.pictures):
        picture = make_picture(rng, folder)
        for number in range(options.questions):
            skill = _SKILLS[number % len(_SKILLS)]
            question, judge, expected = question_about(rng, picture, skill)
            row = {"picture": Path(picture.path).name, "question": question, "regex": pattern(skill, expected)}
            asked.append(Asked(row, judge))
    rng.shuffle(asked)
    (folder / "own.jsonl").write_text("".join(json.dumps(each.row) + "\n" for each in asked))
    return asked


def _answers(run: Path) -> list[dict[str, Any]]:
    """In the order of the questions."""
    answers = {row["id"]: row for row in map(json.loads, (run / "answers.jsonl").read_text().splitlines())}
    return [answers[str(number)] for number in range(1, len(answers) + 1)]


def beside_ask(folder: Path, options: argparse.Namespace) -> None:
    """The same questions by `eval run` and by `ask --jsonl`."""
    asked = _write(folder, options)
    model = ["--model", options.model] if options.model else []
    ours = _run(["eval", "run", "own", "--data", "own.jsonl", "--out", "run", "--json", *model], folder)
    limits = {"temperature": 0, "max_tokens": 256}
    lines = [json.dumps({"question": row["question"], "images": [row["picture"]], **limits}) + "\n" for row, _ in asked]
    theirs = _run(["ask", "--jsonl", *model], folder, "".join(lines))
    answers, replies = _answers(folder / "run"), list(map(json.loads, theirs.said.splitlines()))
    verdicts = [bool(row.get("score", {}).get("right", 0)) for row in answers]
    judged = [judge(row | {"text": row.get("text", "")}) for row, (_, judge) in zip(answers, asked, strict=True)]
    print("| | questions a minute | processor seconds | tokens read | pictures encoded |\n|---|---|---|---|---|")
    for label, spent, read, encoded in (
        ("eval run", ours, sum(row.get("read", 0) for row in answers), sum(row.get("pictures", 0) for row in answers)),
        ("ask --jsonl", theirs, sum(row["evaluated_tokens"] for row in replies), sum(row["stats"][0]["encoded_images"] for row in replies)),
    ):
        print(f"| {label} | {60 * len(asked) / spent.clock:.0f} | {spent.processor:.1f} | {read:,} | {encoded:,} |")
    same = sum(row.get("text", "") == reply["text"] for row, reply in zip(answers, replies, strict=True))
    ratio, of_processor = theirs.clock / ours.clock, theirs.processor / ours.processor
    print(f"{len(asked)} questions, {sum(verdicts)} right; {ratio:.2f} times as many a minute, {of_processor:.2f} by processor time.")
    print(f"{same} replies are the same; {sum(one != other for one, other in zip(verdicts, judged, strict=True))} verdicts differ.")


@contextmanager
def _home(folder: Path) -> Iterator[dict[str, str]]:
    """An environment in which nemochat has a home of its own."""
    yield {**os.environ, **{f"NEMOCHAT_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}}


def on_server(folder: Path, options: argparse.Namespace) -> None:
    """One question at a time and several, in turns."""
    asked = _write(folder, options)
    taken: dict[int, list[float]] = {1: [], options.parallel: []}
    with _home(folder) as environment, running(slots=4, threads=os.cpu_count() or 1) as server:
        Servers(find_paths(environment).servers_file).add("here", server.url, server.server.kind)
        for turn in range(options.rounds):
            for parallel, seconds in taken.items():
                words = ["eval", "run", "own", "--data", "own.jsonl", "--out", f"run-{turn}-{parallel}", "--json"]
                words += ["--model", "here", "--parallel", str(parallel)]
                seconds.append(_run(words, folder, environment=environment).clock)
    print("| --parallel | questions a minute | tokens read | reused | right |\n|---|---|---|---|---|")
    for parallel, seconds in taken.items():
        answers = _answers(folder / f"run-0-{parallel}")
        read, reused = (sum(row.get(name, 0) for row in answers) for name in ("read", "reused"))
        right = sum(row.get("score", {}).get("right", 0) for row in answers)
        print(f"| {parallel} | {60 * len(asked) / statistics.median(seconds):.0f} | {read:,} | {reused:,} | {right:.0f} |")
    one, several = (statistics.median(seconds) for seconds in taken.values())
    print(f"{len(asked)} questions about {options.pictures} pictures; {one / several:.2f} times as many a minute.")


_UNDER_WAY = 3.0
"""Seconds after its model is loaded, when an evaluation is at its first question, which is a long one."""
_TALK = ("What is a tide?", "Tell me about bread.", "Why is the sky blue?", "Name some rivers.")


def _replies(folder: Path, environment: dict[str, str], model: str, tokens: int) -> list[Reading]:
    """A chat of its own with one reply after the other."""
    before = _readings(environment)
    short = {"NEMOCHAT_SAMPLING_MAX_TOKENS": str(tokens), "NEMOCHAT_SAMPLING_TEMPERATURE": "0"}
    _run(["--plain", "--model", model], folder, "".join(f"{each}\n" for each in _TALK), {**environment, **short})
    return _readings(environment)[: -len(before) or None]


def _readings(environment: dict[str, str]) -> list[Reading]:
    library, _ = Library.open(find_paths(environment).library)
    with library:
        return [row.reading for row in library.replies()]


def beside_chat(folder: Path, options: argparse.Namespace) -> None:
    """A chat's replies while an evaluation with the same model goes on, and while none does."""
    model = str(Path(options.model).absolute())
    rows = [{"question": f"Write a long story about the number {number}.", "regex": "x"} for number in range(10_000)]
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found: dict[str, list[Reading]] = {"alone": [], "beside": []}
    with _home(folder) as environment:
        for turn in range(options.rounds):
            found["alone"] += _replies(folder, environment, model, options.tokens)
            words = ["eval", "run", "own", "--data", "own.jsonl", "--out", f"run-{turn}", "--model", model]
            command = [sys.executable, "-m", "nemochat", *words]
            with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as evaluation:
                while not (folder / f"run-{turn}" / "answers.jsonl").exists():
                    time.sleep(0.1)
                time.sleep(_UNDER_WAY)
                found["beside"] += _replies(folder, environment, model, options.tokens)
                evaluation.terminate()
    print("| a chat | TTFT, ms | tokens a second | replies |\n|---|---|---|---|")
    medians = {}
    for name, readings in found.items():
        ttft = statistics.median(each.ttft_ms for each in readings if each.ttft_ms is not None)
        speed = statistics.median(each.tokens_per_second for each in readings if each.tokens_per_second is not None)
        medians[name] = ttft, speed
        print(f"| {name} | {ttft:.0f} | {speed:.1f} | {len(readings)} |")
    (ttft, speed), (ttft_beside, speed_beside) = medians.values()
    print(f"beside an evaluation: {ttft_beside / ttft:.2f} times the TTFT, {speed_beside / speed:.2f} times the tokens a second")


def main() -> None:
    """Run one of them and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ask", "server", "beside"))
    parser.add_argument("gguf", nargs="?")
    for name, default in (("pictures", 40), ("questions", 6), ("seed", 20261130), ("parallel", 4), ("rounds", 3), ("tokens", 48)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--model")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    options.model = options.model or options.gguf
    if options.keep:
        options.keep.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        {"ask": beside_ask, "server": on_server, "beside": beside_chat}[options.what](options.keep or Path(name), options)


if __name__ == "__main__":
    main()
