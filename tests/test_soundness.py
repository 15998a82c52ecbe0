"""One command says whether the tree is sound: style, types, the direction of imports, and rules that no tool knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINTING = [ROOT / "nemochat" / "cli" / name for name in ("output.py", "asking.py", "replying.py", "render.py")]
"""These sanitise what they print themselves; everything else says it through them."""
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
def test_no_error_is_swallowed_and_what_is_printed_is_sanitised(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert list(_swallowed(tree)) == []
    if path not in PRINTING:
        assert list(_prints(tree)) == []


@pytest.mark.parametrize("path", [path for path in SOURCES if "tui" in path.parts], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_from_outside_is_read_as_markup(path: Path) -> None:
    assert list(_markup(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_the_rules_can_fail() -> None:
    markup = "Static(text)\nStatic('a')\nStatic(Content(text))\nStatic(text, markup=False)\napp.notify(f'{text}')\n"
    assert list(_markup(ast.parse(markup))) == [1, 5]
    tree = ast.parse("try:\n    f()\nexcept OSError:\n    pass\ntry:\n    f()\nexcept:\n    ...\nprint(1)\n")
    assert list(_swallowed(tree)) == [3, 7]
    assert list(_prints(tree)) == [9]


def _swallowed(tree: ast.Module) -> Iterator[int]:
    """Lines of handlers that do nothing. `contextlib.suppress` says the same on purpose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and all(_does_nothing(statement) for statement in node.body):
            yield node.lineno


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))


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
