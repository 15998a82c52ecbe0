"""``nemochat ask --jsonl``: a line in, a line out, whatever is in it and whatever happens to the engine."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

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
    assert (done.returncode, done.stderr) == (0, "Line 2 is empty and was skipped.\n")
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
    for number, (reply, (_, sentence)) in enumerate(zip(replies, bad, strict=False), 1):
        assert set(reply) == {"error", "hint", "line"}
        assert reply["line"] == number
        assert sentence in reply["error"]
    assert replies[-1]["text"] == "fine"
    assert done.returncode == 1, "a script sees that not every line was answered"


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


def test_an_id_of_any_kind_comes_back_also_with_an_error(nemochat: Run, script: WriteScript) -> None:
    ids = [7, "a", None, {"x": [1]}, 1.5, False, ""]
    requests = [{"id": id_, "question": "Hi"} for id_ in ids] + [{"id": id_, "questoin": "Hi"} for id_ in ids]
    done = nemochat("ask", "--jsonl", "--model", script("fine"), input=lines(*requests, {"question": "Hi"}))
    replies = answers(done)
    assert [reply["id"] for reply in replies[:-1]] == ids * 2
    assert "id" not in replies[-1]
    assert [reply.get("line") for reply in replies] == [None] * 7 + list(range(8, 15)) + [None]


def test_a_byte_order_mark_openais_nulls_and_stop_are_taken(nemochat: Run, script: WriteScript) -> None:
    said = {"role": "assistant", "content": "Hello.", "refusal": None, "tool_calls": None, "audio": None, "name": None}
    tool = {"type": "function", "function": {"name": "f", "description": None, "parameters": {"properties": {"x": {"const": None}}}}}
    whole = {
        "messages": [{"role": "user", "content": "Count", "name": None}, said, {"role": "user", "content": "Count"}],
        "tools": [{**tool, "strict": None}], "images": None, "seed": None, "stop": "two", "response_format": None, "tool_choice": None,
    }  # fmt: skip
    done = nemochat(
        "ask", "--jsonl", "--model", script("one two three four"),
        input="\ufeff" + lines(whole, {"question": "Count", "stop": ["x", "four"]}, {"question": "Count", "stop": [""]}),
    )  # fmt: skip
    replies = answers(done)
    assert [reply.get("text", "").strip() for reply in replies] == ["one", "one two three", ""]
    assert "stop: an empty text" in replies[2]["error"]


WRITE = {
    "name": "write",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string", "pattern": "^/tmp/"}, "text": {"type": "string"}},
        "required": ["path", "text"],
    },
}


def call(path: str, closing: str = "</toolcall>") -> str:
    return f'<toolcall> {{"name": "write", "arguments": {{"path": "{path}", "text": "x"}}}} {closing}'


def test_a_call_that_does_not_fit_is_told_once_and_then_carries_a_warning(nemochat: Run, script: WriteScript) -> None:
    model = script(
        replies=[
            {"text": call("/tmp/c"), "when": "Right"},
            {"text": call("/tmp/c")[:30], "when": "Broken"},
            {"text": call("/etc/a")},
        ]
    )
    done = nemochat(
        "ask", "--jsonl", "--model", model,
        input=lines(*({"question": word, "tools": [WRITE]} for word in ("Right", "Wrong", "Broken")), {"question": "Right"},
                    {"question": "Right", "tools": [WRITE], "max_tokens": 6}),
    )  # fmt: skip
    right, wrong, broken, untold, cut = answers(done)
    assert (right.get("warnings"), right["tool_calls"][0].get("warning"), right["tool_runs"]) == (None, None, [])
    assert "does not match '^/tmp/' (in path)" in wrong["tool_calls"][0]["warning"]
    assert wrong["warnings"] == [wrong["tool_calls"][0]["warning"]]
    assert [run["state"] for run in wrong["tool_runs"]] == ["failed"], "told once; the second try is the caller's to see"
    assert "could not be read" in broken["tool_runs"][0]["result"]
    assert "warnings" not in untold, "what is no call of ours is not judged"
    assert (cut["finish_reason"], cut["tool_calls"]) == ("length", [])
    assert "was cut" in cut["warnings"][0]


def test_tool_choice_and_response_format_are_checked(nemochat: Run, script: WriteScript) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object", "required": ["a"]}}}
    asked = {"question": "Hi", "tools": [WRITE]}
    requests: list[dict[str, Any]] = [
        {**asked, "tool_choice": "none"},
        {**asked, "tool_choice": {"type": "function", "function": {"name": "delete"}}},
        {"question": "Hi", "tool_choice": "required"},
        {**asked, "response_format": form},
        {"question": "Hi", "response_format": form},
        {"question": "Hi", "response_format": {"type": "json_object"}},
        {"question": "Hi", "response_format": {"type": "text"}},
        {"question": "Hi", "response_format": {"type": "yaml"}},
    ]
    replies = answers(nemochat("ask", "--jsonl", "--model", script('{"b": 1}'), input=lines(*requests)))
    assert replies[0]["text"] == '{"b": 1}'
    assert "delete, which is none of the tools" in replies[1]["error"]
    assert "there are no tools" in replies[2]["error"]
    assert "without tools" in replies[3]["error"]
    assert "'a' is a required property" in replies[4]["warnings"][0]
    assert [reply.get("warnings") for reply in replies[5:7]] == [None, None]
    assert "response_format.type" in replies[7]["error"]


def test_tools_and_documents_are_for_requests_too(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "pets.txt").write_text("The cat of the house is called Mimi.\n")
    model = script(
        replies=[
            {"text": '<toolcall> {"name": "calculator", "arguments": {"expression": "6 * 7"}} </toolcall>', "when": "Six"},
            {"text": "It is known."},
        ]
    )
    done = nemochat(
        "ask", "--jsonl", "--model", model, "--tool", "calculator", "--doc", "pets.txt",
        input=lines({"question": "What is the cat called?"}, {"question": "Six times seven?"}, {"question": "And the cat of the house?"}),
    )  # fmt: skip
    replies = answers(done)
    assert [bool(reply["sources"]) for reply in replies] == [True, False, True]
    assert [(run["result"], run["state"]) for run in replies[1]["tool_runs"]][:1] == [("42", "done")]


@pytest.mark.parametrize("content", ["[]", "{}", "\n", "{\"messages\": []}", "nonsense"])
def test_an_import_that_brought_nothing_is_a_failure(nemochat: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "chats.json").write_text(content)
    done = nemochat("library", "import", "chats.json")
    assert done.returncode == 1
    assert "Error: " in done.stderr


def test_a_pipe_that_stays_open_is_said_to_be_waited_for(script: WriteScript, tmp_path: Path) -> None:
    with subprocess.Popen(
        command("ask", "Hello", "--model", script("fine")),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert "Waiting for the end of standard input" in process.stderr.readline()
        process.stdin.close()
        assert process.stdout.read() == "fine\n"
        assert process.wait(10) == 0
