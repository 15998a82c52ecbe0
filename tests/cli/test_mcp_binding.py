"""A server that was allowed in one folder runs the same program wherever nemochat is started, or nothing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nemochat.errors import NemochatError
from tests.cli.conftest import Fork
from tests.cli.test_commands import invoke

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
SERVE = {"s": [PYTHON, "server.py"]}


def _served(folder: Path) -> str:
    """A line of a shell that runs the server of a folder."""
    return f"exec {shlex.join([PYTHON, str(folder / 'server.py')])}"



class Folders:
    """Two folders, A and B, with servers of the same names; each writes which of them ran."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, fork: Fork) -> None:
        self.root, self.a, self.b = root, root / "A", root / "B"
        self._monkeypatch = monkeypatch
        self._fork = fork
        self._mark = root / "ran"
        for name, folder in (("A", self.a), ("B", self.b)):
            folder.mkdir()
            (folder / "pkg").mkdir()
            text = SERVER.format(mark=str(self._mark), name=name)
            for file in ("server.py", "pkg/__init__.py", "pkg/__main__.py", "server.mjs", "module.py"):
                (folder / file).write_text(text if file != "pkg/__init__.py" else "")
            (folder / "server.mjs").write_text(NODE_SERVER.replace("MARK", json.dumps(str(self._mark))).replace("NAME", json.dumps(name)))
            self.program(folder / "server", _served(folder))
            (folder / "run.sh").write_text(f"exec {shlex.quote(PYTHON)} server.py\n")

    def do(self, folder: Path, *arguments: str) -> str:
        """A command of the user's in a folder, in this process, which is quick: what they allowed before the attack."""
        self._monkeypatch.chdir(folder)
        return invoke(*arguments)

    def run(self, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command in a folder, with nobody at the terminal."""
        return self._fork(arguments, "", folder, os.environ | environment)

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

    def write_by_hand(self, entries: Mapping[str, Sequence[str]], **more: object) -> None:
        self.entries.parent.mkdir(exist_ok=True)
        servers = {name: {"command": words[0], "args": list(words[1:]), **more} for name, words in entries.items()}
        self.entries.write_text(json.dumps({"mcpServers": servers}))


NODE_SERVER = """
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
appendFileSync(MARK, NAME + " ");
createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line);
  if (asked.id === undefined) return;
  const ready = () => ({ protocolVersion: asked.params.protocolVersion, capabilities: {}, serverInfo: { name: "n", version: "1" } });
  console.log(JSON.stringify({ jsonrpc: "2.0", id: asked.id, result: asked.method === "initialize" ? ready() : {} }));
});
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork: Fork) -> Folders:
    return Folders(tmp_path, monkeypatch, fork)


FORMS: dict[str, list[str]] = {
    "file": [PYTHON, "server.py"],
    "program": ["./server"],
    "shell": ["bash", "run.sh"],
    "module": [PYTHON, "-m", "pkg"],
    "options": [PYTHON, "-um", "module"],
    "attached": [PYTHON, "-mpkg"],
    "equals": ["env", "--chdir=.", PYTHON, "server.py"],
    "dot": ["env", "-C.", PYTHON, "server.py"],
    "node": ["node", "server.mjs"],
    "import": ["node", "--import=./server.mjs", "-e", "0"],
}


@pytest.mark.parametrize("by_hand", [False, True], ids=["added", "by hand"])
def test_what_was_allowed_in_one_folder_runs_there_from_any_other(folders: Folders, by_hand: bool) -> None:
    forms = {name: form for name, form in FORMS.items() if "/" in form[0] or shutil.which(form[0])}
    if by_hand:
        folders.write_by_hand(forms)
    else:
        for name, form in forms.items():
            folders.do(folders.a, "mcp", "add", name, "--", *form)
    for name in forms:
        folders.do(folders.a, "mcp", "check", name, "--trust")
        assert set(folders.ran().split()) == {"A"}, name
    listed = json.loads(folders.run(folders.b, "mcp", "list", "--json").stdout)["servers"]
    assert {each["name"] for each in listed if each["command"].startswith(f"cd {shlex.quote(str(folders.a))} && ")} == set(forms)
    assert {each["state"] for each in listed} == {"allowed"}
    started = folders.run(folders.b, "tools", "list", "--servers")
    assert (started.returncode, set(folders.ran().split())) == (0, {"A"}), started.stderr
    assert started.stdout.count("MCP server") == len([name for name in forms if name not in ("node", "import")]), started.stderr


