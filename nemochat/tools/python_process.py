"""A process of its own for one call of the user's own tools, with limits, and without secrets in its environment."""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import msgspec

from nemochat.errors import NemochatError
from nemochat.system import environments, limits, processes, trees
from nemochat.system.deaths import Cause, death
from nemochat.tools.making import Limits

_MARK = "NEMOCHAT_TOOL_RUN"
_MAX_RESULT = 4 * 1024 * 1024
_FILE_MB = 64
_MB = 1024 * 1024
_HANDLES = 128
_PROCESSES = 64
_LOOK = 0.1
_ANSWERS = 3
"""The descriptor by which the process answers, once its standard output is nowhere."""


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
        with tempfile.TemporaryDirectory(prefix="nemochat-tool-", ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps({**msgspec.structs.asdict(self._job), "limits": self._numbers()}).encode())
            stdin.seek(0)
            process = self._start(folder, stdin)
            assert process.stdout is not None
            answer: Future[bytes | None] = Future()
            reader = threading.Thread(target=_read, args=(process.stdout, answer), name="tool", daemon=True)
            reader.start()
            try:
                found = self._wait(process, answer)
            finally:
                self._end(process)
                reader.join(_LOOK)  # what held the pipe has ended
        return self._told(process.returncode, found)

    def _start(self, folder: str, stdin: IO[bytes]) -> processes.Popen[bytes]:
        program = files("nemochat.tools").joinpath("python_runner.py").read_text(encoding="utf-8")
        names = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        return processes.popen(
            [sys.executable, "-I", "-X", "utf8", "-c", program, str(_ANSWERS), limits.__file__],
            {**self._environment, **names, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder), _MARK: self._mark},
            Path(folder),
            stdin=stdin,
            stdout=processes.PIPE,
            stderr=processes.NOWHERE,
        )

    def _numbers(self) -> dict[str, int]:
        numbers = {
            "RLIMIT_CPU": math.ceil(self._limits.seconds) + 1,
            "RLIMIT_AS": self._limits.memory_mb * _MB,
            "RLIMIT_FSIZE": _FILE_MB * _MB,
            "RLIMIT_NOFILE": _HANDLES,
            "RLIMIT_CORE": 0,
        }
        if count := limits.tasks_of_user():
            # The system counts all processes of the user, not those of this one alone.
            numbers["RLIMIT_NPROC"] = count + _PROCESSES
        return numbers

    def _wait(self, process: processes.Popen[bytes], answer: Future[bytes | None]) -> bytes | None:
        """The whole answer, or None when there is none."""
        end, has_ended = time.monotonic() + self._limits.seconds, False
        while True:
            try:
                return answer.result(_LOOK)
            except TimeoutError:
                if has_ended:  # what it said is read by now: something that it has left behind holds the pipe
                    return None
            if self._stopped.is_set():
                raise NemochatError("The tool was stopped.")
            if time.monotonic() > end:
                raise NemochatError(f"The tool was stopped: it took longer than {self._limits.seconds:g} seconds.")
            has_ended = trees.has_ended(process.pid)

    def _end(self, process: processes.Popen[bytes]) -> None:
        """End the process and all that it started, also what left its group."""
        if process.returncode is None:
            trees.kill(process)
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
            cause, name = death(code)
            if cause is Cause.TIME:
                raise NemochatError(f"The tool was stopped: it used more than {self._limits.seconds:g} seconds of the processor.")
            raise NemochatError(f"The tool's process ended without a result ({name}).")
        try:
            found = json.loads(answer)
            value, error = found.get("value"), found.get("error")
        except (ValueError, AttributeError, RecursionError):
            value = error = None
        if isinstance(value, str):
            return value
        raise NemochatError(f"The tool failed: {error if isinstance(error, str) else 'its result cannot be read'}.")


def _read(pipe: IO[bytes], answer: Future[bytes | None]) -> None:
    """In a thread of its own: the answer, None when there is none whole, or NemochatError when it is too long."""
    try:
        with pipe:
            head = pipe.read(8)
            length = int.from_bytes(head, "big")
            if length > _MAX_RESULT:
                raise NemochatError(f"The tool's result is larger than {_MAX_RESULT // _MB} MiB.")
            data = pipe.read(length) if len(head) == 8 else b""
            answer.set_result(data if len(head) == 8 and len(data) == length else None)
    except (NemochatError, OSError) as error:
        answer.set_exception(error)
