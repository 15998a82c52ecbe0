"""From segments to tokens: each segment by itself, so that an unchanged segment always gives unchanged tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol

from nemochat.domain.segments import Control, Plain
from nemochat.engine.lru import LruCache
from nemochat.errors import EngineError

_ANCHOR = "\ue000"
"""A private-use character: it becomes byte tokens, which never merge with what follows."""
_FOLLOWER = "a"
"""Begins the text behind a marker, as most texts do: GPT-2's rules take white space apart by what follows it."""
_PICTURE = chr(0x10FFFF)
"""Stands for a picture among tokens; no vocabulary is that large."""
_MAX_SEGMENTS = 2048
_MAX_REPLIES = 512


class Vocabulary(Protocol):
    """The tokens of a model, in this process or on a server."""

    @property
    def writes_text(self) -> bool:
        """Whether its tokens give back any text as it was."""

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids of a text as llama.cpp makes them, without begin and end markers."""

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for. Control tokens give their names."""

    def is_marker(self, token: int) -> bool:
        """Whether a token is part of the prompt's structure: a control token, or a user-defined one that looks like a tag."""

    def is_special(self, token: int) -> bool:
        """Whether llama.cpp looks for the token's name in a text before it takes the rest apart."""

    def is_unknown(self, token: int) -> bool:
        """Whether this is the token for what the vocabulary cannot spell."""