def test_a_relative_folder_of_an_entry_is_bound_too(folders: Folders) -> None:
    for folder in (folders.a, folders.b):
        (folder / "below").mkdir()
        (folder / "server.py").rename(folder / "below" / "server.py")
    folders.write_by_hand(SERVE, cwd="below")
    folders.do(folders.a, "mcp", "check", "s", "--trust")
    assert folders.run(folders.b, "mcp", "check", "s").returncode == 0
    assert folders.ran() == "A A"
    folders.do(folders.b, "mcp", "remove", "s")
    folders.do(folders.b, "mcp", "add", "s", "--cwd", "below", "--", PYTHON, "server.py")
    assert f"cd {shlex.quote(str(folders.b / 'below'))} && " in folders.do(folders.a, "mcp", "list", "--json")


def test_what_was_allowed_where_nothing_was_found_finds_nothing_elsewhere(folders: Folders) -> None:
    folders.write_by_hand(SERVE)
    with pytest.raises(NemochatError, match="ended with code"):
        folders.do(folders.root, "mcp", "check", "s", "--trust")
    done = folders.run(folders.b, "mcp", "check", "s")
    assert f"This is started: cd / && {shlex.quote(PYTHON)} server.py" in done.stderr
    assert (done.returncode, folders.ran()) == (1, "")


def test_an_entry_that_changed_is_bound_and_asked_about_anew(folders: Folders) -> None:
    folders.write_by_hand(SERVE)
    folders.do(folders.a, "mcp", "check", "s", "--trust")
    folders.ran()
    folders.write_by_hand({"s": [PYTHON, "./server.py"]})
    done = folders.run(folders.b, "mcp", "check", "s")
    assert done.returncode == 1
    assert f"This is started: cd {shlex.quote(str(folders.b))} && " in done.stderr
    assert "not what you allowed before" in done.stderr
    assert folders.ran() == ""


@pytest.mark.parametrize("by_hand", [False, True], ids=["added", "by hand"])
def test_a_folder_that_is_gone_is_told_and_no_other_is_used(folders: Folders, by_hand: bool) -> None:
    if by_hand:
        folders.write_by_hand(SERVE)
    else:
        folders.do(folders.a, "mcp", "add", "s", "--", PYTHON, "server.py")
    folders.do(folders.a, "mcp", "check", "s", "--trust")
    folders.ran()
    shutil.rmtree(folders.a)
    done = folders.run(folders.b, "mcp", "check", "s")
    assert (done.returncode, folders.ran()) == (1, "")
    assert f"runs in the folder {folders.a}, which is not there" in done.stderr


