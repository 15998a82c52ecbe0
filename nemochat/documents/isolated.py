"""Reading documents in a process of their own (`nemochat.documents.child`), with limits on time and memory.

The process is kept for the next document, because starting one costs more than reading a small file. One that was over a limit, or died, is
replaced. Nothing that a document holds is looked at in nemochat's own process before it comes back as passages.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from concurrent.futures import Future
from enum import Enum

import msgspec

from nemochat.documents import wire
from nemochat.documents.values import Cancelled, DocumentError, DrawnPages, LoadedDocument, NotTextError, StoppedError, never, too_large
from nemochat.domain.sanitize import sanitize
from nemochat.system import children, environments

_LONGEST_NAME = 200
_LOOK_SECONDS = 0.05
_WATCH_SECONDS = 0.5
_WALL = 4
"""A busy machine gives the process a part of a processor; one that has got nothing for so many times its seconds is not waited for."""
_decoder = msgspec.msgpack.Decoder(wire.Answer)


class DocumentReader:
    """Reads documents, one at a time; others wait. Safe in threads. The process starts with the first document; `close` ends it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The process, None when none runs."""
        child = self._child
        return None if child is None else child.process.pid

    def read(self, data: bytes, name: str, cancelled: Cancelled = never) -> LoadedDocument:
        """The passages of a document. Raises DocumentError; NotTextError for what is of no kind that holds text; StoppedError when
        `cancelled` says so or the reader is closed meanwhile."""
        name = _named(name)
        answer = self._asked(wire.Request(name), data, cancelled)
        return LoadedDocument(name, answer.kind, answer.pieces, hashlib.sha256(data).hexdigest(), answer.notices)

    def draw(self, data: bytes, name: str, most: int, cancelled: Cancelled = never) -> DrawnPages:
        """The first pages of a PDF as pictures. Raises DocumentError; StoppedError as `read`."""
        answer = self._asked(wire.Request(_named(name), most), data, cancelled)
        return DrawnPages(answer.pages, answer.total)

    def _asked(self, request: wire.Request, data: bytes, cancelled: Cancelled) -> wire.Answer:
        """The answer, when it is the turn of this document."""
        if len(data) > wire.MAX_BYTES:
            raise too_large(request.name, len(data))
        while not self._turn.acquire(timeout=_LOOK_SECONDS):
            _unless(cancelled)
        try:
            _unless(cancelled)
            answer = self._answer(request, data, cancelled)
        finally:
            self._turn.release()
        if answer.error:
            raise (NotTextError if answer.is_no_text else DocumentError)(answer.error, answer.hint)
        return answer

    def close(self) -> None:
        """End the process, whatever it is at. It starts again with the next document."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _answer(self, request: wire.Request, data: bytes, cancelled: Cancelled) -> wire.Answer:
        """What the process says. One that has read others before has less memory left, so a document on which it fails is given to a new
        one: what a document comes to never depends on those before it."""
        if self._child is not None and self._child.is_stale:
            self.close()
        while True:
            is_new = self._child is None
            child = self._child = self._child or _Child(request.name)
            answer: wire.Answer | None = None
            try:
                answer = child.ask(request, data, cancelled)
            finally:
                is_closed = self._child is not child
                if answer is None or answer.needs_memory:
                    self.close()
            if is_closed:
                raise StoppedError
            if answer is not None and not answer.needs_memory:
                return answer
            if is_new:
                message = f"{request.name} is broken, or it takes too much memory to read."
                raise DocumentError(message, "Open it elsewhere and save it anew.")


def _named(name: str) -> str:
    return sanitize(name, strict=True)[:_LONGEST_NAME] or "document"


def _unless(cancelled: Cancelled) -> None:
    if cancelled():
        raise StoppedError


class _Child:
    """One life of the process. `name` is the document for which it is started."""

    def __init__(self, name: str) -> None:
        # pypdf hands some pictures to a program that it looks for; a document starts none.
        environment = {**environments.foreign(), "PATH": ""}
        try:
            self._child = children.Child("nemochat.documents.child", environment)
        except (OSError, ValueError) as error:
            raise DocumentError(f"{name} cannot be read: no process could be started.", "Close other programs and try again.") from error
        self.process, self.end = self._child.process, self._child.end
        self._answered = time.monotonic()

    @property
    def is_stale(self) -> bool:
        """Whether it has waited so long that it may be about to end."""
        return time.monotonic() - self._answered > wire.IDLE_SECONDS / 2

    def ask(self, request: wire.Request, data: bytes, cancelled: Cancelled) -> wire.Answer | None:
        """Its answer to a document; None when it has died of it or talks nonsense. Raises DocumentError when it takes too long."""
        payload: Future[bytes | None] = Future()
        threading.Thread(target=self._exchange, args=(payload, msgspec.msgpack.encode(request), data), daemon=True).start()
        watch = _Watch(self.process.pid, wire.seconds_of(len(data)))
        while True:
            try:
                answer = payload.result(_LOOK_SECONDS)
                break
            except TimeoutError:
                _unless(cancelled)
            match watch.look():
                case _Over.TIME:
                    raise DocumentError(
                        f"{request.name} takes too long to read (over {wire.seconds_of(len(data)):,.0f} seconds).",
                        "Split it or save it anew.",
                    )
                case _Over.MEMORY:
                    return None
        self._answered = time.monotonic()
        try:
            return None if answer is None else _decoder.decode(answer)
        except msgspec.DecodeError:
            return None

    def _exchange(self, payload: Future[bytes | None], request: bytes, data: bytes) -> None:
        """Send and receive, which wait for the process; when it is killed they end."""
        answer = None
        try:
            children.send(self._child.stdin, request, data)
            answer = children.receive(self._child.stdout, wire.MAX_ANSWER_BYTES)
        except (OSError, ValueError, MemoryError):
            answer = None
        finally:
            payload.set_result(answer)


class _Over(Enum):
    NOTHING = "nothing"
    TIME = "time"
    MEMORY = "memory"


class _Watch:
    """Looks now and then whether the process keeps to the limits, whatever the system makes of them."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid = pid
        self._seconds = seconds
        self._began = self._looked = time.monotonic()
        self._before: float | None = None

    def look(self) -> _Over:
        """Over which limit it is."""
        now = time.monotonic()
        if now - self._looked < _WATCH_SECONDS:
            return _Over.NOTHING
        self._looked = now
        used, held = _usage(self._pid)
        if self._before is None:
            self._before = used
        if now - self._began > self._seconds * _WALL or used - self._before > self._seconds:
            return _Over.TIME
        return _Over.MEMORY if held > wire.MEMORY else _Over.NOTHING


def _usage(pid: int) -> tuple[float, int]:
    """Seconds of a processor and bytes of memory; with those below it, as a virtual environment's Python on Windows starts another one."""
    import psutil

    seconds, held = 0.0, 0
    with contextlib.suppress(psutil.Error):  # it has ended
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            seconds += sum(each.cpu_times()[:2])
            held += each.memory_info().rss
    return seconds, held
