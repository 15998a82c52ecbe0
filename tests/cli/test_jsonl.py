"""``nemochat ask --jsonl``: a line in, a line out, whatever is in it and whatever happens to the engine."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run, WriteScript, command

TWO_TURNS = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "red.png"}}, {"type": "text", "text": "First"}]},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Again"},
]


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def lines(*requests: object) -> str:
    return "".join((request if isinstance(request, str) else json.dumps(request)) + "\n" for request in requests)


def test_every_kind_of_line_gets_its_answer(nemochat: Run, script: WriteScript, red: str) -> None:
    uri = "data:image/png;base64," + base64.b64encode(Path(red).read_bytes()).decode()
    model = script(
        replies=[
            {"text": "piped", "when": "First"},
            {"text": "again", "when": "Again"},
            {"text": "tool said", "when": "42"},
            {"text": "pictures", "when": "Same?"},
            {"text": "one two three", "when": "Count"},
        ],
        image_tokens=7,
    )
    done = nemochat(
        "ask", "--jsonl", "--model", model,
        input=lines(
            {"question": "First", "images": ["red.png"]},
            "",
            {"messages": TWO_TURNS},
            {"messages": [*TWO_TURNS, {"role": "assistant", "content": ""}, {"role": "tool", "content": "42"}]},
            {"question": "Same?", "images": ["red.png", uri]},
            {"messages": TWO_TURNS[:2], "question": "Count", "max_tokens": 2, "temperature": 0.5, "seed": 3},
            {"question": "Count", "system": "s", "tools": [{"name": "f"}], "contexts": ["a", {"name": "n", "text": "t"}]},
        ),
    )  # fmt: skip
    replies = answers(done)
    assert [reply.get("text") for reply in replies] == ["piped", "again", "tool said", "pictures", "one two", "one two three"]
    assert (done.returncode, done.stderr) == (0, "")
    assert [reply["image_tokens"] for reply in replies] == [7, 7, 7, 14, 7, 0]
    assert replies[4]["finish_reason"] == "length"
    assert replies[0]["timings"]["load_ms"] > 0
    assert all(reply["timings"]["load_ms"] == 0 for reply in replies[1:])
    assert replies[1]["reused_tokens"] > 7


def test_bad_lines_are_answered_and_the_next_is_served(nemochat: Run, script: WriteScript, red: str) -> None:
    bad = [
        ("nonsense", "line 1: JSON is malformed"),
        ({"questoin": "x"}, "line 2: there is an unknown field questoin."),
        ({"question": 3}, "line 3: question: expected"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "line 4: messages[0].content[0].type: "),
        ({}, "The request has no question."),
        ({"messages": TWO_TURNS[:2]}, "The request has no question."),
        ({"question": "x", "images": ["none.png"]}, "none.png"),
        ({"question": "x", "images": ["data:image/png;base64,AAAA"]}, "the data URI"),
        ({"question": "x", "temperature": -1}, "line 9: temperature: expected"),
        ({"question": "x", "tools": [{"type": "function"}]}, "tools[0]: "),
        ({"question": "x " * 5000}, "4096"),
        ("[1]", "line 12: "),
        ('{"question": "\\ud800"}', "line 13: "),
    ]
    requests = [request for request, _ in bad]
    done = nemochat("ask", "--jsonl", "--model", script("fine"), input=lines(*requests, {"question": "Hi", "images": ["red.png"]}))
    replies = answers(done)
    assert len(replies) == len(bad) + 1
    for reply, (_, sentence) in zip(replies, bad, strict=False):
        assert set(reply) == {"error", "hint"}
        assert sentence in reply["error"]
    assert replies[-1]["text"] == "fine"
    assert done.returncode == 0


def test_the_engine_may_die_between_lines(nemochat: Run, script: WriteScript, red: str) -> None:
    model = script("fine", faults=[{"at": "decode", "kind": "kill", "when": "die"}, {"at": "prefill", "kind": "segv", "when": "crash"}])
    requests = [{"question": text, "images": ["red.png"]} for text in ("one", "die", "two", "crash", "three")]
    replies = answers(nemochat("ask", "--jsonl", "--model", model, input=lines(*requests)))
    assert [reply.get("text") for reply in replies] == ["fine", None, "fine", None, "fine"]
    assert "killed" in replies[1]["error"]
    assert "SIGSEGV" in replies[3]["error"]
    assert replies[2]["timings"]["load_ms"] >= 0


def test_answers_come_while_standard_input_stays_open(script: WriteScript, tmp_path: Path) -> None:
    with subprocess.Popen(
        command("ask", "--jsonl", "--stats", "--model", script("fine")),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for number in range(3):
            process.stdin.write(lines({"question": f"{number}"}))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == "fine"
        process.stdin.close()
        assert process.wait(10) == 0
        told = process.stderr.read().splitlines()
        # One line for each, and p50 and p95 of all at the end.
        assert [line.split()[0] for line in told[:4]] == ["TTFT", "cold", "reused", "reused"]
        assert told[5] == "3 replies: 1 cold, 2 reused"
        assert sum(" p95 " in line for line in told) == 4


def test_a_model_that_cannot_load_fails_at_once(nemochat: Run) -> None:
    done = nemochat("ask", "--jsonl", "--model", "missing.gguf", input=lines({"question": "Hi"}))
    assert (done.returncode, done.stdout) == (1, "")
    assert "missing.gguf" in done.stderr
