"""The process in which `nemochat.documents.isolated` has documents read, one after another. It ends with the pipe that they come by."""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
import time

import msgspec

from nemochat.documents import wire
from nemochat.documents.load import read_document
from nemochat.documents.values import DocumentError, NotTextError
from nemochat.system import children, limits

_GRACE_SECONDS = 5
_UNCOLLECTED = 50_000
_PATIENT = 0.75
"""Of the time for a document: after that, what was read so far is the answer."""


def main() -> None:
    """Read what comes, and answer."""
    limits.limit("RLIMIT_AS", wire.MEMORY)
    limits.let_others_go_first()
    documents: queue.SimpleQueue[tuple[wire.Request, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(documents,), daemon=True).start()
    encoder = msgspec.msgpack.Encoder()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library may print is no answer
    gc.disable()  # it would go through millions of new objects again and again
    try:
        while True:
            children.send(answers, encoder.encode(_answer(*documents.get(timeout=wire.IDLE_SECONDS))))
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
    request = children.receive(sys.stdin.buffer, wire.MAX_BYTES)
    data = children.receive(sys.stdin.buffer, wire.MAX_BYTES)
    if request is None or data is None:
        raise EOFError
    return msgspec.msgpack.decode(request, type=wire.Request), data


def _answer(request: wire.Request, data: bytes) -> wire.Answer:
    seconds = wire.seconds_of(len(data))
    limits.limit_time(seconds, _GRACE_SECONDS)
    until = time.process_time() + seconds * _PATIENT
    try:
        if request.pages:
            from nemochat.documents.kinds.pdf import draw_pages

            return draw_pages(data, request.name, min(request.pages, wire.MAX_PAGES))
        return read_document(data, request.name, lambda: time.process_time() < until)
    except DocumentError as error:
        return wire.Answer(error=error.message, hint=error.hint, is_no_text=isinstance(error, NotTextError))
    except (MemoryError, RecursionError):
        return wire.Answer(needs_memory=True)


if __name__ == "__main__":
    main()
