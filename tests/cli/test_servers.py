"""``nemochat servers``, and the commands with a server's model: a real llama-server, and one of another machine, which is played."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nemochat.cli.bench import Bench
from nemochat.errors import UsageError
from tests.cli.conftest import Run, command
from tests.remote.llama_server import LlamaServer, running

KEY = "sk-loopback-0123456789abcdef"
LEAVING = "Words and pictures leave this machine: they go to gpu at http://gpu.example.org."


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    """The demo pair behind a real llama-server that wants a key, with four slots."""
    with running(slots=4, key=KEY) as server:
        yield server


@pytest.fixture
def added(nemochat: Run, llama: LlamaServer) -> LlamaServer:
    """That server, added as "here" with its key."""
    done = nemochat("servers", "add", "here", f"{llama.url}/v1", "--key-stdin", input=f"{KEY}\n")
    assert done.returncode == 0, done.stderr
    return llama


class Away:
    """A server of OpenAI's kind on another machine: it is reached through a proxy, so that nothing of this machine is in its address.

    asked: the paths and bodies of what came.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.models = ["big", "bigger"]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _say(self, body: str, kind: str = "application/json", status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                outer.asked.append((path, ""))
                if path == "/v1/models":
                    self._say(json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in outer.models]}))
                else:
                    self._say("{}", status=404)

            def do_POST(self) -> None:
                path = urlsplit(self.path).path
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.asked.append((path, body))
                if path != "/v1/chat/completions":
                    self._say("{}", status=404)
                    return
                choices = {"delta": {"content": "From afar."}}, {"delta": {}, "finish_reason": "stop"}
                lines = [f"data: {json.dumps({'choices': [{'index': 0, **choice}]})}\n\n" for choice in choices]
                self._say("".join(lines) + "data: [DONE]\n\n", "text/event-stream")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.proxy = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def away(nemochat: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Away]:
    """That server, added as "gpu"."""
    server = Away()
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.proxy)
    done = nemochat("servers", "add", "gpu", "http://gpu.example.org/v1")
    assert done.returncode == 0, done.stderr
    yield server
    server.close()


def files_with(folder: Path, text: str) -> list[str]:
    """Files below a folder that hold a text."""
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


# -- add, list, check, remove


def test_a_server_is_added_with_its_key_in_a_private_file_alone(nemochat: Run, llama: LlamaServer, tmp_path: Path) -> None:
    done = nemochat("servers", "add", "HERE", f"{llama.url}/v1/", "--key-stdin", input=f"{KEY}\n")
    keys = tmp_path / "data" / "keys.toml"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"Added here: {llama.url}, its key in {keys}.",
        "It is llama-server and has 1 model.",
        "Ask one with: nemochat ask --model here/nemochat-demo",
    ]
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert files_with(tmp_path, KEY) == ["keys.toml"]
    assert (tmp_path / "config" / "servers.toml").read_text() == f'[here]\nurl = "{llama.url}"\nkind = "llama-server"\n'


def test_listing_says_what_and_where_and_no_key(nemochat: Run, added: LlamaServer, tmp_path: Path) -> None:
    nemochat("servers", "add", "cloud", "https://nowhere.invalid/v1")
    told = json.loads(nemochat("servers", "list", "--json").stdout)
    assert told["servers"] == [
        {"name": "here", "url": added.url, "kind": "llama-server", "leaves": False, "key": str(tmp_path / "data" / "keys.toml")},
        {"name": "cloud", "url": "https://nowhere.invalid", "kind": None, "leaves": True, "key": ""},
    ]
    table = nemochat("servers", "list", NEMOCHAT_KEY_CLOUD=KEY).stdout
    assert re.search(r"cloud +https://nowhere\.invalid +not asked yet +another machine +NEMOCHAT_KEY_CLOUD", table)
    assert KEY not in table


def test_a_check_asks_each_and_one_that_is_down_is_an_error(nemochat: Run, added: LlamaServer) -> None:
    done = nemochat("servers", "check", "her")
    assert done.returncode == 0
    assert re.match(rf"here is llama-server at {re.escape(added.url)}, this machine; it answered in ", done.stdout)
    assert re.search(r"here/nemochat-demo +4,096 tokens, sees pictures", done.stdout)
    nemochat("servers", "add", "down", "http://127.0.0.1:9")
    done = nemochat("servers", "check", "--json")
    here, down = json.loads(done.stdout)["servers"]
    assert done.returncode == 1
    assert here["models"][0]["name"] == "here/nemochat-demo"
    assert down["error"] == "down does not answer at http://127.0.0.1:9."
    assert "models" not in down


