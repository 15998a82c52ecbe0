"""One command says whether the tree is sound: style, types, the direction of imports, and rules that no tool knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
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


def test_whatever_is_written_goes_through_the_functions_that_keep_it_private() -> None:
    """`nemochat.files` makes folders 0700 and files 0600 and follows no planted link; who writes without it stands in `_WRITERS`."""
    found = {
        (path.relative_to(ROOT / "nemochat").as_posix(), name)
        for path in SOURCES
        for _, name in _writes(ast.parse(path.read_text(encoding="utf-8")))
    }
    allowed = {(file, name) for file, names in _WRITERS.items() for name in names}
    assert {(file, name) for file, name in found if file != "files.py"} == allowed


def test_the_rule_for_writing_can_fail() -> None:
    writes = """
path.open("wb")
open(path, mode="a")
archive.open(member, "w")
os.open(path, os.O_WRONLY | os.O_CREAT)
os.open(path, _FLAGS)
path.write_text("x")
path.write_bytes(b"x")
path.mkdir()
os.makedirs(path)
path.touch()
path.rename(other)
path.replace(other)
os.replace(path, other)
path.chmod(0o644)
sqlite3.connect(path)
tempfile.mkstemp()
shutil.copyfile(path, other)
zipfile.ZipFile(path, "w")
picture.save(path, "PNG")
logging.FileHandler(path)
logging.basicConfig(filename=path)
"""
    others = """
path.open("rb")
path.open()
archive.open(member)
os.open(path, os.O_RDONLY)
os.fdopen(open_to_append(path), "a")
write_text(profiles)
text.replace("a", "b")
msgspec.structs.replace(chat, title="")
zipfile.ZipFile(path)
picture.save(buffer, "PNG")
logging.basicConfig(level=1)
"""
    flags = "_FLAGS = os.O_RDWR | os.O_CREAT\n"
    first = 2 + flags.count("\n")
    assert [line for line, _ in _writes(ast.parse(flags + writes))] == list(range(first, first + len(writes.strip().splitlines())))
    assert list(_writes(ast.parse(others))) == []


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


_WRITERS = {
    "documents/database.py": {"connect", "rename"},  # behind make_file
    "engine/states.py": {"replace"},  # what llama.cpp has written to a file of make_file
    "engine/worker.py": {"replace"},  # the full log becomes the older one
    "library/database.py": {"connect", "rename"},  # behind make_file
    "library/transfer.py": {"ZipFile"},  # into a file of exporting
    "personas/store.py": {"rename"},  # a persona's folder, to the deleted ones and back
    "tools/python_process.py": {"TemporaryDirectory", "TemporaryFile"},
    "tui/widgets/reply_stream.py": {"replace"},  # a widget's text
}
_OPENS_TO_WRITE = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC"}
_WRITES = {
    "write_text", "write_bytes", "mkdir", "makedirs", "rename", "renames", "chmod", "symlink", "symlink_to", "link", "hardlink_to",
    "mkfifo", "mknod", "mkstemp", "mkdtemp", "TemporaryDirectory", "TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile",
    "copyfile", "copytree", "copy2", "FileHandler", "RotatingFileHandler", "TimedRotatingFileHandler", "WatchedFileHandler",
}  # fmt: skip


def _writes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines that open, make, move or change files, with the name of what does it, as far as the source tells."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    values = {target.id: node.value for node in assigned for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_write(node, values):
            yield node.lineno, _name(node.func)


def _is_write(call: ast.Call, values: Mapping[str, ast.expr]) -> bool:
    name, whole, positional = _name(call.func), ast.unparse(call.func), call.args
    keywords = {keyword.arg for keyword in call.keywords}
    texts = [each.value for each in (*positional, *(keyword.value for keyword in call.keywords)) if isinstance(each, ast.Constant)]
    modes = [text for text in texts if isinstance(text, str) and len(text) <= 3]
    match name:
        case "open" if whole == "os.open":
            flags = positional[1]
            named = values.get(flags.id, flags) if isinstance(flags, ast.Name) else flags
            return any(isinstance(each, ast.Attribute) and each.attr in _OPENS_TO_WRITE for each in ast.walk(named))
        case "open" | "ZipFile":
            return any(set(mode) & set("wax+") for mode in modes)
        case "replace":
            return whole == "os.replace" or (len(positional) == 1 and not keywords)
        case "connect":
            return whole == "sqlite3.connect"
        case "save":
            return any(isinstance(each, ast.Constant) for each in positional[1:]) and ast.unparse(positional[0]) != "buffer"
        case "touch":
            return not positional
        case "basicConfig":
            return "filename" in keywords
    return name in _WRITES and (name not in ("write_text", "write_bytes") or isinstance(call.func, ast.Attribute))
