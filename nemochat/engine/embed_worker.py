"""The process that makes vectors: ``python -m nemochat.engine.embed_worker MODEL LOG``, with the wire on its standard input and output.

It loads the model, says so, and makes vectors until the wire ends. The reader thread ends the process then, also while the main thread
is inside llama.cpp. Whatever native code prints goes to the log.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from pathlib import Path

from nemochat.engine.installed import not_started
from nemochat.engine.wire import Embed, Failed, Ready, Vector, WireError, embed_reader, encode
from nemochat.engine.worker import LogFile, set_up, write_all
from nemochat.errors import EngineError

_READ_BYTES = 64 * 1024

log = logging.getLogger(__name__)


def _listen(incoming: int, requests: queue.SimpleQueue[Embed], log_file: LogFile) -> None:
    """Hand requests on until the wire ends, then end the process, whatever it is doing."""
    frames = embed_reader()
    try:
        while data := os.read(incoming, _READ_BYTES):
            log_file.trim()
            for request in frames.feed(data):
                requests.put(request)
    except WireError:
        log.exception("The client sent what cannot be read")
        os._exit(1)
    except OSError:
        log.info("The client is gone")
    os._exit(0)


def _serve(model_path: str, log_path: Path, outgoing: int, requests: queue.SimpleQueue[Embed]) -> None:
    """Load and answer for ever; returns when the model cannot be loaded."""
    try:
        from nemochat.engine.llama.embedding import EmbeddingModel
        from nemochat.engine.llama.processor import physical_cores

        model = EmbeddingModel(model_path, threads=physical_cores())
    except EngineError as error:
        write_all(outgoing, encode(Failed(EngineError.__name__, error.message, error.hint)))
        return
    except (ImportError, OSError, RuntimeError) as error:
        log.exception("The embedding model cannot be loaded")
        told = not_started(error, log_path)
        write_all(outgoing, encode(Failed(EngineError.__name__, told.message, told.hint)))
        return
    write_all(outgoing, encode(Ready(model.length)))
    while True:
        try:
            for text in requests.get().texts:
                write_all(outgoing, encode(Vector(tuple(model.embed_one(text)))))
        except EngineError as error:
            write_all(outgoing, encode(Failed(EngineError.__name__, error.message, error.hint)))


def main() -> None:
    """Run the process; the arguments are the paths of the model and of the log file."""
    model_path, log_path = sys.argv[1], Path(sys.argv[2])
    incoming, outgoing = set_up()
    requests: queue.SimpleQueue[Embed] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, requests, LogFile(log_path)), name="wire", daemon=True).start()
    _serve(model_path, log_path, outgoing, requests)
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
