"""The one place that starts processes. Each start says what the process may know (`nemochat.system.environments`) and where it runs.

No program is taken from the folder in which nemochat was started, and no Python of ours imports from there: people run nemochat among files
that they did not write.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TypedDict, Unpack

import nemochat
from nemochat.system import trees
from nemochat.system.environments import absolute_folders

PIPE = subprocess.PIPE
NOWHERE = subprocess.DEVNULL
Popen = subprocess.Popen
Done = subprocess.CompletedProcess
TooSlow = subprocess.TimeoutExpired
Process = asyncio.subprocess.Process

_BEGIN = """
import importlib.util, runpy, sys
place, module = sys.argv[1:3]
del sys.argv[1:3]
spec = importlib.util.spec_from_file_location("nemochat", place + "/__init__.py", submodule_search_locations=[place])
sys.modules["nemochat"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["nemochat"])
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Finds the nemochat that runs here, installed or not, and nothing else that lies beside it."""


class Pipes(TypedDict, total=False):
    """What a process is connected to, as for `subprocess.Popen`."""

    stdin: int | IO[bytes]
    stdout: int | IO[bytes]
    stderr: int | IO[bytes]


def python_command(*words: str) -> list[str]:
    """The command that runs the Python that runs this one.

    `-P` and `-E` keep out modules of the current folder and of ``PYTHONPATH``. Not `-I`: packages of ``pip install --user`` are the user's.
    """
    flags = (*(["-s"] if sys.flags.no_user_site else []), *(["-X", "utf8"] if sys.flags.utf8_mode else []))
    return [sys.executable, "-P", "-E", *flags, *words]


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of nemochat's modules, of the nemochat that runs here."""
    return python_command("-c", _BEGIN, str(Path(nemochat.__file__).resolve().parent), module, *arguments)


def neutral_folder() -> Path:
    """A folder for processes that need none: it is always there, and nobody but the system's owner can put anything into it."""
    return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32") if sys.platform == "win32" else Path("/")


def find_program(name: str, search_path: str) -> Path | None:
    """The program of that name in the first absolute folder of a search path that has one; on Windows too, never in the current folder."""
    endings = [""]
    if sys.platform == "win32":
        known = os.environ.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(os.pathsep)
        endings = known if Path(name).suffix.upper() not in map(str.upper, known) else [""]
    candidates = (Path(folder, name + ending) for folder in absolute_folders(search_path) for ending in endings)
    # Not Path.is_file, which raises for a folder that may not be looked into.
    return next((each for each in candidates if os.path.isfile(each) and os.access(each, os.X_OK)), None)  # noqa: PTH113


def popen(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None, **pipes: Unpack[Pipes]) -> Popen[bytes]:
    """Start a process that leads a tree of its own (`nemochat.system.trees`), so that all that it starts can be ended with it.

    folder: where it runs, the neutral folder unless it is given. Raises OSError and ValueError (a NUL character).
    """
    words, cwd = _prepared(command, environment, folder)
    process = subprocess.Popen(words, env=environment, cwd=cwd, **trees.leading(), **pipes)
    trees.led(process)
    return process


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path | None = None,
    *,
    data: bytes | None = None,
    seconds: float | None = None,
    is_apart: bool = False,
    **pipes: Unpack[Pipes],
) -> Done[bytes]:
    """Start a process and wait for its end. data: its standard input. is_apart: the terminal's Ctrl+C is not for it.

    Raises OSError, ValueError, and TooSlow after it was ended; what it has started goes on.
    """
    words, cwd = _prepared(command, environment, folder)
    apart = trees.apart() if is_apart else {}
    return subprocess.run(words, env=environment, cwd=cwd, input=data, timeout=seconds, check=False, **apart, **pipes)


async def start(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None, **pipes: Unpack[Pipes]) -> Process:
    """Start a process that belongs to the event loop, and leads a tree of its own. The program runs before anything is awaited.

    Raises OSError and ValueError.
    """
    words, cwd = _prepared(command, environment, folder)
    process = await asyncio.create_subprocess_exec(*words, env=environment, cwd=cwd, **trees.leading(), **pipes)
    trees.led(process)
    return process


def _prepared(command: Sequence[str], environment: Mapping[str, str], folder: Path | None) -> tuple[list[str], Path]:
    """The words with an absolute path as the program, and the folder. Raises FileNotFoundError."""
    cwd = neutral_folder() if folder is None else folder.absolute()
    program = command[0]
    if os.path.basename(program) == program:  # noqa: PTH119 - Path("./x").name is x too
        found = find_program(program, environment.get("PATH", os.defpath))
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
        return [str(found), *command[1:]], cwd
    return [os.path.normpath(cwd / program), *command[1:]], cwd
