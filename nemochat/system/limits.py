"""What a process may not go over, set by itself: memory, processor time, files and processes; and that others go first.

Linux and macOS know limits by the names that `resource` has; Windows has job objects, which hold fewer of them. Where the system knows no
such limit, whoever started the process watches it. Nothing of nemochat is imported here: one of the user's own tools runs this file alone.
"""

import contextlib
import os
import sys
import time
from typing import Any

if sys.platform == "win32":
    import msvcrt

    import psutil
    import win32api
    import win32job

    _SECOND = 10_000_000
    """Windows counts in units of 100 nanoseconds."""
    _job: Any = None

    def limit(name: str, bound: int) -> None:
        """Set a limit of this process (``RLIMIT_AS`` and the like), for good, where the system knows how: memory, time, processes."""
        global _job
        kind = win32job.JobObjectExtendedLimitInformation
        with contextlib.suppress(win32job.error):
            job: Any = _job or win32job.CreateJobObject(None, "")  # type: ignore[func-returns-value]  # as its stub has it
            limits = win32job.QueryInformationJobObject(job, kind)
            basic = limits["BasicLimitInformation"]
            match name:
                case "RLIMIT_AS":
                    limits["ProcessMemoryLimit"] = bound
                    basic["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_PROCESS_MEMORY
                case "RLIMIT_CPU":
                    basic["PerProcessUserTimeLimit"] = bound * _SECOND
                    basic["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_PROCESS_TIME
                case "RLIMIT_NPROC":
                    basic["ActiveProcessLimit"] = max(1, bound)  # itself among them
                    basic["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
                case _:
                    return
            win32job.SetInformationJobObject(job, kind, limits)
            if _job is None:
                win32job.AssignProcessToJobObject(job, win32api.GetCurrentProcess())
                _job = job

    def _limit_time(until: int) -> None:
        limit("RLIMIT_CPU", until)

    def let_others_go_first() -> None:
        """Whatever else runs, the screen above all, has the processor before this process."""
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)

    def die_quietly() -> None:
        """A crash ends this process at once: no window asks about it, which would keep it alive until somebody answers."""
        msvcrt.SetErrorMode(msvcrt.SEM_FAILCRITICALERRORS | msvcrt.SEM_NOGPFAULTERRORBOX | msvcrt.SEM_NOOPENFILEERRORBOX)

    def tasks_of_user() -> int:
        """How many processes and threads of this user there are; 0 where no limit counts them."""
        return 0

else:
    import resource

    _NICENESS = 10

    def limit(name: str, bound: int) -> None:
        """Set a limit of this process (``RLIMIT_AS`` and the like), for good, where the system knows how."""
        # macOS takes no limit of memory, and each system has names of its own.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            which = getattr(resource, name)
            _, most = resource.getrlimit(which)
            bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
            # Of processor time the softer limit ends the process with a word, the hard one without.
            hard = bound + 1 if name == "RLIMIT_CPU" and most in (resource.RLIM_INFINITY, bound + 1) else bound
            resource.setrlimit(which, (bound, hard))

    def _limit_time(until: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))

    def let_others_go_first() -> None:
        """Whatever else runs, the screen above all, has the processor before this process."""
        os.nice(_NICENESS)

    def die_quietly() -> None:
        """A crash leaves no core dump, which would hold the conversation and delay the news.

        A limit of one byte also turns off dumps that are piped to a program, where zero would not.
        """
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0 if hard == 0 else 1, hard))

    def tasks_of_user() -> int:
        """How many processes and threads of this user there are, as RLIMIT_NPROC counts them."""
        import psutil

        own, count = os.getuid(), 0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.uids().real == own:
                    count += process.num_threads()
        return count


def limit_time(seconds: float, grace: int) -> None:
    """End with the next work that takes too long, also when nobody is left to watch. Both are seconds of a processor.

    It can be set again for the work that follows.
    """
    _limit_time(int(time.process_time() + seconds) + grace)
