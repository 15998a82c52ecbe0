"""``nemochat ask`` with servers that do what no server should: one sentence, the exit code, and the key in nothing that is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import LIMIT_SECONDS, Run, command
from tests.remote.hostile import DROP, HOLD, KEY, Act, HostileServer, Says, answer, begin
from tests.remote.wires import OLLAMA, OPENAI, VLLM, Wire

every_wire = pytest.mark.parametrize("wire", [OPENAI, OLLAMA], ids=lambda wire: wire.kind)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMOCHAT_KEY_LAB", KEY)


def known(hostile: HostileServer, wire: Wire, folder: Path) -> tuple[str, str]:
    """Have the server in the user's list, and say how its model is chosen."""
    config = folder / "config"
    config.mkdir(exist_ok=True)
    (config / "servers.toml").write_text(f'[lab]\nurl = "{hostile.url}"\nkind = "{wire.kind}"\n')
    return "--model", f"lab/{wire.model}"


def no_key_in(folder: Path, *texts: str) -> None:
    """The key is nowhere: not on the screen, not in a file."""
    for text in texts:
        assert KEY not in text
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def then(wire: Wire, *last: bytes | Act) -> Sequence[bytes | Act]:
    return [wire.begin(), wire.text("Hello"), wire.text(" wor"), *last]


FAULTS: dict[str, tuple[Callable[[Wire], Says | bytes], str, str]] = {
    "cut": (lambda wire: wire.cut("Hello", " wor"), "Hello wor", "lab broke off in the middle of its answer."),
    "an-error-in-it": (lambda wire: then(wire, wire.raw({"error": f"no memory for {KEY}\x1b[2J"})), "Hello wor", "no memory for …[2J."),
    "a-page-in-it": (lambda wire: then(wire, b"<html>\n"), "Hello wor", "is a web page"),
    "a-long-line": (lambda wire: then(wire, b"data: " + b"x" * 10_000_000, HOLD), "Hello wor", "more than 4 MiB"),
    "wrong-key": (lambda wire: answer({"error": {"message": f"bad {KEY}"}}, "401 No"), "", "lab does not accept the key: bad …."),
    "elsewhere": (lambda wire: answer(b"", "308 Moved", location=f"https://evil.example/{KEY}"), "", "which is not followed"),
    "not-http": (lambda wire: b"hello\r\n\r\n", "", "is not HTTP"),
}


