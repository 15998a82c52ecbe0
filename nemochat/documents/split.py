"""From sections to passages of a size that fits the prompt.

A passage stays within its section; only tiny neighbours are joined. Paragraphs are kept whole unless one alone is too long: then it is cut
between sentences, and the pieces overlap by a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from nemochat.documents.values import CountOne, Locator, Piece, Section

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


class _Block(msgspec.Struct, frozen=True):
    """A paragraph; `line` is 0 where lines say nothing."""

    text: str
    words: int
    line: int


def estimate_tokens(text: str) -> int:
    """Tokens by rule of thumb, rather too many than too few; for when no model is at hand."""
    return int((len(text) if text.isascii() else len(text.encode(errors="replace"))) / _BYTES_PER_TOKEN) + 1


def split_sections(sections: Iterable[Section], *, count: CountOne = estimate_tokens, max_tokens: int = MAX_TOKENS) -> list[Piece]:
    """The passages of a document, in order."""
    pieces: list[Piece] = []
    for section in _joined(sections):
        locator = Locator(section.page, section.heading, section.line)
        goal, most = (_LIST_WORDS, _LIST_WORDS * 2) if section.is_list else (TARGET_WORDS, MAX_WORDS)
        for block in _packed(_blocks(section, most, max_tokens, count), goal, most, max_tokens, count):
            pieces.append(Piece(block.text, msgspec.structs.replace(locator, line=block.line)))
    return pieces


def _joined(sections: Iterable[Section]) -> Iterator[Section]:
    """Tiny sections beside each other as one, the later headings standing in the text; rows of a table up to the size of a passage."""
    held: Section | None = None
    words = 0
    for section in sections:
        more = len(section.text.split())
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


def _blocks(section: Section, most: int, max_tokens: int, count: CountOne) -> Iterator[_Block]:
    """Its paragraphs; one that is too long is in pieces."""
    text, at, line = section.text, 0, section.line
    for gap in [*_PARAGRAPH.finditer(text), None]:
        end = gap.start() if gap is not None else len(text)
        paragraph = text[at:end]
        if paragraph.strip():
            first = line + (paragraph[: len(paragraph) - len(paragraph.lstrip("\n"))].count("\n") if line else 0)
            body = paragraph.strip("\n").rstrip()
            words = len(body.split())
            if words <= most and count(body) <= max_tokens:
                yield _Block(body, words, first)
            else:
                yield from _cut(body, first, most, max_tokens, count)
        if gap is not None:
            line += text.count("\n", at, gap.end()) if line else 0
            at = gap.end()


def _packed(blocks: Iterable[_Block], goal: int, most: int, max_tokens: int, count: CountOne) -> Iterator[_Block]:
    """Neighbours joined as long as they fit together."""
    held: _Block | None = None
    for block in blocks:
        if held is not None:
            together = f"{held.text}\n\n{block.text}"
            words = held.words + block.words
            limit = most if min(held.words, block.words) < TINY_WORDS else goal
            if words <= limit and count(together) <= max_tokens:
                held = _Block(together, words, held.line)
                continue
            yield held
        held = block
    if held is not None:
        yield held


def _cut(text: str, line: int, most: int, max_tokens: int, count: CountOne) -> Iterator[_Block]:
    """A long paragraph between its sentences, each piece but the first beginning with the last sentence before it if that is short."""
    goal = min(TARGET_WORDS, most)
    sentences = list(_sentences(text, goal, max_tokens, count))
    held: list[tuple[str, int]] = []
    words, first = 0, line
    for sentence, at in sentences:
        more = len(sentence.split())
        here = line + at if line else 0
        if held and (words + more > goal or count("".join(each for each, _ in held) + sentence) > max_tokens):
            yield _Block("".join(each for each, _ in held).strip("\n").rstrip(), words, first)
            last, where = held[-1]
            is_short = len(last.split()) <= _OVERLAP_WORDS and count(last + sentence) <= max_tokens
            overlaps = len(held) > 1 and is_short and len(last.split()) + more <= goal
            held = [(last, where)] if overlaps else []
            words = len(last.split()) if overlaps else 0
            first = where if overlaps else here
        held.append((sentence, here))
        words += more
    if held:
        yield _Block("".join(each for each, _ in held).strip("\n").rstrip(), words, first)


def _sentences(text: str, most: int, max_tokens: int, count: CountOne) -> Iterator[tuple[str, int]]:
    """Sentences with what follows them, and the line within the text at which each begins; what has no end is cut by its length."""
    at = line = 0
    for gap in [*_SENTENCE.finditer(text), None]:
        end = gap.end() if gap is not None else len(text)
        sentence = text[at:end]
        if sentence:
            for part in _within(sentence, most, max_tokens, count):
                yield part, line
                line += part.count("\n")
        at = end


def _within(text: str, most: int, max_tokens: int, count: CountOne) -> Iterator[str]:
    """The text in halves, and those in halves, until each is small enough; cut at a blank where there is one near the middle."""
    waiting = [text]
    while waiting:
        part = waiting.pop()
        if len(part) < 2 or (len(part.split()) <= most and count(part) <= max_tokens):
            yield part
            continue
        middle = len(part) // 2
        blank = part.rfind(" ", len(part) // 4, middle) + 1
        cut = blank or middle
        waiting += [part[cut:], part[:cut]]
