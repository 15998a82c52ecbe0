"""The process in which `nemochat.documents.isolated` has documents read, one after another. It ends with the pipe that they come by."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import sys
import threading
import time

import msgspec

from nemochat.documents import limits, wire
from nemochat.documents.errors import DocumentError, NotTextError
from nemochat.documents.load import read_document

_GRACE_SECONDS = 5
_UNCOLLECTED = 50_000
_PATIENT = 0.75
"""Of the time for a document: after that, what was read so far is the answer."""


def main() -> None:
    """Read what comes, and answer."""
    _limit_memory()
    documents: queue.SimpleQueue[tuple[wire.Request, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(documents,), daemon=True).start()
    encoder = msgspec.msgpack.Encoder()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library may print is no answer
    gc.disable()  # it would go through millions of new objects again and again
    try:
        while True:
            wire.send(answers, encoder.encode(_answer(*documents.get(timeout=wire.IDLE_SECONDS))))
            if gc.get_count()[0] > _UNCOLLECTED:
                gc.collect()
    finally:  # also when nothing came for a while; the other thread waits in a read that Python would wait for
        os._exit(0)


def _listen(documents: queue.SimpleQueue[tuple[wire.Request, bytes]]) -> None:
    """Take what comes; at the end of the pipe, or when there is no memory for it, the process ends, whatever it is at."""
    try:
        while True:
            documents.put(_next())
    finally:
        os._exit(1)


def _next() -> tuple[wire.Request, bytes]:
    request = wire.receive(sys.stdin.buffer, limits.MAX_BYTES)
    data = wire.receive(sys.stdin.buffer, limits.MAX_BYTES)
    if request is None or data is None:
        raise EOFError
    return msgspec.msgpack.decode(request, type=wire.Request), data


def _answer(request: wire.Request, data: bytes) -> wire.Answer:
    seconds = limits.seconds_of(len(data))
    _limit_time(seconds)
    until = time.process_time() + seconds * _PATIENT
    try:
        if request.pages:
            from nemochat.documents.kinds.pages import draw_pages

            return draw_pages(data, request.name, min(request.pages, wire.MAX_PAGES))
        return read_document(data, request.name, lambda: time.process_time() < until)
    except DocumentError as error:
        return wire.Answer(error=error.message, hint=error.hint, is_no_text=isinstance(error, NotTextError))
    except (MemoryError, RecursionError):
        return wire.Answer(needs_memory=True)


def _limit_memory() -> None:
    """Bound the memory where the system knows how, and let whatever else runs go first."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        bound = limits.MEMORY if most == resource.RLIM_INFINITY else min(limits.MEMORY, most)
        with contextlib.suppress(OSError, ValueError):  # macOS takes no limit: the parent watches
            resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
        os.nice(10)


def _limit_time(seconds: float) -> None:
    """End with the next document that takes too long, also when nobody is left to watch."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        until = int(time.process_time() + seconds) + _GRACE_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))


if __name__ == "__main__":
    main()
