"""Every command and every file that is read, by every kind of thing that a path may lead to: a sentence, at once, in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.bad_paths import HOLE, make_bad_paths
from tests.cli.conftest import Fork, Run, WriteScript, command

SECONDS = 6.0
"""What one may take of a processor; it is a fraction of a second. What waits is stopped by `many_commands`."""

Job = tuple[str, list[str], dict[str, str]]

# {} is the path. A file that is written in place of another is not read, and what is in the way of it is told before.
READING = {
    "library import": ["library", "import", "{}"],
    "library repair": ["library", "repair", "{}"],
    "render": ["render", "{}"],
    "personas import": ["personas", "import", "{}"],
    "lore add": ["lore", "add", "{}"],
    "models add": ["models", "add", "{}"],
    "models show --mmproj": ["models", "show", "nemochat-demo", "--mmproj", "{}"],
    "docs add": ["docs", "add", "{}"],
    "eval run": ["eval", "run", "own", "--data", "{}"],
    "eval show": ["eval", "show", "{}"],
}
WRITING = {
    "library export": ["library", "export", "{}"],
    "personas export": ["personas", "export", "storyteller", "{}"],
}
# A pipe may be waited for; a folder may hold documents, and a file of any name some text.
EXPECTED = {("render", "pipe"), ("docs add", "folder"), ("docs add", "fake zip")}
# What is read of nemochat's own folders: the variable of the folder, the name in it, and a command that reads it.
OWN = {
    ("CONFIG", "config.toml"): ["models", "list"],
    ("CONFIG", "mcp.json"): ["mcp", "list"],
    ("CONFIG", "tools/own.py"): ["tools", "list"],
    ("CONFIG", "tools"): ["tools", "list"],
    ("DATA", "models.json"): ["models", "list"],
    ("DATA", "mcp-pins.json"): ["mcp", "list"],
    ("DATA", "personas"): ["personas", "list"],
    ("DATA", "personas/x/persona.toml"): ["personas", "list"],
    ("DATA", "personas/.index.json"): ["personas", "list"],
    ("DATA", "personas/profiles.toml"): ["personas", "show", "storyteller", "--prompt"],
    ("DATA", "lorebooks"): ["lore", "list"],
    ("DATA", "lorebooks/x.json"): ["lore", "list"],
    ("DATA", "library"): ["library", "list"],
    ("DATA", "library/library.db"): ["library", "list"],
    ("DATA", "evaluations"): ["eval", "list"],
    ("DATA", "evaluations/x/run.json"): ["eval", "list"],
    ("DATA", "evaluations/x/answers.jsonl"): ["eval", "list"],
}

OWN_KINDS = ("pipe", "folder", "loop", "socket", "hole", "fake zip", "/dev/zero", "/proc/kmsg")


class Ended(NamedTuple):
    """How a command ended. code: None for one that had to be stopped."""

    name: str
    code: int | None
    said: str
    seconds: float


def run_all(fork: Fork, jobs: list[Job], folder: Path) -> list[Ended]:
    """All of them in one process with 1 GB of memory; see `many_commands`."""
    done = fork(None, json.dumps(jobs), folder, os.environ, limit=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    return [Ended(*json.loads(line)) for line in done.stdout.splitlines()]


def problem_with(ended: Ended, *, may_succeed: bool = False) -> str:
    name, code, said, seconds = ended
    if code is None or seconds > SECONDS:
        return f"{name} took {seconds:.1f} s"
    if "a bug" in said or "Traceback" in said:
        return f"{name} was taken for a bug: {said[-200:]}"
    if any(sign in said for sign in ("\x1b", "\x07", "\0")):
        return f"{name} printed an escape"
    if not may_succeed and (code not in (1, 2) or "Error" not in said):
        return f"{name} ended with {code}: {said[-200:]}"
    return ""


def test_every_command_that_reads_a_path_refuses_what_is_no_file_with_a_sentence_at_once(fork: Fork, tmp_path: Path) -> None:
    paths = make_bad_paths(tmp_path / "bad")
    jobs: list[Job] = [
        (f"{name}: {kind}", [part.format(path) for part in parts], {})
        for name, parts in READING.items()
        for kind, path in paths.items()
        if (name, kind) not in EXPECTED
    ]
    found = run_all(fork, jobs, tmp_path)
    assert len(found) == len(jobs)
    wrong = list(filter(None, map(problem_with, found)))
    assert not wrong, "\n".join(wrong)
    assert (tmp_path / "bad" / "hole").stat().st_size == HOLE


def test_a_file_to_write_never_takes_the_place_of_a_device_a_pipe_or_a_folder(fork: Fork, tmp_path: Path) -> None:
    paths = make_bad_paths(tmp_path / "bad")
    in_the_way = ("pipe", "folder", "socket", "NUL", "long name")
    special = {kind: path for kind, path in paths.items() if path.startswith("/dev") or kind in in_the_way}
    before = {path: os.lstat(path).st_mode for path in special.values() if "\0" not in path and os.path.lexists(path)}
    jobs: list[Job] = [
        (f"{name}: {kind}", [part.format(path) for part in parts], {}) for name, parts in WRITING.items() for kind, path in special.items()
    ]
    wrong = list(filter(None, map(problem_with, run_all(fork, jobs, tmp_path))))
    assert not wrong, "\n".join(wrong)
    assert {path: os.lstat(path).st_mode for path in before} == before


def test_whatever_stands_in_place_of_a_file_of_nemochats_own_nothing_waits_or_takes_memory(fork: Fork, tmp_path: Path) -> None:
    paths = make_bad_paths(tmp_path / "bad")
    kinds = {kind: Path(path) for kind, path in paths.items() if kind in OWN_KINDS}
    jobs: list[Job] = []
    for number, (((variable, name), parts), (kind, path)) in enumerate(
        (own, each) for own in OWN.items() for each in kinds.items()
    ):
        folder = tmp_path / "own" / str(number)
        (folder / name).parent.mkdir(parents=True)
        (folder / name).symlink_to(path)
        everywhere = {f"NEMOCHAT_{each}_DIR": str(tmp_path / "other" / str(number)) for each in ("CONFIG", "DATA")}
        jobs.append((f"{name}: {kind}", parts, everywhere | {f"NEMOCHAT_{variable}_DIR": str(folder)}))
    found = run_all(fork, jobs, tmp_path)
    assert len(found) == len(jobs)
    wrong = [problem for ended in found if (problem := problem_with(ended, may_succeed=True))]
    assert not wrong, "\n".join(wrong)


def test_bad_pictures_and_documents_of_a_question_are_told_one_by_one(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    paths = {kind: path for kind, path in make_bad_paths(tmp_path / "bad").items() if "\0" not in path}
    lines = [json.dumps({"question": "What is it?", "images": [path]}) for path in paths.values()] + [json.dumps({"question": "Well?"})]
    began = time.monotonic()
    done = nemochat("ask", "--jsonl", "--model", script("Fine."), input="\n".join(lines))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert time.monotonic() - began < 60
    told = [("error" in answer, "a bug" in answer.get("error", "")) for answer in answers]
    assert told == [*[(True, False)] * len(paths), (False, False)]


def test_a_pipe_is_rendered_and_a_terminal_is_told_what_is_waited_for(nemochat: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "talk")

    def write() -> None:
        with (tmp_path / "talk").open("w") as talk:  # opened as soon as the other end is
            time.sleep(3)
            talk.write(json.dumps([{"role": "user", "content": "Hello"}]))

    writer = threading.Thread(target=write)
    writer.start()
    done = nemochat("render", str(tmp_path / "talk"))
    writer.join()
    assert "Hello" in done.stdout
    assert done.stderr.startswith("Waiting for the end of what comes through")
    assert done.returncode == 0


def test_a_pipe_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        render = command("render", "/dev/stdin")
        done = subprocess.run(render, stdin=endless.stdout, capture_output=True, text=True, check=False, timeout=120)
        endless.kill()
    assert done.returncode == 2
    assert "More than 128 MiB came through /dev/stdin." in done.stderr


@pytest.mark.parametrize("name", ["card.json", "all.zip"])
def test_a_file_that_grows_while_it_is_read_is_read_no_further_than_its_limit(nemochat: Run, tmp_path: Path, name: str) -> None:
    """The writer is as quick as it can be, and stops before it could fill a disk."""
    path, stop = tmp_path / name, threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            for _ in range(300):
                if stop.is_set():
                    return
                file.write(b" " * (1 << 20))

    path.write_bytes(b"{")
    writer = threading.Thread(target=grow)
    writer.start()
    done = nemochat(*(("personas", "import") if name == "card.json" else ("library", "import")), str(path))
    stop.set()
    writer.join()
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "a bug" not in done.stderr