@every_wire
@pytest.mark.parametrize("fault", FAULTS)
def test_a_reply_that_goes_wrong_is_said_and_what_has_come_is_shown(fault: str, wire: Wire, nemochat: Run, tmp_path: Path) -> None:
    says, shown, message = FAULTS[fault]
    with wire.serving(says(wire)) as hostile:
        done = nemochat("ask", "Hi", *known(hostile, wire, tmp_path))
    assert done.returncode == 1
    assert done.stdout.strip() == shown
    assert message in done.stderr.replace("\n", " ")
    assert "\x1b" not in done.stderr
    no_key_in(tmp_path, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (answer({"error": f"bad key {KEY}"}, "401 No"), "lab does not accept the key: bad key …."),
        (answer(b"<html>", kind="text/html"), "is a web page, not JSON"),
        (answer({}), "lists no models"),
        (answer(b"[" * 100_000), "is nested too deep"),
        ([begin("application/json", content_length="10"), b"{"], "broke off in the middle"),
        ([DROP], "closed the connection without an answer"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_opened_is_said(says: Any, message: str, nemochat: Run, tmp_path: Path) -> None:
    with HostileServer({"*": says}) as hostile:
        done = nemochat("ask", "Hi", *known(hostile, OPENAI, tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    no_key_in(tmp_path, done.stderr)


def test_a_server_that_is_not_there_and_one_with_an_unknown_certificate(nemochat: Run, tmp_path: Path) -> None:
    with OPENAI.serving() as hostile:
        chosen = known(hostile, OPENAI, tmp_path)
    done = nemochat("ask", "Hi", *chosen)
    assert done.returncode == 1
    assert "lab does not answer at http://127.0.0.1:" in done.stderr
    with HostileServer({"*": answer({})}, has_tls=True) as hostile:
        done = nemochat("ask", "Hi", *known(hostile, OPENAI, tmp_path))
    assert done.returncode == 1
    assert "The certificate of lab is not trusted" in done.stderr
    assert not hostile.requests


@pytest.mark.parametrize(
    ("says", "code"),
    [
        (answer({"data": [{"id": "good"}, {"id": "\x1b]0;x\x07"}, {"id": f"echo-{KEY}"}, {"id": "a\u202eb"}]}), 0),
        (answer({"error": f"\x1b[2J{KEY}"}, "401 No"), 1),
    ],
    ids=["names", "refusal"],
)  # fmt: skip
def test_lists_of_servers_and_models_hold_nothing_harmful(says: bytes, code: int, nemochat: Run, tmp_path: Path) -> None:
    with HostileServer({"*": says}) as hostile:
        known(hostile, OPENAI, tmp_path)
        for arguments in (("servers", "check", "lab"), ("servers", "check", "--json"), ("models", "list"), ("models", "list", "--json")):
            done = nemochat(*arguments)
            assert done.returncode == (code if arguments[0] == "servers" else 0), done
            assert "lab" in done.stdout + done.stderr
            assert not set(done.stdout + done.stderr) & set("\x1b\x07\u202e")
            no_key_in(tmp_path, done.stdout, done.stderr)


def test_the_story_for_those_who_debug_holds_no_key(nemochat: Run, tmp_path: Path) -> None:
    with OPENAI.serving(answer({"error": {"message": f"bad {KEY}"}}, "401 No")) as hostile:
        done = nemochat("ask", "Hi", *known(hostile, OPENAI, tmp_path), NEMOCHAT_DEBUG="1")
    assert "Traceback" in done.stderr
    no_key_in(tmp_path, done.stdout, done.stderr)


def test_a_reply_that_repeats_the_key_is_told_without_it(nemochat: Run, tmp_path: Path) -> None:
    with OPENAI.serving(OPENAI.well(f"You sent Bearer {KEY}.")) as hostile:
        done = nemochat("ask", "Hi", *known(hostile, OPENAI, tmp_path), "--json")
    assert json.loads(done.stdout)["text"] == "You sent Bearer …."
    no_key_in(tmp_path, done.stdout, done.stderr)


def test_one_request_that_fails_stops_no_other(nemochat: Run, tmp_path: Path) -> None:
    """Fails when a broken reply takes those beside it along, or when what had come of it is lost."""

    def behave(request: Any, _: object) -> Says:
        words = request.json["messages"][-1]["content"]
        return OPENAI.cut("Half") if "two" in words else OPENAI.well(f"About {words}.")

    requests = "".join(json.dumps({"id": word, "question": word}) + "\n" for word in ("one", "two", "three"))
    with OPENAI.serving(behave) as hostile:
        for parallel in ("1", "3"):
            done = nemochat("ask", "--jsonl", *known(hostile, OPENAI, tmp_path), "--parallel", parallel, input=requests)
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            assert [line["id"] for line in lines] == ["one", "two", "three"]
            assert [line.get("text") for line in lines if "error" not in line] == ["About one.", "About three."]
            assert "broke off" in json.dumps(lines[1])
    no_key_in(tmp_path, done.stdout, done.stderr)


def test_a_server_that_goes_is_said_once_between_two_messages(nemochat: Run, tmp_path: Path) -> None:
    """Fails when what is counted ahead repeats, line after line, what the turn has said."""
    is_gone = False

    def goes(request: Any, _: object) -> Says:
        nonlocal is_gone
        is_gone = True
        return [DROP]

    def counts(request: Any, _: object) -> Says:
        return [DROP] if is_gone else [answer({"count": 9, "max_model_len": 4096})]

    with VLLM.serving(goes, **{"/tokenize": counts}) as hostile:
        done = nemochat("--plain", *known(hostile, VLLM, tmp_path), input="Hi\n/rename Gone\n/stats\n")
    assert done.stderr.count("lab closed the connection") == 1
    assert done.returncode == 1


def test_ctrl_c_ends_a_request_that_hangs_at_the_server(tmp_path: Path) -> None:
    with OPENAI.serving([OPENAI.begin(), OPENAI.text("Hello"), HOLD]) as hostile:
        arguments = command("ask", "Hi", *known(hostile, OPENAI, tmp_path))
        with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
            assert process.stdout is not None
            assert os.read(process.stdout.fileno(), 5) == b"Hello"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130
    assert not out.strip()
    assert KEY.encode() not in err
    assert hostile.left == [OPENAI.path]
