"""``nemochat ask``, end to end in a process of its own with the scripted engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run, WriteScript, command

REPLY_KEYS = {
    "text", "finish_reason", "model", "prompt_tokens", "image_tokens", "reused_tokens", "evaluated_tokens", "completion_tokens",
    "ttft_ms", "timings", "forgotten_messages", "tool_calls", "tool_runs", "sources", "stats",
}  # fmt: skip


def test_the_reply_goes_to_stdout_and_the_statistics_to_stderr(nemochat: Run, script: WriteScript) -> None:
    done = nemochat("ask", "Hi", "--model", script("Hello there."), "--stats")
    assert (done.returncode, done.stdout) == (0, "Hello there.\n")
    header, figures = done.stderr.splitlines()
    assert header.split() == ["TTFT", "load", "pictures", "prompt", "first", "token", "read", "reused", "tok/s"]
    assert figures.startswith("cold ")


def test_what_the_model_thought_is_no_part_of_the_reply(nemochat: Run, script: WriteScript) -> None:
    """Fails when a thought reaches stdout. A reply that was nothing else says so, on stderr."""
    template = (Path(__file__).parents[1] / "prompt" / "templates" / "reasoning.jinja").read_text()
    replies = [{"text": "<think>\nHm.\n</think>\n\nBlue.", "when": "sky"}, {"text": "<think>\nHm, and on"}]
    model = script(replies=replies, chat_template=template)
    done = nemochat("ask", "What colour has the sky?", "--model", model)
    assert (done.returncode, done.stdout) == (0, "Blue.\n")
    reply = json.loads(nemochat("ask", "What colour has the sky?", "--model", model, "--json").stdout)
    assert (reply["text"], reply["reasoning"]) == ("Blue.", "Hm.")
    assert reply["stats"][0]["first_thought_ms"] == reply["first_thought_ms"] <= reply["ttft_ms"]
    assert sum(part for name, part in reply["timings"].items() if name != "decode_ms") == pytest.approx(reply["first_thought_ms"], abs=30)
    request = '{"question": "What colour has the sky?"}\n'
    line = json.loads(nemochat("ask", "--jsonl", "--model", model, input=request).stdout)
    assert (line["text"], line["reasoning"]) == ("Blue.", "Hm.")
    done = nemochat("ask", "Why?", "--model", model)
    assert done.stdout == ""
    assert "only thought" in done.stderr


def test_each_reply_of_a_turn_with_tools_has_its_statistics(nemochat: Run, script: WriteScript) -> None:
    call = '<toolcall> {"name": "calculator", "arguments": {"expression": "12 * 7"}} </toolcall>'
    model = script(replies=[{"text": "It is 84.", "when": "84"}, {"text": call}])
    done = nemochat("ask", "12 * 7?", "--yes-tool", "calculator", "--model", model, "--stats")
    assert done.stdout == "It is 84.\n"
    assert [line.split()[0] for line in done.stderr.splitlines()[1:]] == ["TTFT", "cold", "reused"]
    reply = json.loads(nemochat("ask", "12 * 7?", "--yes-tool", "calculator", "--model", model, "--json").stdout)
    first, last = reply["stats"]
    assert (first["cold"], last["cold"]) == (True, False)
    assert (last["ttft_ms"], last["timings"]) == (reply["ttft_ms"], reply["timings"])
    assert first["ttft_ms"] > last["ttft_ms"]


def test_the_parts_in_json_add_up_to_the_ttft(nemochat: Run, script: WriteScript) -> None:
    reply = json.loads(nemochat("ask", "Hi", "--model", script("Hello there, you.", token_seconds=0.01), "--json").stdout)
    times = dict(reply["timings"])
    del times["decode_ms"]
    assert sum(times.values()) == pytest.approx(reply["ttft_ms"], abs=0.01)
    [stats] = reply["stats"]
    assert stats["tokens_per_second"] == pytest.approx(1000 / stats["itl_ms"], rel=0.01)


def test_the_wait_for_piped_text_is_no_part_of_the_ttft(script: WriteScript, tmp_path: Path) -> None:
    with subprocess.Popen(
        command("ask", "Hi", "--json", "--model", script("Hello.")), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        began = time.perf_counter()
        time.sleep(2)  # whoever pipes takes a while
        process.stdin.write("text")
        process.stdin.close()
        reply = json.loads(process.stdout.read())
        waited = (time.perf_counter() - began) * 1000
    assert reply["ttft_ms"] < waited - 1000


def test_json_holds_everything(nemochat: Run, script: WriteScript, red: str) -> None:
    call = 'Wait. <toolcall> {"name": "add", "arguments": {"a": 1}} </toolcall>'
    done = nemochat("ask", "Hi", "-i", red, "--system", "Be kind.", "--model", script(call, image_tokens=9), "--json")
    reply = json.loads(done.stdout)
    assert set(reply) == REPLY_KEYS
    assert reply["text"] == call
    assert reply["finish_reason"] == "tool_calls"
    assert reply["tool_calls"] == [{"name": "add", "arguments": {"a": 1}, "id": "call_2_1"}]
    assert reply["model"] == "model.script.json"
    assert reply["image_tokens"] == 9
    assert reply["prompt_tokens"] == reply["reused_tokens"] + reply["evaluated_tokens"] > 9
    assert reply["forgotten_messages"] == 0
    assert set(reply["timings"]) == {"load_ms", "encode_ms", "prefill_ms", "first_token_ms", "decode_ms"}
    assert set(reply["stats"][0]) == {
        "cold", "ttft_ms", "timings", "itl_ms", "tokens_per_second", "prefill_per_second", "reused_tokens", "evaluated_tokens",
        "image_tokens", "completion_tokens", "encoded_images", "first_thought_ms",
    }  # fmt: skip
    assert 0 < reply["timings"]["load_ms"] <= reply["ttft_ms"] < 60_000
    assert done.stderr == ""


def test_piped_text_is_added_to_the_question(nemochat: Run, script: WriteScript) -> None:
    model = script(replies=[{"text": "both", "when": "Sum up:\n\nfirst line\nsecond line"}, {"text": "alone", "when": "first line"}])
    assert nemochat("ask", "Sum up:", "--model", model, input="first line\nsecond line\n").stdout == "both\n"
    assert nemochat("ask", "--model", model, input="first line").stdout == "alone\n"


def test_escapes_never_reach_stdout(nemochat: Run, script: WriteScript) -> None:
    model = script(replies=[{"text": "a\x1b]52;c;eA==\x07b\x9b2Jc\x1b[6n", "pieces": "characters"}])
    assert nemochat("ask", "Hi", "--model", model).stdout == "a]52;c;eA==b2Jc[6n\n"
    raw = nemochat("ask", "Hi\x9b", "--model", model, "--json").stdout
    assert not set(raw) & {"\x1b", "\x07", "\x9b"}


def test_the_final_pixels_can_be_written_out(nemochat: Run, script: WriteScript, red: str, tmp_path: Path) -> None:
    done = nemochat("ask", "-i", red, "--model", script("ok"), "--save-pixels", "out/pixels")
    assert done.returncode == 0
    (picture,) = (tmp_path / "out" / "pixels").iterdir()
    assert picture.name.startswith("red-")
    assert picture.read_bytes() == Path(red).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["ask"], 2, "There is no question."),
        (["ask", "x", "--jsonl"], 2, "--jsonl takes its questions from standard input."),
        (["ask", "x", "--max-tokens", "0"], 2, "--max-tokens"),
        (["ask", "x", "--temperature", "hot"], 2, "or auto"),
        (["ask", "x", "--colour", "red"], 2, "--colour"),
        (["ask", "x", "--model", "no-such-model"], 1, "There is no model called no-such-model."),
        (["ask", "x", "--model", "missing.gguf"], 1, "missing.gguf"),
        (["ask", "x", "--model", "missing.script.json"], 1, "cannot be read"),
        (["render", "missing.json"], 1, "missing.json cannot be read"),
        (["render", "."], 1, "cannot be read"),
        (["models", "use", "no-such-model"], 1, "There is no model called no-such-model."),
    ],
)
def test_errors_are_sentences_with_exit_codes(nemochat: Run, arguments: list[str], code: int, sentence: str) -> None:
    done = nemochat(*arguments)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_bad_pictures(nemochat: Run, script: WriteScript, red: str, tmp_path: Path) -> None:
    model = script("ok", has_vision=False)
    blind = nemochat("ask", "x", "-i", red, "--model", model)
    assert (blind.returncode, blind.stderr.splitlines()[0]) == (1, "Error: model.script.json reads text only: it cannot look at pictures.")
    (tmp_path / "cut.png").write_bytes(Path(red).read_bytes()[:-20])
    for source in ("cut.png", ".", "gone\x1b[2J.png"):
        done = nemochat("ask", "x", "-i", source, "--model", model)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert "\x1b" not in done.stderr


def test_a_prompt_that_cannot_fit(nemochat: Run, script: WriteScript) -> None:
    done = nemochat("ask", "word " * 300, "--model", script("ok", context_length=200), "--max-tokens", "50")
    assert done.returncode == 1
    assert "200" in done.stderr


def test_what_is_piped_in_must_be_text(script: WriteScript, tmp_path: Path) -> None:
    done = subprocess.run(
        command("ask", "--model", script("ok")), input=b"\xff\xfe\x00", capture_output=True, timeout=120, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert b"not UTF-8 text" in done.stderr


@pytest.mark.parametrize("kind", ["segv", "kill", "bug"])
def test_an_engine_that_dies_leaves_what_it_said(nemochat: Run, script: WriteScript, kind: str) -> None:
    model = script("one two three", faults=[{"at": "decode", "kind": kind, "after": 2}])
    done = nemochat("ask", "Hi", "--model", model)
    assert (done.returncode, done.stdout) == (1, "one two\n")
    assert done.stderr.startswith("Error: The engine ")
    assert "\nHint: " in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_debug_shows_the_traceback(nemochat: Run, script: WriteScript) -> None:
    model = script("x", faults=[{"at": "prefill", "kind": "refuse"}])
    assert "Traceback" not in nemochat("ask", "Hi", "--model", model).stderr
    assert "Traceback" in nemochat("ask", "Hi", "--model", model, NEMOCHAT_DEBUG="1").stderr


def test_ctrl_c_keeps_what_came_and_ends_the_engine(script: WriteScript, tmp_path: Path) -> None:
    model = script("one two " + "and so on " * 500, token_seconds=0.02)
    with subprocess.Popen(
        command("ask", "Hi", "--model", model), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(7) == b"one two"
        children = _children(process.pid)
        assert len(children) == 1
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        errors = process.stderr.read()
        assert process.wait(120) == 130
    assert rest.endswith(b"\n")
    assert errors == b""
    assert _all_end(children)


def test_ctrl_c_while_waiting_for_standard_input(script: WriteScript) -> None:
    with subprocess.Popen(
        command("ask", "Hi", "--model", script("x")), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not _children(process.pid):
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_closed_pipe_ends_it_quietly(script: WriteScript) -> None:
    model = script("line one\n" + "and so on\n" * 2000)
    with subprocess.Popen(
        command("ask", "Hi", "--model", model), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line one\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(10)


def test_sigterm_ends_the_engine_too(script: WriteScript) -> None:
    model = script("one two " * 500, token_seconds=0.02)
    with subprocess.Popen(command("ask", "Hi", "--model", model), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(3)
        children = _children(process.pid)
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM
    assert _all_end(children)


def test_a_terminal_sees_what_the_wait_is_for(script: WriteScript) -> None:
    model = script("done", load_seconds=0.6, batch_seconds=0.2)
    ours, theirs = os.openpty()
    with subprocess.Popen(
        command("ask", "Hi", "--model", model), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n"
    os.close(ours)
    for stage in ("loading the model ...", "loading the model 50 % ...", "reading the prompt 0 % ..."):
        assert stage in shown
    assert shown.endswith("\r\x1b[K")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_sentence(script: WriteScript) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("ask", "Hi", "--model", script("x")), stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"Error: The system refused to read or write: No space left on device.\n")


def test_a_terminal_that_lacks_a_character(script: WriteScript) -> None:
    asked = command("ask", "Hi", "--model", script("caf\u00e9"))
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)
    assert (done.returncode, done.stdout) == (0, b"caf?\n")


def test_settings_reach_the_engine_in_their_order(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    model = script("one two three four five six")
    config = tmp_path / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'model = "{model}"\n[sampling]\nmax_tokens = 1\n')
    assert nemochat("ask", "Hi").stdout == "one\n"
    assert nemochat("ask", "Hi", NEMOCHAT_SAMPLING_MAX_TOKENS="2").stdout == "one two\n"
    assert nemochat("ask", "Hi", "--max-tokens", "3", NEMOCHAT_SAMPLING_MAX_TOKENS="2").stdout == "one two thre\n"
    assert nemochat("ask", "Hi", "--max-tokens", "auto", "--temperature", "auto").stdout == "one two three four five six\n"
    config.write_text("[sampling]\nmax_tokens = -1\n")
    broken = nemochat("ask", "Hi")
    assert broken.returncode == 1
    assert "sampling.max_tokens" in broken.stderr


def _read(terminal: int) -> bytes:
    """What a process wrote to a terminal, nothing once it has ended (Linux says EIO then)."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _all_end(pids: list[int]) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not any(_is_running(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return " Z " not in Path(f"/proc/{pid}/stat").read_text()
