"""What travels between `nemochat.documents.isolated` and its process: what is wanted and a document's bytes go there, an answer comes back.

A frame is its payload's length (4 bytes, big-endian) and the payload. A document is two frames, a request and its bytes; an answer is one.
"""

from __future__ import annotations

import struct
from typing import IO, Annotated

import msgspec

from nemochat.documents.limits import MAX_CHARACTERS, MAX_PASSAGES
from nemochat.documents.values import Kind, Piece

_LENGTH = struct.Struct(">I")
_AROUND_A_PASSAGE = 200
MAX_ANSWER_BYTES = 4 * MAX_CHARACTERS + _AROUND_A_PASSAGE * MAX_PASSAGES
"""More than the longest answer has: UTF-8 takes at most 4 bytes for a character."""
IDLE_SECONDS = 60.0
"""After so long without a document the process ends."""


MAX_PAGES = 8
"""Pages that are drawn at once."""


class Request(msgspec.Struct, frozen=True):
    """What is wanted of the document of this name: its passages, or its first pages as pictures."""

    name: str
    pages: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What a document holds, or a sentence and a hint about why it cannot be read.

    pages: the first ones as PNG files, of `total`. is_no_text: it is of no kind that holds text. needs_memory: the process has too little
    memory for it.
    """

    kind: Kind = Kind.TEXT
    pieces: Annotated[tuple[Piece, ...], msgspec.Meta(max_length=MAX_PASSAGES)] = ()
    notices: tuple[str, ...] = ()
    pages: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_PAGES)] = ()
    total: int = 0
    error: str = ""
    hint: str = ""
    is_no_text: bool = False
    needs_memory: bool = False


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
