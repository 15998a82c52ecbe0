"""Tools on the command line: listed, shown, tested, and called by ``ask`` when the user says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, WriteScript, command
from tests.cli.test_commands import invoke
from tests.terminal.tty import Terminal

CALL = '<toolcall> {"name": "double", "arguments": {"number": 21}} </toolcall>'
DOUBLE = '''
def double(number: int) -> int:
    """Double a number. It is no secret."""
    return 2 * number


def broken(number) -> int:
    """No type."""
'''


@pytest.fixture
def own_tool(tmp_path: Path) -> None:
    """A tool of the user's, which is asked about, beside one that cannot be used."""
    folder = tmp_path / "config" / "tools"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(DOUBLE)


def in_terminal(tmp_path: Path, *arguments: str) -> Terminal:
    return Terminal(command(*arguments), {}, tmp_path)


# -- nemochat tools


def test_the_list_says_what_is_asked_about_and_what_is_broken(own_tool: None, nemochat: Run) -> None:
    listed = json.loads(invoke("tools", "list", "--json"))
    tools = {tool["name"]: tool for tool in listed["tools"]}
    assert tools["calculator"]["when"] == "unasked"
    assert tools["save_note"]["when"] == "asks"
    assert {"search_documents", "look_at_picture"} <= set(tools)
    assert (tools["double"]["origin"], tools["double"]["source"], tools["double"]["when"]) == ("your own", "mine.py", "asks")
    assert any("broken" in notice for notice in listed["notices"])
    done = nemochat("tools", "list")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "harmless, unasked" in rows["calculator"]
    assert "your own mine.py" in rows["double"]
    assert "mine.py" in done.stderr


def test_show_tells_schema_fingerprint_and_the_rule_in_force(tmp_path: Path) -> None:
    text = invoke("tools", "show", "calculator")
    assert '"expression"' in text
    assert "harmless unasked" in text
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('[tool_rules]\ncalculator = "never"\n')
    shown = json.loads(invoke("tools", "show", "calculator", "--json"))
    assert (shown["rule"], shown["when"], len(shown["fingerprint"])) == ("never", "never", 64)
    assert shown["parameters"]["required"] == ["expression"]


