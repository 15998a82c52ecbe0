"""The worker process: ``python -m nemochat.engine.worker BACKEND LOG_PATH``, with the wire on its standard input and output.

Two threads. The main one runs the backend, one request at a time. The reader answers pings at once and raises the cancel flag, also
while the main thread is inside llama.cpp (ctypes releases the interpreter lock there), and ends the process when the wire does.

It imports as little as it can, and llama_cpp only for the backend that needs it: its start is part of the time to the first token.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
from pathlib import Path

from nemochat.engine.backend import Backend, Waiting
from nemochat.engine.installed import not_started
from nemochat.engine.wire import (
    AddImage,
    Cancel,
    Close,
    Count,
    Counts,
    Failed,
    Forget,
    Forgotten,
    Generate,
    ImageCost,
    Load,
    Loaded,
    Ping,
    Pong,
    Prepare,
    PreparedReport,
    Report,
    Request,
    WireError,
    command_reader,
    encode,
)
from nemochat.errors import EngineError, NemochatError
from nemochat.files import open_to_append, write_whole
from nemochat.system import limits
from nemochat.system.disk import REPLACES_OPEN_FILES

MAX_LOG_BYTES = 1024 * 1024
_READ_BYTES = 1024 * 1024

log = logging.getLogger(__name__)


class LogFile:
    """The file behind descriptors 1 and 2, so that whatever native code prints lands there. One older file of the same size is kept.

    Its size is looked at whenever a command comes, at least once a second during a request.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def trim(self) -> None:
        """Start a new file when this one is full, or when another worker on the same path has moved it aside."""
        own = os.fstat(2)
        is_full = own.st_size > MAX_LOG_BYTES
        try:
            is_current = os.path.samestat(own, self.path.lstat())
        except OSError:  # it is gone, or there has never been one
            is_current = False
        if is_current and not is_full:
            return
        # A log that cannot be rotated (a full disk, a folder made read-only) must not stop the engine: it goes on in the old file.
        with contextlib.suppress(OSError):
            older = self.path.with_name(self.path.name + ".1")
            if is_current and not REPLACES_OPEN_FILES:
                write_whole(older, self.path.read_bytes())
                os.ftruncate(2, 0)
            elif is_current:
                self.path.replace(older)
            fresh = open_to_append(self.path)
            os.dup2(fresh, 2)
            os.dup2(fresh, 1)
            os.close(fresh)


class Wire:
    """The worker's end of the wire: frames out from both threads, commands in from the reader thread."""

    def __init__(self, incoming: int, outgoing: int, log_file: LogFile) -> None:
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        self._cancel = Cancel()
        self._is_closing = False
        self._incoming = incoming
        self._outgoing = outgoing
        self._log_file = log_file
        self._sending = threading.Lock()

    def send(self, report: Report) -> None:
        """Write one frame. When the client is gone the process ends here."""
        data = encode(report)
        with self._sending:
            write_all(self._outgoing, data)

    @property
    def waiting(self) -> Waiting:
        """Who waits, as the last cancel said."""
        return Waiting(drops=lambda digest: digest not in self._cancel.spares, for_reply=lambda: self._cancel.for_reply)

    def listen(self) -> None:
        """The reader thread: act on commands until the wire ends, then end the process, unless the main thread is closing already."""
        frames = command_reader()
        try:
            while data := os.read(self._incoming, _READ_BYTES):
                self._log_file.trim()
                for command in frames.feed(data):
                    match command:
                        case Ping():
                            self.send(Pong())
                        case Cancel():
                            self._cancel = command
                            self.cancelled.set()
                        case Close():
                            # What is still running has nobody left to hear it.
                            self._cancel = Cancel()
                            self.cancelled.set()
                            self._is_closing = True
                            self.requests.put(command)
                        case _:
                            # Frames keep their order, so a cancel that came too late for one request cannot hit the next.
                            self.cancelled.clear()
                            self.requests.put(command)
        except WireError:
            log.exception("The client sent what cannot be read")
            os._exit(1)
        except OSError:
            log.info("The client is gone")
        if not self._is_closing:
            os._exit(0)


def serve(wire: Wire, log_path: Path, backend_name: str) -> None:
    """Serve requests until told to close, failures as reports. Something unforeseen ends this too: the backend's state is not to be trusted
    after it."""
    try:
        backend = make_backend(backend_name)
    except (ImportError, OSError, RuntimeError) as error:
        log.exception("The backend cannot be imported")
        wire.requests.get()
        told = not_started(error, log_path)
        wire.send(Failed(type(told).__name__, told.message, told.hint, fatal=True))
        return
    while not isinstance(request := wire.requests.get(), Close):
        try:
            _answer(wire, backend, request)
        except NemochatError as error:
            wire.send(Failed(type(error).__name__, error.message, error.hint, for_memory=getattr(error, "for_memory", False)))
        except MemoryError:
            log.exception("Out of memory")
            wire.send(Failed(EngineError.__name__, "The engine ran out of memory.", fatal=True, for_memory=True))
            return
        except Exception as error:
            log.exception("A bug in the engine")
            message = f"The engine failed in a way it should not ({type(error).__name__}); this is a bug."
            hint = f"Please report it with the file {log_path}; the engine starts again with the next message."
            wire.send(Failed(EngineError.__name__, message, hint, fatal=True))
            return
    backend.close()


def _answer(wire: Wire, backend: Backend, request: Request) -> None:
    send, cancelled = wire.send, wire.cancelled.is_set
    match request:
        case Load():
            send(Loaded(backend.load(request.request, send)))
        case AddImage():
            backend.forget_images(request.forget)
            send(ImageCost(backend.add_image(request.image)))
        case Count():
            send(Counts(backend.count(request.segments)))
        case Prepare():
            send(PreparedReport(backend.prepare(request.segments, cancelled, send, request.place, wire.waiting)))
        case Generate():
            for event in backend.generate(request.request, cancelled):
                send(event)
        case Forget():
            backend.forget(request.conversation)
            send(Forgotten())


def make_backend(name: str) -> Backend:
    """The backend of this name, importing only what it needs. Raises ValueError for an unknown name."""
    match name:
        case "llama":
            from nemochat.engine.llama import LlamaBackend

            return LlamaBackend()
        case "scripted":
            from nemochat.engine.scripted import ScriptedBackend

            return ScriptedBackend()
    raise ValueError(f"there is no backend called {name}")


def write_all(outgoing: int, data: bytes) -> None:
    """Write a frame. When nobody reads it any more the process ends here."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(outgoing, left) :]
    except OSError:  # Windows calls a pipe that nobody reads an invalid argument
        os._exit(0)


def set_up() -> tuple[int, int]:
    """What a process of the engine does first: it lets others go first, leaves Ctrl+C to the client, and moves the wire from descriptors 0
    and 1 to private ones, which are returned: 0 becomes /dev/null and 1 the log that the client put on 2."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    faulthandler.enable()
    limits.let_others_go_first()
    limits.die_quietly()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    return incoming, outgoing


def main() -> None:
    """Run the worker; the arguments are the backend's name and the path of the log file."""
    backend_name, log_path = sys.argv[1], Path(sys.argv[2])
    incoming, outgoing = set_up()
    wire = Wire(incoming, outgoing, LogFile(log_path))
    threading.Thread(target=wire.listen, name="wire", daemon=True).start()
    serve(wire, log_path, backend_name)
    logging.shutdown()
    # Nothing is left to free, and native libraries have crashed in the interpreter's own shutdown.
    os._exit(0)


if __name__ == "__main__":
    main()
