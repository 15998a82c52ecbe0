"""``nemochat doctor``: each line is true, in places where something is wrong."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from nemochat.cli import doctor
from nemochat.cli.doctor import Check, State, examine, private
from nemochat.cli.setup import read_setup
from nemochat.domain.devices import Device
from nemochat.engine.tuning import Hardware
from nemochat.models import Catalogue
from nemochat.system import memory, terminal
from tests.cli.conftest import Run, command
from tests.remote.wires import OPENAI
from tests.terminal.tty import Terminal
from tests.tiny_gguf import write_language_model, write_projector

GB = 1_000_000_000


def told(nemochat: Run, **environment: str) -> dict[str, tuple[str, str, str]]:
    """State, words and hint of each line by its name, and that the exit code says whether anything is wrong."""
    done = nemochat("doctor", "--json", **environment)
    said = json.loads(done.stdout)
    assert done.returncode == (0 if said["ok"] else 1), done.stderr
    assert said["ok"] == all(check["state"] != "error" for check in said["checks"])
    return {check["name"]: (check["state"], check["words"], check["hint"]) for check in said["checks"]}


def test_this_machine(nemochat: Run) -> None:
    lines = told(nemochat)
    assert [name for name, (state, _, _) in lines.items() if state == "error"] == []
    assert lines["engine"][1].startswith("llama-cpp-python ")
    assert "in use; whole, sees pictures, needs" in lines["model nemochat-demo"][1]
    assert lines["chats"][1] == "none yet"
    assert lines["terminal"][1].startswith("none")


def test_it_makes_and_changes_nothing(nemochat: Run, tmp_path: Path) -> None:
    nemochat("doctor")
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_no_write_access(nemochat: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    state, words, hint = told(nemochat, NEMOCHAT_DATA_DIR=str(tmp_path / "file"))["data folder"]
    assert (state, hint) == ("error", "Change its permissions, or let NEMOCHAT_DATA_DIR name another folder.")
    assert "cannot be written" in words
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        assert told(nemochat, NEMOCHAT_LOG_DIR=str(tmp_path / "closed" / "log"))["log folder"][0] == "error"


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "damaged"])
def test_a_broken_database(nemochat: Run, tmp_path: Path, content: bytes) -> None:
    library = tmp_path / "data/library"
    library.mkdir(parents=True)
    (library / "library.db").write_bytes(content)
    state, words, hint = told(nemochat)["chats"]
    assert state == "error"
    assert "damaged" in words or "cannot be read" in words
    assert "nemochat library repair" in hint
    assert [path.name for path in library.iterdir()] == ["library.db"]
    assert (library / "library.db").read_bytes() == content


def test_a_page_of_the_database_that_is_damaged(nemochat: Run, tmp_path: Path) -> None:
    path = tmp_path / "data/library/library.db"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as database:
        database.execute("create table t (x primary key)")
        database.executemany("insert into t values (?)", [(f"{number:0200}",) for number in range(500)])
    database.close()
    assert told(nemochat)["chats"][1].endswith("undamaged")
    data = bytearray(path.read_bytes())
    data[8192:40960] = bytes(32768)
    path.write_bytes(bytes(data))
    assert told(nemochat)["chats"][0] == "error"


def test_a_missing_projector_and_a_model_cut_short(nemochat: Run, tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "data/models.json")
    projector = write_projector(tmp_path / "mmproj-seeing.gguf")
    catalogue.add(write_language_model(tmp_path / "seeing.gguf"), projector)
    (tmp_path / "other").mkdir()
    cut = write_language_model(tmp_path / "other/cut.gguf")
    catalogue.add(cut, None, "short")
    projector.unlink()
    cut.write_bytes(cut.read_bytes()[:-100])
    lines = told(nemochat)
    assert lines["model seeing"][0] == "error"
    assert "mmproj-seeing.gguf" in lines["model seeing"][1]
    assert "is cut short" in lines["model short"][1]


def test_a_server_that_is_down(nemochat: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert nemochat("servers", "add", "mine", url).returncode == 0
    state, words, _ = told(nemochat)["server mine"]
    assert state == "error"
    assert words
    assert "127.0.0.1" not in nemochat("doctor", "--report").stdout


def test_the_model_of_a_server_that_is_in_use_is_said_to_be(nemochat: Run) -> None:
    """Fails when the doctor takes the model of this machine for the one in use, or tells of servers in another order each time."""
    with OPENAI.serving() as one, OPENAI.serving() as other:
        for name, hostile in (("one", one), ("other", other)):
            assert nemochat("servers", "add", name, hostile.url).returncode == 0
        assert nemochat("models", "use", "other").returncode == 0
        lines = told(nemochat)
    assert "in use" not in lines["model nemochat-demo"][1]
    assert [name for name in lines if name.startswith("server ")] == ["server one", "server other"]
    assert ["in use" in lines[f"server {name}"][1] for name in ("one", "other")] == [False, True]


def test_settings_that_are_wrong_stop_nothing(nemochat: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.toml").write_text("[engine]\nthreads = -4\n")
    lines = told(nemochat)
    assert lines["settings"][0] == "error"
    assert "threads" in lines["settings"][1]
    assert "model nemochat-demo" in lines


def test_an_engine_that_cannot_be_started(nemochat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    [check] = doctor._engine(Hardware(1, 1, problem="No module named 'llama_cpp'"))
    assert (check.state, "No module named" in check.words) == (State.ERROR, True)


@pytest.mark.parametrize(
    ("made", "said", "option"),
    [("dev/nvidia0", "NVIDIA", "CUDA"), ("dev/kfd", "AMD", "HIP"), ("dev/dri/renderD128", "Vulkan", "VULKAN")],
)
def test_a_build_without_the_device_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, said: str, option: str
) -> None:
    (tmp_path / made).parent.mkdir(parents=True)
    (tmp_path / made).touch()
    gpu_here = doctor._gpu_here
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor, "_gpu_here", lambda _: gpu_here(tmp_path))
    check = list(doctor._engine(Hardware(2, 4, build="llama-cpp-python 1")))[-1]
    assert check.state is State.WARNING
    assert f"a GPU is here ({said}), but this build of llama.cpp is for the processor only" in check.words
    assert f"-DGGML_{option}=on" in check.hint


def test_an_nvidia_card_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   1\n")
    assert doctor._gpu_here(tmp_path) == "NVIDIA GeForce RTX 4090"


def test_a_device_that_is_used(tmp_path: Path) -> None:
    device = Device("CUDA0", "NVIDIA GeForce RTX 4090", "gpu", 24 * GB, 20 * GB)
    lines = list(doctor._engine(Hardware(2, 4, has_gpu=True, devices=(device,), build="llama-cpp-python 1")))
    assert lines[-1] == Check("device", "CUDA0: NVIDIA GeForce RTX 4090, 20 GB of 24 GB free")


# -- models by device


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Check]:
    """The line of the demo model, at these settings of the engine and with these devices."""

    def line(*devices: Device, **engine: Any) -> Check:
        for name, value in engine.items():
            monkeypatch.setenv(f"NEMOCHAT_ENGINE_{name.upper()}", str(value))
        setup = read_setup()
        hardware = Hardware(2, 4, has_gpu=bool(devices), devices=devices)
        [check, *_] = doctor._models(setup, hardware)
        return check

    return line


CARD = Device("CUDA0", "a card", "gpu", 24 * GB, 20 * GB)
OTHER = Device("CUDA1", "another card", "gpu", 24 * GB, 20 * GB)


def test_what_a_model_takes_is_said_by_device(fits: Callable[..., Check]) -> None:
    one = fits(CARD)
    assert one.state is State.OK
    assert re.search(r"needs \d+(\.\d)? MB, and \d+(\.\d)? MB on CUDA0 for all layers$", one.words)
    assert re.search(r"MB, and \d+(\.\d+)? MB on CUDA0, and \d+(\.\d+)? MB on CUDA1 for all layers$", fits(CARD, OTHER).words)
    assert "CUDA" not in fits().words


def test_layers_that_a_device_has_no_room_for_are_a_warning(fits: Callable[..., Check]) -> None:
    full = msgspec.structs.replace(CARD, free=1_000_000)
    check = fits(full, gpu_layers=-1)
    assert check.state is State.WARNING
    assert check.words.endswith("; 1 MB are free on CUDA0")
    assert "fewer gpu_layers" in check.hint
    assert fits(full, gpu_layers="auto").state is State.OK, "by itself it takes none there"


@pytest.mark.parametrize("wrong", [{"device": "CUDA5"}, {"main_gpu": 3}, {"tensor_split": "1, 2, 3"}])
def test_devices_that_are_not_there_are_an_error_that_names_those_that_are(fits: Callable[..., Check], wrong: dict[str, Any]) -> None:
    check = fits(CARD, **wrong)
    assert check.state is State.ERROR
    assert check.hint == "There are CUDA0 (a card) and the processor (cpu)."


def test_the_command_says_the_same_of_this_build(nemochat: Run) -> None:
    state, words, hint = told(nemochat, NEMOCHAT_ENGINE_DEVICE="Nonsense7")["model nemochat-demo"]
    assert (state, words) == ("error", "There is no device Nonsense7 here.")
    assert "the processor (cpu)" in hint.lower()


# -- memory of containers


def _machine(monkeypatch: pytest.MonkeyPatch, total: int, available: int) -> None:
    figures: Any = psutil.virtual_memory()._replace(total=total, available=available)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: figures)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_container_with_a_memory_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, 64 * GB, 50 * GB)
    _write(tmp_path / "proc/self/cgroup", "0::/\n")
    group = tmp_path / "sys/fs/cgroup"
    _write(group / "memory.max", f"{4 * GB}\n")
    _write(group / "memory.current", f"{3 * GB}\n")
    _write(group / "memory.stat", f"anon {GB}\ninactive_file {GB}\n")
    assert memory.memory(tmp_path) == memory.Memory(64 * GB, 2 * GB, 4 * GB)
    monkeypatch.setattr(doctor, "memory", lambda: memory.memory(tmp_path))
    [check] = doctor._memory()
    assert check.words == "2 GB available: this container may have 4 GB of the machine's 64 GB"


def test_the_narrowest_of_nested_limits_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, 64 * GB, 50 * GB)
    _write(tmp_path / "proc/self/cgroup", "0::/user.slice/app.scope\n")
    for name, limit, used in (("", "max", 9), ("user.slice", str(8 * GB), 7 * GB), ("user.slice/app.scope", str(6 * GB), GB)):
        _write(tmp_path / "sys/fs/cgroup" / name / "memory.max", limit)
        _write(tmp_path / "sys/fs/cgroup" / name / "memory.current", str(used))
    assert memory.memory(tmp_path) == memory.Memory(64 * GB, GB, 8 * GB)


def test_the_first_version_of_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, 64 * GB, 50 * GB)
    _write(tmp_path / "proc/self/cgroup", "4:memory:/docker/abc\n1:cpu:/docker/abc\n")
    group = tmp_path / "sys/fs/cgroup/memory"
    _write(group / "memory.limit_in_bytes", str(2 * GB))
    _write(group / "memory.usage_in_bytes", str(GB))
    assert memory.memory(tmp_path) == memory.Memory(64 * GB, GB, 2 * GB)
    _write(group / "memory.limit_in_bytes", "9223372036854771712")
    assert memory.memory(tmp_path) == memory.Memory(64 * GB, 50 * GB)


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::\n", "0::/../../x\n", ":::\n" * 1000])
def test_without_control_groups_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    _machine(monkeypatch, 64 * GB, 50 * GB)
    _write(tmp_path / "proc/self/cgroup", text)
    assert memory.memory(tmp_path) == memory.Memory(64 * GB, 50 * GB)


# -- the terminal


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(os, "get_terminal_size", lambda: os.terminal_size((100, 30)))


def _of_terminal(answer: bytes, monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Check]:
    monkeypatch.setattr(terminal, "ask", lambda _: answer)
    return {check.name: check for check in doctor._terminal(environment)}


@pytest.mark.usefixtures("at_terminal")
def test_a_terminal_that_only_shows_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _of_terminal(b"", monkeypatch, TERM="dumb")
    assert list(lines) == ["terminal"]
    assert lines["terminal"].words == "TERM=dumb: it can only show lines"


@pytest.mark.parametrize("term", ["dumb", ""])
def test_the_command_in_such_a_terminal_prints_lines_and_nothing_else(tmp_path: Path, term: str) -> None:
    """Fails when it asks a terminal that cannot answer, or prints what is no text."""
    with Terminal(command("doctor"), {"TERM": term, "NO_COLOR": "1"}, tmp_path, columns=200) as terminal:
        terminal.wait_for(lambda text: "it can only show lines" in text and "model nemochat-demo" in text)
        assert "nemochat works line by line in it." in terminal.text
        assert b"\x1b" not in terminal.written


@pytest.mark.usefixtures("at_terminal")
def test_what_a_terminal_says_of_itself_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _of_terminal(b"\x1b[?2004;2$y\x1b[?0u\x1b[?62;4;22c", monkeypatch, TERM="xterm-256color", COLORTERM="truecolor")
    assert lines["colours"].words == "16 million"
    assert lines["pictures"].words == "drawn by sixel"
    assert lines["keys"].words == "reported exactly; what is pasted is marked"
    silent = _of_terminal(b"", monkeypatch, TERM="xterm-256color")
    assert silent["terminal"].words == "xterm-256color, 100 x 30, which does not answer questions"
    assert silent["pictures"].words.startswith("as half blocks")


# -- the report


def test_a_report_says_nothing_of_the_user_and_the_machine(nemochat: Run, tmp_path: Path) -> None:
    said = nemochat("doctor", "--report", HF_TOKEN="hf_secret").stdout
    assert str(tmp_path) not in said
    assert "hf_secret" not in said
    home = str(Path.home())
    text = f"{home}/models/a.gguf, /mnt/projects/secret/b.gguf at http://10.0.0.7:8080/v1 on {socket.gethostname()}"
    shown = private(text)
    assert shown.startswith("~/models/a.gguf, .../b.gguf at http://...")
    assert "10.0.0.7" not in shown
    assert private("See https://huggingface.co/x/y") == "See https://huggingface.co/x/y"


async def test_all_of_it_within_the_program(tmp_path: Path) -> None:
    lines = await examine([Check("pictures", "here")])
    assert Check("pictures", "here") in lines