class Tokenizer:
    """Tokenises segments, remembers the results, and knows by heart which tokens the model's own replies were made of.

    Some vocabularies (SentencePiece) put a space before text at the very beginning and behind a special token: there alone the tokens of a
    segment depend on what stands before it (`follows_special`), as when llama.cpp tokenises a whole prompt.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises EngineError for a vocabulary that cannot write text."""
        if not vocabulary.writes_text:
            raise EngineError("The vocabulary of this model cannot give text back as it was; it is not made for chat.", "Choose another.")
        self._vocabulary = vocabulary
        self._segments: LruCache[tuple[bool, bool, str], tuple[int, ...]] = LruCache(_MAX_SEGMENTS)
        self._replies: LruCache[str, tuple[int, ...]] = LruCache(_MAX_REPLIES)
        anchor = vocabulary.tokenize(_ANCHOR, parse_special=False)
        # Tokenised by itself, every text would get that space; after the anchor none does.
        self._anchor = anchor if b"".join(map(vocabulary.piece, anchor)) != _ANCHOR.encode() else []

    def tokens(self, segment: Control | Plain, *, follows_special: bool = False) -> tuple[int, ...]:
        """The token ids of one segment.

        Only Control text gives control tokens and tags. Plain text that is a reply of this model gives the tokens that it generated,
        which need not be those that the tokeniser would choose.
        """
        is_control = isinstance(segment, Control)
        is_prefixed = follows_special and bool(self._anchor)
        if not is_control and (reply := self._reply(segment.text, is_prefixed)) is not None:
            return reply
        key = (is_control, is_prefixed, segment.text)
        ids = self._segments.get(key)
        if ids is None:
            ids = tuple((self._structure if is_control else self._spell)(segment.text, is_prefixed=is_prefixed))
            self._segments.put(key, ids)
        return ids

    def follows_special(self, segment: Control | Plain, before: bool) -> bool:
        """Whether what stands behind a segment follows a special token, where it itself did or did not (`before`)."""
        if isinstance(segment, Plain):
            return before and not segment.text
        ids = self.tokens(segment, follows_special=before)
        return self._vocabulary.is_special(ids[-1]) if ids else before

    def spelled(self, text: str) -> tuple[int, ...]:
        """Tokens that stand for exactly this text and are no structure; none when the vocabulary cannot spell it."""
        ids = self._spell(text)
        is_exact = b"".join(map(self._vocabulary.piece, ids)) == text.encode("utf-8", "replace")
        return tuple(ids) if is_exact and not any(map(self._vocabulary.is_marker, ids)) else ()

    def remember_reply(self, tokens: Sequence[int], shown: str) -> None:
        """Keep the tokens of a generated reply for when its text comes back in a prompt. `shown`: the text without stops.

        Control tokens and tags in it are left out, because a prompt writes those as Control text: what is kept is what stands between.
        """
        room = len(shown.encode())
        run: list[int] = []
        for token in tokens:
            room -= len(self._vocabulary.piece(token))
            if room < 0:
                break
            if self._vocabulary.is_marker(token):
                self._remember_run(run)
                run = []
            else:
                run.append(token)
        self._remember_run(run)

    def replies_in(self, cells: Sequence[object]) -> list[tuple[str, tuple[int, ...]]]:
        """The replies known by heart whose tokens stand in these cells."""
        # As text of one character a token: nothing finds a run within another as quickly.
        held = "".join(chr(cell) if isinstance(cell, int) else _PICTURE for cell in cells)
        return [(text, tokens) for text, tokens in self._replies.items() if "".join(map(chr, tokens)) in held]

    def learn(self, replies: Iterable[tuple[str, tuple[int, ...]]]) -> None:
        """Know replies of an earlier run by heart."""
        for text, tokens in replies:
            self._replies.put(text, tokens)

    def _remember_run(self, run: list[int]) -> None:
        self._remember_text(run)
        bounds = [index for index, token in enumerate(run) if self._vocabulary.piece(token).strip()]
        if bounds:
            self._remember_text(run[bounds[0] : bounds[-1] + 1])

    def _remember_text(self, run: list[int]) -> None:
        try:
            text = b"".join(map(self._vocabulary.piece, run)).decode()
        except UnicodeDecodeError:
            return
        if not text:
            return
        # Where a space may be put before the text, what was generated may be no spelling of it, whatever it looks like.
        if run == self._spell(text) and not self._anchor:
            self._replies.discard(text)
        else:
            self._replies.put(text, tuple(run))

    def _reply(self, text: str, is_prefixed: bool) -> tuple[int, ...] | None:
        reply = self._replies.get(f" {text}") if is_prefixed else None
        return self._replies.get(text) if reply is None else reply

    def _structure(self, text: str, *, is_prefixed: bool) -> list[int]:
        """Tokenise the format's own text. White space at its end gives the tokens that it has before a text, also while none follows."""
        ids = self._tokenize(text, parse_special=True, is_prefixed=is_prefixed)
        if not text[-2:].isspace():
            return ids
        followed = self._tokenize(text + _FOLLOWER, parse_special=True, is_prefixed=is_prefixed)
        return followed[:-1] if [self._vocabulary.piece(token) for token in followed[-1:]] == [_FOLLOWER.encode()] else ids

    def _spell(self, text: str, *, is_prefixed: bool = False) -> list[int]:
        """Tokenise text that must not become structure.

        With `parse_special` off llama.cpp still finds tags that the vocabulary defines, and merging pieces may arrive at the name of a
        control token or of the unknown one. Wherever that comes out, the text is cut after the first character of its name and the
        pieces stand alone.
        """
        ids = self._tokenize(text, parse_special=False, is_prefixed=is_prefixed)
        markers = {token for token in ids if self._vocabulary.is_marker(token) or self._is_spelled_unknown(token, text)}
        if not markers:
            return ids
        names = sorted((self._vocabulary.piece(token).decode("utf-8", "replace") for token in markers), key=len, reverse=True)
        found = [match.start() + 1 for match in re.finditer("|".join(map(re.escape, names)), text)]
        cuts = [0, *found, len(text)]
        pieces = [text[start:stop] for start, stop in pairwise(cuts) if start < stop]
        if len(pieces) == 1:
            raise EngineError(f"The model's vocabulary has no plain spelling for {names[0]!r}.", "Leave it out of the text.")
        return [token for at, piece in enumerate(pieces) for token in self._spell(piece, is_prefixed=is_prefixed and not at)]

    def _is_spelled_unknown(self, token: int, text: str) -> bool:
        """Whether the unknown token may come from its name in the text, and not only from a character outside the vocabulary."""
        return self._vocabulary.is_unknown(token) and self._vocabulary.piece(token).decode("utf-8", "replace") in text

    def _tokenize(self, text: str, *, parse_special: bool, is_prefixed: bool = False) -> list[int]:
        if not text:
            return []
        if not self._anchor or is_prefixed:
            return self._vocabulary.tokenize(text, parse_special=parse_special)
        ids = self._vocabulary.tokenize(_ANCHOR + text, parse_special=parse_special)
        if ids[: len(self._anchor)] != self._anchor:
            return self._vocabulary.tokenize(text, parse_special=parse_special)
        return ids[len(self._anchor) :]
