"""How processes are started: which program, in which folder, and with which nemochat."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nemochat
from nemochat.engine.embedder import EmbeddingProcess
from nemochat.engine.process import WorkerProcess, worker_command
from nemochat.system import environments, processes
from nemochat.system.desktop import open_in_browser

SHOW = "import os, sys; print(os.getcwd(), sys.argv, sys.path, sep='|')"


def program(folder: Path, name: str, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return path


def test_a_program_is_found_in_absolute_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "here", "tool")
    there = program(tmp_path / "there", "tool")
    monkeypatch.chdir(tmp_path / "here")
    assert processes.find_program("tool", os.pathsep.join((".", "", "../here", str(there.parent)))) == there
    assert processes.find_program("tool", os.pathsep.join((".", ""))) is None
    assert processes.find_program("tool", os.pathsep.join(("/" + "x" * 300, "/dev/null/x", str(there.parent)))) == there
    there.chmod(0o644)
    assert processes.find_program("tool", str(there.parent)) is None
    (tmp_path / "there" / "folder").mkdir()
    assert processes.find_program("folder", str(there.parent)) is None


def test_on_windows_endings_are_tried_and_the_current_folder_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PATHEXT", os.pathsep.join((".EXE", ".BAT")))
    program(tmp_path / "here", "tool.EXE")
    there = program(tmp_path / "there", "tool.BAT")
    monkeypatch.chdir(tmp_path / "here")
    assert processes.find_program("tool", str(there.parent)) == there
    assert processes.find_program("tool.BAT", str(there.parent)) == there
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    assert processes.neutral_folder() == tmp_path / "System32"


def test_a_process_runs_in_the_neutral_folder_or_the_one_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command, environment = ["pwd"], environments.foreign()
    assert processes.run(command, environment, stdout=processes.PIPE).stdout.decode().strip() == os.sep
    assert not os.access(processes.neutral_folder(), os.W_OK) or os.getuid() == 0
    assert processes.run(command, environment, tmp_path, stdout=processes.PIPE).stdout.decode().strip() == str(tmp_path)
    program(tmp_path, "own", "pwd")
    assert processes.run(["./own"], environment, Path(), stdout=processes.PIPE).stdout.decode().strip() == str(tmp_path)
    for nowhere in ("own", "./absent", "", "/absent"):
        with pytest.raises(OSError, match=r"No such file|Permission denied|Is a directory"):
            processes.run([nowhere], environment, stdout=processes.PIPE)


def test_a_module_is_of_the_nemochat_that_runs_and_nothing_else_beside_it_is_found(tmp_path: Path) -> None:
    """Also where another nemochat is installed: this one is run from a copy of its tree."""
    copy = tmp_path / "tree" / "nemochat"
    copy.mkdir(parents=True)
    (copy / "__init__.py").write_text("")
    (copy / "shown.py").write_text(SHOW)
    (tmp_path / "tree" / "msgspec.py").write_text("raise SystemExit(9)")
    command = processes.module_command("nemochat.shown", "-x", "b c")
    command[command.index(str(Path(nemochat.__file__).parent))] = str(copy)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=True)
    _, arguments, path = done.stdout.split("|")
    assert arguments == str([str(copy / "shown.py"), "-x", "b c"])
    assert str(tmp_path) not in path


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the environment of another process is read in /proc")
async def test_workers_get_what_steers_gpus_and_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"CUDA_VISIBLE_DEVICES", "GGML_X", "VK_ICD_FILENAMES", "HIP_VISIBLE_DEVICES", "ROCR_X", "HSA_X", "MTL_X", "OMP_PROC_BIND"}
    kept_back = {"PYTHONPATH", "PYTHONHOME", "DB_PASS", "LLAMA_API_KEY"}
    for name in given | kept_back:
        monkeypatch.setenv(name, "/hostile")
    worker = await WorkerProcess.start(worker_command("scripted", tmp_path / "engine.log"), tmp_path / "engine.log")
    embedder = await EmbeddingProcess(tmp_path / "model.gguf", tmp_path / "embedder.log")._start()
    try:
        for pid in (worker.pid, embedder.pid):
            told = [line.partition("=")[0] for line in Path(f"/proc/{pid}/environ").read_text().split("\0")]
            assert given <= set(told)
            assert not kept_back & set(told)
            assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    finally:
        embedder.kill()
        await asyncio.gather(worker.close(), embedder.wait())


def test_an_address_is_given_to_the_users_browser_in_a_process_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    browser = program(tmp_path, "browser", f'printf "%s %s %s" "$1" "$DB_PASS" "$PWD" > {told}')
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("DB_PASS", "s3cret")
    url = "https://example.com/?a=1&b='$(x)'"
    assert open_in_browser(url)
    assert told.read_text() == f"{url}  /"
    monkeypatch.setenv("BROWSER", "/no/such/browser %s")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not open_in_browser(url)
