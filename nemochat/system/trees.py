"""A process that leads others: all that it starts ends with it, and nothing that is typed in the terminal reaches it.

On Linux and macOS it leads a session, of which all its descendants are but those that leave it. On Windows it is in a job object, which
none leaves, and which ends with nemochat however that ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, Protocol, TypedDict


class Led(Protocol):
    """A process that was started so, by `subprocess` or `asyncio`."""

    @property
    def pid(self) -> int:
        """Its number."""


if sys.platform == "win32":
    from weakref import WeakKeyDictionary

    import psutil
    import win32api
    import win32con
    import win32job

    class Start(TypedDict, total=False):
        """What starts such a process."""

        creationflags: int

    _NEW_GROUP, _NO_WINDOW, _SUSPENDED = 0x200, 0x0800_0000, 0x4
    _KILLED = 1
    _jobs: WeakKeyDictionary[Led, Any] = WeakKeyDictionary()

    def apart() -> Start:
        """Options that keep a process away from this console, of which Ctrl+C reaches all, and open no window for it."""
        return {"creationflags": _NEW_GROUP | _NO_WINDOW}

    def leading() -> Start:
        """The same for one that leads. It waits for `led` before it does anything: what it starts is in its job without exception."""
        return {"creationflags": _NEW_GROUP | _NO_WINDOW | _SUSPENDED}

    def led(process: Led) -> None:
        """Let a process that was started with `leading` begin. Where the system refuses a job, the process runs without one."""
        kind = win32job.JobObjectExtendedLimitInformation
        try:
            with contextlib.suppress(win32job.error, win32api.error):
                job: Any = win32job.CreateJobObject(None, "")  # type: ignore[func-returns-value]  # as its stub has it
                limits = win32job.QueryInformationJobObject(job, kind)
                limits["BasicLimitInformation"]["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
                win32job.SetInformationJobObject(job, kind, limits)
                handle = win32api.OpenProcess(win32con.PROCESS_SET_QUOTA | win32con.PROCESS_TERMINATE, False, process.pid)
                win32job.AssignProcessToJobObject(job, handle)
                _jobs[process] = job
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(process.pid).resume()

    def ask(process: Led) -> None:
        """Nothing: Windows asks no program without a window to end. Those that nemochat starts end when their input does."""

    def kill(process: Led) -> None:
        """End a process and all that it started. Nothing when they have ended."""
        if (job := _jobs.pop(process, None)) is not None:
            with contextlib.suppress(win32job.error):
                win32job.TerminateJobObject(job, _KILLED)
        with contextlib.suppress(psutil.Error):
            psutil.Process(process.pid).kill()

else:

    class Start(TypedDict, total=False):
        """What starts such a process."""

        start_new_session: bool

    def apart() -> Start:
        """Options that keep a process away from this terminal, whose Ctrl+C reaches its whole session."""
        return {"start_new_session": True}

    def leading() -> Start:
        """The same for one that leads."""
        return {"start_new_session": True}

    def led(process: Led) -> None:
        """Let a process that was started with `leading` begin: it has."""

    def ask(process: Led) -> None:
        """Ask a process and all that it started to end."""
        _send(process, signal.SIGTERM)

    def kill(process: Led) -> None:
        """End a process and all that it started. Call it before the process was waited for: its number is its own until then."""
        _send(process, signal.SIGKILL)

    def _send(process: Led, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def has_ended(pid: int) -> bool:
    """Whether a process that was not waited for yet has ended."""
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
