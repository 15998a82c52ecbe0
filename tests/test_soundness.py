"""One command says whether the tree is sound: style, types, the direction of imports, and rules that no tool knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "nemochat").rglob("*.py"))


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "ruff", "check", "."],
        ["-m", "mypy"],
        ["-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
    ],
    ids=["ruff", "mypy", "import-linter"],
)
def test_the_tools_find_nothing(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_error_is_swallowed_and_only_the_command_line_prints(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert list(_swallowed(tree)) == []
    if "cli" not in path.parts:
        assert list(_prints(tree)) == []


@pytest.mark.parametrize("path", [path for path in SOURCES if "tui" in path.parts], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_from_outside_is_read_as_markup(path: Path) -> None:
    assert list(_markup(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_processes_are_started_in_one_place(path: Path) -> None:
    """There each gets a folder and an environment that were chosen for it."""
    found = list(_starts(ast.parse(path.read_text(encoding="utf-8"))))
    assert bool(found) == (path == ROOT / "nemochat" / "system" / "processes.py"), found


def test_every_start_is_known() -> None:
    """Who starts what: a new one belongs in this list, and in the list of attacks (tests/cli/test_current_folder.py)."""
    trees = {str(path.relative_to(ROOT / "nemochat")): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    calls = {(name, call) for name, tree in trees.items() for call in map(_called, ast.walk(tree)) if call.startswith("processes.")}
    assert {each for each in calls if each[1] in ("processes.run", "processes.popen", "processes.start")} == {
        ("documents/isolated.py", "processes.popen"),
        ("engine/embedder.py", "processes.start"),
        ("engine/process.py", "processes.start"),
        ("engine/trials.py", "processes.start"),
        ("images/clipboard.py", "processes.run"),
        ("system/desktop.py", "processes.run"),
        ("tools/mcp/transport.py", "processes.start"),
        ("tools/python_process.py", "processes.popen"),
        ("tui/clipboard.py", "processes.run"),
        ("tui/typing_aid.py", "processes.run"),
    }


def test_the_rules_can_fail() -> None:
    markup = "Static(text)\nStatic('a')\nStatic(Content(text))\nStatic(text, markup=False)\napp.notify(f'{text}')\n"
    assert list(_markup(ast.parse(markup))) == [1, 5]
    tree = ast.parse("try:\n    f()\nexcept OSError:\n    pass\ntry:\n    f()\nexcept:\n    ...\nprint(1)\n")
    assert list(_swallowed(tree)) == [3, 7]
    assert list(_prints(tree)) == [9]
    starting = """
        import subprocess
        from multiprocessing import Process
        from asyncio import subprocess as other
        from os import execv as go
        import os as system, webbrowser
        system.posix_spawn(a)
        asyncio.create_subprocess_shell(a)
        loop.subprocess_exec(a)
        run = os.popen
        ImageGrab.grabclipboard()
        __import__("subprocess")
        os.path.join(a)
        asyncio.subprocess.PIPE
        shutil.which(a)
    """
    assert list(_starts(ast.parse(textwrap.dedent(starting)))) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15]
    assert [_called(node) for node in ast.walk(ast.parse("processes.run(a)")) if _called(node)] == ["processes.run"]


def _swallowed(tree: ast.Module) -> Iterator[int]:
    """Lines of handlers that do nothing. `contextlib.suppress` says the same on purpose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and all(_does_nothing(statement) for statement in node.body):
            yield node.lineno


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))


_STARTING_MODULES = {"subprocess", "multiprocessing", "webbrowser", "pty", "_posixsubprocess", "_winapi", "concurrent.futures.process"}
_STARTING_NAME = re.compile(
    r"exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|popen\d?|Popen|system|startfile|fork(pty|_exec)?|create_subprocess_\w+|subprocess(_exec|_shell)?"
    r"|ProcessPoolExecutor|which|open_process|run_process"
)
_STARTING_OWNERS = {"os", "asyncio", "loop", "posix", "nt", "anyio", "psutil", "shutil", "concurrent", "futures"}


def _starts(tree: ast.Module) -> Iterator[int]:
    """Lines that import or use what starts a process, or what finds a program in the current folder on Windows."""
    owners = set(_STARTING_OWNERS)
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            owners |= {alias.asname for alias in node.names if alias.asname and alias.name.split(".")[0] in _STARTING_OWNERS}
            found |= {node.lineno for alias in node.names if {alias.name, alias.name.split(".")[0]} & _STARTING_MODULES}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            is_owner = module.split(".")[0] in _STARTING_OWNERS
            named = any(is_owner and _STARTING_NAME.fullmatch(alias.name) for alias in node.names)
            found |= {node.lineno} if named or {module, module.split(".")[0]} & _STARTING_MODULES else set()
        elif isinstance(node, ast.Constant) and node.value in _STARTING_MODULES:
            found.add(node.lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in owners:
            found |= {node.lineno} if _STARTING_NAME.fullmatch(node.attr) else set()
    return iter(sorted(found))


def _called(node: ast.AST) -> str:
    return ast.unparse(node.func) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


_READS_MARKUP = {"Static", "Label", "Button", "Option", "Checkbox", "RadioButton", "TabPane", "notify"}


def _markup(tree: ast.Module) -> Iterator[int]:
    """Lines that hand a text which is not written there to something that reads markup, without ``markup=False`` or `Content`."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    makers = {node.name for node in functions if isinstance(node.returns, ast.Name) and node.returns.id == "Content"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _name(node.func) not in _READS_MARKUP or not node.args:
            continue
        first = node.args[0]
        made = isinstance(first, ast.Call) and ("Content" in ast.unparse(first.func).split(".") or _name(first.func) in makers)
        if not (made or isinstance(first, ast.Constant) or any(keyword.arg == "markup" for keyword in node.keywords)):
            yield node.lineno


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def _prints(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno
