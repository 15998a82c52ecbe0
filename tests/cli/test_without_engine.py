"""nemochat without llama-cpp-python: an environment that has everything else, and the command as a process of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemochat.engine import installed
from tests.cli.conftest import LIMIT_SECONDS
from tests.documents.writers import pdf
from tests.environments import make_environment, python_of
from tests.remote.hostile import HostileServer
from tests.remote.wires import OPENAI
from tests.terminal.tty import Terminal

MISSING = "llama-cpp-python, which runs models on this machine, is not installed."
Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of the environment."""
    folder = tmp_path_factory.mktemp("without-engine")
    make_environment(folder, "llama_cpp")
    return python_of(folder)


@pytest.fixture
def here(python: str, tmp_path: Path) -> Here:
    """Run the command there."""

    def run(*arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "nemochat", *arguments]
        return subprocess.run(command, input=input, capture_output=True, text=True, cwd=tmp_path, timeout=LIMIT_SECONDS, check=False)

    return run


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with OPENAI.serving(OPENAI.well("Blue, I think.")) as server:
        yield server


REQUEST = '{"messages": [{"role": "user", "content": "Hi"}]}\n'


@pytest.mark.parametrize(
    ("arguments", "given"),
    [(("ask", "Hi"), ""), (("--plain",), "Hi\n"), (("tune",), ""), (("ask", "--jsonl"), REQUEST)],
    ids=["ask", "plain", "tune", "jsonl"],
)
def test_what_needs_it_says_what_is_missing_and_how_to_get_it(here: Here, python: str, arguments: tuple[str, ...], given: str) -> None:
    done = here(*arguments, input=given)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert MISSING in said
    assert f"{python} -m pip install --prefer-binary" in said
    assert "nemochat servers add" in said
    assert "Traceback" not in said
    assert "demo model" not in said  # it needs it as well


def test_what_does_not_need_it_works(here: Here, tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text('[{"role": "user", "content": "Hi there"}]')
    (tmp_path / "leave.pdf").write_bytes(pdf(["There are 30 days of leave."]))
    for arguments, said in (
        (("models", "list"), "nemochat-demo"),
        (("render", "chat.json"), "Hi there"),
        (("docs", "add", "leave.pdf"), "1 document read"),
    ):
        done = here(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        assert said in done.stdout, arguments


def test_servers_answer(here: Here, server: HostileServer) -> None:
    assert here("servers", "add", "gpu", server.url).returncode == 0
    asked = here("ask", "Which colour?", "--model", f"gpu/{OPENAI.model}")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "Blue, I think.\n", "")
    assert "Blue, I think." in here("--plain", "--model", "gpu", input="Which colour?\n").stdout
    checks = json.loads(here("doctor", "--json").stdout)
    [engine] = [check for check in checks["checks"] if check["name"] == "engine"]
    assert (checks["ok"], engine["state"], engine["words"]) == (True, "warning", MISSING)


def test_doctor_says_that_nothing_can_answer(here: Here, python: str) -> None:
    done = here("doctor")
    assert done.returncode == 1
    assert MISSING in done.stdout
    assert f"{python} -m pip install" in done.stdout
    assert "packages  missing" not in done.stdout


def test_the_interface_says_so_and_goes_on_with_a_server(here: Here, python: str, server: HostileServer, tmp_path: Path) -> None:
    here("servers", "add", "gpu", server.url)
    with Terminal([python, "-m", "nemochat"], os.environ, tmp_path) as terminal:
        shown = " ".join(terminal.wait_for("Not now").split())
        assert "llama-cpp-python, which runs models on this machine" in shown
        assert "Use the demo model" not in shown
        while terminal.read(0.5):  # a key counts once the question has been seen
            continue
        terminal.send("\r")
        terminal.wait_for(f"gpu/{OPENAI.model}")
        terminal.send("gpu/")
        terminal.wait_for(lambda text: "nemochat-demo" not in text)
        terminal.send("\r")
        terminal.wait_for("ready")
        terminal.send("Which colour?\r")
        terminal.wait_for("Blue, I think.")
        terminal.send("\x11")
        assert terminal.wait_for_end() == 0


def test_the_command_that_installs_it_is_one_for_where_nemochat_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """uv makes environments without pip, and a folder may have a blank in its name."""
    monkeypatch.setattr(sys, "executable", "/my tools/python")
    assert installed.install_command("vulkan").startswith('"/my tools/python" -m pip install --prefer-binary --extra-index-url https://')
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installed.install_command().startswith('uv pip install --python "/my tools/python" --extra-index-url https://')
