"""Reading a document in a process of its own (`nemochat.documents.child`), with limits on time and memory."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from nemochat.documents.errors import DocumentError, NotTextError
from nemochat.documents.values import Kind, Section

SECONDS = 120.0
MEMORY = 1_500_000_000
_NEEDED = ("PATH", "SYSTEMROOT", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "TEMP")


class Answer(msgspec.Struct):
    """What the process found, or why it could not."""

    kind: Kind = Kind.TEXT
    sections: tuple[Section, ...] = ()
    notices: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    is_no_text: bool = False


def in_child(data: bytes, name: str, *, seconds: float = SECONDS) -> tuple[Kind, tuple[Section, ...], tuple[str, ...]]:
    """What `nemochat.documents.load.sections_of` returns for these bytes, found out by another process. Raises DocumentError."""
    # Nothing of the environment (keys, tokens) is needed there, but what the system needs to start Python at all.
    environment = {key: os.environ[key] for key in _NEEDED if key in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "nemochat.documents.child", name],
            input=data, capture_output=True, timeout=seconds, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DocumentError(f"{name} takes too long to read (over {seconds:,.0f} seconds).", "Split it or save it anew.") from error
    except OSError as error:
        raise DocumentError(f"{name} cannot be read: no process could be started.", "Close other programs and try again.") from error
    try:
        answer = msgspec.msgpack.decode(done.stdout, type=Answer)
    except msgspec.DecodeError as error:
        raise DocumentError(f"{name} is broken: reading it fails or takes too much.", "Open it elsewhere and save it anew.") from error
    if answer.error:
        raise (NotTextError if answer.is_no_text else DocumentError)(answer.error, answer.hint)
    return answer.kind, answer.sections, answer.notices
