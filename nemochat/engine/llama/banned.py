"""Texts that a reply must not hold: what may become one is held back, and when one has come the reply goes back to where it began.

As KoboldCpp does it. Case does not matter. What is drawn in the place of the token with which a banned text began is drawn from the same
distribution, without the tokens that have led to a banned text there. Pure: no model.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt


class Drawn(msgspec.Struct):
    """A token of the reply. piece: the bytes that it stands for. is_free: it is no part of a call that a grammar holds. logits: what it was
    drawn from, where it may have to be drawn again. banned: tokens that must not stand in its place.
    """

    token: int
    piece: bytes = b""
    is_free: bool = True
    logits: npt.NDArray[np.float32] | None = None
    banned: frozenset[int] = frozenset()


class Banned:
    """The last tokens of a reply, as far as a banned text may have begun in them. can_go_back: by more than the last one. held: by the
    one before this, of fewer texts."""

    def __init__(self, texts: Iterable[str], *, can_go_back: bool, held: Iterable[Drawn] = ()) -> None:
        wanted = sorted({_small(text) for text in texts if text}, key=len, reverse=True)
        self._can_go_back = can_go_back
        self._whole = re.compile("|".join(map(re.escape, wanted)) or "(?!)")
        self._beginnings = frozenset(text[:length] for text in wanted for length in range(1, len(text)))
        self._longest = max(map(len, wanted), default=1) - 1
        self.held = list(held)

    def push(self, drawn: Drawn) -> int:
        """Take the next token; how many of the last ones have to be drawn anew, which are still held then."""
        self.held.append(drawn)
        found = self._whole.search(_small(self._text()[0]))
        if found is None:
            return 0
        return len(self.held) - self._index(found.start()) if self._can_go_back else 1

    def go_back(self, count: int) -> Drawn:
        """Forget the last tokens; returns the first of them, which is to be drawn again."""
        first = self.held[-count]
        del self.held[-count:]
        return msgspec.structs.replace(first, banned=first.banned | {first.token})

    def release(self, *, everything: bool = False) -> list[Drawn]:
        """The tokens that are no part of a banned text, whatever follows; all of them when nothing will."""
        text, is_whole = ("", True) if everything else self._text()
        said = _small(text)
        starts = range(max(0, len(said) - self._longest), len(said))
        begins = next((start for start in starts if said[start:] in self._beginnings), None if is_whole else len(said))
        first = len(self.held) if begins is None else self._index(begins)
        certain, self.held = self.held[:first], self.held[first:]
        return certain

    def _text(self) -> tuple[str, bool]:
        """What is held, but for a character at the end that is not complete yet; and whether there is none of these."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        text = decoder.decode(b"".join(drawn.piece for drawn in self.held))
        return text, not decoder.getstate()[0]

    def _index(self, start: int) -> int:
        """In which of the tokens a character of the text begins."""
        place = len(self._text()[0][:start].encode("utf-8", "surrogateescape"))
        ends = itertools.accumulate(len(drawn.piece) for drawn in self.held)
        return next(index for index, end in enumerate(ends) if place < end)


def _small(text: str) -> str:
    """In small letters, and as long as before."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(each if len(each.lower()) > 1 else each.lower() for each in text)
