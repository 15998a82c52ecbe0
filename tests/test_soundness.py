"""One command says whether the tree is sound: style, types, the direction of imports, and rules that no tool knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import mypy
import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "nemochat"
PRINTING = [PROGRAM / "cli" / name for name in ("output.py", "asking.py", "replying.py", "render.py")]
"""These sanitise what they print themselves; everything else says it through them."""
SOURCES = sorted(PROGRAM.rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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
    assert _problems(*command) == ""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_types_hold_on_other_systems(tmp_path: Path, platform: str) -> None:
    """Of the folder that holds what differs, and of who imports from it: nobody else names what only some systems have, see below.

    Other packages, and with them most of the time that mypy needs, are left out: their types are not what differs.
    """
    config = tmp_path / "mypy.ini"
    config.write_text(_MYPY_ELSEWHERE)
    options = ["--config-file", str(config), "--platform", platform, "--cache-dir", f".mypy_cache/{platform}"]
    assert _problems("-m", "mypy", *options, *(str(path) for path in SOURCES if _may_differ(path))) == ""


_MYPY_ELSEWHERE = """
[mypy]
python_version = 3.11
check_untyped_defs = True
ignore_missing_imports = True
follow_imports = skip
[mypy-msgspec.*]
follow_imports = silent
"""
"""Without what is strict, which would miss the types of what is left out."""


def _problems(*command: str) -> str:
    """What a command says when it fails."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def _may_differ(path: Path) -> bool:
    """Whether types may depend on the system in a file: in `nemochat.system`, and where that is imported. All read the domain's values."""
    if path.is_relative_to(PROGRAM / "system") or path.is_relative_to(PROGRAM / "domain"):
        return True
    imports = (ast.unparse(node) for node in ast.walk(_tree(path)) if isinstance(node, ast.Import | ast.ImportFrom))
    return any(re.match(r"(import|from) nemochat\.system\b|from nemochat import .*\bsystem\b", line) for line in imports)


def _found(rule: Callable[[ast.Module], Iterable[int]], sources: Iterable[Path] = SOURCES) -> dict[str, list[int]]:
    """The lines that break a rule, by their files."""
    lines = {str(path.relative_to(ROOT)): list(rule(_tree(path))) for path in sources}
    return {name: numbers for name, numbers in lines.items() if numbers}


def test_no_error_is_swallowed_and_what_is_printed_is_sanitised() -> None:
    assert _found(_swallowed) == {}
    assert _found(_prints, set(SOURCES) - set(PRINTING)) == {}


def test_no_text_from_outside_is_read_as_markup() -> None:
    assert _found(_markup, (PROGRAM / "tui").rglob("*.py")) == {}


def test_processes_are_started_in_one_place() -> None:
    """There each gets a folder and an environment that were chosen for it."""
    assert list(_found(_starts)) == ["nemochat/system/processes.py"]


def test_what_only_some_systems_have_is_named_in_one_folder() -> None:
    """`nemochat.system` has the ways of Linux, macOS and Windows side by side; whoever else names one runs on one system alone."""
    assert _found(_of_one_system, [path for path in SOURCES if "system" not in path.relative_to(PROGRAM).parts]) == {}


def test_every_start_is_known() -> None:
    """Who starts what: a new one belongs in this list, and in the list of attacks (tests/cli/test_current_folder.py)."""
    trees = {str(path.relative_to(PROGRAM)): _tree(path) for path in SOURCES}
    calls = {(name, call) for name, tree in trees.items() for call in map(_called, ast.walk(tree)) if call.startswith("processes.")}
    assert {each for each in calls if each[1] in ("processes.run", "processes.popen", "processes.start")} == {
        ("engine/embedder.py", "processes.start"),
        ("engine/process.py", "processes.start"),
        ("engine/trials.py", "processes.start"),
        ("system/children.py", "processes.popen"),
        ("system/clipboard.py", "processes.run"),
        ("system/desktop.py", "processes.run"),
        ("tools/mcp/transport.py", "processes.start"),
        ("tools/python_process.py", "processes.popen"),
        ("desk/editor.py", "processes.run"),
    }


