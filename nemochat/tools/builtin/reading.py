"""Files for the model: list a folder, read a file, find words in files, all below the folders that the user named."""

from __future__ import annotations

import asyncio
import heapq
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import ToolOutcome
from nemochat.errors import NemochatError
from nemochat.tools.builtin.roots import FileRoots, open_below, shown
from nemochat.tools.making import FunctionTool, builtin

MAX_FILE = 8 * 1024 * 1024
"""The largest file that is read or searched."""
_CHARACTERS = 12_000
_ENTRIES = 300
_MOST_ENTRIES = 1_000_000
_MATCHES = 50
_FILES = 5_000
_SEARCHED_ENTRIES = 100_000
_TOO_MUCH = "there are too many files: name a smaller folder"
_BYTES = 128 * 1024 * 1024
_DEPTH = 20
_SECONDS = 10.0
_LINE = 200
_LOOKS_BINARY = 8_192

_PATH = {"path": {"type": "string"}}
LIST_FOLDER = builtin("list_folder", "List the files of a folder.", _PATH, ("path",))
READ_FILE = builtin("read_file", "Read a text file.", {**_PATH, "first_line": {"type": "integer", "minimum": 1}}, ("path",))
FIND_IN_FILES = builtin(
    "find_in_files", "Find a text in the files of a folder and below.", {"text": {"type": "string", "minLength": 1}, **_PATH}, ("text",)
)


def file_tools(roots: FileRoots) -> tuple[FunctionTool, ...]:
    """The three tools for these folders."""
    return (
        FunctionTool(LIST_FOLDER, lambda arguments: asyncio.to_thread(_list_folder, roots, arguments)),
        FunctionTool(READ_FILE, lambda arguments: asyncio.to_thread(_read_file, roots, arguments)),
        FunctionTool(FIND_IN_FILES, lambda arguments: asyncio.to_thread(_find_in_files, roots, arguments)),
    )


def _list_folder(roots: FileRoots, arguments: dict[str, Any]) -> ToolOutcome:
    path = arguments["path"]
    if path.strip() in ("", ".") and len(roots.folders) != 1:
        return ToolOutcome("\n".join(f"{shown(str(folder))}/" for folder in roots.folders) or roots.told())
    real = roots.place(path)
    looked = _Looked(time.monotonic)
    lines, room = [f"{shown(str(real))}:"], _CHARACTERS
    with roots.open_folder(real) as handle, os.scandir(handle) as entries:
        first = heapq.nsmallest(_ENTRIES, looked.at(entries), key=_by_name)
        for entry in first:
            line = _entry(entry)
            room -= len(line) + 1
            if room < 0:
                break
            lines.append(line)
    more = looked.count - len(lines) + 1
    if more or looked.is_cut:
        lines.append(f"[... and more than {more:,} more]" if looked.is_cut else f"[... and {more:,} more]")
    return ToolOutcome("\n".join(lines if len(lines) > 1 else [*lines, "[empty]"]))


def _by_name(entry: os.DirEntry[str]) -> tuple[str, str]:
    return entry.name.casefold(), entry.name


