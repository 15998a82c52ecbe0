"""nemochat among files that it did not write: nothing of the folder in which it is run is imported or started, by no process of it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nemochat.engine.trials import look_at_hardware
from nemochat.errors import ImageError
from nemochat.images.clipboard import read_clipboard_picture
from nemochat.prompt.rendering import Renderer
from nemochat.system.desktop import open_in_browser
from nemochat.tui import clipboard
from tests.cli.conftest import ROOT, WriteScript
from tests.cli.test_mcp import SERVER
from tests.documents.writers import pdf
from tests.terminal.tty import Terminal
from tests.tiny_gguf import write_language_model

MODULES = """msgspec sqlite3 json re typing dataclasses asyncio runpy sitecustomize usercustomize llama_cpp numpy psutil pypdf regex PIL
    typer mcp_types jinja2 markupsafe anyio httpx2 encodings threading tempfile"""
PROGRAMS = """python python3 wl-paste wl-copy xclip xsel pbcopy tmux osascript xdg-open xdg-settings www-browser jbig2dec uname sh env
    ldconfig gcc id ps browser-of-nobody"""
TOOL = '''
def double(number: int) -> int:
    """Double a number."""
    import json, statistics
    return 2 * number
'''
CALLS = (
    '<toolcall> {"name": "double", "arguments": {"number": 21}} </toolcall>',
    '<toolcall> {"name": "add", "arguments": {"a": 2, "b": 3}} </toolcall>',
)
MAIN = "import sys\nsys.path.append({!r})\nfrom nemochat.__main__ import main\nsys.exit(main())\n"

Go = Callable[..., subprocess.CompletedProcess[str]]


class Trap:
    """A folder whose modules and programs write their names into a file when they run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "trap"
        self._marker = folder / "sprung"
        self.folder.mkdir()
        for name in MODULES.split():
            self._module(self.folder / f"{name}.py")
        for name in PROGRAMS.split():
            self.program(self.folder / name)

    def _module(self, path: Path) -> None:
        path.write_text(f"open({str(self._marker)!r}, 'a').write('{path.stem} ')\nraise SystemExit(9)\n")

    def program(self, path: Path) -> None:
        path.write_text(f"#!/bin/sh\nprintf '{path.name} ' >> '{self._marker}'\nexit 1\n")
        path.chmod(0o755)

    def package(self, name: str) -> None:
        (self.folder / name).mkdir()
        self._module(self.folder / name / "__init__.py")

    @property
    def sprung(self) -> str:
        return self._marker.read_text() if self._marker.exists() else ""


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    trap = Trap(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join((".", "", os.environ["PATH"])))
    return trap


