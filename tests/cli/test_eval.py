"""``nemochat eval``: runs that go on where they ended, whatever ended them, and results that are shown, compared and kept."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nemochat.cli.evaluating import check_room
from nemochat.cli.output import say_wrapped
from nemochat.cli.setup import read_setup
from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.messages import Conversation, ImagePart, Message, Role, TextPart
from nemochat.errors import EvaluationError
from nemochat.library import Library
from tests.cli.conftest import Run, WriteScript, command
from tests.remote.llama_server import LlamaServer, running
from tests.terminal.tty import Terminal

Ask = Callable[..., dict[str, Any]]
COUNT = 24


def write_questions(folder: Path, count: int = COUNT) -> Path:
    """Every other one has the picture red.png; the right answer of each is its number."""
    rows = [{"question": f"Number {n}.", "answers": [str(n)]} | ({"picture": "red.png"} if n % 2 else {}) for n in range(count)]
    file = folder / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def knowing(script: WriteScript, count: int = COUNT, **fields: Any) -> str:
    """A model that is right about the numbers that three divides."""
    replies = [{"text": str(n) if n % 3 == 0 else "no", "when": f"Number {n}."} for n in range(count)]
    return script(replies=[*replies, {"text": "?"}], **fields)


@pytest.fixture
def ask(nemochat: Run, tmp_path: Path, red: str) -> Ask:
    """Run the own questions to the end; the result."""

    def run(model: str, *more: str, out: str = "out") -> dict[str, Any]:
        done = nemochat("eval", "run", "own", "--data", "mine.jsonl", "--model", model, "--out", out, "--json", *more)
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "stderr": done.stderr}

    return run


def answers(folder: Path) -> dict[str, tuple[str, Any]]:
    """What was answered to each question, the last of each, and what that is worth."""
    found = {}
    for line in (folder / "answers.jsonl").read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[row["id"]] = (row.get("text", ""), row.get("score", {}).get("right"))
    return found


def test_a_run_says_its_result_and_all_that_it_depends_on(ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    write_questions(tmp_path)
    result = ask(knowing(script), "--seed", "7")
    [figure] = result["figures"]
    assert (figure["value"], result["answered"], result["failed"], result["guesses"]) == (8 / COUNT, COUNT, 0, 0)
    assert figure["low"] < 8 / COUNT < figure["high"]
    setting = result["setting"]
    assert (setting["seed"], setting["temperature"], setting["benchmark"]) == (7, 0, "own")
    assert len(setting["model_sha256"]) == len(setting["files"]["mine.jsonl"]) == 64
    assert {"nemochat", "Python", "system"} <= result["versions"].keys()


def test_a_picture_and_what_is_before_it_are_read_once(ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    write_questions(tmp_path)
    ask(knowing(script))
    rows = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text().splitlines()]
    assert sum(row.get("pictures", 0) for row in rows) == 1
    assert sum(row.get("reused", 0) > 16 for row in rows) == COUNT // 2 - 1


def test_the_same_command_goes_on_and_asks_nothing_twice(ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    write_questions(tmp_path)
    model = knowing(script)
    first = ask(model)
    lines = (tmp_path / "out/answers.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out/answers.jsonl").write_text("".join(lines[:10]) + lines[10][:40])  # the last line is torn
    again = ask(model)
    assert "10 of 24 questions are answered already." in again["stderr"]
    assert again["figures"] == first["figures"]
    assert len((tmp_path / "out/answers.jsonl").read_text().splitlines()) == COUNT + 1


def test_its_worker_is_killed_and_then_itself(ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    """The first costs the question under way, which is asked again; the second nothing (tests/evaluation/test_asking.py: at any moment)."""
    write_questions(tmp_path)
    whole = ask(knowing(script), out="whole")
    slow = knowing(script, token_seconds=0.03)
    arguments = ("eval", "run", "own", "--data", "mine.jsonl", "--model", slow, "--out", "killed")
    process = subprocess.Popen(command(*arguments), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_answers(tmp_path / "killed", 3, process)
    [worker] = [each for each in psutil.Process(process.pid).children(recursive=True) if "nemochat.engine.worker" in each.cmdline()]
    worker.kill()
    wait_for_answers(tmp_path / "killed", 9, process)
    process.kill()
    process.wait()
    lost = sum(right is None or not text for text, right in answers(tmp_path / "killed").values())
    assert lost <= 1
    result = ask(slow, out="killed")
    assert (result["figures"], result["failed"]) == (whole["figures"], 0)
    assert answers(tmp_path / "killed") == answers(tmp_path / "whole")


def wait_for_answers(folder: Path, wanted: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while len(answers_so_far(folder)) < wanted:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)


def answers_so_far(folder: Path) -> dict[str, tuple[str, Any]]:
    return answers(folder) if (folder / "answers.jsonl").exists() else {}


def test_ctrl_c_keeps_all_and_says_so(script: WriteScript, tmp_path: Path, red: str) -> None:
    write_questions(tmp_path)
    arguments = ("eval", "run", "own", "--data", "mine.jsonl", "--model", knowing(script, token_seconds=0.2), "--out", "out")
    with Terminal(command(*arguments), dict(os.environ), tmp_path) as terminal:
        deadline = time.monotonic() + 120
        while len(answers_so_far(tmp_path / "out")) < 2:
            assert time.monotonic() < deadline, terminal.text
            terminal.read(0.05)
        terminal.send("\x03")
        assert terminal.wait_for_end() == 130
        assert "The same command goes on from there" in terminal.text.replace("\n", " ")
    assert len(answers(tmp_path / "out")) >= 2


def test_a_model_that_crashes_on_one_question_loses_that_one_alone(ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    write_questions(tmp_path)
    crash = {"at": "prefill", "kind": "segv", "when": "Number 9."}
    broken = ask(knowing(script, faults=[crash]))
    assert (broken["answered"], broken["failed"], broken["figures"][0]["value"]) == (COUNT - 1, 1, 7 / COUNT)
    again = ask(knowing(script, faults=[crash]))
    assert "23 of 24 questions are answered already." in again["stderr"]
    assert again["failed"] == 1


def test_a_chat_on_the_same_machine_comes_first(script: WriteScript, tmp_path: Path, red: str) -> None:
    """While its reply is written no question is asked; when it is there, the run goes on."""
    write_questions(tmp_path, 4)
    chat = tmp_path / "chat.script.json"
    chat.write_text(json.dumps({"replies": [{"text": "word " * 500}], "token_seconds": 0.1}))
    arguments = ("eval", "run", "own", "--data", "mine.jsonl", "--model", knowing(script), "--out", "out")
    talk, pipe = command("--plain", "--model", str(chat)), subprocess.PIPE
    with subprocess.Popen(talk, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as plain:
        assert plain.stdin is not None
        assert plain.stdout is not None
        plain.stdin.write("Hello.\n")
        plain.stdin.flush()
        said = ""
        while "word" not in said:
            said += (piece := plain.stdout.read(1))
            assert piece, plain.communicate()
        with subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
            assert run.stderr is not None
            said = ""
            while "Waiting for a chat on this machine" not in said:
                said += (line := run.stderr.readline())
                assert line, said
            assert answers(tmp_path / "out") == {}
            plain.kill()  # what a program holds ends with it, however it ends
            run.communicate(timeout=60)
            assert (run.returncode, len(answers(tmp_path / "out"))) == (0, 4)


def test_words_stay_whole_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And begin below each other; a pipe gets the line as it is."""
    said = "a reply of some words \x1b[31m[bold]and[/bold] a tag"
    say_wrapped(said, "Answered: ")
    assert capsys.readouterr().out == "Answered: a reply of some words [31m[bold]and[/bold] a tag\n"
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say_wrapped(said, "Answered: ")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["Answered: a reply of some", "          words", "          [31m[bold]and[/bold]", "          a tag"]


