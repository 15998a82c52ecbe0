"""The same surroundings for every test, whatever terminal, shell and machine it runs in."""

from __future__ import annotations

import gc
import os
import re
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests import idle

_FOREIGN = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TMUX", "TERM_PROGRAM", "VISUAL", "EDITOR", "PAGER")
"""What would decide how wide and in which colours the program draws, or what it starts.."""

_OURS = ("NEMOCHAT_MATERIAL",)
"""What tests read themselves (tests/material.py)."""

for name in [name for name in os.environ if name in _FOREIGN or name.startswith(("NEMOCHAT_", "LC_"))]:
    if name not in _OURS:
        del os.environ[name]
os.environ.update(TZ="UTC", LANG="C.UTF-8")
# Where Python is told to keep no compiled files, each of the processes would compile the program and the tests for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# llama.cpp's threads wait for each other by counting as fast as they can, which takes from the other tests what these wait for.
os.environ["OMP_WAIT_POLICY"] = "passive"
if hasattr(time, "tzset"):
    time.tzset()

# An interface is a large net of objects, and each test throws one away: with the usual thresholds a fifth of the time goes into
# looking for garbage.
gc.set_threshold(20_000, 20, 50)
idle.install()

# How long an example takes depends on what else the machine does.
settings.register_profile("searching", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples in each run, so that a change is judged by what it does; `--hypothesis-profile searching` looks for others.
settings.register_profile("any machine", settings.get_profile("searching"), derandomize=True)
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """What was imported and collected stays: nobody need look for garbage in it, hundreds of times."""
    gc.collect()
    gc.freeze()


_OF_POSIX = re.compile(
    r"^\s*(?:import|from) (?:fcntl|pty|pwd|resource|termios|tty)\b|"
    r"^from tests\.(?:terminal|cli\.forking|engine\.processes|library\.children)\b|"
    r"\bos\.(?:fork|killpg|mkfifo|geteuid|getuid|WNOHANG)\b|\bsignal\.SIG(?:KILL|HUP|STOP|TSTP)\b|#!/bin/sh|\.chmod\(|\.symlink_to\(",
    re.MULTILINE,
)


def needs_posix(path: Path) -> bool:
    """Whether a file of tests needs what only Linux and macOS have: pseudo-terminals, signals, scripts of the shell, modes, links."""
    return path.parent.name == "terminal" or _OF_POSIX.search(path.read_text(encoding="utf-8")) is not None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """On Windows such files are left out, and the folder that holds the pseudo-terminal."""
    if os.name != "nt":
        return None
    is_left = collection_path.name == "terminal" or (collection_path.suffix == ".py" and needs_posix(collection_path))
    return is_left or None


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes are no names of tests: an archive holds the time, and then the processes that run the tests do not have the same tests."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None