def test_a_wrong_key_is_a_sentence_that_does_not_hold_it(nemochat: Run, llama: LlamaServer, tmp_path: Path) -> None:
    wrong = "sk-wrong-9876543210"
    done = nemochat("servers", "add", "here", llama.url, "--key-env", "MINE", MINE=wrong)
    assert done.returncode == 0
    assert "does not accept the key" in done.stderr
    asked = nemochat("ask", "Hi", "--model", "here/nemochat-demo")
    assert asked.returncode == 1
    assert "does not accept the key" in asked.stderr
    right = nemochat("ask", "Hello", "--model", "here", NEMOCHAT_KEY_HERE=KEY)
    assert (right.returncode, right.stdout.strip() != "") == (0, True)
    assert wrong not in done.stdout + done.stderr + asked.stdout + asked.stderr
    assert files_with(tmp_path, wrong) == ["keys.toml"]


def test_a_removed_server_leaves_no_key_and_is_in_use_no_more(nemochat: Run, added: LlamaServer, tmp_path: Path) -> None:
    assert nemochat("models", "use", "here/nemo").stdout == "here/nemochat-demo answers from now on.\n"
    assert json.loads(nemochat("models", "list", "--json").stdout)["in_use"] == "here/nemochat-demo"
    assert nemochat("servers", "remove", "here").stdout == "here is forgotten, and its key.\n"
    assert files_with(tmp_path, KEY) == []
    told = json.loads(nemochat("models", "list", "--json").stdout)
    assert (told["in_use"], told["servers"]) == ("nemochat-demo", [])


@pytest.mark.parametrize(
    "arguments",
    [
        ("gpu", "https://gpu.example.org", "--key", KEY),
        ("gpu", "https://gpu.example.org", f"--key={KEY}"),
        ("gpu", "https://gpu.example.org", KEY),
        ("gpu", f"https://user:{KEY}@gpu.example.org"),
        ("gpu", f"https://gpu.example.org/?key={KEY}"),
        ("gpu", "https://gpu.example.org", "--key"),
        ("gpu", "https://gpu.example.org", "--key-env", "NOT_SET"),
        ("gpu", "https://gpu.example.org", "--key-stdin"),
        ("gpu", "https://gpu.example.org", "--key-stdin", "--key-env", "HOME"),
        ("a/b", "https://gpu.example.org"),
        ("gpu", "gpu.example.org:8000"),
    ],
)
def test_what_cannot_be_added_is_refused_without_repeating_a_key(nemochat: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = nemochat("servers", "add", *arguments)
    assert done.returncode == 2
    assert done.stderr
    assert KEY not in done.stdout + done.stderr
    assert not (tmp_path / "config" / "servers.toml").exists()
    assert files_with(tmp_path, KEY) == []


def test_a_key_that_is_asked_for_is_not_shown(llama: LlamaServer, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = command("servers", "add", "here", llama.url, "--key")
    process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, start_new_session=True)
    os.close(theirs)
    said = b""
    while b"not shown" not in said:
        said += os.read(ours, 1000)
    os.write(ours, f"{KEY}\n".encode())
    while chunk := _read(ours):
        said += chunk
    assert process.wait(60) == 0
    os.close(ours)
    assert "It is llama-server" in said.decode()
    assert KEY not in said.decode()
    assert files_with(tmp_path, KEY) == ["keys.toml"]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1000)
    except OSError:  # the other end is closed
        return b""


# -- its models


def test_its_models_stand_in_the_list_beside_those_of_this_machine(nemochat: Run, added: LlamaServer) -> None:
    nemochat("servers", "add", "down", "http://127.0.0.1:9")
    table = nemochat("models", "list", COLUMNS="200").stdout
    assert re.search(r"\* +nemochat-demo +9\.48 MB +text, pictures +built in", table)
    assert re.search(rf"here/nemochat-demo +text, pictures +{re.escape(added.url)} 4,096 tokens", table)
    assert re.search(r"down/ +down does not answer at http://127\.0\.0\.1:9\.", table)
    told = json.loads(nemochat("models", "list", "--json").stdout)
    assert [server["name"] for server in told["servers"]] == ["here", "down"]
    model = told["servers"][0]["models"][0]
    assert (model["name"], model["context_length"], model["has_vision"], model["leaves"]) == ("here/nemochat-demo", 4096, True, False)
    assert told["servers"][1]["error"] == "down does not answer at http://127.0.0.1:9."