def test_another_program_first_in_the_search_path_is_asked_about(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    good = folders.program(folders.root / "good" / "serve", _served(folders.a))
    monkeypatch.setenv("PATH", f"{folders.root / 'evil'}:{good.parent}:{os.environ['PATH']}")
    folders.do(folders.a, "mcp", "add", "s", "--", "serve")
    folders.do(folders.a, "mcp", "check", "s", "--trust")
    evil = folders.program(folders.root / "evil" / "serve", _served(folders.b))
    folders.ran()
    done = folders.run(folders.a, "mcp", "check", "s")
    assert f"This is started: cd / && {shlex.quote(str(evil))}" in done.stderr
    assert "is no longer what you allowed" in folders.run(folders.a, "tools", "list", "--servers").stderr
    assert folders.ran() == ""
    assert "changed since you allowed it" in folders.do(folders.a, "mcp", "list")
    evil.unlink()
    assert folders.run(folders.a, "mcp", "check", "s").returncode == 0
    assert folders.ran() == "A"


@pytest.mark.parametrize("what", ["program", "script", "folder", "interpreter"])
def test_a_link_that_leads_elsewhere_is_asked_about(folders: Folders, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    link = folders.root / "link"
    monkeypatch.setenv("PATH", f"{folders.root / 'bin'}:{os.environ['PATH']}")
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
        before, after = (folders.program(folder / "runs", _served(folder)) for folder in (folders.a, folders.b))
        script = folders.program(folders.root / "script", "")
        script.write_text("#!/usr/bin/env runs-it\n")
        form = [str(script)]
    link.symlink_to(before)
    options = ("--cwd", str(link)) if what == "folder" else ()
    folders.do(folders.root, "mcp", "add", "s", *options, "--", *form)
    folders.do(folders.root, "mcp", "check", "s", "--trust")
    assert folders.ran() == "A"
    link.unlink()
    link.symlink_to(after)
    done = folders.run(folders.root, "mcp", "check", "s")
    assert (done.returncode, folders.ran()) == (1, ""), done.stderr
    assert str(after) in done.stderr
    assert "not what you allowed before" in done.stderr


def test_a_package_runner_gets_the_package_as_given_and_no_folder_to_find_another_in(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """npx would run what node_modules of its folder has, and a folder that is called like the package in place of it."""
    for runner in ("npx", "uvx"):
        folders.program(folders.root / "bin" / runner, _served(folders.a))
    (folders.a / "server-x").mkdir()
    monkeypatch.setenv("PATH", f"{folders.root / 'bin'}:{os.environ['PATH']}")
    for runner, arguments, shown in (
        ("npx", ["-y", "server-x", ".", "--root=./pkg"], shlex.join(["-y", "server-x", str(folders.a), f"--root={folders.a / 'pkg'}"])),
        ("uvx", ["--from", "server-x==1.2", "server-x"], "--from server-x==1.2 server-x"),
    ):
        folders.do(folders.a, "mcp", "add", runner, "--", runner, *arguments)
        (server,) = [each for each in json.loads(folders.do(folders.b, "mcp", "list", "--json"))["servers"] if each["name"] == runner]
        assert server["command"] == f"cd / && {shlex.quote(str(folders.root / 'bin' / runner))} {shown}"


def test_the_current_folder_is_no_variable_for_a_server(folders: Folders) -> None:
    """PYTHONPATH=${PWD}, allowed in one folder, would be another's modules in another."""
    folders.do(folders.a, "mcp", "add", "s", "--env", "PYTHONPATH=${PWD:-x}", "--", PYTHON, "-m", "module")
    done = folders.run(folders.b, "mcp", "check", "s", "--trust")
    assert (done.returncode, folders.ran()) == (1, "")
    assert "refers to PWD, which is another folder each time. Write the folder out." in " ".join(done.stderr.replace("Hint: ", "").split())


def test_what_version_0_1_allowed_is_asked_about_again(folders: Folders) -> None:
    folders.write_by_hand(SERVE)
    pins = folders.root / "data" / "mcp-pins.json"
    pins.parent.mkdir(exist_ok=True)
    pins.write_text(json.dumps({"s": {"identity": "0" * 64, "tools": {"report": "1"}}}))
    done = folders.run(folders.b, "mcp", "check", "s")
    assert (done.returncode, folders.ran()) == (1, "")
    assert "changed since you allowed it" in folders.run(folders.b, "mcp", "list").stdout
    folders.do(folders.a, "mcp", "check", "s", "--trust")
    assert folders.ran() == "A"


def test_a_server_gets_plain_names_and_what_its_entry_names(folders: Folders) -> None:
    secrets = "DB_PASS MYSQL_PWD GH_PAT SLACK_WEBHOOK AWS_PROFILE AWS_SECRET_ACCESS_KEY KUBECONFIG SSH_AUTH_SOCK LC_SECRET NODE_OPTIONS"
    own = dict.fromkeys(secrets.split(), "leaked") | {"LC_ALL": "C.UTF-8", "GIVEN": "given", "HOME": str(folders.root)}
    options = ("--env", "MY_TOKEN=${GIVEN}", "--env", "PLAIN=1", "--env", "DB_PASS=own")
    folders.do(folders.a, "mcp", "add", "s", *options, "--", PYTHON, "server.py")
    with pytest.raises(NemochatError, match="GIVEN is not set"):
        folders.do(folders.a, "mcp", "check", "s", "--trust")
    done = folders.run(folders.b, "tools", "test", "report", "--yes", **own)
    told = json.loads(done.stdout)
    assert told["folder"] == str(folders.a)
    assert "leaked" not in done.stdout
    assert {name: told["environment"].pop(name) for name in ("MY_TOKEN", "PLAIN", "DB_PASS", "LC_ALL", "HOME")} == {
        "MY_TOKEN": "given", "PLAIN": "1", "DB_PASS": "own", "LC_ALL": "C.UTF-8", "HOME": str(folders.root),
    }  # fmt: skip
    plain = {"PATH", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LC_CTYPE", "LD_LIBRARY_PATH"}
    assert set(told["environment"]) <= plain, "LC_CTYPE is Python's own doing"