def test_a_harmless_tool_is_tested_unasked(nemochat: Run) -> None:
    done = nemochat("tools", "test", "calculator", '{"expression": "12 * 7"}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "84\n", "")
    failed = nemochat("tools", "test", "calculator", '{"expression": "12 *"}')
    assert failed.returncode == 1
    assert failed.stdout.startswith("error: ")


def test_a_tool_that_needs_asking_runs_only_with_yes(own_tool: None, nemochat: Run, tmp_path: Path) -> None:
    arguments = ("tools", "test", "double", '{"number": 21}')
    refused = nemochat(*arguments)
    assert refused.returncode == 1
    assert "no terminal" in refused.stderr
    assert "42" not in refused.stdout
    assert nemochat(*arguments, "--yes").stdout == "42\n"
    for answer, result in (("y\r", "42"), ("\r", "did not allow"), ("yo\r", "did not allow")):
        with in_terminal(tmp_path, *arguments) as terminal:
            text = terminal.wait_for("Run it? [y/N]")
            assert '"number": 21' in text
            terminal.send(answer)
            assert terminal.wait_for_end() == (0 if result == "42" else 1)
            assert result in terminal.text


def test_a_rule_is_stronger_than_yes(own_tool: None, nemochat: Run, tmp_path: Path) -> None:
    (tmp_path / "config" / "config.toml").write_text('[tool_rules]\ndouble = "never"\n')
    done = nemochat("tools", "test", "double", '{"number": 21}', "--yes")
    assert (done.returncode, done.stdout) == (1, "error: The user does not allow double.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tools", "show", "nope"], "There is no tool nope."),
        (["tools", "test", "nope"], "There is no tool nope."),
        (["tools", "test", "calculator", "12 * 7"], "The arguments are not JSON"),
        (["tools", "test", "calculator", "[1]"], "The arguments are not a JSON object."),
        (["ask", "Hi", "--tool", "nope"], "There is no tool nope."),
        (["ask", "Hi", "--yes-tool", "no\x1bpe"], "There is no tool nope."),
        (["ask", "--jsonl", "--tool", "nope"], "There is no tool nope."),
    ],
)
def test_what_cannot_be_meant(nemochat: Run, script: WriteScript, arguments: list[str], sentence: str) -> None:
    more = ["--model", script("x")] if arguments[0] == "ask" else []
    done = nemochat(*arguments, *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


# -- nemochat ask


def test_a_call_is_refused_where_nobody_can_be_asked(own_tool: None, nemochat: Run, script: WriteScript) -> None:
    done = nemochat("ask", "Double 21", "--tool", "double", "--model", script(CALL, "I may not."))
    assert (done.returncode, done.stdout) == (0, "I may not.\n")
    assert "--yes-tool" in done.stderr
    assert 'double {"number": 21} refused: error: The user did not allow this call of double.\n' in done.stderr


def test_yes_tool_runs_it_and_json_tells_all(own_tool: None, nemochat: Run, script: WriteScript) -> None:
    model = script(replies=[{"text": f"Let me see. {CALL}"}, {"text": "It is 42.", "when": "42"}])
    done = nemochat("ask", "Double 21", "--yes-tool", "double", "--model", model)
    assert (done.returncode, done.stdout) == (0, "Let me see. \nIt is 42.\n")
    assert done.stderr == 'double {"number": 21} -> 42\n'
    reply = json.loads(nemochat("ask", "Double 21", "--yes-tool", "double", "--model", model, "--json").stdout)
    assert reply["text"] == "It is 42."
    assert reply["tool_runs"] == [{"name": "double", "arguments": {"number": 21}, "result": "42", "state": "done"}]
    assert (reply["tool_calls"], reply["finish_reason"], reply["sources"]) == ([], "stop", [])


def test_never_is_stronger_than_yes_tool(own_tool: None, nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "config" / "config.toml").write_text('[tool_rules]\ndouble = "never"\n')
    reply = json.loads(nemochat("ask", "x", "--yes-tool", "double", "--model", script(CALL, "No."), "--json").stdout)
    assert [run["result"] for run in reply["tool_runs"]] == ["error: The user does not allow double."]


def test_a_tool_that_is_not_offered_does_not_run(own_tool: None, nemochat: Run, script: WriteScript) -> None:
    reply = json.loads(nemochat("ask", "x", "--yes-tool", "calculator", "--model", script(CALL, "No."), "--json").stdout)
    assert [(run["name"], run["state"]) for run in reply["tool_runs"]] == [("double", "failed")]


def test_the_person_at_the_terminal_is_asked(own_tool: None, script: WriteScript, tmp_path: Path) -> None:
    model = script(CALL, "So be it.")
    for answer, mark in (("y\r", "-> 42"), ("n\r", "refused:")):
        with in_terminal(tmp_path, "ask", "Double 21", "--tool", "double", "--model", model) as terminal:
            text = terminal.wait_for("Run it? [y/N]")
            assert "double (your own mine.py)" in text
            assert '"number": 21' in text
            terminal.send(answer)
            assert terminal.wait_for_end() == 0
            assert mark in terminal.text
            assert "So be it." in terminal.text
            assert "<toolcall>" not in terminal.text


def test_what_was_typed_before_the_question_answers_nothing(own_tool: None, script: WriteScript, tmp_path: Path) -> None:
    with in_terminal(tmp_path, "ask", "Double", "--tool", "double", "--model", script(CALL, "Well.", load_seconds=0.5)) as terminal:
        terminal.send("y\ry\r")
        terminal.wait_for("Run it? [y/N]")
        terminal.send("\x04")
        assert terminal.wait_for_end() == 0
        assert "refused:" in terminal.text


def test_arguments_longer_than_the_screen_are_shown_a_page_at_a_time_before_the_question(
    own_tool: None, script: WriteScript, tmp_path: Path
) -> None:
    """What was typed for a page, or for all of them at once, is no yes."""
    ran = tmp_path / "ran"
    code = f'def keep(text: str) -> str:\n    """Keep a text."""\n    open({str(ran)!r}, "w").close()\n    return "kept"\n'
    (tmp_path / "config" / "tools" / "mine.py").write_text(code)
    call = f'<toolcall> {{"name": "keep", "arguments": {{"text": "{"a" * 400}  \\\\u202eend"}}}} </toolcall>'
    arguments = ("ask", "Keep it", "--tool", "keep", "--model", script(call, "So be it."))
    for typed, is_run in (("y\r", False), ("\ry\r", False), ("\r", True)):
        with Terminal(command(*arguments), {}, tmp_path, columns=80, rows=6) as terminal:
            assert "│ aaa" in terminal.wait_for("5 more lines: Enter shows them, n says no")
            terminal.send(typed)
            if typed != "y\r":
                terminal.wait_for("1 more line: Enter shows them, n says no")
                terminal.send("\r" if is_run else "\x04")
            if is_run:
                terminal.wait_for("Run it? [y/N]")
                terminal.send("y\r")
            assert terminal.wait_for_end() == 0
            assert ran.exists() is is_run
            assert (b"\\u202eend" in terminal.written) is (typed != "y\r")


def test_ctrl_c_at_the_question_runs_nothing(own_tool: None, script: WriteScript, tmp_path: Path) -> None:
    with in_terminal(tmp_path, "ask", "Double", "--tool", "double", "--model", script(CALL, "Well.")) as terminal:
        terminal.wait_for("Run it? [y/N]")
        terminal.send("\x03")
        assert terminal.wait_for_end() == 130
        assert "42" not in terminal.text


def test_a_model_that_never_stops_calling_ends_and_is_told(nemochat: Run, script: WriteScript) -> None:
    call = '<toolcall> {"name": "calculator", "arguments": {"expression": "1 + 1"}} </toolcall>'
    done = nemochat("ask", "x", "--tool", "calculator", "--model", script(*[call] * 9))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("calculator {") == 5
    assert "often enough" in done.stderr


def test_pictures_are_looked_at_in_their_own_files(nemochat: Run, script: WriteScript, red: str) -> None:
    corner = '{"picture": %d, "left": 0, "top": 0, "right": 50, "bottom": 50}'
    call = f'<toolcall> {{"name": "look_at_picture", "arguments": {corner}}} </toolcall>'
    model = script(call % 1, call % 2, "Red.", image_tokens=9)
    reply = json.loads(nemochat("ask", "x", "-i", red, "--tool", "look_at_picture", "--model", model, "--json").stdout)
    first, second = reply["tool_runs"]
    assert (first["state"], first["result"]) == ("done", "Picture 1: 0 to 50 % across, 0 to 50 % down.")
    assert (second["state"], second["result"]) == ("failed", "error: There is no picture 2.")
    assert reply["image_tokens"] == 18


def test_a_result_prints_no_escapes(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "tools"
    folder.mkdir(parents=True)
    (folder / "bad.py").write_text('def double(number: int) -> str:\n    """X."""\n    return "\\x1b]0;owned\\x07\\u202e42\\n\\n" * 90\n')
    done = nemochat("ask", "x", "--yes-tool", "double", "--model", script(CALL, "Well."))
    assert not set(done.stderr) & {"\x1b", "\x07", "\u202e"}
    assert (len(done.stderr.splitlines()), max(map(len, done.stderr.splitlines()))) == (1, 200)


# -- the demo model


def test_the_demo_model_calculates_with_the_calculator(nemochat: Run) -> None:
    done = nemochat("ask", "What is 12 * 7?", "--tool", "calculator", "--yes-tool", "calculator")
    assert done.returncode == 0
    assert "84" in done.stdout
    assert '{"expression": "12 * 7"} -> 84' in done.stderr


def test_the_demo_model_tells_the_time(nemochat: Run) -> None:
    reply = json.loads(nemochat("ask", "What time is it?", "--tool", "current_time", "--json", TZ="UTC").stdout)
    (run,) = reply["tool_runs"]
    assert (run["name"], run["state"]) == ("current_time", "done")
    assert run["result"].split(", ")[-1] in reply["text"]


def test_nothing_heavy_is_imported_for_a_plain_question() -> None:
    code = "import sys, nemochat.cli.ask; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ, check=True)
    loaded = {".".join(name.split(".")[:2]) for name in done.stdout.split()}
    assert not loaded & {"textual", "rich", "mcp", "jsonschema", "nemochat.tui", "nemochat.cli.offering"}


SUM = '<toolcall> {"name": "calculator", "arguments": {"expression": "2"}} </toolcall>'
GATED = [{"text": SUM, "call_chance": 0.3, "other": "No sum."}]
"""A model that calls, though that is not likely."""


def test_a_gate_keeps_unlikely_calls_from_being_made(nemochat: Run, script: WriteScript) -> None:
    model = script(replies=GATED)
    asked = ("ask", "Hello!", "--model", model, "--yes-tool", "calculator", "--json")
    for threshold in ("0.5", "1"):
        done = nemochat(*asked, "--gate", threshold)
        reply = json.loads(done.stdout)
        assert (reply["text"], reply["tool_runs"], reply["call_chance"]) == ("No sum.", [], 0.3), done.stderr
    assert json.loads(nemochat(*asked, "--gate", "0.3").stdout)["tool_runs"]
    called = json.loads(nemochat(*asked).stdout)
    assert (called["tool_runs"] != [], called["call_chance"]) == (True, 0.3)
    wrong = nemochat(*asked, "--gate", "1.5")
    assert (wrong.returncode, "--gate" in wrong.stderr) == (2, True)


def test_the_gate_of_the_settings_holds_for_tools_of_request_lines_too(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config/config.toml").write_text("[tools]\ngate = 0.5\n")
    line = json.dumps({"question": "Hello!", "tools": [{"name": "calculator", "parameters": {"type": "object", "properties": {}}}]})
    done = nemochat("ask", "--jsonl", "--model", script(replies=GATED), input=line + "\n")
    reply = json.loads(done.stdout)
    assert (reply["text"], reply["call_chance"]) == ("No sum.", 0.3)
    done = nemochat("ask", "--jsonl", "--model", script(replies=GATED), "--gate", "0.2", input=line + "\n")
    assert json.loads(done.stdout)["tool_calls"][0]["name"] == "calculator"
