"""Processes of nemochat's own that look at what others wrote (documents, chat templates): frames on their pipes, and their end.

A frame is its payload's length (4 bytes, big-endian) and the payload.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from typing import IO

_LENGTH = struct.Struct(">I")


def send(pipe: IO[bytes], *payloads: bytes) -> None:
    """Write a frame for each payload. Raises OSError, and ValueError when the pipe is closed."""
    for payload in payloads:
        pipe.write(_LENGTH.pack(len(payload)))
        pipe.write(payload)
    pipe.flush()


def receive(pipe: IO[bytes], most: int) -> bytes | None:
    """The payload of the next frame; None at the end of the pipe or when it claims to be longer than that. Raises OSError, ValueError."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    payload = pipe.read(length) if length <= most else b""
    return payload if len(payload) == length else None


class Child:
    """One life of such a process. Raises OSError and ValueError when it cannot be started."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        from nemochat.system import processes  # the child itself, which starts for each document, has no use for it

        command, pipe = processes.module_command(module), processes.PIPE
        self.process = processes.popen(command, environment, stdin=pipe, stdout=pipe, stderr=processes.NOWHERE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # what it has not taken is not wanted any more
                pipe.close()
