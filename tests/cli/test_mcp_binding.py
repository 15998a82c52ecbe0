"""A server that was allowed in one folder runs the same program wherever nemochat is started, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import command

SERVER = '''
import json, os, sys
open({mark!r}, "a").write({name!r} + " ")
tool = {{"name": "report", "description": "Reports.", "inputSchema": {{"type": "object"}}}}
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    if asked["method"] == "initialize":
        information = {{"name": "x", "version": "1"}}
        result = {{"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {{"tools": {{}}}}, "serverInfo": information}}
    elif asked["method"] == "tools/list":
        result = {{"tools": [tool]}}
    else:
        told = json.dumps({{"folder": os.getcwd(), "arguments": sys.argv, "environment": dict(os.environ)}})
        result = {{"content": [{{"type": "text", "text": told}}]}}
    print(json.dumps({{"jsonrpc": "2.0", "id": asked["id"], "result": result}}), flush=True)
'''
PYTHON = sys.executable

In = Callable[..., subprocess.CompletedProcess[str]]


class Folders:
    """Two folders, A and B, with servers of the same names; each writes which of them ran."""

    def __init__(self, root: Path) -> None:
        self.root, self.a, self.b = root, root / "A", root / "B"
        self._mark = root / "ran"
        for name, folder in (("A", self.a), ("B", self.b)):
            folder.mkdir()
            (folder / "pkg").mkdir()
            text = SERVER.format(mark=str(self._mark), name=name)
            for file in ("server.py", "pkg/__init__.py", "pkg/__main__.py", "server.mjs", "module.py"):
                (folder / file).write_text(text if file != "pkg/__init__.py" else "")
            (folder / "server.mjs").write_text(_node(str(self._mark), name))
            self.program(folder / "server", f"exec {PYTHON} {folder}/server.py")
            (folder / "run.sh").write_text(f"exec {PYTHON} server.py\n")

    def program(self, path: Path, line: str) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        return path

    def ran(self) -> str:
        """Which have run since the last time."""
        text = self._mark.read_text() if self._mark.exists() else ""
        self._mark.unlink(missing_ok=True)
        return text.strip()

    @property
    def entries(self) -> Path:
        return self.root / "config" / "mcp.json"

    def write_by_hand(self, **entry: object) -> None:
        self.entries.parent.mkdir(exist_ok=True)
        self.entries.write_text(json.dumps({"mcpServers": {"s": entry}}))


def _node(mark: str, name: str) -> str:
    answer = 'const r = m.method === "initialize" ? {protocolVersion: m.params.protocolVersion, capabilities: {}, serverInfo: {name: "n", version: "1"}} : {};'
    return f"""
