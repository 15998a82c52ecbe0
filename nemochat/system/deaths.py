"""Why a process ended, from its exit status: a signal's number on Linux and macOS, a status of the kernel's (NTSTATUS) on Windows."""

from __future__ import annotations

import signal
import sys
from enum import Enum, auto
from typing import NamedTuple


class Cause(Enum):
    """What an exit status comes to."""

    CODE = auto()
    """It ended by itself, with a code of its own."""
    KILLED = auto()
    """The system, or somebody, ended it without a word; where it was not nemochat, memory is the likeliest reason."""
    MEMORY = auto()
    """It could not get memory, or its stack is full."""
    ABORTED = auto()
    """It gave itself up: a failed check."""
    INSTRUCTION = auto()
    """An instruction that this processor does not have."""
    CRASHED = auto()
    """It touched what is not its own, or divided by zero."""
    LIBRARY = auto()
    """A library that it needs is missing, or does not start."""
    TIME = auto()
    """It used all the processor time that it may have."""
    SIGNAL = auto()
    """It was asked to end from outside."""


class Death(NamedTuple):
    """name: how the system calls it: "SIGSEGV", "exit code 3", "access violation, 0xC0000005"."""

    cause: Cause
    name: str


_SIGNALS = {
    "SIGKILL": Cause.KILLED,
    "SIGABRT": Cause.ABORTED,
    "SIGTRAP": Cause.ABORTED,
    "SIGILL": Cause.INSTRUCTION,
    "SIGSEGV": Cause.CRASHED,
    "SIGBUS": Cause.CRASHED,
    "SIGFPE": Cause.CRASHED,
    "SIGSYS": Cause.CRASHED,
    "SIGXCPU": Cause.TIME,
}
_STATUSES = {
    0x4001_0004: (Cause.KILLED, "ended by a debugger"),
    0x8000_0003: (Cause.ABORTED, "breakpoint"),
    0xC000_0005: (Cause.CRASHED, "access violation"),
    0xC000_0006: (Cause.CRASHED, "a file could not be read in"),
    0xC000_0017: (Cause.MEMORY, "no memory"),
    0xC000_001D: (Cause.INSTRUCTION, "illegal instruction"),
    0xC000_0025: (Cause.CRASHED, "it could not go on"),
    0xC000_0044: (Cause.TIME, "quota exceeded"),
    0xC000_007B: (Cause.LIBRARY, "a library is for another processor"),
    0xC000_008C: (Cause.CRASHED, "array bounds"),
    0xC000_008E: (Cause.CRASHED, "division by zero"),
    0xC000_0094: (Cause.CRASHED, "division by zero"),
    0xC000_0096: (Cause.INSTRUCTION, "privileged instruction"),
    0xC000_009A: (Cause.MEMORY, "no resources"),
    0xC000_00FD: (Cause.MEMORY, "stack overflow"),
    0xC000_012D: (Cause.MEMORY, "page file too small"),
    0xC000_0135: (Cause.LIBRARY, "a library is missing"),
    0xC000_0138: (Cause.LIBRARY, "a library is too old"),
    0xC000_0139: (Cause.LIBRARY, "a library is too old"),
    0xC000_013A: (Cause.SIGNAL, "Ctrl+C"),
    0xC000_0142: (Cause.LIBRARY, "a library does not start"),
    0xC000_0374: (Cause.CRASHED, "heap corruption"),
    0xC000_0409: (Cause.ABORTED, "failed check"),
    0xC000_0417: (Cause.ABORTED, "invalid argument of the C library"),
    0xC000_0420: (Cause.ABORTED, "failed assertion"),
    0xC06D_007E: (Cause.LIBRARY, "a library is missing"),
    0xC06D_007F: (Cause.LIBRARY, "a library is too old"),
    0xE06D_7363: (Cause.ABORTED, "uncaught C++ exception"),
}
_LEAST_STATUS = 0x4000_0000
_MOST_SIGNAL = 255
_WINDOWS_ABORT = 3
"""What `abort` of Windows' C library ends with where nobody reports it."""
_WINDOWS_TIME = 1816
"""ERROR_NOT_ENOUGH_QUOTA: what a job object ends a process with that has used its time."""


def death(code: int) -> Death:
    """What an exit status says. Minus a signal's number is Python's way on Linux and macOS; some programs write a NTSTATUS as negative."""
    if -_MOST_SIGNAL <= code < 0:
        name = next((each.name for each in signal.Signals if each == -code), f"signal {-code}")
        return Death(_SIGNALS.get(name, Cause.SIGNAL), name)
    status = code & 0xFFFF_FFFF
    if status >= _LEAST_STATUS:
        cause, what = _STATUSES.get(status, (Cause.CRASHED if status >> 30 == 0b11 else Cause.CODE, "unknown status"))
        return Death(cause, f"{what}, 0x{status:08X}")
    causes = {_WINDOWS_ABORT: Cause.ABORTED, _WINDOWS_TIME: Cause.TIME} if sys.platform == "win32" else {}
    return Death(causes.get(code, Cause.CODE), f"exit code {code}")
