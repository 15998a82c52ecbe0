"""The vocabulary of a llama-server: what it has said of texts and tokens, so that our own tokenizer can work with it.

`Tokenizer` asks and needs the answer at once; here an answer that is not known yet is noted, and `Unasked` raised. `resolved` then asks the
server for all that was noted, and does the work again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from nemochat.engine.remote.client import ServerClient

_AT_ONCE = 16
"""Requests that are under way together."""
_MOST_KEPT = 1 << 22
"""Characters of texts whose tokens are known, before all are forgotten."""
_TAG = re.compile(rb"\s*(<.*\w.*>|\[.*\w.*\])\s*", re.DOTALL)
_UNKNOWN = re.compile(rb"<\|?unk\|?>|\[unk\]", re.IGNORECASE)
_Result = TypeVar("_Result")


class _Text(NamedTuple):
    """Which tokens is this?"""

    text: str
    parse_special: bool


class _Token(NamedTuple):
    """Which text is this?"""

    token: int


class Unasked(Exception):
    """The server was not asked this yet; it will be."""


class ServerVocabulary:
    """A vocabulary over the routes ``/tokenize`` and ``/detokenize``.

    The server does not say of what kind a token is. One that looks like a tag with a word in it (``<tool>``, ``[INST]``) is taken for part
    of the structure: where text is taken apart at its punctuation first, as nearly everywhere, no other token looks so; and should one be
    taken for a tag that is none, it is only spelled out.
    """

    writes_text = True

    def __init__(self, client: ServerClient, body: dict[str, Any], names: tuple[str, ...] = ()) -> None:
        """`body`: what goes with every request. `names`: of tokens that are part of the structure, whatever they look like."""
        self._client = client
        self._body = body
        self._names = frozenset(name.encode() for name in names if name)
        self._ids: dict[_Text, list[int]] = {}
        self._size = 0
        self._pieces: dict[int, bytes] = {}
        self._missing: dict[_Text | _Token, None] = {}
        self._asking = asyncio.Semaphore(_AT_ONCE)

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids of a text, without begin and end markers. Raises Unasked."""
        ids = self._ids.get(_Text(text, parse_special))
        if ids is None:
            raise self._note(_Text(text, parse_special))
        return list(ids)

    def piece(self, token: int) -> bytes:
        """The bytes of a token. Raises Unasked."""
        piece = self._pieces.get(token)
        if piece is None:
            raise self._note(_Token(token))
        return piece

    def is_marker(self, token: int) -> bool:
        """Whether a token is part of the prompt's structure."""
        piece = self.piece(token)
        return piece in self._names or (_TAG.fullmatch(piece) is not None and _UNKNOWN.fullmatch(piece) is None)

    def is_special(self, token: int) -> bool:
        """Whether llama.cpp looks for the token's name in a text first."""
        return self.is_marker(token) or self.is_unknown(token)

    def is_unknown(self, token: int) -> bool:
        """Whether this is the token for what the vocabulary cannot spell."""
        return _UNKNOWN.fullmatch(self.piece(token)) is not None

    def learn(self, token: int, text: str) -> None:
        """A token of a reply and its text."""
        self._pieces.setdefault(token, text.encode())

    async def resolved(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns once all is known that it asks for. Raises ServerError."""
        if self._size > _MOST_KEPT:
            self._ids.clear()
            self._size = 0
        while True:
            try:
                return work()
            except Unasked:
                missing, self._missing = list(self._missing), {}
                await asyncio.gather(*map(self._ask, missing))

    def _note(self, question: _Text | _Token) -> Unasked:
        self._missing[question] = None
        return Unasked()

    async def _ask(self, question: _Text | _Token) -> None:
        async with self._asking:
            if isinstance(question, _Token):
                said = await self._client.post("/detokenize", {**self._body, "tokens": [question.token]})
                content = said.get("content") if isinstance(said, dict) else None
                if not isinstance(content, str):
                    raise self._client.misread("has no text of a token in it")
                self._pieces[question.token] = content.encode("utf-8", "replace")
                return
            body = {"content": question.text, "add_special": False, "parse_special": question.parse_special, "with_pieces": True}
            said = await self._client.post("/tokenize", {**self._body, **body})
            self._keep(question, said.get("tokens") if isinstance(said, dict) else None)

    def _keep(self, question: _Text, tokens: Any) -> None:
        """Tokens as ids with their pieces, which are text or, where they are none, bytes; an older server sends the ids alone."""
        ids = []
        for each in tokens if isinstance(tokens, list) else (None,):
            token, piece = (each.get("id"), each.get("piece")) if isinstance(each, dict) else (each, None)
            if not isinstance(token, int) or isinstance(token, bool) or token < 0:
                raise self._client.misread("has no tokens in it")
            ids.append(token)
            if isinstance(piece, str):
                self._pieces[token] = piece.encode("utf-8", "replace")
            elif isinstance(piece, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in piece):
                self._pieces[token] = bytes(piece)
        self._ids[question] = ids
        self._size += len(question.text)
