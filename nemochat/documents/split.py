"""From sections to passages of a size that fits the prompt.

A passage stays within its section; only tiny neighbours are joined. Paragraphs are kept whole unless one alone is too long: then it is cut
between sentences, and the pieces overlap by a sentence. Everything is made as it is asked for, in time that grows with the length alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec

from nemochat.documents.values import Locator, Piece, Section

TARGET_WORDS = 160
"""A passage is closed when the next paragraph would take it over this."""
MAX_WORDS = 220
MAX_TOKENS = 420
TINY_WORDS = 40
_OVERLAP_WORDS = 30
_LIST_WORDS = 60
_PARAGRAPH = re.compile(r"\n[ \t]*\n[ \t\n]*")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n")  # noqa: RUF001
_BYTES_PER_TOKEN = 3.2
_MAX_BYTES = int(MAX_TOKENS * _BYTES_PER_TOKEN) - 1
_LEAST_OVERLAP, _LONGEST_OVERLAP = 12, 400
_MANY = 20_000
"""Characters of which nobody counts the words: in no language do they fit into a passage."""


class _Block(msgspec.Struct, frozen=True):
    """A paragraph; `line` is 0 where lines say nothing."""

    text: str
    words: int
    line: int


def estimate_tokens(text: str) -> int:
    """Tokens by rule of thumb, rather too many than too few; for when no model is at hand."""
    return int(_bytes(text) / _BYTES_PER_TOKEN) + 1


def split_sections(sections: Iterable[Section]) -> Iterator[Piece]:
    """The passages of a document, in order."""
    for section in _joined(sections):
        locator = Locator(section.page, section.heading, section.line)
        goal, most = (_LIST_WORDS, _LIST_WORDS * 2) if section.is_list else (TARGET_WORDS, MAX_WORDS)
        for block in _packed(_blocks(section, most), goal, most):
            yield Piece(block.text, msgspec.structs.replace(locator, line=block.line))


def together(pieces: Sequence[Piece]) -> str:
    """The text that passages were made of, each heading once, and without what a passage repeats of the one before."""
    parts: list[str] = []
    heading = ""
    for piece in pieces:
        text = piece.text
        if parts:
            most = min(len(text), len(parts[-1]), _LONGEST_OVERLAP)
            repeated = next((size for size in range(most, _LEAST_OVERLAP - 1, -1) if parts[-1].endswith(text[:size].rstrip())), 0)
            text = text[repeated:].lstrip()
        before, heading = heading, piece.locator.heading
        if heading and heading != before and heading not in text[: len(heading) + 9]:
            parts.append(heading)
        if text:
            parts.append(text)
    return "\n\n".join(parts)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a passage, and its lines; none is empty."""
    return (part.strip() for part in _SENTENCE.split(text) if part and part.strip())


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _words(text: str) -> int:
    return len(text.split()) if len(text) < _MANY else _MANY


def _joined(sections: Iterable[Section]) -> Iterator[Section]:
    """Tiny sections beside each other as one, the later headings standing in the text; rows of a table up to the size of a passage."""
    held: Section | None = None
    words = 0
    for section in sections:
        more = _words(section.text)
        if held is not None:
            if section.is_list and held.is_list and section.heading == held.heading and section.page == held.page:
                fits = words + more <= _LIST_WORDS
            else:
                fits = words < TINY_WORDS and more < TINY_WORDS and not section.is_list and not held.is_list and section.page == held.page
            if fits:
                title = _missing_title(section) if section.heading != held.heading else ""
                parts = [held.text, title, section.text] if title else [held.text, section.text]
                held = msgspec.structs.replace(held, text="\n\n".join(parts))
                words += more
                continue
            yield held
        held, words = section, more
    if held is not None:
        yield held


def _missing_title(section: Section) -> str:
    """The heading where the text does not hold it, as the text of a function holds its name."""
    return "" if re.split(r" > |\.", section.heading)[-1] in section.text else section.heading


def _blocks(section: Section, most: int) -> Iterator[_Block]:
    """Its paragraphs; one that is too long is in pieces."""
    text, at, line = section.text, 0, section.line
    for gap in chain(_PARAGRAPH.finditer(text), (None,)):
        end = gap.start() if gap is not None else len(text)
        paragraph = text[at:end]
        if paragraph.strip():
            first = line + (paragraph[: len(paragraph) - len(paragraph.lstrip("\n"))].count("\n") if line else 0)
            body = paragraph.strip("\n").rstrip()
            words = _words(body)
            if words <= most and _bytes(body) <= _MAX_BYTES:
                yield _Block(body, words, first)
            else:
                yield from _cut(body, first, most)
        if gap is not None:
            line += text.count("\n", at, gap.end()) if line else 0
            at = gap.end()


def _packed(blocks: Iterable[_Block], goal: int, most: int) -> Iterator[_Block]:
    """Neighbours joined as long as they fit together."""
    held: _Block | None = None
    for block in blocks:
        if held is not None:
            together = f"{held.text}\n\n{block.text}"
            words = held.words + block.words
            limit = most if min(held.words, block.words) < TINY_WORDS else goal
            if words <= limit and _bytes(together) <= _MAX_BYTES:
                held = _Block(together, words, held.line)
                continue
            yield held
        held = block
    if held is not None:
        yield held


class _Sentence(msgspec.Struct, frozen=True):
    """A sentence with what follows it; `line` as in a block."""

    text: str
    words: int
    bytes: int
    line: int


def _cut(text: str, line: int, most: int) -> Iterator[_Block]:
    """A long paragraph between its sentences, each piece but the first beginning with the last sentence before it if that is short."""
    goal = min(TARGET_WORDS, most)
    held: list[_Sentence] = []
    words = size = 0
    for sentence in _sentences(text, line, goal):
        if held and (words + sentence.words > goal or size + sentence.bytes > _MAX_BYTES):
            yield _as_block(held, words)
            last = held[-1]
            is_short = last.words <= _OVERLAP_WORDS and last.bytes + sentence.bytes <= _MAX_BYTES
            overlaps = len(held) > 1 and is_short and last.words + sentence.words <= goal
            held = [last] if overlaps else []
            words, size = (last.words, last.bytes) if overlaps else (0, 0)
        held.append(sentence)
        words += sentence.words
        size += sentence.bytes
    if held:
        yield _as_block(held, words)


def _as_block(sentences: list[_Sentence], words: int) -> _Block:
    return _Block("".join(each.text for each in sentences).strip("\n").rstrip(), words, sentences[0].line)


def _sentences(text: str, line: int, most: int) -> Iterator[_Sentence]:
    """The sentences of a text that begins in this line; what has no end is cut by its length."""
    at = 0
    for gap in chain(_SENTENCE.finditer(text), (None,)):
        end = gap.end() if gap is not None else len(text)
        if end > at:
            for part in _within(text[at:end], most):
                yield _Sentence(part, len(part.split()), _bytes(part), line)
                line += part.count("\n") if line else 0
        at = end


def _within(text: str, most: int) -> Iterator[str]:
    """The text in halves, and those in halves, until each is small enough; cut at a blank where there is one near the middle."""
    waiting = [text]
    while waiting:
        part = waiting.pop()
        if len(part) < 2 or (_bytes(part) <= _MAX_BYTES and len(part.split()) <= most):
            yield part
            continue
        middle = len(part) // 2
        blank = part.rfind(" ", len(part) // 4, middle) + 1
        cut = blank or middle
        waiting += [part[cut:], part[:cut]]