@pytest.fixture
def installed(trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command as it is installed, with variables that lead into that folder for every Python but the first."""
    trap.package("nemochat")
    main = tmp_path / "bin" / "nemochat"
    main.parent.mkdir()
    main.write_text(MAIN.format(str(ROOT)))
    here = str(trap.folder)
    for name, value in (("PATH", f"{here}::."), ("HOME", here), ("STARTUP", f"{here}/json.py"), ("USERBASE", here)):
        monkeypatch.setenv(f"PYTHON{name}", value)
    return [sys.executable, "-E", str(main)]


@pytest.fixture
def go(trap: Trap, installed: list[str]) -> Go:
    """Run the command in that folder."""

    def run(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*installed, *arguments],
            capture_output=True, text=True, timeout=100, cwd=trap.folder, env=os.environ | environment, input="", check=False,
        )  # fmt: skip
        assert trap.sprung == ""
        assert done.returncode == code, done.stderr
        return done

    return run


def test_the_trap_can_spring(trap: Trap) -> None:
    subprocess.run([sys.executable, "-c", "import msgspec"], cwd=trap.folder, check=False)
    subprocess.run(["xclip"], cwd=trap.folder, check=False)
    assert trap.sprung == "msgspec xclip "


def test_documents(trap: Trap, go: Go) -> None:
    (trap.folder / "a.pdf").write_bytes(pdf(["The lemon tree was planted in 2011."]))
    (trap.folder / "long.txt").write_text("The ferry leaves at seven.\n\n" * 30_000)
    assert "2 documents read" in go("docs", "add", "a.pdf", "long.txt").stdout
    assert "2011" in go("docs", "search", "lemon tree").stdout


def test_a_pdf_starts_no_program_whatever_the_search_path_has(trap: Trap, go: Go, tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    trap.program(tmp_path / "programs" / "jbig2dec")
    hostile = pdf(["x"]).replace(b"/Filter /FlateDecode", b"/Filter [/FlateDecode /JBIG2Decode]")
    (trap.folder / "a.pdf").write_bytes(hostile)
    assert "broken" in go("docs", "add", "a.pdf", code=1, PATH=f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}").stderr


def test_the_engine_and_the_embedder(trap: Trap, go: Go) -> None:
    assert go("ask", "Hello").stdout.strip()
    (trap.folder / "a.md").write_text("The lemon tree was planted in 2011.")
    model = write_language_model(trap.folder / "tiny.gguf")
    assert "by meaning" in go("docs", "add", "a.md", NEMOCHAT_TOOLS_EMBEDDING_MODEL=model.name).stdout


async def test_the_look_at_the_hardware_that_tune_takes(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trap.folder)
    monkeypatch.setenv("PYTHONPATH", str(trap.folder))
    assert (await look_at_hardware()).cores
    assert trap.sprung == ""


async def test_the_rendering_of_chat_templates(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trap.folder)
    monkeypatch.setenv("PYTHONPATH", str(trap.folder))
    renderer = Renderer()
    assert await renderer.render("t", "{{ a | tojson }}", {"a": 1}) == "1"
    await renderer.close()
    assert trap.sprung == ""


def test_tools_and_servers(trap: Trap, go: Go, tmp_path: Path, script: WriteScript) -> None:
    (tmp_path / "config" / "tools").mkdir(parents=True)
    (tmp_path / "config" / "tools" / "mine.py").write_text(TOOL)
    (tmp_path / "small.py").write_text(SERVER)
    (tmp_path / "says").write_text("Adds.")
    go("mcp", "add", "small", "--", sys.executable, str(tmp_path / "small.py"), str(tmp_path))
    go("mcp", "check", "small", "--trust")
    script(*CALLS, "Done.")
    done = go("ask", "x", "--yes-tool", "double", "--yes-tool", "small/add", "--model", "../model.script.json", "--json")
    assert [run["result"] for run in json.loads(done.stdout)["tool_runs"]] == ["42", "5"]


def test_clipboard_and_browser(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trap.folder)
    monkeypatch.setenv("PATH", os.pathsep.join((".", "", "relative")))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "TMUX", "TERM"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    for platform in ("linux", "darwin"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "platform", platform)
            with pytest.raises(ImageError):
                read_clipboard_picture()
    assert clipboard.copy(lambda _: None, "x").startswith("Sent")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("BROWSER", "browser-of-nobody %s")
    assert not open_in_browser("https://example.com/")
    assert trap.sprung == ""


def test_the_interface_its_clipboard_and_its_editor(trap: Trap, installed: list[str], tmp_path: Path, script: WriteScript) -> None:
    """The editor alone runs in the folder and with all variables."""
    told = tmp_path / "told"
    editor = tmp_path / "bin" / "editor"
    editor.write_text(f'#!/bin/sh\necho "$PWD $PYTHONHOME" > {shlex.quote(str(told))}\nprintf edited > "$1"\n')
    editor.chmod(0o755)
    environment = {"DISPLAY": ":7", "WAYLAND_DISPLAY": "w", "TMUX": "x,1,0", "EDITOR": shlex.quote(str(editor))}
    environment["NEMOCHAT_INTERFACE_PICTURES"] = "halfblocks"
    with Terminal([*installed, "--model", script("A red rose.")], environment, trap.folder) as terminal:
        terminal.wait_for("ready")
        terminal.send("\x1b[19~")
        terminal.wait_for("needs a tool to read the clipboard")
        terminal.send("\x07")
        terminal.wait_for("edited")
        terminal.send("\r")
        terminal.wait_for("A red rose.")
        terminal.send("\x11")
        assert terminal.wait_for_end() == 0
    assert told.read_text() == f"{trap.folder} {trap.folder}\n"
    assert trap.sprung == ""


@pytest.mark.parametrize("path", ["", ":", ".", "relative:"])
def test_python_dash_m_and_a_careless_pythonpath(trap: Trap, path: str) -> None:
    """That `nemochat` itself is looked for in the current folder first, and `sitecustomize`, is Python's and comes before us."""
    (trap.folder / "relative").mkdir()
    for name in ("sitecustomize", "usercustomize", "encodings", "runpy"):
        (trap.folder / f"{name}.py").unlink()
    environment = os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}" if path else str(ROOT)}
    command = [sys.executable, "-m", "nemochat", "models", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=trap.folder, env=environment, check=False)
    assert (done.returncode, trap.sprung) == (0, ""), done.stderr
