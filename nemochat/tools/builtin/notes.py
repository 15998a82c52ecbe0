"""Notes that last over conversations: one JSON line each, in a file that only the user can read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.sanitize import sanitize, shown
from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.files import open_to_append, reason
from nemochat.reading import read_beginning
from nemochat.tools.making import FunctionTool, builtin

MAX_NOTES = 500
MAX_CHARACTERS = 2_000
_MAX_BYTES = 8 * 1024 * 1024

SAVE_NOTE = builtin(
    "save_note",
    "Keep a note for later conversations.",
    {"text": {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS}},
    ("text",),
)
LIST_NOTES = builtin("list_notes", "List the notes that were kept.", {}, (), is_harmless=True)


class Note(msgspec.Struct, frozen=True):
    """One note. at: when, as ISO 8601."""

    text: str
    at: str = ""


class Notes:
    """The notes of one file. Two programs may use it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> tuple[Note, ...]:
        """All notes, oldest first; lines that cannot be read are left out. Raises NemochatError."""
        try:
            data = read_beginning(self._path, _MAX_BYTES)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise NemochatError(f"The notes cannot be read: {reason(error)}.") from None
        notes = (_note(line) for line in data.split(b"\n") if line.strip())
        return tuple(note for note in notes if note)

    def add(self, text: str, now: datetime) -> int:
        """Keep a note; gives back how many there are. Raises NemochatError."""
        clean = sanitize(text).strip()
        if not clean:
            raise NemochatError("The note is empty.")
        if len(clean) > MAX_CHARACTERS:
            raise NemochatError(f"A note may have {MAX_CHARACTERS:,} characters.")
        known = len(self.all())
        if known >= MAX_NOTES:
            raise NemochatError(f"There are {MAX_NOTES:,} notes already.", f"Delete some in {shown(self._path)}.")
        # A line break first: what a crash left of a line does not swallow this one.
        line = b"\n" + msgspec.json.encode(Note(clean, now.isoformat(timespec="seconds"))) + b"\n"
        try:
            with os.fdopen(open_to_append(self._path), "ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise NemochatError(f"The note could not be kept: {reason(error)}.") from None
        return known + 1


def note_tools(notes: Notes, clock: Callable[[], datetime]) -> tuple[FunctionTool, ...]:
    """The tools that keep and list notes."""

    async def save(arguments: dict[str, Any]) -> ToolOutcome:
        count = await asyncio.to_thread(notes.add, arguments["text"], clock())
        return ToolOutcome(f"Kept as note {count}.")

    async def list_all(_: dict[str, Any]) -> ToolOutcome:
        lines = [
            f"{number}. {note.text}{f' ({note.at[:10]})' if note.at else ''}"
            for number, note in enumerate(await asyncio.to_thread(notes.all), 1)
        ]
        return ToolOutcome("\n".join(lines) or "There are no notes.")

    return FunctionTool(SAVE_NOTE, save), FunctionTool(LIST_NOTES, list_all)


def _note(line: bytes) -> Note | None:
    try:
        note = msgspec.json.decode(line, type=Note)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Note(sanitize(note.text)[:MAX_CHARACTERS], sanitize(note.at, strict=True)[:40])
