"""What a model is asked to name a conversation, and what becomes of its answer."""

from __future__ import annotations

QUESTION = "Give this conversation a title of at most six words. Answer with the title alone."
TOKENS = 24
"""The longest answer."""
_CHARACTERS = 60


def as_title(text: str) -> str:
    """The first line of what a model answered when it was asked for a title, without its quotes and marks."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line.removeprefix("Title:").strip(" \t\"'“”*#.")
    return line if len(line) <= _CHARACTERS else line[: _CHARACTERS - 1].rstrip() + "…"
