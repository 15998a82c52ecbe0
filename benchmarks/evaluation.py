"""``nemochat eval run own`` beside ``nemochat ask --jsonl``: the same questions about pictures that the demo model has never seen.

    python -m benchmarks.evaluation [--pictures N] [--questions N] [--seed N] [--model NAME]

N questions about each picture, in an order drawn at random, as a file of them might have it. Prints questions a minute and tokens read of
both, how many are right, and how many verdicts differ from those of the judges of benchmarks/heldout.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.heldout.cases import Judge, question_about
from benchmarks.heldout.draw import BACKGROUNDS, COLOURS, KINDS, PLACES, make_picture

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


def _run(arguments: list[str], folder: Path, given: str = "") -> tuple[str, float]:
    began = time.monotonic()
    command = [sys.executable, "-m", "nemochat", *arguments]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True, cwd=folder)
    return done.stdout, time.monotonic() - began


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--model")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked: list[tuple[dict[str, Any], Judge]] = []
        for _ in range(options.pictures):
            picture = make_picture(rng, folder)
            for number in range(options.questions):
                skill = _SKILLS[number % len(_SKILLS)]
                question, judge, expected = question_about(rng, picture, skill)
                path = Path(picture.path).name
                asked.append(({"picture": path, "question": question, "regex": pattern(skill, expected)}, judge))
        rng.shuffle(asked)
        (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row, _ in asked))
        model = ["--model", options.model] if options.model else []
        _, ours = _run(["eval", "run", "own", "--data", "own.jsonl", "--out", "run", "--json", *model], folder)
        limits = {"temperature": 0, "max_tokens": 256}
        lines = [json.dumps({"question": row["question"], "images": [row["picture"]], **limits}) + "\n" for row, _ in asked]
        theirs_said, theirs = _run(["ask", "--jsonl", *model], folder, "".join(lines))
        answers = {row["id"]: row for row in map(json.loads, (folder / "run/answers.jsonl").read_text().splitlines())}
    replies = list(map(json.loads, theirs_said.splitlines()))
    in_order = [answers[str(number)] for number in range(1, len(asked) + 1)]
    verdicts = [bool(row.get("score", {}).get("right", 0)) for row in in_order]
    judged = [judge(row | {"text": row.get("text", "")}) for row, (_, judge) in zip(in_order, asked, strict=True)]
    print("| | questions a minute | tokens read | pictures encoded |\n|---|---|---|---|")
    for label, seconds, read, encoded in (
        ("eval run", ours, sum(row.get("read", 0) for row in in_order), sum(row.get("pictures", 0) for row in in_order)),
        ("ask --jsonl", theirs, sum(row["evaluated_tokens"] for row in replies), sum(row["stats"][0]["encoded_images"] for row in replies)),
    ):
        print(f"| {label} | {60 * len(asked) / seconds:.0f} | {read:,} | {encoded:,} |")
    same = sum(row.get("text", "") == reply["text"] for row, reply in zip(in_order, replies, strict=True))
    print(f"{len(asked)} questions, {sum(verdicts)} right; {theirs / ours:.2f} times as many a minute; {same} replies are the same.")
    print(f"{sum(one != other for one, other in zip(verdicts, judged, strict=True))} verdicts differ from the judges'.")


if __name__ == "__main__":
    main()