def test_whatever_is_written_goes_through_the_functions_that_keep_it_private() -> None:
    """`nemochat.files` makes folders 0700 and files 0600 and follows no planted link; who writes without it stands in `_WRITERS`."""
    found = {
        (path.relative_to(PROGRAM).as_posix(), name)
        for path in SOURCES
        for _, name in _writes(_tree(path))
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
disk.replace(path, other)
disk.move(path, other)
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
    of_one = """
        import resource
        import os, termios as t
        from fcntl import flock
        from os import fork
        from signal import SIGKILL as k
        os.killpg(a, signal.SIGTERM)
        signal.SIGKILL
        getattr(os, "killpg")
        Popen(a, pass_fds=b)
        run(a, **{"pass_fds": b})
        loop.add_signal_handler(a, b)
        signal.SIGTERM
        os.path.join(a)
        importlib.import_module("msvcrt")
        import win32api
        from ctypes import windll
        os.getpgid(a)
        from socket import AF_NETLINK
        os.getpid()
    """
    assert list(_of_one_system(ast.parse(textwrap.dedent(of_one)))) == [*range(2, 13), *range(15, 20)]
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


_MODULES_OF_ONE_SYSTEM = {
    "fcntl", "grp", "msvcrt", "nt", "posix", "pty", "pwd", "readline", "resource", "select", "selectors", "syslog", "termios", "tty",
    "winreg", "_winapi", "pywintypes", "winsound",
}  # fmt: skip
_NAMES_OF_ONE_SYSTEM = {
    "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGWINCH",
    "SIGXCPU", "SIGBREAK", "CTRL_C_EVENT", "CTRL_BREAK_EVENT", "add_signal_handler", "remove_signal_handler", "pthread_kill",
    "killpg", "forkpty", "setsid", "setpgid", "waitid", "setpriority", "getuid", "geteuid", "getgid", "getegid", "setrlimit", "getrlimit",
    "fchmod", "fchown", "lchown", "mkfifo", "mknod", "statvfs", "openpty", "SEEK_DATA", "SEEK_HOLE",
    "pass_fds", "preexec_fn", "start_new_session", "process_group", "creationflags", "startupinfo", "winerror", "windll", "WinDLL",
    "AF_UNIX",
}  # fmt: skip
_DIFFERENT = {"os": frozenset({"kill", "waitpid"})}
"""What Windows has as well and does otherwise, in words that are other things elsewhere."""
_STUBS = Path(mypy.__file__).parent / "typeshed" / "stdlib"


@cache
def _missing_somewhere(module: str) -> frozenset[str]:
    """What mypy's stub of a module of the standard library has for some of the three systems only, and what is not the same on them."""
    place = _STUBS.joinpath(*module.split("."))
    stub = next((path for path in (place.with_suffix(".pyi"), place / "__init__.pyi") if path.is_file()), None)
    if stub is None:
        return frozenset()
    linux, darwin, windows = (frozenset(_defined(_tree(stub).body, system)) for system in ("linux", "darwin", "win32"))
    return (linux | darwin | windows) - (linux & darwin & windows) | _DIFFERENT.get(module, frozenset())


def _defined(body: Iterable[ast.stmt], system: str) -> Iterator[str]:
    for node in body:
        match node:
            case ast.If(test=test):
                holds = eval(ast.unparse(test), {"sys": SimpleNamespace(platform=system, version_info=sys.version_info)})
                yield from _defined(node.body if holds else node.orelse, system)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]):
                yield name
            case ast.ImportFrom(names=names):
                yield from (each.asname or each.name for each in names)


def _of_one_system(tree: ast.Module) -> Iterator[int]:
    """Lines that name what only some systems have, as a module, an attribute, an argument or a text."""
    found: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                named, modules = set(), {alias.name for alias in names}
            case ast.ImportFrom(module=module, names=names):
                named, modules = {alias.name for alias in names}, {module or ""}
                named |= _NAMES_OF_ONE_SYSTEM if named & _missing_somewhere(module or "") else set()
            case ast.Attribute(value=ast.Name(module), attr=name) if name in _missing_somewhere(module):
                named, modules = _NAMES_OF_ONE_SYSTEM, set()
            case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                named, modules = {name}, set()
            case ast.Constant(value=str(text)):
                named, modules = {text}, {text} & {"fcntl", "msvcrt", "resource", "termios"}
            case _:
                continue
        is_module = any(each in _MODULES_OF_ONE_SYSTEM or each.startswith("win32") for each in modules)
        found |= {node.lineno} if is_module or named & _NAMES_OF_ONE_SYSTEM else set()
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


_WRITERS = {
    "documents/database.py": {"connect"},  # behind make_file
    "documents/kinds/pdf.py": {"save"},  # into memory
    "engine/states.py": {"replace"},  # what llama.cpp has written to a file of make_file
    "engine/worker.py": {"replace"},  # the full log becomes the older one
    "library/database.py": {"connect"},  # behind make_file
    "library/rescue.py": {"ZipFile"},  # into memory
    "library/transfer.py": {"ZipFile", "save"},  # into a file of exporting, and into the library
    "personas/cards.py": {"ZipFile"},  # into memory
    "personas/lorebooks.py": {"move"},  # a lorebook, to the deleted ones and back
    "personas/sampling_presets.py": {"move"},  # a preset, to the deleted ones
    "personas/store.py": {"move"},  # a persona's folder, to the deleted ones and back
    "system/databases.py": {"move"},  # a broken one, to a name beside it
    "system/disk.py": {"rename", "replace"},  # for all of these
    "system/ending.py": {"open"},  # the null device
    "system/terminal.py": {"open"},  # the keyboard
    "tools/python_process.py": {"TemporaryDirectory", "TemporaryFile"},
    "tools/python_runner.py": {"open"},  # the null device
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
            return whole in ("os.replace", "disk.replace") or (len(positional) == 1 and not keywords)
        case "move":
            return whole == "disk.move"
        case "connect":
            return whole == "sqlite3.connect"
        case "save":
            return any(isinstance(each, ast.Constant) for each in positional[1:]) and ast.unparse(positional[0]) != "buffer"
        case "touch":
            return not positional
        case "basicConfig":
            return "filename" in keywords
    return name in _WRITES and (name not in ("write_text", "write_bytes") or isinstance(call.func, ast.Attribute))
