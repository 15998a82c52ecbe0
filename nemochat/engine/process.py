"""One life of one worker process: start, send, receive under a watchdog, find out why it died, end it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from nemochat.engine.wire import Cancel, Close, Command, Ping, Pong, Report, WireError, encode, report_reader
from nemochat.errors import EngineDiedError, EngineError
from nemochat.files import open_log
from nemochat.settings import EngineSettings
from nemochat.system import environments, processes
from nemochat.system.deaths import Cause, death

_READ_BYTES = 64 * 1024
_PING_SECONDS = 1.0
_START_SECONDS = 20.0
"""Silence that a worker is at least allowed before its first word: the interpreter's start can be slow on a busy machine."""
_EXIT_SECONDS = 1.0
"""How long a worker that closed its wire may take to end."""
_PATIENCE_SECONDS = 2.0
"""How long `close` waits after asking, and again after the system has asked."""
SAVING_SECONDS = 10.0
"""How long it waits after asking a worker that keeps what its conversations have read on the disk."""

BackendName = Literal["llama", "scripted"]

log = logging.getLogger(__name__)


def worker_command(backend: BackendName, log_path: Path) -> list[str]:
    """The command that runs the worker."""
    return processes.module_command("nemochat.engine.worker", backend, str(log_path))


class WorkerProcess:
    """A running worker. All methods belong to the event loop that started it.

    hang_seconds: silence, pings included, after which a worker that owes an answer is killed.
    closing_seconds: how long it may take to end when it is asked to.
    is_busy: a request was sent whose closing report has not been received.
    """

    def __init__(self, process: processes.Process, log_path: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.hang_seconds = EngineSettings().hang_seconds
        self.closing_seconds = _PATIENCE_SECONDS
        self.is_busy = False
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._log_path = log_path
        self._received: asyncio.Queue[Report | EngineDiedError] = asyncio.Queue()
        self._heard = False
        self._has_spoken = False
        self._verdict: EngineDiedError | None = None
        self._is_closing = False
        self._reader = asyncio.create_task(self._read(), name=f"engine worker {process.pid}")

    @classmethod
    async def start(cls, command: Sequence[str], log_path: Path) -> WorkerProcess:
        """Start a worker; it gets ready while the caller goes on. Raises EngineError when it cannot be started.

        Its standard error is the log file from the first moment, should there be one (`open_log`). The terminal's Ctrl+C is
        for the parent alone.
        """
        log_file = open_log(log_path)
        try:
            process = await processes.start(command, environments.engine(), stdin=processes.PIPE, stdout=processes.PIPE, stderr=log_file)
        except OSError as error:
            raise EngineError(f"The engine's process cannot be started: {error.strerror}.") from error
        finally:
            os.close(log_file)
        return cls(process, log_path)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the wire is open and nothing has condemned the process."""
        return not self._reader.done() and self._verdict is None

    def send(self, command: Command) -> None:
        """Put a command on the wire without waiting: `receive` watches whether the worker takes it. Raises WireError."""
        self._stdin.write(encode(command))

    async def receive(self) -> Report:
        """The next report other than Pong. Raises EngineDiedError when the worker ended, hung or talked nonsense.

        While waiting, the worker is asked for a sign of life; silence is counted in unanswered pings, not on a clock, so that a
        suspended or busy parent does not blame the worker.
        """
        interval = min(_PING_SECONDS, self.hang_seconds / 4)
        silent_seconds = 0.0
        while True:
            try:
                async with asyncio.timeout(interval if self._received.empty() else None):
                    report = await self._received.get()
                break
            except TimeoutError:
                silent_seconds = 0.0 if self._heard else silent_seconds + interval
                self._heard = False
                limit = self.hang_seconds if self._has_spoken else max(self.hang_seconds, _START_SECONDS)
                if silent_seconds >= limit:
                    self._condemn(
                        f"The engine stopped answering for {limit:g} s and was ended.",
                        "Send the message again; if it happens often, raise engine.hang_seconds or use fewer threads.",
                    )
                else:
                    self.send(Ping())
        if isinstance(report, EngineDiedError):
            self._received.put_nowait(report)
            raise EngineDiedError(report.message, report.hint, for_memory=report.for_memory)
        return report

    def reject(self, report: Report) -> EngineDiedError:
        """Kill a worker that answered with something that does not belong to the request. Returns the error to raise."""
        return self._condemn_for_nonsense(f"unexpected {type(report).__name__}")

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Ask it to end, have the system ask, kill it. Returns when the process is gone and reaped."""
        if self._reader.done():
            return
        self._is_closing = True
        self.send(Cancel())
        self.send(Close())
        try:
            for patience, insist in ((self.closing_seconds, self._process.terminate), (_PATIENCE_SECONDS, self._process.kill)):
                done, _ = await asyncio.wait({self._reader}, timeout=patience)
                if done:
                    return
                with contextlib.suppress(ProcessLookupError):
                    insist()
            await asyncio.wait({self._reader})
        except asyncio.CancelledError:
            self.kill()
            raise

    def _condemn(self, message: str, hint: str) -> EngineDiedError:
        self._verdict = EngineDiedError(message, hint)
        self.kill()
        return self._verdict

    def _condemn_for_nonsense(self, what: str) -> EngineDiedError:
        message = f"The engine sent what cannot be understood ({what}) and was ended."
        return self._condemn(message, f"The engine starts again with the next message; details are in {self._log_path}.")

    async def _read(self) -> None:
        """Queue reports until the wire ends, then reap the process and queue the reason. The replies' lengths bound the queue."""
        frames = report_reader()
        try:
            while data := await self._stdout.read(_READ_BYTES):
                self._heard = self._has_spoken = True
                for report in frames.feed(data):
                    if not isinstance(report, Pong):
                        self._received.put_nowait(report)
        except WireError as error:
            self._condemn_for_nonsense(str(error))
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            code = await self._reap()
        death = self._verdict or cause_of_death(code, self._log_path)
        if not self._is_closing:
            log.warning("Worker %d: %s", self.pid, death.message)
        self._received.put_nowait(death)

    async def _reap(self) -> int:
        """Close the pipes and wait for the end of a process that has nothing more to say."""
        self._stdin.close()
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()


def cause_of_death(code: int, log_path: Path) -> EngineDiedError:
    """Why a worker ended by itself, from its exit status (`nemochat.system.deaths`), in plain words."""
    again = "The engine starts again with the next message"
    details = f"{again}; details are in {log_path}."
    less = "Choose a smaller context length or a smaller quantisation of the model, or close other programs."
    cause, name = death(code)
    match cause:
        case Cause.CODE:
            return EngineDiedError(f"The engine ended unexpectedly ({name}).", details)
        case Cause.KILLED:
            return EngineDiedError("The engine was killed, most likely because the machine ran out of memory.", less, for_memory=True)
        case Cause.MEMORY:
            return EngineDiedError(f"The engine ran out of memory ({name}).", less, for_memory=True)
        case Cause.ABORTED:
            return EngineDiedError(f"The engine stopped on a failed check inside llama.cpp ({name}).", details)
        case Cause.INSTRUCTION:
            return EngineDiedError(
                f"The engine crashed on an instruction that this processor does not have ({name}).",
                "llama-cpp-python was built for another machine; reinstall it on this one.",
            )
        case Cause.LIBRARY:
            return EngineDiedError(f"A library that the engine needs does not load ({name}).", "Reinstall llama-cpp-python here.")
        case Cause.CRASHED:
            return EngineDiedError(f"The engine crashed ({name}).", details)
        case Cause.TIME | Cause.SIGNAL:
            return EngineDiedError(f"The engine was ended from outside ({name}).", f"{again}.")