import {{ appendFileSync }} from "node:fs";
import {{ createInterface }} from "node:readline";
appendFileSync({json.dumps(mark)}, {json.dumps(name + " ")});
createInterface({{ input: process.stdin }}).on("line", (line) => {{
  const m = JSON.parse(line);
  if (m.id === undefined) return;
  {answer}
  console.log(JSON.stringify({{ jsonrpc: "2.0", id: m.id, result: r }}));
}});
"""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder, with nobody at the terminal."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, cwd=folder, env=os.environ | environment, input="", check=False
    )


FORMS: list[list[str]] = [
    [PYTHON, "server.py"],
    ["./server"],
    ["bash", "run.sh"],
    [PYTHON, "-m", "pkg"],
    [PYTHON, "-um", "module"],
    [PYTHON, "-mpkg"],
    ["env", "--chdir=.", PYTHON, "server.py"],
    ["env", "-C.", PYTHON, "server.py"],
    ["node", "server.mjs"],
    ["node", "--import=./server.mjs", "-e", "0"],
]


@pytest.mark.parametrize("by_hand", [False, True], ids=["added", "by hand"])
@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_what_was_allowed_in_one_folder_runs_there_from_any_other(folders: Folders, form: list[str], by_hand: bool) -> None:
    if shutil.which(form[0], path=f"{os.environ['PATH']}:{folders.a}") is None:
        pytest.skip(f"{form[0]} is not installed")
    if by_hand:
        folders.write_by_hand(command=form[0], args=form[1:])
    else:
        assert run(folders.a, "mcp", "add", "s", "--", *form).returncode == 0
    allowed = run(folders.a, "mcp", "check", "s", "--trust")
    assert allowed.returncode == 0, allowed.stderr
    assert f"This is started: cd {folders.a} && " in allowed.stderr
    assert set(folders.ran().split()) == {"A"}
    again = run(folders.b, "mcp", "check", "s")
    assert (again.returncode, set(folders.ran().split())) == (0, {"A"}), again.stderr
    assert f"cd {folders.a} && " in run(folders.b, "mcp", "list", "--json").stdout


def test_a_relative_folder_of_an_entry_is_bound_too(folders: Folders) -> None:
    for folder in (folders.a, folders.b):
        (folder / "below").mkdir()
        (folder / "server.py").rename(folder / "below" / "server.py")
    folders.write_by_hand(command=PYTHON, args=["server.py"], cwd="below")
    assert run(folders.a, "mcp", "check", "s", "--trust").returncode == 0
    assert run(folders.b, "mcp", "check", "s").returncode == 0
    assert folders.ran() == "A A"
    run(folders.b, "mcp", "remove", "s")
    assert run(folders.b, "mcp", "add", "s", "--cwd", "below", "--", PYTHON, "server.py").returncode == 0
    assert f"cd {folders.b / 'below'} && " in run(folders.a, "mcp", "list", "--json").stdout


def test_what_was_allowed_where_nothing_was_found_finds_nothing_elsewhere(folders: Folders) -> None:
    folders.write_by_hand(command=PYTHON, args=["server.py"])
    assert run(folders.root, "mcp", "check", "s", "--trust").returncode == 1
    done = run(folders.b, "mcp", "check", "s")
    assert f"This is started: cd / && {PYTHON} server.py" in done.stderr
    assert (done.returncode, folders.ran()) == (1, "")


def test_an_entry_that_changed_is_bound_and_asked_about_anew(folders: Folders) -> None:
    folders.write_by_hand(command=PYTHON, args=["server.py"])
    assert run(folders.a, "mcp", "check", "s", "--trust").returncode == 0
    folders.ran()
    folders.write_by_hand(command=PYTHON, args=["./server.py"])
    done = run(folders.b, "mcp", "check", "s")
    assert done.returncode == 1
    assert f"This is started: cd {folders.b} && " in done.stderr
    assert "not what you allowed before" in done.stderr
    assert folders.ran() == ""


@pytest.mark.parametrize("by_hand", [False, True], ids=["added", "by hand"])
def test_a_folder_that_is_gone_is_told_and_no_other_is_used(folders: Folders, by_hand: bool) -> None:
    if by_hand:
        folders.write_by_hand(command=PYTHON, args=["server.py"])
    else:
        run(folders.a, "mcp", "add", "s", "--", PYTHON, "server.py")
    assert run(folders.a, "mcp", "check", "s", "--trust").returncode == 0
    folders.ran()
    shutil.rmtree(folders.a)
    done = run(folders.b, "mcp", "check", "s")
    assert (done.returncode, folders.ran()) == (1, "")
    assert f"runs in the folder {folders.a}, which is not there" in done.stderr


def test_another_program_first_in_the_search_path_is_asked_about(folders: Folders) -> None:
    good = folders.program(folders.root / "good" / "serve", f"exec {PYTHON} {folders.a}/server.py")
    path = {"PATH": f"{folders.root / 'evil'}:{good.parent}:{os.environ['PATH']}"}
    run(folders.a, "mcp", "add", "s", "--", "serve")
    allowed = run(folders.a, "mcp", "check", "s", "--trust", **path)
    assert f"cd / && {good}" in allowed.stderr
    evil = folders.program(folders.root / "evil" / "serve", f"exec {PYTHON} {folders.b}/server.py")
    folders.ran()
    for words in (("mcp", "check", "s"), ("tools", "list", "--servers")):
        done = run(folders.a, *words, **path)
        assert str(evil) in done.stderr
        assert folders.ran() == ""
    assert "changed since you allowed it" in run(folders.a, "mcp", "list", **path).stdout
    evil.unlink()
    assert run(folders.a, "mcp", "check", "s", **path).returncode == 0
    assert folders.ran() == "A"


@pytest.mark.parametrize("what", ["program", "script", "folder", "interpreter"])
def test_a_link_that_leads_elsewhere_is_asked_about(folders: Folders, what: str) -> None:
    link = folders.root / "link"
    environment = {"PATH": f"{folders.root / 'bin'}:{os.environ['PATH']}"}
    (folders.root / "bin").mkdir()
    before, after = folders.a, folders.b
    form = [str(link)]
    if what == "program":
        before, after = folders.a / "server", folders.b / "server"
    elif what == "script":
        before, after = folders.a / "server.py", folders.b / "server.py"
        form = [PYTHON, str(link)]
    elif what == "folder":
        form = [PYTHON, "server.py"]
    else:
        link = folders.root / "bin" / "runs-it"
        before, after = (folders.program(folder / "runs", f"exec {PYTHON} {folder}/server.py") for folder in (folders.a, folders.b))
        script = folders.program(folders.root / "script", "")
        script.write_text("#!/usr/bin/env runs-it\n")
        form = [str(script)]
    link.symlink_to(before)
    options = ("--cwd", str(link)) if what == "folder" else ()
    assert run(folders.root, "mcp", "add", "s", *options, "--", *form).returncode == 0
    allowed = run(folders.root, "mcp", "check", "s", "--trust", **environment)
    assert (allowed.returncode, folders.ran()) == (0, "A"), allowed.stderr
    link.unlink()
    link.symlink_to(after)
    done = run(folders.root, "mcp", "check", "s", **environment)
    assert (done.returncode, folders.ran()) == (1, ""), done.stderr
    assert str(after) in done.stderr
    assert "not what you allowed before" in done.stderr


def test_a_package_runner_gets_the_package_as_given_and_no_folder_to_find_another_in(folders: Folders) -> None:
    """npx would run what node_modules of its folder has, and a folder that is called like the package in place of it."""
    for runner in ("npx", "uvx"):
        folders.program(folders.root / "bin" / runner, f"exec {PYTHON} {folders.a}/server.py")
    (folders.a / "server-x").mkdir()
    path = {"PATH": f"{folders.root / 'bin'}:{os.environ['PATH']}"}
    for runner, arguments, shown in (
        ("npx", ["-y", "server-x", ".", "--root=./pkg"], f"-y server-x {folders.a} --root={folders.a / 'pkg'}"),
        ("uvx", ["--from", "server-x==1.2", "server-x"], "--from server-x==1.2 server-x"),
    ):
        run(folders.a, "mcp", "add", runner, "--", runner, *arguments, **path)
        assert f"This is started: cd / && {folders.root / 'bin' / runner} {shown}\n" in run(folders.b, "mcp", "check", runner, **path).stderr


def test_what_version_0_1_allowed_is_asked_about_again(folders: Folders) -> None:
    folders.write_by_hand(command=PYTHON, args=["server.py"])
    pins = folders.root / "data" / "mcp-pins.json"
    pins.parent.mkdir(exist_ok=True)
    pins.write_text(json.dumps({"s": {"identity": "0" * 64, "tools": {"report": "1"}}}))
    done = run(folders.b, "mcp", "check", "s")
    assert (done.returncode, folders.ran()) == (1, "")
    assert "changed since you allowed it" in run(folders.b, "mcp", "list").stdout
    assert run(folders.a, "mcp", "check", "s", "--trust").returncode == 0
    assert folders.ran() == "A"


def test_a_server_gets_plain_names_and_what_its_entry_names(folders: Folders) -> None:
    secrets = "DB_PASS MYSQL_PWD GH_PAT SLACK_WEBHOOK AWS_PROFILE AWS_SECRET_ACCESS_KEY KUBECONFIG SSH_AUTH_SOCK LC_SECRET PYTHONPATH NODE_OPTIONS"
    own = dict.fromkeys(secrets.split(), "leaked") | {"LC_ALL": "C.UTF-8", "GIVEN": "given", "HOME": str(folders.root)}
    options = ("--env", "MY_TOKEN=${GIVEN}", "--env", "PLAIN=1", "--env", "DB_PASS=own")
    run(folders.a, "mcp", "add", "s", *options, "--", PYTHON, "server.py")
    run(folders.a, "mcp", "check", "s", "--trust", **own)
    done = run(folders.b, "tools", "test", "s/report", "--yes", **own)
    told = json.loads(done.stdout)
    assert told["folder"] == str(folders.a)
    assert "leaked" not in done.stdout
    assert {name: told["environment"].pop(name) for name in ("MY_TOKEN", "PLAIN", "DB_PASS", "LC_ALL", "HOME")} == {
        "MY_TOKEN": "given", "PLAIN": "1", "DB_PASS": "own", "LC_ALL": "C.UTF-8", "HOME": str(folders.root),
    }  # fmt: skip
    plain = {"PATH", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LC_CTYPE", "LD_LIBRARY_PATH"}
    assert set(told["environment"]) <= plain, "LC_CTYPE is Python's own doing"
