"""What the engine has read of conversations, kept on the disk so that they open warm.

The files stay within a budget; the least recently used go first. Two for each conversation and kind of engine: ``.kv``, as llama.cpp writes
it, and ``.head``, which says what is in it. A head that does not fit its file, or either one damaged, counts as nothing kept. They hold
what the conversation holds: 0600, in a folder with 0700.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from nemochat.errors import EngineError
from nemochat.files import TEMPORARY, make_file, make_folder, refuse_planted, write_whole
from nemochat.system import disk

FORMAT = 1
"""Raised whenever the files of an earlier nemochat can no longer be used."""
_OURS = re.compile(rf"[0-9a-f]{{20}}-[0-9a-f]{{20}}\.(kv|head|\d+\.part)|{re.escape(TEMPORARY)}[0-9a-f]+")
"""The names of its files: nothing else is removed, whatever lies in the folder that the settings name."""
_CHUNK = 1024 * 1024
_LEAST_FREE = 256 * 1024 * 1024
"""Bytes that must stay free on the disk."""

_FORGOTTEN_SECONDS = 3600.0
"""After this time nobody is writing a file any more."""

log = logging.getLogger(__name__)


class _Head(msgspec.Struct, frozen=True):
    """format and engine must be those of today. size and crc are of the other file, the crc goes on from that of `payload`."""

    format: int
    engine: str
    size: int
    crc: int
    payload: bytes


class StateFolder:
    """The states of conversations for one engine, told by `engine`: model, projector, and what else changes what is in the files."""

    def __init__(self, folder: Path, engine: str, budget: int) -> None:
        """`budget`: bytes for all files in the folder, those for other engines too."""
        self._folder = folder
        self._engine = engine
        self._budget = budget

    def read(self, conversation: str) -> bytes | None:
        """What was given with the state of a conversation, None when none is kept. The state itself is not looked at yet."""
        head = self._head(self._path(conversation, ".head"))
        return head.payload if head is not None else None

    def open(self, conversation: str) -> Path | None:
        """The file with the state, checked and now the most recently used; None when there is none or it is damaged, and then it goes."""
        path, about = self._path(conversation, ".kv"), self._path(conversation, ".head")
        head = self._head(about)
        if head is None:
            return None
        try:
            if path.stat().st_size == head.size and _crc(path, zlib.crc32(head.payload)) == head.crc:
                os.utime(path)
                return path
        except OSError as error:
            log.warning("a kept state cannot be read: %s", error)
        log.warning("a kept state is damaged and goes: %s", path.name)
        _remove(path)
        return None

    def write(self, conversation: str, payload: bytes, size: int, save: Callable[[Path], None]) -> bool:
        """Keep the state that `save` writes to a path, about `size` bytes. False when it does not fit or cannot be written."""
        if size > self._budget:
            return False
        path, about = self._path(conversation, ".kv"), self._path(conversation, ".head")
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            make_folder(self._folder)
            self._make_room(size, besides=path)
            if shutil.disk_usage(self._folder).free < size + _LEAST_FREE:
                log.warning("too little room on the disk to keep what was read of a chat")
                return False
            part.unlink(missing_ok=True)
            make_file(part)
            save(part)
            head = _Head(FORMAT, self._engine, part.stat().st_size, _crc(part, zlib.crc32(payload)), payload)
            disk.replace(part, path)
            write_whole(about, msgspec.msgpack.encode(head))
        except (OSError, EngineError) as error:
            log.warning("what was read of a chat cannot be kept: %s", error)
            for each in (part, path, about):
                with contextlib.suppress(OSError):
                    each.unlink(missing_ok=True)
            return False
        return True

    def _make_room(self, size: int, besides: Path) -> None:
        """Remove what was used least recently until `size` more bytes are within the budget, and what a crashed run has left."""
        for part in _files(self._folder):
            if "part" in part.name and time.time() - part.lstat().st_mtime > _FORGOTTEN_SECONDS:
                part.unlink(missing_ok=True)
        states = [path for path in _files(self._folder) if path.suffix == ".kv" and path != besides]
        kept = sorted(states, key=lambda path: path.lstat().st_mtime)
        total = sum(path.lstat().st_size for path in kept)
        for path in kept:
            if total + size <= self._budget:
                return
            total -= path.lstat().st_size
            _remove(path)

    def _head(self, path: Path) -> _Head | None:
        try:
            head = msgspec.msgpack.decode(path.read_bytes(), type=_Head)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.warning("a kept state cannot be read: %s", error)
            return None
        return head if (head.format, head.engine) == (FORMAT, self._engine) else None

    def _path(self, conversation: str, suffix: str) -> Path:
        return self._folder / f"{_name(conversation)}-{_name(self._engine)}{suffix}"


def forget(folder: Path, conversation: str) -> None:
    """Remove what any engine has kept of a conversation. Raises OSError when that fails."""
    for path in _files(folder):
        if path.name.startswith(f"{_name(conversation)}-"):
            path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove what is kept of all conversations. Raises OSError when that fails."""
    for path in _files(folder):
        path.unlink(missing_ok=True)


def fingerprint(path: Path) -> str:
    """What tells one model file from another: its size, beginning and end."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_CHUNK))
        file.seek(max(0, size - _CHUNK))
        digest.update(file.read(_CHUNK))
    return digest.hexdigest()[:32]


def _files(folder: Path) -> list[Path]:
    """The files of the folder that are its own. Raises OSError where it is not the user's folder (`refuse_planted`)."""
    refuse_planted(folder)
    return [path for path in folder.glob("*") if _OURS.fullmatch(path.name)]


def _name(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def _crc(path: Path, crc: int) -> int:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _remove(path: Path) -> None:
    """The state and its head."""
    path.unlink(missing_ok=True)
    path.with_suffix(".head").unlink(missing_ok=True)
