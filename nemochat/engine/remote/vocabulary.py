"""The vocabulary of a llama-server: what it has said of texts and tokens, so that our own tokenizer can work with it.

`Tokenizer` asks and needs the answer at once; here an answer that is not known yet is noted, and `Unasked` raised. `resolved` then asks the
server for all that was noted, and does the work again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from nemochat.engine.remote.client import ServerClient

_BETWEEN = (0, 1, 1, 0, 1, 0, 0, 1)
"""Tokens that are put between texts, so that many can be asked for at once: the server has few threads, and each open connection takes
one of them for itself."""
_MOST_KEPT = 1 << 22
"""Characters of texts whose tokens are known, before all are forgotten."""
_TAG = re.compile(rb"\s*(<.*\w.*>|\[.*\w.*\])\s*", re.DOTALL)
_LONGEST_NAME = 256
_MOST_ROUNDS = 256
"""So often the server is asked for what the answers before make necessary; no text needs it more than a few times."""
_UNKNOWN = re.compile(rb"<\|?unk\|?>|\[unk\]", re.IGNORECASE)
_Result = TypeVar("_Result")


class _Text(NamedTuple):
    """Which tokens is this?"""

    text: str
    parse_special: bool


class Unasked(Exception):
    """The server was not asked this yet; it will be."""


class ServerVocabulary:
    """A vocabulary over the route ``/tokenize``, which takes token ids as well and says what they stand for.

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
        self._missing: dict[_Text | int, None] = {}

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
            raise self._note(token)
        return piece

    def is_marker(self, token: int) -> bool:
        """Whether a token is part of the prompt's structure."""
        piece = self.piece(token)
        if len(piece) > _LONGEST_NAME:
            return False
        return piece in self._names or (_TAG.fullmatch(piece) is not None and _UNKNOWN.fullmatch(piece) is None)

    def is_special(self, token: int) -> bool:
        """Whether llama.cpp looks for the token's name in a text first."""
        return self.is_marker(token) or self.is_unknown(token)

    def is_unknown(self, token: int) -> bool:
        """Whether this is the token for what the vocabulary cannot spell."""
        return _UNKNOWN.fullmatch(self.piece(token)) is not None

    def know(self, tokens: Sequence[int]) -> None:
        """Raises Unasked unless the pieces of all these are known; they are asked for together then."""
        unknown = [token for token in tokens if token not in self._pieces]
        for token in unknown:
            self._note(token)
        if unknown:
            raise Unasked

    def learn(self, token: int, text: str) -> None:
        """A token of a reply and its text."""
        self._pieces.setdefault(token, text.encode())

    async def resolved(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns once all is known that it asks for. Raises ServerError."""
        if self._size > _MOST_KEPT:
            self._ids.clear()
            self._size = 0
        for _ in range(_MOST_ROUNDS):
            try:
                return work()
            except Unasked:
                missing, self._missing = list(self._missing), {}
                for parse_special in (True, False):
                    texts = [each.text for each in missing if isinstance(each, _Text) and each.parse_special is parse_special]
                    if texts:
                        await self._ask(texts, parse_special=parse_special)
                if tokens := [each for each in missing if isinstance(each, int)]:
                    await self._asked(tokens, parse_special=False)
        raise self._client.misread("does not say what its tokens are")

    def _note(self, question: _Text | int) -> Unasked:
        self._missing[question] = None
        return Unasked()

    async def _ask(self, texts: Sequence[str], *, parse_special: bool) -> None:
        """The tokens of each of these texts."""
        content: list[str | int] = [texts[0]]
        for text in texts[1:]:
            content += [*_BETWEEN, text]
        found = list(_parted(await self._asked(content, parse_special=parse_special)))
        if len(found) != len(texts):  # a text has the very tokens in it that were to stand between
            found = [await self._asked([text], parse_special=parse_special) for text in texts]
        for text, ids in zip(texts, found, strict=True):
            self._ids[_Text(text, parse_special)] = ids
            self._size += len(text)

    async def _asked(self, content: Sequence[str | int], *, parse_special: bool) -> list[int]:
        """The tokens of these texts, one after the other, with the tokens between them. What they stand for is known then."""
        body = {"content": content, "add_special": False, "parse_special": parse_special, "with_pieces": True}
        said = await self._client.post("/tokenize", {**self._body, **body})
        try:
            tokens = msgspec.convert(said, _Tokens).tokens
        except msgspec.ValidationError:
            raise self._client.misread("does not say what its tokens are") from None
        for token in tokens:
            self._pieces[token.id] = token.piece.encode("utf-8", "replace") if isinstance(token.piece, str) else bytes(token.piece)
        return [token.id for token in tokens]


class _Piece(msgspec.Struct):
    """A token. piece: its text, or its bytes where they are none."""

    id: Annotated[int, Meta(ge=0)]
    piece: str | list[Annotated[int, Meta(ge=0, le=255)]]


class _Tokens(msgspec.Struct):
    """What ``/tokenize`` answers."""

    tokens: list[_Piece]


def _parted(ids: Sequence[int]) -> Iterator[list[int]]:
    """The tokens between those that stand between."""
    start, at, length = 0, 0, len(_BETWEEN)
    while at < len(ids):
        if ids[at] == _BETWEEN[0] and tuple(ids[at : at + length]) == _BETWEEN:
            yield list(ids[start:at])
            start = at = at + length
        else:
            at += 1
    yield list(ids[start:])
