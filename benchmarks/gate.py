"""Does a gate before calls help? Questions of which half want a tool, asked of a model without a gate and with the one that they call for.

    python -m benchmarks.gate [--count N] [--seed N] [--model NAME]

What wants a tool: sums, the time, a search, as in benchmarks/heldout. What wants none, with the same tools offered: questions about
nemochat, and sums without a calculator among the tools. Prints what `nemochat eval gate` says, and the results of both runs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.heldout.facts import FACTS
from benchmarks.heldout.talk import TOOLS, no_tool, tool_call

_SUM = re.compile(r"(\d+)([-+*/])(\d+)")


def wanting_one(rng: random.Random) -> dict[str, Any]:
    """A question with the call that is right, as the demo model was taught to write it."""
    while True:
        case = tool_call(rng)
        offered = {tool["function"]["name"] for tool in case.base["tools"]}
        if found := _SUM.fullmatch(case.expected):
            call = {"name": "calculator", "arguments": {"expression": " ".join(found.groups())}}
        elif case.expected == "current_time":
            call = {"name": "current_time", "arguments": {}}
        elif "search_documents" in offered and not case.expected[0].isdigit():
            call = {"name": "search_documents", "arguments": {"query": case.expected}}
        else:  # units have more than one right name
            continue
        return {"question": case.turns[0]["question"], "tools": _tools(case.base["tools"]), "call": call}


def wanting_none(rng: random.Random) -> dict[str, Any]:
    """A question to be answered in words though there are tools; it counts as right when they are there."""
    if rng.random() < 0.5:
        question, groups = rng.choice(FACTS)
        offered = rng.sample(list(TOOLS.values()), rng.randint(1, 4))
        return {"question": question, "tools": _tools(offered), "regex": "|".join(map(re.escape, groups[0]))}
    case = no_tool(rng)
    offered = rng.sample([tool for name, tool in TOOLS.items() if name != "calculator"], rng.randint(1, 3))
    return {"question": case.turns[0]["question"], "tools": _tools(offered), "regex": r"\btool\b"}


def _tools(offered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [tool["function"] for tool in offered]


def _nemochat(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "nemochat", "eval", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main() -> None:
    """Write the questions, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="nemochat-demo")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    rows = [(wanting_none if number % 2 else wanting_one)(rng) for number in range(options.count)]
    with tempfile.TemporaryDirectory() as folder:
        data, plain, gated = (Path(folder) / name for name in ("mixed.jsonl", "plain", "gated"))
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        run = ("run", "own", "--data", str(data), "--model", options.model)
        print(_nemochat(*run, "--out", str(plain)))
        print(_nemochat("gate", str(plain)))
        threshold = json.loads(_nemochat("gate", str(plain), "--json"))["threshold"]
        print(_nemochat(*run, "--out", str(gated), "--gate", f"{threshold}"))
        print(_nemochat("compare", str(plain), str(gated)))


if __name__ == "__main__":
    main()