@pytest.mark.parametrize("by", ["option", "environment", "use", "settings"])
def test_a_model_of_a_server_answers(nemochat: Run, added: LlamaServer, tmp_path: Path, by: str) -> None:
    if by == "use":
        nemochat("models", "use", "here/nemochat-demo")
    if by == "settings":
        (tmp_path / "config" / "config.toml").write_text('model = "here/nemochat-demo"\n')
    option = ("--model", "he/nemo") if by == "option" else ()
    environment = {"NEMOCHAT_MODEL": "here/nemochat-demo"} if by == "environment" else {}
    done = nemochat("ask", "Hello", "--json", *option, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["model"] == "here/nemochat-demo"
    assert told["text"].strip()
    assert told["prompt_tokens"] > 0
    assert files_with(tmp_path, KEY) == ["keys.toml"]


def test_no_worker_and_no_file_of_a_model_is_needed(nemochat: Run, added: LlamaServer, tmp_path: Path) -> None:
    assert nemochat("ask", "Hello", "--model", "here").returncode == 0
    assert not (tmp_path / "log" / "engine.log").exists()


def test_a_picture_goes_to_the_server(nemochat: Run, added: LlamaServer, red: str) -> None:
    done = nemochat("ask", "What colour is it?", "-i", red, "--model", "here", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prompt_tokens"] > 20


def test_its_model_is_shown_and_its_prompt_rendered(nemochat: Run, added: LlamaServer, tmp_path: Path) -> None:
    told = json.loads(nemochat("models", "show", "here/nemo", "--json").stdout)
    assert (told["name"], told["leaves"], told["context_length"], told["has_vision"]) == ("here/nemochat-demo", False, 4096, True)
    shown = nemochat("models", "show", "here").stdout
    assert "here, which is llama-server" in shown
    assert "the model's server" in " ".join(shown.split())
    (tmp_path / "talk.json").write_text('[{"role": "user", "content": "Where is <extra_id_1> the key?"}]')
    rendered = nemochat("render", "talk.json", "--model", "here")
    assert rendered.returncode == 0, rendered.stderr
    assert "the key?" in rendered.stdout
    segments = json.loads(nemochat("render", "talk.json", "--model", "here", "--json").stdout)
    assert segments["model"] == "here/nemochat-demo"
    assert segments["prompt_tokens"] > 5


def test_a_projector_of_this_machine_is_not_for_it(nemochat: Run, added: LlamaServer) -> None:
    done = nemochat("ask", "Hello", "--model", "here", "--mmproj", "x.gguf")
    assert done.returncode == 2
    assert "here/nemochat-demo is a server's model: its projector is there." in done.stderr


async def test_a_projector_of_the_command_line_is_not_for_the_models_of_servers(added: LlamaServer) -> None:
    bench = Bench("here", Path("x.gguf"), {})
    with pytest.raises(UsageError, match="its projector is there"):
        await bench.find(None)
    assert await bench.find("here/nemo") is not None
    assert await bench.find("nemochat-demo") is None
    bench.close()


@pytest.mark.parametrize("chosen", ["/model here/nemo", "/model\nhere/nemochat-demo"])
def test_line_by_line_it_is_chosen_in_the_middle(nemochat: Run, added: LlamaServer, chosen: str) -> None:
    done = nemochat("--plain", input=f"Hello\n{chosen}\nHello\n/quit\n")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2
    assert json.loads(nemochat("models", "list", "--json").stdout)["in_use"] == "here/nemochat-demo"


# -- many requests at once


def requests(*each: object) -> str:
    lines = [one if isinstance(one, dict) else {"id": one, "question": f"What is {one}?"} for one in each]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_answers_to_requests_at_once_come_in_their_order_and_one_failure_ends_no_other(nemochat: Run, added: LlamaServer, red: str) -> None:
    lost = {"id": "none", "question": "x", "images": ["none.png"]}
    asked = requests(*range(6), {"id": "bad", "questoin": 1}, lost, {"question": "y"}, *range(9, 20))
    done = nemochat("ask", "--jsonl", "--parallel", "8", "--model", "here", "--stats", input=asked)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each.get("id") for each in told] == [*range(6), "bad", "none", None, *range(9, 20)]
    assert [("text" in each, "error" in each) for each in told] == [(True, False)] * 6 + [(False, True)] * 2 + [(True, False)] * 12
    assert done.returncode == 1
    assert told[6]["line"] == 7


def test_each_request_has_its_own_pictures_and_sampling(nemochat: Run, added: LlamaServer, red: str) -> None:
    lines = [{"id": at, "question": "Say it.", "images": [red] * (at % 2), "max_tokens": 1 + at % 3, "temperature": 0} for at in range(8)]
    done = nemochat("ask", "--jsonl", "--parallel", "4", "--model", "here", input=requests(*lines))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["completion_tokens"] <= 1 + each["id"] % 3 for each in told] == [True] * 8
    with_picture = {each["prompt_tokens"] for each in told if each["id"] % 2}
    without = {each["prompt_tokens"] for each in told if not each["id"] % 2}
    assert min(with_picture) > max(without)


