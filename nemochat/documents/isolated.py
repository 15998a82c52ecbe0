"""Reading a document in a process of its own (`nemochat.documents.child`), with limits on time and memory."""

from __future__ import annotations

import msgspec

from nemochat.documents.errors import DocumentError, NotTextError
from nemochat.documents.values import Kind, Section
from nemochat.system import environments, processes

SECONDS = 120.0
MEMORY = 1_500_000_000


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
    command, pipe = processes.module_command("nemochat.documents.child", name), processes.PIPE
    # pypdf hands some pictures to a program that it looks for; a document starts none.
    environment = {**environments.foreign(), "PATH": ""}
    try:
        done = processes.run(command, environment, data=data, seconds=seconds, stdout=pipe, stderr=pipe)
    except processes.TooSlow as error:
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
