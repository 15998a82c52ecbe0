"""Messages cut out of a pipe, one a line, with a bound on what is held of a line that never ends."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

_HEAD_BYTES = 1024


class TooLong(msgspec.Struct, frozen=True):
    """A line that is longer than the bound; told once, when it passes it. The rest of the line is thrown away."""

    head: bytes


class LineCutter:
    """Any cutting of the same bytes into chunks brings the same lines."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._is_skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """The lines that the chunk ends, without their line feed. To be exhausted before the next chunk."""
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start)
            stop = len(chunk) if end < 0 else end
            if not self._is_skipping and len(self._line) + stop - start > self._limit:
                # Only the head is wanted, however the line was cut.
                head = bytes(self._line[:_HEAD_BYTES]) + chunk[start : start + _HEAD_BYTES]
                self._line.clear()
                self._is_skipping = True
                yield TooLong(head[:_HEAD_BYTES])
            if not self._is_skipping:
                self._line += chunk[start:stop]
            if end >= 0:
                if not self._is_skipping:
                    yield bytes(self._line)
                self._line.clear()
                self._is_skipping = False
            start = stop + 1
