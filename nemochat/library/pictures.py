"""Pictures beside the database: each file as it came, once, named by its hash.

Version 0.1 had the pixels that its model got under ``pictures/`` as well; they stand in where the file is missing. A picture is stored
before the message that shows it. What no conversation uses goes at the next purge, unless it has just come.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
import time
from pathlib import Path

from nemochat.domain.images import Original, RgbImage
from nemochat.files import TEMPORARY, sync_folder, write_whole
from nemochat.library.codec import as_text
from nemochat.library.errors import LibraryError, cannot
from nemochat.pixels import BadPictureError, decoded
from nemochat.reading import read_regular

GRACE_MS = 10 * 60 * 1000
"""How long a picture may wait for its message."""
_MAX_PIXELS = 1 << 26
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

    def put(self, db: sqlite3.Connection, digest: str, original: Original, now: int) -> None:
        """Store a picture, within a transaction; one that is there is only marked as wanted. Raises LibraryError."""
        suffix = original.suffix.lower().removeprefix(".")
        if not is_digest(digest) or not _SUFFIX.fullmatch(suffix):
            raise LibraryError("A picture with this name cannot be stored.")
        name = f"{hashlib.sha256(original.data).hexdigest()}.{suffix}"
        db.execute(
            """INSERT INTO picture (digest, original, stored) VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO UPDATE
               SET stored = excluded.stored, original = CASE original WHEN '' THEN excluded.original ELSE original END""",
            (digest, name, now),
        )
        there = self._names(db, digest)[0]
        if there != name and (not _ORIGINAL.fullmatch(there) or not (self._originals / there).exists()):
            db.execute("UPDATE picture SET original = ? WHERE digest = ?", (name, digest))
            there = name
        if there == name:
            _put(self._originals / name, original.data)

    def original(self, db: sqlite3.Connection, digest: str) -> Original | None:
        """The file as it came, or what an earlier version kept of it; None where neither is there. Raises LibraryError when it cannot be
        read."""
        return self._kept(digest, *self._names(db, digest)) if is_digest(digest) else None

    def _kept(self, digest: str, name: str, png: str) -> Original | None:
        """A file that its row does not name is looked for by the digest of the picture."""
        if not _ORIGINAL.fullmatch(name):
            name = next((path.name for path in self._originals.glob(f"{digest}.*")), "")
        return self.original_named(name, png)

    def original_named(self, name: str, png: str) -> Original | None:
        """The same by the name of its file, and by that of an earlier version's."""
        data = _read(self._originals / name) if _ORIGINAL.fullmatch(name) else None
        if data is not None:
            return Original(data, name.partition(".")[2])
        data = _read(self._png(png)) if is_digest(png) else None
        return None if data is None else Original(data, "png")

    def remove_unused(self, db: sqlite3.Connection, now: int) -> None:
        """Remove what no conversation uses. The files go first: should the rest fail, a row without a file is as good as none."""
        unused = db.execute(
            """SELECT digest, original, png FROM picture
               WHERE stored <= ? AND NOT EXISTS (SELECT 1 FROM picture_use WHERE picture_use.digest = picture.digest)""",
            (now - GRACE_MS,),
        ).fetchall()
        for digest, original, png in unused:
            name, old = as_text(original), as_text(png)
            shared = db.execute("SELECT 1 FROM picture WHERE original = ? AND digest <> ?", (name, digest)).fetchone()
            if is_digest(old):
                _remove(self._png(old))
            if not shared and _ORIGINAL.fullmatch(name):
                _remove(self._originals / name)
            db.execute("DELETE FROM picture WHERE digest = ?", (digest,))

    def problems(self, db: sqlite3.Connection) -> list[str]:
        """What is wrong with the files of pictures that conversations show. Reads all of them."""
        used = {as_text(digest) for (digest,) in db.execute("SELECT DISTINCT digest FROM picture_use")}
        found = []
        for digest, name, png in db.execute("SELECT digest, original, png FROM picture").fetchall():
            if as_text(digest) not in used:
                continue
            try:
                original = self._kept(as_text(digest), as_text(name), as_text(png)) if is_digest(as_text(digest)) else None
            except LibraryError as error:
                found.append(error.message)
                continue
            if original is None:
                found.append(f"The picture {as_text(digest)[:16]} is missing.")
            elif original.digest not in (as_text(digest), original_digest(as_text(name))) and not (
                png and pixel_digest(original.data) == as_text(png)
            ):
                found.append(f"The picture {as_text(digest)[:16]} is damaged.")
        return found

    def remove_torn(self) -> None:
        """Remove what killed programs left half-written. A whole file without a row stays: a repair may still want it."""
        for folder in (self._pictures, self._originals):
            for path in folder.glob(f"{TEMPORARY}*"):
                with contextlib.suppress(OSError):  # another program may be at it
                    if path.stat().st_mtime < time.time() - _TORN_SECONDS:
                        path.unlink()

    def _png(self, digest: str) -> Path:
        return self._pictures / f"{digest}.png"

    def _names(self, db: sqlite3.Connection, digest: str) -> tuple[str, str]:
        """Names of the file and of an earlier version's. Without a row, an earlier version may have left what its name says."""
        row = db.execute("SELECT original, png FROM picture WHERE digest = ?", (digest,)).fetchone()
        return ("", digest) if row is None else (as_text(row[0]), as_text(row[1]))


def original_digest(name: str) -> str:
    """The digest of the picture that a file under ``originals/`` is, "" for what is no name of one."""
    return name.partition(".")[0] if _ORIGINAL.fullmatch(name) else ""


def pixel_digest(png: bytes) -> str:
    """The digest of the pixels, "" for what is not a PNG of a decent size."""
    try:
        with decoded(png, ("PNG",), _MAX_PIXELS) as image:
            return RgbImage.from_rgb(image.width, image.height, image.convert("RGB").tobytes()).digest
    except BadPictureError:
        return ""


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
