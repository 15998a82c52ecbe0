"""What travels between `nemochat.documents.isolated` and its process: what is wanted and a document's bytes go there, an answer comes back.

A document is two frames, a request and its bytes; an answer is one.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from nemochat.documents.limits import MAX_CHARACTERS, MAX_PASSAGES
from nemochat.documents.values import Kind, Piece

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