def test_beside_a_chat_a_model_has_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models that do not fit together end one of them: not the chat's."""
    setup = read_setup()
    asyncio.run(check_room(setup, None, None))
    monkeypatch.setattr("nemochat.cli.opening.available_memory", lambda: 10_000_000)
    with pytest.raises(EvaluationError, match=r"A chat is open .* does not fit beside it: it needs .*10 MB are available"):
        asyncio.run(check_room(setup, None, None))


def test_a_model_that_answers_nothing_ends_the_run_with_its_reason(nemochat: Run, script: WriteScript, tmp_path: Path, red: str) -> None:
    write_questions(tmp_path)
    refuse = {"at": "prefill", "kind": "refuse"}
    done = nemochat("eval", "run", "own", "--data", "mine.jsonl", "--model", knowing(script, faults=[refuse]), "--out", "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(("Error: ", "Hint: "))
    assert len(answers(tmp_path / "out")) < COUNT


def test_another_run_or_program_in_the_folder_is_refused(nemochat: Run, ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    write_questions(tmp_path)
    model = knowing(script)
    ask(model)
    done = nemochat("eval", "run", "own", "--data", "mine.jsonl", "--model", model, "--out", "out", "--seed", "2")
    assert (done.returncode, "its seed differs" in done.stderr) == (1, True)
    (tmp_path / "out/run.json").unlink()
    done = nemochat("eval", "run", "own", "--data", "mine.jsonl", "--model", model, "--out", "out")
    assert (done.returncode, "is of no run" in done.stderr) == (1, True)


OTHER = b'{"setting": {"benchmark": "x", "files": {}, "model": ""}, "data": "", "count": 1, "versions": {}}'


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", OTHER, b"[" * 9999], ids=["empty", "{}", "no UTF-8", "other", "deep"])
def test_a_run_that_is_none_is_said(content: bytes, nemochat: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data/evaluations/x"
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(content)
    for words in (("show", "x"), ("report", "x"), ("compare", "x", "x"), ("show", "gone")):
        done = nemochat("eval", *words)
        assert (done.returncode, done.stderr.startswith("Error: "), "bug" in done.stderr) == (1, True, False), done.stderr
    assert nemochat("eval", "list").returncode == 0


def test_lines_that_are_no_answers_cost_only_themselves(nemochat: Run, ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    """Fails when somebody else's line ends a command, or is counted as more than right or less than wrong."""
    write_questions(tmp_path)
    model = knowing(script)
    whole = ask(model)
    foreign = (
        '{"id": "1", "calls": [{"x": 1}]}', '{"id": "2", "calls": [{"name": {}, "arguments": 7}]}', '{"id": 5}', "[1]",
        '{"id": "4", "score": {"right": 5}}', '{"id": "5", "score": {"right": -3}}', '{"id": "6", "score": {"right": 2e9}}',
    )  # fmt: skip
    with (tmp_path / "out/answers.jsonl").open("a") as file:
        file.writelines(f"{line}\n" for line in foreign)
    assert ask(model)["figures"] == whole["figures"]
    for words in (("show", "out"), ("compare", "out", "out"), ("report", "out", "--html", "page.html"), ("show", "out", "--json")):
        done = nemochat("eval", *words)
        assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr


def test_an_answer_that_lacks_what_its_benchmark_counts_is_said(nemochat: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data/evaluations/x"
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(OTHER.replace(b'"x"', b'"pope"'))
    scored = [{"id": "1", "score": {"right": 1, "parts": {"answer yes": 1}}}, {"id": "2", "score": {"right": 1}}]
    (folder / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in scored))
    for words in (("show", "x"), ("report", "x"), ("compare", "x", "x"), ("gate", "x")):
        done = nemochat("eval", *words)
        assert (done.returncode, "POPE (popular) counts" in done.stderr, "bug" in done.stderr) == (1, True, False), done.stderr
    assert nemochat("eval", "list").returncode == 0


def test_runs_over_other_questions_are_not_compared_by_the_numbers_of_their_lines(
    nemochat: Run, ask: Ask, script: WriteScript, tmp_path: Path
) -> None:
    write_questions(tmp_path)
    model = knowing(script)
    ask(model, out="one")
    rows = [{"question": "Number 0.", "answers": ["0"]}, {"question": "Another.", "answers": ["1"]}]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask(model, out="two")
    assert "1 question that both have" in nemochat("eval", "compare", "one", "two").stdout


def test_no_answer_at_all_is_no_result_and_its_reason_is_said(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    """Fails when a script takes 0 % for a measurement, or the user is not told why nothing came."""
    rows = [{"question": f"Number {n}.", "answers": ["a"], "picture": "broken.png"} for n in range(2)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "broken.png").write_bytes(b"none")
    arguments = ("eval", "run", "own", "--data", "mine.jsonl", "--model", script("a"), "--out", "out", "--limit", "9")
    done = nemochat(*arguments)
    said = " ".join(done.stdout.split())
    assert (done.returncode, "The model gave no answer to any question." in done.stderr) == (1, True)
    assert "No answer came to 2 questions, counted as wrong: the same command asks again. Why: broken.png" in said
    assert "drawn" not in said  # the limit takes all
    assert json.loads((tmp_path / "out/run.json").read_text())["setting"]["limit"] is None
    (tmp_path / "mine.jsonl").write_text(json.dumps(rows[0] | {"answers": ["b"]}))
    done = nemochat(*arguments)
    assert (done.returncode, "its file of questions differs." in done.stderr) == (1, True)


def test_show_compare_and_report(nemochat: Run, ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    write_questions(tmp_path)
    ask(knowing(script), out="one")
    replies = [{"text": str(n) if n % 2 else "<b>\x1b[31m|`no`", "when": f"Number {n}."} for n in range(COUNT)]
    ask(script(replies=replies), out="two")
    shown = nemochat("eval", "show", "one", "--wrong", "2").stdout
    assert "33.33 (" in shown
    assert "Number 2.\nRight:    2\nAnswered: no\n" in shown
    compared = nemochat("eval", "compare", "one", "two").stdout
    assert "Difference: +16.67 (95 % range -" in compared
    assert "8 better, 4 worse" in compared
    done = nemochat("eval", "report", "one", "two", "--html", "page.html")
    assert done.stdout.count("| own questions |") == 2
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 8  # of the wrong ones with a picture, in the first run alone
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "<script" not in page
    (tmp_path / "mine.jsonl").unlink()
    assert nemochat("eval", "report", "one", "--html", "page.html").returncode == 0


def test_a_question_of_a_chat_becomes_an_own_question(nemochat: Run, ask: Ask, script: WriteScript, tmp_path: Path, red: str) -> None:
    original = Original(Path(red).read_bytes(), "png")
    said = (
        Message(Role.USER, (ImagePart(original.digest, "red.png"), TextPart("Look."))),
        Message(Role.ASSISTANT, (TextPart("I see."),)),
        Message(Role.USER, (TextPart("Which colour?"),)),
        Message(Role.ASSISTANT, (TextPart("Blue."),)),
    )
    library, _ = Library.open(tmp_path / "data/library")
    with library:
        library.put_picture(original.digest, original)
        saved = library.save(None, 0, None, Chat.of(Conversation(system="Be brief.", messages=said)))
    assert nemochat("eval", "add", "mine.jsonl", "--chat", saved.id, "--answer", "red").returncode == 0
    assert nemochat("eval", "add", "mine.jsonl", "--chat", saved.id, "--message", "1", "--regex", "ok").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "mine.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == ["Which colour?", "Look."]
    assert (tmp_path / rows[0]["pictures"][0]).read_bytes() == original.data
    assert ask(script("Red."))["figures"][0]["value"] == 0.5
    done = nemochat("eval", "run", "own", "--model", script("Red."))
    assert (done.returncode, "You have kept no questions yet." in done.stderr) == (2, True)
    assert nemochat("eval", "add", "--chat", saved.id, "--answer", "red").returncode == 0
    done = nemochat("eval", "run", "own", "--model", script("Red."), "--json")
    assert json.loads(done.stdout)["answered"] == 1
    assert nemochat("eval", "run", "gqa").returncode == 2
    for words in ((), ("--answer", "a", "--regex", "b"), ("--regex", "("), ("--call", "{"), ("--message", "3", "--answer", "a")):
        done = nemochat("eval", "add", "mine.jsonl", "--chat", saved.id, *words)
        assert (done.returncode, "bug" in done.stderr) == (2, False), done.stderr
    assert len((tmp_path / "mine.jsonl").read_text().splitlines()) == 2
    (tmp_path / "mine.json").write_text("[]")
    done = nemochat("eval", "add", "mine.json", "--chat", saved.id, "--answer", "red")
    assert (done.returncode, "Name one that ends in .jsonl." in done.stderr) == (2, True)
    assert (tmp_path / "mine.json").read_text() == "[]"


def test_calls_are_asked_once_whatever_is_wrong_with_them(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    """A call that does not fit is scored as it is: nobody tells the model to try again."""
    parameters = {"type": "dict", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
    function = {"name": "area", "description": "", "parameters": parameters}
    asked = [{"id": f"simple_{n}", "question": [[{"role": "user", "content": f"Area {n}?"}]], "function": [function]} for n in range(3)]
    (tmp_path / "possible_answer").mkdir()
    truth = [{"id": row["id"], "ground_truth": [{"area": {"b": [10]}}]} for row in asked]
    for name, rows in (("BFCL_v3_simple.json", asked), ("possible_answer/BFCL_v3_simple.json", truth)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = ['{"name": "area", "arguments": {"b": 10}}', '{"name": "area", "arguments": {"b": "x"}}', "{broken"]
    replies = [{"text": f"<toolcall> {text} </toolcall>", "when": f"Area {n}?"} for n, text in enumerate(said)]
    model = script(replies=[*replies, {"text": "Sorry."}])
    done = nemochat("eval", "run", "bfcl-simple", "--data", ".", "--model", model, "--no-grammar", "--json", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["figures"][0]["value"] == pytest.approx(1 / 3)
    assert {id_: right for id_, (_, right) in answers(tmp_path / "out").items()} == {"simple_0": 1, "simple_1": 0, "simple_2": 0}
    assert not any("Sorry" in text for text, _ in answers(tmp_path / "out").values())


CALL = '<toolcall> {"name": "add", "arguments": {}} </toolcall>'


def write_mixed(folder: Path, count: int = 20) -> list[dict[str, Any]]:
    """Every other question wants a call. What a model says to them that calls always, but less likely where none is wanted."""
    tools = [{"name": "add", "parameters": {"type": "object", "properties": {}}}]
    rows: list[dict[str, Any]] = [
        {"question": f"Number {n}.", "tools": tools} | ({"call": {"name": "add"}} if n % 2 else {"regex": "hello"}) for n in range(count)
    ]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chances = [0.9 if n % 2 else 0.3 for n in range(count)]
    return [{"text": CALL, "when": f"Number {n}.", "call_chance": chance, "other": "hello"} for n, chance in enumerate(chances)]


def test_a_gate_is_found_from_one_run_and_helps_in_the_next(nemochat: Run, ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    model = script(replies=[*write_mixed(tmp_path, 40), {"text": "?"}])
    assert ask(model)["figures"][0]["value"] == 0.5
    lines = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text().splitlines()]
    assert {(line["call_chance"], line["wants_call"]) for line in lines} == {(0.9, True), (0.3, False)}
    done = nemochat("eval", "gate", "out")
    assert done.returncode == 0, done.stderr
    assert "AUC of 1.000" in done.stdout
    assert "The gate helps: +50.0 (+50.0 to +50.0, 95 %) are rightly decided. Set it with tools.gate = 0.6." in done.stdout
    told = json.loads(nemochat("eval", "gate", "out", "--json").stdout)
    assert (told["threshold"], told["wanted"], told["unwanted"], told["difference"]) == (0.6, 20, 20, 0.5)
    gated = ask(model, "--gate", "0.6", out="gated")
    assert (gated["figures"][0]["value"], gated["setting"]["gate"]) == (1, 0.6)
    assert "gate" in nemochat("eval", "show", "gated").stdout
    refused = nemochat("eval", "gate", "gated")
    assert (refused.returncode, "Name runs without --gate." in refused.stderr) == (1, True), refused.stderr
    other = nemochat("eval", "run", "own", "--data", "mine.jsonl", "--model", model, "--out", "gated", "--gate", "0.7")
    assert (other.returncode, "its gate differs" in other.stderr) == (1, True), other.stderr


def test_the_gate_of_the_settings_is_none_of_a_run(nemochat: Run, ask: Ask, script: WriteScript, tmp_path: Path) -> None:
    """Fails when a result depends on what its run does not say."""
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config/config.toml").write_text("[tools]\ngate = 1.0\n")
    result = ask(script(replies=[*write_mixed(tmp_path), {"text": "?"}]))
    assert (result["figures"][0]["value"], result["setting"]["gate"]) == (0.5, None)


def test_a_gate_that_no_server_heeds_is_refused_before_the_first_question(nemochat: Run, llama: LlamaServer, tmp_path: Path) -> None:
    write_mixed(tmp_path)
    assert nemochat("servers", "add", "here", llama.url).returncode == 0
    done = nemochat("eval", "run", "own", "--data", "mine.jsonl", "--model", "here", "--out", "served", "--gate", "0.5")
    assert (done.returncode, "cannot be held to tools.gate" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "served").exists()
    asked = nemochat("ask", "What is 12 * 7?", "--model", "here", "--yes-tool", "calculator", "--gate", "1", "--max-tokens", "40")
    assert (asked.returncode, asked.stderr.count("it calls tools as it likes")) == (0, 1), asked.stderr


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    """The demo pair behind a real llama-server with four slots."""
    with running(slots=4) as server:
        yield server


def test_several_at_a_time_on_a_server(nemochat: Run, llama: LlamaServer, tmp_path: Path, red: str) -> None:
    rows = [{"question": f"What is in picture {n}?", "regex": "x", "picture": "red.png"} for n in range(8)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert nemochat("servers", "add", "here", llama.url).returncode == 0
    for parallel in ("1", "4"):
        arguments = ("eval", "run", "own", "--data", "mine.jsonl", "--model", "here", "--out", parallel, "--parallel", parallel, "--json")
        done = nemochat(*arguments)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["answered"] == 8
        assert json.loads(done.stdout)["setting"]["server"] == f"here {llama.url}"
    assert answers(tmp_path / "1").keys() == answers(tmp_path / "4").keys()


def test_a_sample_says_that_it_is_one(ask: Ask, nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    write_questions(tmp_path)
    assert ask(knowing(script), "--limit", "5")["count"] == 5
    assert "drawn with seed 0" in nemochat("eval", "show", "out").stdout
