"""Every command that the pages show, typed as it stands there: each page in a home of its own, from its first line to its last."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from nemochat.engine.installed import WANTED
from nemochat.images import save_png
from nemochat.images.png import sample_picture
from nemochat.library.database import DAMAGED
from tests.cli.conftest import Fork, command
from tests.documents.writers import pdf
from tests.homes.test_homes import HOMES
from tests.models.hub import Hub
from tests.moving.tavern import make as make_tavern
from tests.remote.llama_server import running
from tests.terminal.tty import PATIENCE, Terminal
from tests.test_pages import DOCS, README, blocks, of_page
from tests.tiny_gguf import write_language_model, write_projector

INDEX = "--extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cpu"
NOT_RUN = {
    f"python3 -m venv .venv && . .venv/bin/activate && pip install --no-deps --prefer-binary {INDEX}"
    f' "{WANTED}" && pip install . && nemochat': "a new machine does it",
    f'PIPX_DEFAULT_BACKEND=pip pipx install . --pip-args="--prefer-binary {INDEX}"': "the same by another program",
    f"uv tool install . {INDEX}": "the same by another program",
    'pip install -e ".[dev]" && pytest': "what .ci/run does, and this is a part of it",
    "pip install .": "compiles llama.cpp",
    "pip install -r docs/without-engine.txt && pip install --no-deps .": "test_without_engine.py has such an environment",
    'pip install ".[keyring]"': "loads a package from the network",
    'pip install ".[eval]"': "loads packages from the network",
    'pip install ".[parquet]"': "loads a package from the network",
    "nemochat --install-completion": "wants a shell around it: test_completing.py runs it in some",
}
"""Lines that cannot be run here, and why."""
MORE = {"nemochat tune": "--seconds 5"}
"""What is typed behind lines that take minutes."""
PIPED = {"git diff": "-The sea is green.\n+The sea is blue.\n"}
"""What commands of others, which need not be here, hand on."""
ANSWERS = {
    "nemochat": {"ready": "\x11"},
    "nemochat --resume": {"ready": "\x11"},
    "nemochat --resume 1m325a": {"ready": "\x11"},
    "nemochat --plain": {"You:": "\x04"},
    "nemochat servers add nim https://nim.example.org/v1 --key": {"Key of nim": "a-key\r"},
    "nemochat mcp check time": {"[y/N]": "y\r"},
}
"""Lines that want a person at a terminal: what is waited for, and what is typed then, each time that it stands there anew."""
class Home(NamedTuple):
    """A page's home. folder: the current one, and the user's. elsewhere: an address that stands in the page, and the one that is here."""

    folder: Path
    environment: dict[str, str]
    elsewhere: dict[str, str]


def lines_of(page: Path) -> list[str]:
    """The commands, without comments."""
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks(page, "sh") for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


SHOWN = {page: [line for line in lines_of(page) if line not in NOT_RUN and not line.startswith("export ")] for page in DOCS}


def test_every_command_of_the_readme_stands_in_a_page_too() -> None:
    shown = {line for page in DOCS for line in lines_of(page)}
    assert [line for line in lines_of(README) if line not in shown] == []


def test_no_exception_is_made_for_what_is_not_shown() -> None:
    shown = {line for page in DOCS for line in lines_of(page)}
    assert (NOT_RUN.keys() | MORE.keys() | ANSWERS.keys()) <= shown


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Callable[[Path], Home]]:
    """What the pages take to be there: files of the user's, chats, a server, and the services that models come from."""
    with ExitStack() as stack:
        yield lambda page: _furnish(tmp_path, page, stack)


def _furnish(folder: Path, page: Path, stack: ExitStack) -> Home:
    shown = page.read_text(encoding="utf-8")
    for name in ("picture.png", "first.png", "second.jpg"):
        save_png(sample_picture(), folder / name)
    said = [{"role": "user", "content": "Which harbour is the nearest?"}, {"role": "assistant", "content": "The one of Low Ferrow."}]
    for name in ("conversation.json", "conversations.json"):
        (folder / name).write_text(json.dumps(said))
    make_tavern(folder / "SillyTavern", is_broken=False)
    mill = {"key": ["mill"], "comment": "Mill", "content": "The mill burned down."}
    (folder / "world.json").write_text(json.dumps({"entries": {"0": mill}}))
    (folder / "requests.jsonl").write_text("".join(blocks(page, "json")))
    leave = "There are 30 days of annual leave for everybody."
    (folder / "handbook.pdf").write_bytes(pdf([leave]))
    (folder / "handbook").mkdir()
    (folder / "handbook" / "leave.md").write_text(leave)
    tiny, projector = (folder / "models" / name for name in ("tiny-Q4_K_M.gguf", "mmproj-tiny-F16.gguf"))
    tiny.parent.mkdir()
    write_language_model(tiny)
    write_projector(projector)
    (folder / "mine.jsonl").write_text(blocks(page, "json")[0] if "mine.jsonl" in shown else "")
    _bfcl(folder / "bfcl")
    environment = dict(os.environ) | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "https_proxy": "http://127.0.0.1:9",  # nothing there: no page asks anything outside
        "no_proxy": "127.0.0.1,localhost",
    }
    if "library repair" in shown:
        (folder / "data" / "library").mkdir(parents=True)
        shutil.copy(HOMES / "v0_1/data/library/library.db", folder / f"data/library/library-{DAMAGED}-1.db")
    elsewhere = {}
    if "models pull" in shown:
        (folder / "Downloads").mkdir()
        archive = folder / "Downloads" / "nemovision-4b-instruct-clip_gguf.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(tiny, "0BAEDD5C-F2CA-49AA-9892-621C40030D13/minitron-Q4_0.gguf")
            packed.write(projector, "0BAEDD5C-F2CA-49AA-9892-621C40030D13/mmproj-model-f16.gguf")
        hub = Hub({path.name: path.read_bytes() for path in (tiny, projector)} | {"nemovision-Q4_0.gguf": tiny.read_bytes()})
        stack.callback(hub.close)
        hub.repository = "ggml-org/gemma-3-4b-it-GGUF"
        environment |= hub.environment | {"NGC_API_KEY": "nvapi-key"}
    if "--model gpu" in shown:
        elsewhere["http://127.0.0.1:8080"] = stack.enter_context(running()).url
    return Home(folder, environment, elsewhere)


