"""The variables that macros share between all chats (``{{setglobalvar::name::value}}``), in a file of their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError
from nemochat.files import alone, set_aside, write_whole
from nemochat.personas import files
from nemochat.personas.scene import MAX_NAME, MAX_VALUE, MAX_VARIABLES, Change
from nemochat.reading import check_json

_MAX_BYTES = 64 * 1024 * 1024


class _File(msgspec.Struct):
    variables: dict[str, str] = {}


class SharedVariables:
    """The variables in a file, which need not exist yet; without one they end with the program. Programs that run at once change it one
    after the other, each what is there by then, so none loses what another has set.

    notices: sentences about what could not be read, each given once.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._values: dict[str, str] = {}
        self._seen: tuple[int, int, int] | None = None
        self.notices: list[str] = []

    @property
    def values(self) -> Mapping[str, str]:
        """As they are now. A file that cannot be read has none."""
        if self._path is not None and (now := _stamp(self._path)) != self._seen:
            self._seen, self._values = now, {}
            try:
                self._values = self._read(self._path)
            except NemochatError as error:
                self.notices.append(error.message)
        return self._values

    def change(self, changes: Sequence[Change]) -> None:
        """Do these changes to what is there by now. It waits for the disk: call it in a thread. Raises NemochatError."""
        if self._path is None:
            for change in changes:
                change.apply(self._values)
            return
        with files.saving("The variables of all chats"), alone(self._path.with_suffix(".lock")):
            values = self._read(self._path)
            for change in changes:
                change.apply(values)
            write_whole(self._path, msgspec.json.format(msgspec.json.encode(_File(values)), indent=1))

    def _read(self, path: Path) -> dict[str, str]:
        """What is in the file; one that makes no sense is kept under another name. Raises NemochatError for one that cannot be read."""
        if not os.path.lexists(path):
            return {}
        data = files.read(path, _MAX_BYTES)
        try:
            check_json(data)
            found = msgspec.json.decode(data, type=_File).variables
        except (msgspec.DecodeError, ValueError, RecursionError):
            kept = "it stays as it is"
            with contextlib.suppress(OSError):
                kept = f"it is kept as {set_aside(path).name}"
            self.notices.append(f"The variables of all chats in {shown(path)} cannot be read; {kept}.")
            return {}
        cleaned = ((sanitize(name, strict=True).strip(), sanitize(value)) for name, value in found.items())
        fitting = [(name, value) for name, value in cleaned if 0 < len(name) <= MAX_NAME and len(value) <= MAX_VALUE]
        return dict(fitting[:MAX_VARIABLES])


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size
