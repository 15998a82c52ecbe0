"""Why a process ended, by the statuses of Linux, macOS and Windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nemochat.engine.process import cause_of_death
from nemochat.system.deaths import Cause, death

SIGNALS = [
    (-9, Cause.KILLED, "SIGKILL"),
    (-6, Cause.ABORTED, "SIGABRT"),
    (-4, Cause.INSTRUCTION, "SIGILL"),
    (-11, Cause.CRASHED, "SIGSEGV"),
    (-8, Cause.CRASHED, "SIGFPE"),
    (-15, Cause.SIGNAL, "SIGTERM"),
    (-200, Cause.SIGNAL, "signal 200"),
] if sys.platform != "win32" else []


@pytest.mark.parametrize(
    ("code", "cause", "name"),
    [
        (0, Cause.CODE, "exit code 0"),
        (4, Cause.CODE, "exit code 4"),
        (255, Cause.CODE, "exit code 255"),
        *SIGNALS,
        (0xC0000005, Cause.CRASHED, "access violation, 0xC0000005"),
        (-1073741819, Cause.CRASHED, "access violation, 0xC0000005"),
        (0xC000001D, Cause.INSTRUCTION, "illegal instruction, 0xC000001D"),
        (0xC0000409, Cause.ABORTED, "failed check, 0xC0000409"),
        (-1073740791, Cause.ABORTED, "failed check, 0xC0000409"),
        (0xC00000FD, Cause.MEMORY, "stack overflow, 0xC00000FD"),
        (0xC0000017, Cause.MEMORY, "no memory, 0xC0000017"),
        (0xC0000135, Cause.LIBRARY, "a library is missing, 0xC0000135"),
        (0xC000013A, Cause.SIGNAL, "Ctrl+C, 0xC000013A"),
        (0xE06D7363, Cause.ABORTED, "uncaught C++ exception, 0xE06D7363"),
        (0xC0DEDEAD, Cause.CRASHED, "unknown status, 0xC0DEDEAD"),
        (0x40000015, Cause.CODE, "unknown status, 0x40000015"),
    ],
)
def test_a_status_is_a_cause(code: int, cause: Cause, name: str) -> None:
    assert death(code) == (cause, name)


def test_windows_has_codes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert death(3).cause is Cause.ABORTED, "abort() ends so"
    assert death(1816).cause is Cause.TIME


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (0xC000001D, "instruction that this processor does not have", "built for another machine"),
        (0xC0000409, "failed check inside llama.cpp", "engine.log"),
        (0xC0000005, "crashed", "engine.log"),
        (0xC000012D, "ran out of memory", "smaller"),
        (0xC0000135, "does not load", "Reinstall"),
        (7, "ended unexpectedly (exit code 7)", "engine.log"),
    ],
)
def test_the_users_sentence_names_the_cause_and_what_to_do(code: int, message: str, hint: str) -> None:
    """On Windows each of these was "exit code 3221225477"."""
    told = cause_of_death(code, Path("engine.log"))
    assert message in told.message
    assert hint in told.hint


def test_a_real_death_is_told() -> None:
    done = subprocess.run([sys.executable, "-c", "import os; os.abort()"], stderr=subprocess.DEVNULL, check=False)
    assert death(done.returncode).cause is Cause.ABORTED