def _bfcl(folder: Path) -> None:
    """Two questions of BFCL that want a call, and two that want none."""
    parameters = {"type": "dict", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}
    function = {"name": "calculator", "description": "Computes.", "parameters": parameters}
    (folder / "possible_answer").mkdir(parents=True)
    for number in (3, 4):
        asked = [[{"role": "user", "content": f"What is {number} * 7?"}]]
        for name, row in (
            ("BFCL_v3_simple.json", {"question": asked, "function": [function]}),
            ("possible_answer/BFCL_v3_simple.json", {"ground_truth": [{"calculator": {"expression": [f"{number} * 7"]}}]}),
        ):
            with (folder / name).open("a") as file:
                file.write(json.dumps({"id": f"simple_{number}", **row}) + "\n")
        with (folder / "BFCL_v3_irrelevance.json").open("a") as file:
            wanting_none = [[{"role": "user", "content": f"Tell me {number} jokes."}]]
            file.write(json.dumps({"id": f"irrelevance_{number}", "question": wanting_none, "function": [function]}) + "\n")


@pytest.mark.parametrize("page", [page for page, lines in SHOWN.items() if lines], ids=of_page)
def test_what_a_page_shows_works(page: Path, home: Callable[[Path], Home], fork: Fork) -> None:
    its = home(page)
    if "card.png" in page.read_text(encoding="utf-8"):
        _run("nemochat personas export detective card.png", its, fork)
    if "1m325a" in page.read_text(encoding="utf-8"):
        _run(f"nemochat library import {HOMES / 'v0_1_export.zip'}", its, fork)
    if page.name == "scripts.md":
        _run("nemochat servers add gpu http://127.0.0.1:8080", its, fork)
    for line in SHOWN[page]:
        _run(line, its, fork)


def _run(line: str, home: Home, fork: Fork) -> None:
    """Type a line: by a person at a terminal, or with what is handed on to it."""
    typed = f"{line} {MORE.get(line, '')}".strip()
    for theirs, ours in home.elsewhere.items():
        typed = typed.replace(theirs, ours)
    if line in ANSWERS:
        _at_a_terminal(shlex.split(typed)[1:], ANSWERS[line], home)
        return
    before, _, ours = typed.rpartition(" | ")
    name, *words = (word.replace("~/", f"{home.folder}/", 1) if word.startswith("~/") else word for word in shlex.split(ours))
    assert name == "nemochat", line
    given = PIPED[before] if before in PIPED else _printed(before)
    words, given, target = _redirected(words, given, home.folder)
    done = fork(words, given, home.folder, home.environment)
    said = f"{line}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, said
    assert (done.stdout + done.stderr).strip(), line
    if target is not None:
        target.write_text(done.stdout)
        assert [each for each in map(json.loads, done.stdout.splitlines()) if "error" in each] == [], said


def _printed(before: str) -> str:
    """What `printf` hands on."""
    words = shlex.split(before)
    assert not words or words[0] == "printf"
    return words[1].replace("\\n", "\n") if words else ""


def _redirected(words: list[str], given: str, folder: Path) -> tuple[list[str], str, Path | None]:
    """The words without ``< FILE`` and ``> FILE``; what the first holds, and the second."""
    target = None
    if ">" in words:
        at = words.index(">")
        target = folder / words[at + 1]
        words = words[:at] + words[at + 2 :]
    if "<" in words:
        at = words.index("<")
        given = (folder / words[at + 1]).read_text()
        words = words[:at] + words[at + 2 :]
    return words, given, target


def _at_a_terminal(arguments: list[str], answers: dict[str, str], home: Home) -> None:
    with Terminal(command(*arguments), home.environment, home.folder) as terminal:
        [(question, answer)] = answers.items()
        asked, deadline = 0, time.monotonic() + PATIENCE
        while terminal.process.poll() is None:
            assert time.monotonic() < deadline, terminal.text
            terminal.read(0.1)
            if terminal.written.count(question.encode()) > asked:
                asked = terminal.written.count(question.encode())
                terminal.send(answer)
        assert (terminal.wait_for_end(), asked > 0) == (0, True), terminal.text