class _Looked:
    """How much of folders was looked at, which ends after some seconds: a folder may have more entries than anybody can count.

    count: the entries so far. is_cut: whether there are more.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST_ENTRIES) -> None:
        self._clock = clock
        self._end = clock() + _SECONDS
        self._most = most
        self.count = 0
        self.is_cut = False

    def is_late(self) -> bool:
        """Whether the time is over."""
        return self._clock() > self._end

    def at(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        """The entries, as long as there is time."""
        for entry in entries:
            if self.count >= self._most or self.is_late():
                self.is_cut = True
                return
            self.count += 1
            yield entry


def _entry(entry: os.DirEntry[str]) -> str:
    name = shown(entry.name)
    try:
        mode, size = entry.stat(follow_symlinks=False).st_mode, entry.stat(follow_symlinks=False).st_size
    except OSError:
        return name
    if stat.S_ISDIR(mode):
        return f"{name}/"
    return f"{name} ({size:,} bytes)" if stat.S_ISREG(mode) else f"{name} ({'link' if stat.S_ISLNK(mode) else 'special'})"


def _read_file(roots: FileRoots, arguments: dict[str, Any]) -> ToolOutcome:
    real, first = roots.place(arguments["path"]), int(arguments.get("first_line", 1))
    with roots.open_file(real) as handle:
        text = _text(handle, str(real))
    lines = text.splitlines(keepends=True)
    if first > max(1, len(lines)):
        raise NemochatError(f"{shown(str(real))} has {len(lines):,} lines.")
    piece, last = "", first - 1
    for line in lines[first - 1 :]:
        if piece and len(piece) + len(line) > _CHARACTERS:
            break
        piece, last = piece + line[:_CHARACTERS], last + 1
        if len(line) > _CHARACTERS:
            piece += f"\n[Line {last:,} is cut here: it has {len(line):,} characters.]"
    if last < len(lines):
        piece += f"\n[Lines {first:,} to {last:,} of {len(lines):,}. Go on with first_line {last + 1}.]"
    return ToolOutcome(sanitize(piece) or "[The file is empty.]", sources=(shown(str(real)),))


def _text(handle: int, name: str) -> str:
    """The text of an opened file. Raises NemochatError for one that is too large or no text."""
    with os.fdopen(handle, "rb", closefd=False) as file:
        try:
            data = file.read(MAX_FILE + 1)
        except OSError as error:
            raise NemochatError(f"{shown(name)} cannot be read: {error.strerror}.") from None
    if len(data) > MAX_FILE:
        raise NemochatError(f"{shown(name)} is larger than {MAX_FILE // 1024 // 1024} MiB.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:_LOOKS_BINARY]:
        raise NemochatError(f"{shown(name)} is not a text file.")
    return data.decode("utf-8-sig", "replace")


class _Search:
    """One search, with what it may still take."""

    def __init__(self, text: str, clock: Callable[[], float]) -> None:
        self._wanted = text.casefold()
        self._looked = _Looked(clock, _SEARCHED_ENTRIES)
        self._bytes = _BYTES
        self.matches: list[str] = []
        self.files = 0
        self.cut = ""

    def below(self, folder: int, at: str, depth: int) -> None:
        """Search an opened folder and what is below it; links and hidden names are left out."""
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in sorted(self._looked.at(entries), key=_by_name)]
        if self._looked.is_cut:
            self.cut = _TOO_MUCH
        for name, is_folder in found:
            if self.cut or name.startswith("."):
                continue
            try:
                if is_folder and depth >= _DEPTH:
                    continue
                handle = open_below(folder, name, want_folder=is_folder)
            except (OSError, NemochatError):
                continue
            try:
                if is_folder:
                    self.below(handle, f"{at}{name}/", depth + 1)
                else:
                    self.one(handle, f"{at}{name}")
            finally:
                os.close(handle)

    def one(self, handle: int, name: str) -> None:
        """Search an opened file."""
        self.files += 1
        self._bytes -= os.fstat(handle).st_size
        if self.files > _FILES or self._bytes < 0 or self._looked.is_late():
            self.cut = _TOO_MUCH
            return
        try:
            lines = _text(handle, name).splitlines()
        except NemochatError:
            return
        for number, line in enumerate(lines, 1):
            at = line.casefold().find(self._wanted)
            if at < 0:
                continue
            if len(self.matches) >= _MATCHES:
                self.cut = f"only the first {_MATCHES} places are shown"
                return
            start = max(0, at - _LINE // 2)
            self.matches.append(f"{shown(name)}:{number}: {sanitize(line[start : start + _LINE], strict=True).strip()}")


def _find_in_files(roots: FileRoots, arguments: dict[str, Any]) -> ToolOutcome:
    path = arguments.get("path", "").strip()
    search = _Search(arguments["text"], time.monotonic)
    for real in _starts(roots, path):
        if real.is_file():
            with roots.open_file(real) as handle:
                search.one(handle, str(real))
        else:
            with roots.open_folder(real) as handle:
                search.below(handle, f"{real}/", 0)
    lines = search.matches or [f"Not found in {search.files:,} file{'' if search.files == 1 else 's'}."]
    return ToolOutcome("\n".join([*lines, *([f"[Not all was searched: {search.cut}.]"] if search.cut else [])]))


def _starts(roots: FileRoots, path: str) -> Iterator[Path]:
    if path in ("", "."):
        if not roots.folders:
            raise NemochatError(roots.told())
        yield from roots.folders
    else:
        yield roots.place(path)
