"""What travels between `nemochat.documents.isolated` and its process: what is wanted and a document's bytes go there, an answer comes back.

A document is two frames, a request and its bytes; an answer is one. How much of a document is read, and what that may cost, stands here
too: what is over a limit is left out, and a sentence says so.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from nemochat.documents.values import Kind, Piece

MAX_BYTES = 100_000_000
MAX_TEXT_BYTES = 50_000_000
"""Of what is no archive of some kind, such as PDF and DOCX."""
MAX_CHARACTERS = 20_000_000
"""About 11,000 pages."""
MAX_PASSAGES = 100_000
MEMORY = 1_000_000_000
"""Bytes of address space, and of memory where the system does not limit that."""
MAX_SECONDS = 120.0
_LEAST_CHARACTERS, _CHARACTERS_PER_BYTE = 1_000_000, 20
_LEAST_SECONDS, _SECONDS_PER_BYTE = 30.0, 4e-6


def characters_of(size: int) -> int:
    """How many characters a file of so many bytes may come to: names of columns are said again for each row, but not without end."""
    return min(MAX_CHARACTERS, _LEAST_CHARACTERS + _CHARACTERS_PER_BYTE * size)


def seconds_of(size: int) -> float:
    """Seconds of a processor that reading a file of so many bytes may take."""
    return min(MAX_SECONDS, _LEAST_SECONDS + _SECONDS_PER_BYTE * size)


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
