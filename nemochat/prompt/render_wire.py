"""What travels between `nemochat.prompt.rendering` and its process: a template with its variables goes there, a text comes back.

The process sends an empty frame when it is ready.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

MAX_SOURCE_CHARACTERS = 1_000_000
MAX_CHARACTERS = 4_000_000
"""Of a rendering, marks counted instead of what they stand for."""
MAX_REQUEST_BYTES = 256_000_000
MAX_ANSWER_BYTES = 4 * MAX_CHARACTERS + 10_000
"""More than the longest answer has: UTF-8 takes at most 4 bytes for a character."""
MEMORY = 600_000_000
"""Bytes of address space."""
SECONDS, SECONDS_A_MESSAGE = 2.0, 0.002
"""Of a processor, for one rendering: some templates look at every pair of messages."""


class Problem(StrEnum):
    """Why there is no text."""

    NONE = ""
    SYNTAX = "syntax"
    REFUSED = "refused"
    LENGTH = "length"
    MEMORY = "memory"
    DEPTH = "depth"


class Request(msgspec.Struct, frozen=True):
    """What is to be rendered, and how many seconds of a processor that may take."""

    source: str
    variables: dict[str, Any]
    seconds: float


class Answer(msgspec.Struct, frozen=True):
    """The text, or why there is none. reason: the template's own words."""

    text: str = ""
    problem: Problem = Problem.NONE
    reason: str = ""


OPEN, CLOSE = "⟬", "⟭"
"""Around a number of seven digits: a text that the template does not get to see. Printable, without upper or lower case, no white space."""
HTML, ASCII = "h", "a"
"""Behind the number: the text is to be written with jinja's escapes for HTML (each time that it is there), in JSON with those for letters
that are not ASCII's."""
JSON_OPEN, JSON_CLOSE = "⟮", "⟯"
"""Around JSON that holds such marks; what stands in it is to be written as JSON."""
DIGITS = 7
"""So that a mark has nine characters: templates of Mistral's look whether the id of a call has."""


def mark(number: int) -> str:
    """The mark of this number."""
    return f"{OPEN}{number:0{DIGITS}}{CLOSE}"


def json_mark(text: str) -> str:
    """JSON as it is when nothing in it is marked, else in marks of its own."""
    return f"{JSON_OPEN}{text}{JSON_CLOSE}" if OPEN in text else text
