"""The process that reads a document for `nemochat.documents.isolated`.

Run as ``python -m nemochat.documents.child NAME`` it reads the bytes from its standard input and writes the sections, or the error,
as msgpack to its standard output.
"""

from __future__ import annotations

import contextlib
import os
import sys

import msgspec

from nemochat.documents.errors import DocumentError, NotTextError
from nemochat.documents.isolated import MEMORY, SECONDS, Answer
from nemochat.documents.load import sections_of


def _limit() -> None:
    """Bound memory and time, where the system knows how."""
    if sys.platform != "win32":
        import resource

        for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, int(SECONDS))):
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(what, (most, most))
        with contextlib.suppress(OSError):
            os.nice(10)


def main() -> None:
    """Read, and answer."""
    _limit()
    name = sys.argv[1]
    try:
        kind, sections, notices = sections_of(sys.stdin.buffer.read(), name)
        answer = Answer(kind, sections, notices)
    except DocumentError as error:
        answer = Answer(error=error.message, hint=error.hint, is_no_text=isinstance(error, NotTextError))
    except (MemoryError, RecursionError):
        answer = Answer(error=f"{name} is broken: reading it needs too much memory.", hint="Open it elsewhere and save it anew.")
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    main()
