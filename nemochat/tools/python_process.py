"""A process of its own for one call of the user's own tools, with limits, and without secrets in its environment."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import msgspec

from nemochat.errors import NemochatError
from nemochat.system import environments, processes
from nemochat.tools.making import Limits

_MARK = "NEMOCHAT_TOOL_RUN"
_MAX_RESULT = 4 * 1024 * 1024
_FILE_MB = 64
_MB = 1024 * 1024
_HANDLES = 128
_PROCESSES = 64
_LOOK = 0.1


class Job(msgspec.Struct, frozen=True):
    """One call. source: the text of the file as it was when its tools were read, so that what runs is what was offered."""

    source: str
    path: str
    function: str
    arguments: dict[str, Any]


class Run:
    """One process. `result` waits for it in the thread of the caller, `stop` may be called from any other."""

    def __init__(self, job: Job, limits: Limits, environment: Mapping[str, str]) -> None:
        self._job = job
        self._limits = limits
        self._mark = secrets.token_hex(16)
        self._environment = environments.foreign(environment)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End it soon."""
        self._stopped.set()

    def result(self) -> str:
        """What the function gave back, as text. Raises NemochatError saying why there is nothing."""
        if os.name != "posix":
            raise NemochatError("Your own tools need Linux or macOS.", "Offer them through an MCP server instead.")
        with tempfile.TemporaryDirectory(prefix="nemochat-tool-", ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps({**msgspec.structs.asdict(self._job), "limits": self._numbers()}).encode())
            stdin.seek(0)
            reading, writing = os.pipe()
            try:
                try:
                    process = self._start(folder, stdin, writing)
                finally:
                    os.close(writing)
                try:
                    answer = self._wait(process, reading)
                finally:
                    self._end(process)
            finally:
                os.close(reading)
        return self._told(process.returncode, answer)

    def _start(self, folder: str, stdin: IO[bytes], writing: int) -> processes.Popen[bytes]:
        program = files("nemochat.tools").joinpath("python_runner.py").read_text(encoding="utf-8")
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        return processes.popen(
            [sys.executable, "-I", "-X", "utf8", "-c", program, str(writing)],
            {**self._environment, **threads, "TMPDIR": folder, _MARK: self._mark},
            Path(folder),
            stdin=stdin,
            stdout=processes.NOWHERE,
            stderr=processes.NOWHERE,
            pass_fds=(writing,),
            start_new_session=True,
        )

    def _numbers(self) -> dict[str, int]:
        numbers = {
            "RLIMIT_CPU": math.ceil(self._limits.seconds) + 1,
            "RLIMIT_AS": self._limits.memory_mb * _MB,
            "RLIMIT_FSIZE": _FILE_MB * _MB,
            "RLIMIT_NOFILE": _HANDLES,
            "RLIMIT_CORE": 0,
        }
        if count := _own_processes():
            # The system counts all processes of the user, not those of this one alone.
            numbers["RLIMIT_NPROC"] = count + _PROCESSES
        return numbers

    def _wait(self, process: processes.Popen[bytes], reading: int) -> bytes | None:
        """The whole answer, or None when there is none."""
        end, data, wanted = time.monotonic() + self._limits.seconds, b"", 8
        while len(data) < wanted:
            if self._stopped.is_set():
                raise NemochatError("The tool was stopped.")
            if time.monotonic() > end:
                raise NemochatError(f"The tool was stopped: it took longer than {self._limits.seconds:g} seconds.")
            has_ended = _has_ended(process)
            ready, _, _ = select.select([reading], [], [], 0 if has_ended else _LOOK)
            piece = os.read(reading, 1 << 16) if ready else b""
            if not piece and (ready or has_ended):
                return None
            data += piece
            if wanted == 8 and len(data) >= 8:
                wanted = 8 + int.from_bytes(data[:8], "big")
                if wanted > _MAX_RESULT:
                    raise NemochatError(f"The tool's result is larger than {_MAX_RESULT // _MB} MiB.")
        return data[8:wanted]

    def _end(self, process: processes.Popen[bytes]) -> None:
        """End the process and all that it started, also what left its group."""
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        import psutil

        for _ in range(5):
            left = [other for other in psutil.process_iter() if self._is_ours(other)]
            for other in left:
                with contextlib.suppress(psutil.Error):
                    other.kill()
            if not left:
                return

    def _is_ours(self, other: Any) -> bool:
        import psutil

        with contextlib.suppress(psutil.Error, OSError, SystemError):
            if other.status() != psutil.STATUS_ZOMBIE:
                return bool(other.environ().get(_MARK) == self._mark)
        return False

    def _told(self, code: int, answer: bytes | None) -> str:
        if answer is None:
            if code == -signal.SIGXCPU:
                raise NemochatError(f"The tool was stopped: it used more than {self._limits.seconds:g} seconds of the processor.")
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise NemochatError(f"The tool's process ended without a result ({how}).")
        try:
            found = json.loads(answer)
            value, error = found.get("value"), found.get("error")
        except (ValueError, AttributeError, RecursionError):
            value = error = None
        if isinstance(value, str):
            return value
        raise NemochatError(f"The tool failed: {error if isinstance(error, str) else 'its result cannot be read'}.")


def _has_ended(process: processes.Popen[bytes]) -> bool:
    """Whether it has ended, and without forgetting its number, so that its group can still be ended safely."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _own_processes() -> int:
    """How many processes and threads of this user there are; 0 where that cannot be known."""
    import psutil

    if not hasattr(os, "getuid"):
        return 0
    own, count = os.getuid(), 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == own:
                count += process.num_threads()
    return count
