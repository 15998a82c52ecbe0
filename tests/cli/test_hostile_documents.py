"""Documents that are made to fill the memory or to take for ever, through the real command: a sentence or a bounded result each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Run, WriteScript, command
from tests.documents.bombs import HONEST, bombs
from tests.documents.test_isolated import SLOW, soon

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the limit of the whole program is POSIX's")


def limited(folder: Path, *arguments: str, memory: int = 1_000_000) -> subprocess.CompletedProcess[str]:
    """The command, with so many kilobytes of address space for it and for all that it starts."""
    words = ["sh", "-c", f'ulimit -v {memory}; exec "$@"', "sh", *command(*arguments)]
    return subprocess.run(words, input="", capture_output=True, text=True, timeout=120, cwd=folder, check=False)


def test_a_folder_of_bombs_is_read_within_a_gigabyte_and_what_is_honest_in_it_is_found(tmp_path: Path, nemochat: Run) -> None:
    folder = tmp_path / "bombs"
    folder.mkdir()
    every = bombs()
    for name, data in every.items():
        (folder / name).write_bytes(data)
    done = limited(tmp_path, "docs", "add", "bombs")
    assert done.returncode == 0, done.stderr
    for word in ("Traceback", "MemoryError", "memory", "too long", "this is a bug"):
        assert word not in done.stderr
    rows = json.loads(nemochat("docs", "list", "--json").stdout)["documents"]
    read = {row["name"]: row["passages"] for row in rows}
    refused = {Path(line.split(": ")[0]).name for line in done.stderr.splitlines() if line.startswith(str(folder))}
    passed_over = {"open tags.html", "packed.txt"}
    assert set(read) | refused | passed_over == set(every), set(every) - set(read) - refused - passed_over
    assert all(passages < 3000 for passages in read.values()), read
    assert (tmp_path / "data" / "documents").exists()
    assert sum(file.stat().st_size for file in (tmp_path / "data" / "documents").iterdir()) < 50_000_000
    assert "zeppelin" in nemochat("docs", "search", "when does the zeppelin land").stdout
    assert HONEST in read


def test_what_is_cut_is_said(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text(",".join(f"name{at}" for at in range(2_100)) + "\n" + "1," * 2_099 + "1\n")
    done = limited(tmp_path, "docs", "add", "names.csv")
    assert (done.returncode, done.stderr) == (0, "names.csv: Only the first 2,000 columns were read.\n")


def test_a_document_that_needs_too_much_memory_is_one_sentence_and_the_others_are_read(
    tmp_path: Path, nemochat: Run, script: WriteScript
) -> None:
    (tmp_path / "lists.json").write_bytes(b"[" + b"[]," * 5_000_000 + b"1]")
    (tmp_path / "notes.txt").write_text("The lemon tree was planted in 2011.")
    done = limited(tmp_path, "docs", "add", "notes.txt", "lists.json", memory=400_000)
    assert done.returncode == 1
    assert "lists.json is broken, or it takes too much memory to read." in done.stderr
    assert "Traceback" not in done.stderr
    assert "1 document read" in done.stdout
    refused = limited(tmp_path, "ask", "Hm?", "--doc", "lists.json", "--model", script("x"), memory=400_000)
    assert (refused.returncode, refused.stdout, refused.stderr.splitlines()[0]) == (
        1, "", "Error: lists.json is broken, or it takes too much memory to read.",
    )  # fmt: skip
    asked = nemochat("ask", "When was the lemon tree planted?", "--doc", "notes.txt", "--model", script("In 2011."), "--json")
    assert [source["document"] for source in json.loads(asked.stdout)["sources"]] == ["notes.txt"]


def test_ctrl_c_ends_the_reading_and_the_process_that_reads(tmp_path: Path) -> None:
    (tmp_path / "slow.txt").write_bytes(SLOW)
    with subprocess.Popen(command("docs", "add", "slow.txt"), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        program = psutil.Process(process.pid)
        assert soon(lambda: bool(program.children()))
        [child] = program.children()
        assert soon(lambda: child.cpu_times().user > 0.3)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert soon(lambda: not child.is_running())
    assert "Traceback" not in errors