def test_tools_serve_requests_at_once_without_mixing_them(nemochat: Run, added: LlamaServer) -> None:
    lines = [{"id": at, "question": f"What is {at} + {at}?", "temperature": 0} for at in range(8)]
    done = nemochat("ask", "--jsonl", "--parallel", "4", "--model", "here", "--yes-tool", "calculator", input=requests(*lines))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["id"] for each in told] == list(range(8))
    for each in told:
        for run in each["tool_runs"]:
            assert str(each["id"]) in json.dumps(run["arguments"])


def test_one_after_the_other_with_a_model_of_this_machine(nemochat: Run) -> None:
    done = nemochat("ask", "--jsonl", "--parallel", "4", input=requests(1, 2))
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]
    assert done.stderr == "--parallel is for models of servers: one of this machine answers one request after the other.\n"


def test_an_answer_does_not_wait_for_the_next_request(added: LlamaServer, tmp_path: Path) -> None:
    arguments = command("ask", "--jsonl", "--parallel", "4", "--model", "here")
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in (1, 2):
            process.stdin.write(requests(number))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_question_alone_takes_no_parallel(nemochat: Run) -> None:
    done = nemochat("ask", "Hi", "--parallel", "2")
    assert done.returncode == 2
    assert "--parallel is for the requests of --jsonl." in done.stderr


# -- what leaves this machine


@pytest.mark.parametrize("how", ["ask", "jsonl", "plain", "render"])
def test_before_words_leave_a_line_says_so(nemochat: Run, away: Away, tmp_path: Path, how: str) -> None:
    (tmp_path / "talk.json").write_text('[{"role": "user", "content": "Hi"}]')
    match how:
        case "ask":
            done = nemochat("ask", "Hi", "--model", "gpu/big")
        case "jsonl":
            done = nemochat("ask", "--jsonl", "--parallel", "3", "--model", "gpu/big", input=requests(*range(5)))
        case "plain":
            done = nemochat("--plain", "--model", "gpu/big", input="Hi\nAgain\n")
        case _:
            done = nemochat("render", "talk.json", "--model", "gpu/big")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(LEAVING) == 1
    assert done.stderr.startswith(LEAVING)
    if how != "render":
        assert "From afar." in done.stdout
        assert any(path == "/v1/chat/completions" for path, _ in away.asked)


def test_one_that_only_seems_to_be_this_machine_is_another(nemochat: Run, away: Away) -> None:
    nemochat("servers", "add", "trick", "http://localhost.gpu.example.org")
    assert "Words and pictures leave this machine" in nemochat("ask", "Hi", "--model", "trick/big").stderr


def test_a_server_of_this_machine_says_nothing_and_takes_no_proxy(nemochat: Run, away: Away, added: LlamaServer) -> None:
    away.asked.clear()
    done = nemochat("ask", "Hello", "--model", "here")
    assert (done.returncode, done.stderr, away.asked) == (0, "", [])


def test_settings_of_its_own_are_for_models_of_this_machine(nemochat: Run, added: LlamaServer) -> None:
    done = nemochat("models", "set", "here/nemochat-demo", "temperature=0.5")
    assert done.returncode == 2
    assert "here/nemochat-demo is a server's model" in done.stderr
