"""How much of a document is read, and what reading it may cost. What is over a limit is left out, and a sentence says so."""

from __future__ import annotations

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
