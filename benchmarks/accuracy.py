"""Accuracy of the demo model on held-out questions, through ``nemochat ask --jsonl``, against the bounds of its description.

    python -m benchmarks.accuracy [--cases N] [--seed N] [--model NAME] [--wrong FILE]

Greedy, one engine for all requests. Prints one line per skill: right, asked, share, bound. Exit code 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.heldout import facts, talk
from benchmarks.heldout.cases import Case, one_picture, second_question, two_pictures

BOUNDS = {
    "colour": 0.95,
    "shape": 0.95,
    "count": 0.95,
    "yes/no": 0.95,
    "where": 0.95,
    "background": 0.95,
    "description": 0.90,
    "four shapes": 0.85,
    "two pictures": 0.85,
    "second question": 0.85,
    "tool call": 0.97,
    "tool answer": 0.97,
    "context": 0.95,
    "memory": 0.97,
    "nemochat facts": 0.90,
    "not in the documents": 0.95,
    "no such tool": 0.95,
    "out of domain": 0.95,
    "persona": 0.95,
}
_ONE_PICTURE = ("colour", "shape", "count", "yes/no", "where", "background", "description")


class Asker:
    """A running ``nemochat ask --jsonl``; one request line in, one answer object out."""

    def __init__(self, model: str | None) -> None:
        command = [sys.executable, "-m", "nemochat", "ask", "--jsonl", *(["--model", model] if model else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One round trip; an ``error`` object counts as an answer with empty text."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        reply: dict[str, Any] = json.loads(self._process.stdout.readline())
        return {"text": "", **reply}

    def close(self) -> None:
        """End of input ends the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)


def run_case(asker: Asker, case: Case) -> tuple[bool, dict[str, Any]]:
    """Ask all turns of a case, the model's own answers between them; judge the last answer."""
    messages: list[dict[str, Any]] = []
    reply: dict[str, Any] = {}
    for turn in case.turns:
        if "messages" in turn:
            messages = list(turn["messages"])
        else:
            images = [{"type": "image_url", "image_url": {"url": path}} for path in turn.get("images", ())]
            messages.append({"role": "user", "content": [*images, {"type": "text", "text": turn["question"]}]})
        single = len(case.turns) == 1 and "question" in turn
        request = dict(turn) if single else {"messages": messages}
        reply = asker.ask({**case.base, **request, "temperature": 0, "max_tokens": 120})
        messages = [*messages, {"role": "assistant", "content": reply["text"]}]
    return case.judge(reply), reply


def make_cases(rng: random.Random, folder: Path, number: int) -> list[Case]:
    """About `number` cases per skill of pictures, tools and contexts; every fact once."""
    cases = [one_picture(rng, folder, skill) for skill in _ONE_PICTURE for _ in range(number)]
    cases += [one_picture(rng, folder, rng.choice(_ONE_PICTURE), 4) for _ in range(number)]
    cases += [two_pictures(rng, folder) for _ in range(number)]
    cases += [second_question(rng, folder) for _ in range(number)]
    for make in (talk.tool_call, talk.tool_answer, talk.memory):
        cases += [make(rng) for _ in range(number)]
    cases += [talk.context_answer(rng) for _ in range(number * 5 // 4)]
    for make in (talk.no_tool, talk.outside, talk.persona):
        cases += [make(rng) for _ in range(max(1, number // 2))]
    return cases + [facts.fact_case(question, groups) for question, groups in facts.FACTS]


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--model")
    parser.add_argument("--wrong", type=Path, help="write wrong answers here, one JSON object a line")
    options = parser.parse_args()
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    first_token: list[float] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cases = make_cases(random.Random(options.seed), Path(folder), options.cases)
        asker = Asker(options.model)
        for case in cases:
            good, reply = run_case(asker, case)
            asked[case.skill] += 1
            right[case.skill] += good
            first_token.append(reply.get("ttft_ms") or 0.0)
            if not good:
                wrong.append(
                    {"skill": case.skill, "asked": case.turns[-1], "expected": case.expected, "got": reply.get("error") or reply["text"]}
                )
        asker.close()
    missed = _print_table(right, asked)
    first_token.sort()
    print(f"{len(cases)} cases in {time.monotonic() - started:.0f} s; median TTFT {first_token[len(first_token) // 2]:.0f} ms")
    if options.wrong:
        options.wrong.write_text("".join(json.dumps(row) + "\n" for row in wrong))
    return 1 if missed else 0


def _print_table(right: Counter[str], asked: Counter[str]) -> int:
    missed = 0
    print("| skill | right | of | share | bound |\n|---|---|---|---|---|")
    for skill, bound in BOUNDS.items():
        share = right[skill] / asked[skill] if asked[skill] else 0.0
        short = share < bound
        missed += short
        print(f"| {skill} | {right[skill]} | {asked[skill]} | {share:.1%} | {bound:.0%}{' missed' if short else ''} |")
    return missed


if __name__ == "__main__":
    sys.exit(main())
