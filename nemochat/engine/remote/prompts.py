"""A prompt as llama-server takes it: as token ids, or, where there is a picture in it, as text that the server tokenises by itself.

In text every name of a control token is one, whoever wrote it; so what others wrote is broken there, visibly: ``<s>`` is sent as ``< s>``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.engine.remote.vocabulary import ServerVocabulary, Unasked
from nemochat.engine.tokens import Tokenizer
from nemochat.errors import EngineError

_TRIES = 16
"""So often a text may still hold the name of a control token after those in it were broken."""


class ServerPrompt(msgspec.Struct, frozen=True):
    """A prompt in the units in which it can be cut: token ids, or texts and pictures. sizes: their tokens. pictures: PNG files in base64.

    begins: tokens that the server puts before it by itself.
    """

    units: tuple[int, ...] | tuple[str | ImageSlot, ...]
    sizes: tuple[int, ...]
    pictures: Mapping[str, str] = {}
    begins: int = 0

    @property
    def is_text(self) -> bool:
        """Whether the server tokenises it."""
        return bool(self.pictures)

    @property
    def tokens(self) -> int:
        """Of the whole prompt."""
        return self.begins + sum(self.sizes)

    @property
    def image_tokens(self) -> int:
        """Of its pictures."""
        return sum(size for unit, size in zip(self.units, self.sizes, strict=True) if isinstance(unit, ImageSlot))

    def until(self, count: int) -> int:
        """Tokens of the first `count` units."""
        return self.begins + sum(self.sizes[:count]) if count else 0

    def images_from(self, tokens: int) -> int:
        """How many pictures stand behind the first so many tokens."""
        at, found = self.begins, 0
        for unit, size in zip(self.units, self.sizes, strict=True):
            found += isinstance(unit, ImageSlot) and at >= tokens
            at += size
        return found

    def body(self, marker: str, count: int | None = None) -> dict[str, Any]:
        """What a request says of the prompt, or of its first `count` units. A prompt may not end with a picture: there a line follows."""
        units = self.units[:count]
        if not self.is_text:
            return {"prompt": list(units)}
        text = "".join(marker if isinstance(unit, ImageSlot) else str(unit) for unit in units)
        data = [self.pictures[unit.digest] for unit in units if isinstance(unit, ImageSlot)]
        return {"prompt": {"prompt_string": f"{text}\n" if isinstance(units[-1], ImageSlot) else text, "multimodal_data": data}}


def common(held: ServerPrompt, wanted: ServerPrompt) -> int:
    """Units that both begin with."""
    pairs = enumerate(zip(held.units, wanted.units, strict=False))
    return next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(held.units), len(wanted.units)))


def has_pictures(segments: Sequence[Segment]) -> bool:
    """Whether a prompt goes as text."""
    return any(isinstance(segment, ImageSlot) for segment in segments)


class Writer:
    """Makes prompts of segments with a vocabulary. begin: the token that the vocabulary wants before every prompt, None for none; costs: of
    pictures in tokens, by digest. All methods but these raise Unasked (see `ServerVocabulary.resolved`) and EngineError."""

    def __init__(self, vocabulary: ServerVocabulary, begin: int | None, begin_text: str, costs: Mapping[str, int]) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = Tokenizer(vocabulary)
        self._begin = begin
        self._begin_text = begin_text
        self._costs = costs

    def single_token(self, name: str) -> int | None:
        """The control token or tag with this very name, None when the vocabulary has none."""
        ids = self._vocabulary.tokenize(name, parse_special=True) if name else []
        is_one = len(ids) == 1 and self._vocabulary.is_marker(ids[0]) and self._vocabulary.piece(ids[0]) == name.encode()
        return ids[0] if is_one else None

    def remember_reply(self, tokens: Sequence[int], shown: str) -> None:
        """See `Tokenizer.remember_reply`."""
        self._tokenizer.remember_reply(tokens, shown)

    def counts(self, segments: Sequence[Segment], marker: str) -> list[int]:
        """Tokens of each segment of a prompt."""
        if not has_pictures(segments):
            return [len(ids) for ids in self._ids(segments)]
        return self._text_sizes(self._texts(segments, marker))

    def prompt(self, segments: Sequence[Segment], marker: str, pictures: Mapping[str, str]) -> ServerPrompt:
        """A prompt as it is sent."""
        if not has_pictures(segments):
            ids = tuple(chain.from_iterable(self._ids(segments)))
            return ServerPrompt(ids, (1,) * len(ids))
        units = self._texts(segments, marker)
        sizes = self._text_sizes(units)
        begins = self._begin is not None
        return ServerPrompt(tuple(units), (sizes[0] - begins, *sizes[1:]), pictures, int(begins))

    def _ids(self, segments: Sequence[Segment]) -> list[tuple[int, ...]]:
        """The tokens of each segment, the first with the begin token that the vocabulary wants, unless it begins with it."""
        found: list[tuple[int, ...]] = []
        begin, follows_special, is_known = self._begin, True, True
        for segment in segments:
            assert not isinstance(segment, ImageSlot)
            try:
                ids = self._tokenizer.tokens(segment, follows_special=follows_special)
                follows_special = self._tokenizer.follows_special(segment, follows_special)
            except Unasked:  # the others are asked for at the same time; most of the format's texts end in plain text
                is_known, ids, follows_special = False, (), False
            found.append(ids if begin is None or ids[:1] == (begin,) else (begin, *ids))
            begin = None
        if not is_known:
            raise Unasked
        return found

    # -- prompts as text

    def _texts(self, segments: Sequence[Segment], marker: str) -> list[str | ImageSlot]:
        """Each segment as it is sent, in what others wrote with the names of control tokens broken; the marker is that of pictures."""
        units: list[str | ImageSlot] = []
        is_known = True
        for segment in segments:
            if isinstance(segment, ImageSlot):
                units.append(segment)
            elif isinstance(segment, Control):
                units.append(segment.text)
            else:
                try:
                    units.append(self._broken(segment.text, marker))
                except Unasked:
                    is_known = False
                    units.append("")
        if not is_known:
            raise Unasked
        if self._begin is not None and isinstance(units[0], str):
            units[0] = units[0].removeprefix(self._begin_text)  # the server writes it
        return self._parted(segments, units, marker)

    def _parted(self, segments: Sequence[Segment], units: list[str | ImageSlot], marker: str) -> list[str | ImageSlot]:
        """The same where two texts of others stand side by side: together they may be a name that neither is."""
        for at in range(1, len(units)):
            if isinstance(segments[at - 1], Plain) and isinstance(segments[at], Plain):
                joined = f"{units[at - 1]}{units[at]}"
                if self._broken(joined, marker) != joined:
                    units[at] = f" {units[at]}"
        return units

    def _broken(self, text: str, marker: str) -> str:
        """A text in which no name of a control token or tag is left: each has a space behind its first character."""
        for _ in range(_TRIES):
            names = sorted({*self._names_in(text), *({marker} if marker in text else ())}, key=len, reverse=True)
            if not names:
                return text
            for name in names:
                text = text.replace(name, f"{name[:1]} {name[1:]}")
        raise EngineError("A text beside the picture cannot be told from the model's own marks.", "Take it out, or send the picture alone.")

    def _names_in(self, text: str) -> Iterator[str]:
        """The names of control tokens and tags that the server would find in a text."""
        if not text:
            return
        vocabulary = self._vocabulary
        plain = set(vocabulary.tokenize(text, parse_special=False))
        for token in dict.fromkeys(vocabulary.tokenize(text, parse_special=True)):
            name = vocabulary.piece(token).decode("utf-8", "replace").strip()
            if len(name) > 1 and name in text and (vocabulary.is_marker(token) or (token not in plain and self._is_control(name, token))):
                yield name

    def _is_control(self, name: str, token: int) -> bool:
        """Whether a name gives its token only where control tokens are looked for."""
        return self._vocabulary.tokenize(name, parse_special=True) == [token] != self._vocabulary.tokenize(name, parse_special=False)

    def _text_sizes(self, units: Sequence[str | ImageSlot]) -> list[int]:
        """Tokens of each unit behind the one before it, with which it may merge; the sum is that of the whole text between two pictures."""
        sizes: list[int] = []
        before = ""
        is_known = True
        for unit in units:
            if isinstance(unit, ImageSlot):
                sizes.append(self._costs[unit.digest])
                before = ""
                continue
            try:
                sizes.append(max(0, self._length(before + unit) - self._length(before)))
            except Unasked:
                is_known = False
            before = unit or before
        if not is_known:
            raise Unasked
        if self._begin is not None:
            sizes[0] += 1
        return sizes

    def _length(self, text: str) -> int:
        return len(self._vocabulary.tokenize(text, parse_special=True)) if text else 0
