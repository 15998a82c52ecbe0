"""Pictures beside the database: the pixels that the model gets as PNG, named by their digest, and the file as it came, named by its hash.

A picture is stored before the message that shows it. What no conversation uses goes at the next purge, unless it has just come.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
import time
from pathlib import Path

from nemochat.files import TEMPORARY, sync_folder, write_whole
from nemochat.library.errors import LibraryError, cannot
from nemochat.library.values import Original
from nemochat.reading import read_regular

GRACE_MS = 10 * 60 * 1000
"""How long a picture may wait for its message."""
_MAX_BYTES = 256 << 20
_TORN_SECONDS = 24 * 60 * 60
_DIGEST = re.compile("[0-9a-f]{64}")
_SUFFIX = re.compile("[a-z0-9]{1,8}")
_ORIGINAL = re.compile(rf"{_DIGEST.pattern}\.{_SUFFIX.pattern}")


class Pictures:
    """The two folders. Names are checked here: nothing outside of them can be reached."""

    def __init__(self, folder: Path) -> None:
        self._pictures = folder / "pictures"
        self._originals = folder / "originals"

    def put(self, db: sqlite3.Connection, digest: str, png: bytes, original: bytes | None, suffix: str, now: int) -> None:
        """Store a picture, within a transaction; one that is there is only marked as wanted. Raises LibraryError."""
        suffix = suffix.lower().removeprefix(".")
        if not is_digest(digest) or (original is not None and not _SUFFIX.fullmatch(suffix)):
            raise LibraryError("A picture with this name cannot be stored.")
        name = "" if original is None else f"{hashlib.sha256(original).hexdigest()}.{suffix}"
        db.execute(
            """INSERT INTO picture VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO UPDATE
               SET stored = excluded.stored, original = CASE original WHEN '' THEN excluded.original ELSE original END""",
            (digest, name, now),
        )
        if original is not None and name == self._original_name(db, digest):
            _put(self._originals / name, original)
        _put(self._file(digest), png)

    def picture(self, digest: str) -> bytes | None:
        """The PNG, None where it is not there. Raises LibraryError when it cannot be read."""
        return _read(self._file(digest)) if is_digest(digest) else None

    def original(self, db: sqlite3.Connection, digest: str) -> Original | None:
        """The file as it came, None where it is not there. Raises LibraryError when it cannot be read."""
        return self.original_named(self._original_name(db, digest))

    def original_named(self, name: str) -> Original | None:
        """The same by the name of its file."""
        if not _ORIGINAL.fullmatch(name):
            return None
        data = _read(self._originals / name)
        return None if data is None else Original(data, name.partition(".")[2])

    def remove_unused(self, db: sqlite3.Connection, now: int) -> None:
        """Remove what no conversation uses. The files go first: should the rest fail, a row without a file is as good as none."""
        unused = db.execute(
            "SELECT digest, original FROM picture WHERE stored <= ? AND digest NOT IN (SELECT digest FROM picture_use)", (now - GRACE_MS,)
        ).fetchall()
        for digest, name in unused:
            shared = db.execute("SELECT 1 FROM picture WHERE original = ? AND digest <> ?", (name, digest)).fetchone()
            if is_digest(digest):
                _remove(self._file(digest))
            if not shared and _ORIGINAL.fullmatch(name):
                _remove(self._originals / name)
            db.execute("DELETE FROM picture WHERE digest = ?", (digest,))

    def remove_torn(self) -> None:
        """Remove what killed programs left half-written. A whole file without a row stays: a repair may still want it."""
        for folder in (self._pictures, self._originals):
            for path in folder.glob(f"{TEMPORARY}*"):
                with contextlib.suppress(OSError):  # another program may be at it
                    if path.stat().st_mtime < time.time() - _TORN_SECONDS:
                        path.unlink()

    def _file(self, digest: str) -> Path:
        return self._pictures / f"{digest}.png"

    def _original_name(self, db: sqlite3.Connection, digest: str) -> str:
        row = db.execute("SELECT original FROM picture WHERE digest = ?", (digest,)).fetchone() if is_digest(digest) else None
        return "" if row is None else str(row[0])


def is_digest(text: str) -> bool:
    """Whether a text can be the digest of a picture."""
    return _DIGEST.fullmatch(text) is not None


def _put(target: Path, data: bytes) -> None:
    if target.exists():
        return
    try:
        write_whole(target, data)
        sync_folder(target.parent)
    except OSError as error:
        raise cannot("The picture cannot be stored as", target, error) from error


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path, _MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot("The picture cannot be read from", path, error) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot("The picture cannot be removed from", path, error) from error
