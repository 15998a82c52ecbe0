"""What a server prints for people, kept in a file that does not grow for ever and holds no terminal escapes."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.files import open_to_append, reason, write_whole


class BoundedLog:
    """A log file of at most `limit` bytes: when it is full, its older half goes. A log that cannot be written never stops a server."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.problem = ""

    def write(self, data: bytes) -> None:
        """Append what was printed, cut anywhere."""
        self._append(sanitize(self._decoder.decode(data)))

    def note(self, sentence: str) -> None:
        """Append a line of our own."""
        self._append(f"[nemochat] {sanitize(sentence, strict=True)}\n")

    def tail(self, lines: int = 200) -> str:
        """The last lines, safe to show."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - self._limit))
                text = file.read(self._limit).decode("utf-8", "replace")
        except OSError:
            text = ""
        return "\n".join([*sanitize(text).splitlines(), *filter(None, (self.problem,))][-lines:])

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "replace")[-self._limit :]
        if not data:
            return
        try:
            with os.fdopen(open_to_append(self._path), "ab") as file:
                file.write(data)
                size = file.tell()
            if size > self._limit:
                write_whole(self._path, self._path.read_bytes()[-self._limit // 2 :])
        except OSError as error:
            self.problem = f"This log cannot be written: {sanitize(reason(error), strict=True)}."
