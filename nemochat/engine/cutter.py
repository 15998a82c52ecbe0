"""From the bytes of generated tokens to the text that a person may see. Pure: no model, no I/O."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable


class Cutter:
    """Assembles UTF-8, ends the text at the first stop string, and never lets white space at the end of a reply out.

    What is pushed comes back as soon as it is certain: an incomplete character, the beginning of a possible stop string and white
    space that may turn out to be the last are held back. However the same bytes are split over `push` calls, the joined text is the same:
    the stop string that ends first wins, and of two that end together the longer one.
    Bytes that are no UTF-8 become U+FFFD; an incomplete character at the very end is dropped.
    """

    def __init__(self, stops: Iterable[str] = ()) -> None:
        self._stops = tuple({stop.encode(): None for stop in stops if stop})
        self._prefixes = frozenset(stop[:length] for stop in self._stops for length in range(1, len(stop)))
        self._longest_prefix = max(map(len, self._prefixes), default=0)
        self._beginnings = re.compile(b"[" + b"".join({re.escape(stop[:1]) for stop in self._stops}) + b"]") if self._stops else None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = b""
        self._white_space = ""
        self.stopped = False

    def push(self, data: bytes) -> str:
        """Take the next bytes, return the text that may be shown now (often empty). After a stop string everything is dropped."""
        if self.stopped:
            return ""
        self._pending += data
        # The usual case, decided at the cost of one search per token.
        if self._beginnings is None or self._beginnings.search(self._pending) is None:
            return self._release(len(self._pending))
        cut = self._first_stop()
        if cut is not None:
            self.stopped = True
            return self._release(cut)
        return self._release(len(self._pending) - self._held_back())

    def pass_on(self, data: bytes) -> str:
        """Take bytes in which no stop string is looked for: inside a constrained tool call it can only be part of an argument."""
        if self.stopped:
            return ""
        self._pending += data
        return self._release(len(self._pending))

    def finish(self) -> str:
        """The reply is over: return the rest of the text, without white space at its end."""
        if self.stopped:
            return ""
        self.stopped = True
        return self._release(len(self._pending))

    def _first_stop(self) -> int | None:
        """Where the stop string that is complete first begins in the pending bytes."""
        found = [(start + len(stop), start) for stop in self._stops if (start := self._pending.find(stop)) >= 0]
        return min(found)[1] if found else None

    def _held_back(self) -> int:
        """How many of the last pending bytes may be the beginning of a stop string."""
        for length in range(min(self._longest_prefix, len(self._pending)), 0, -1):
            if self._pending[-length:] in self._prefixes:
                return length
        return 0

    def _release(self, count: int) -> str:
        text = self._white_space + self._decoder.decode(self._pending[:count])
        self._pending = self._pending[count:]
        shown = text.rstrip()
        self._white_space = text[len(shown) :]
        return shown
