"""Text from outside as it is shown where somebody approves it: whatever cannot be seen, or hides what can be, is spelled out."""

from __future__ import annotations

import unicodedata

_SELECTORS = "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_JAMO = "".join(map(chr, (*range(0x1160, 0x1200), *range(0xD7B0, 0xD800))))
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u180b\u180c\u180d\u180f" + _SELECTORS + _JAMO)
"""Printable by Unicode's word, and yet nothing is seen or it has no cell of its own: fillers, variation selectors, joining letters."""
_MOST_MARKS = 2
"""As many as any living script puts on one letter. More of them climb over the rows above and below."""


def visible(text: str, kept: str = "") -> str:
    """The text with what cannot be seen as ``\\uXXXX``; of what is no plain character those in `kept` stay as they are.

    Controls, direction marks, zero-width and tag characters, odd spaces, marks without a letter or in a heap, and marks that make a letter
    which looks like another one: two different texts never look the same for that reason. A backslash stays one: JSON doubles it.
    """
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    base, marks = "", 0
    for character in text:
        is_mark = unicodedata.category(character) in ("Mn", "Me")
        is_seen = _is_fitting(base, character, marks) if is_mark else _is_plain(character)
        if is_mark:
            marks += 1
        else:
            base, marks = character if is_seen else "", 0
        shown.append(character if is_seen or character in kept else _escaped(character))
    return "".join(shown)


def row_starts(text: str, width: int) -> list[int]:
    """Where each row of a text begins in `width` cells, and the end of the text.

    A row ends with its line break, or before the character that does not fit, and nowhere else: blanks cannot make a line look like two.
    """
    from rich.cells import cell_len  # a question without tools does without rich

    starts, cells = [0], 0
    for at, character in enumerate(text):
        size = 0 if character == "\n" else cell_len(character)
        if at and (text[at - 1] == "\n" or cells + size > width):
            starts.append(at)
            cells = 0
        cells += size
    return [*starts, len(text)]


def _is_plain(character: str) -> bool:
    return character == " " or (character.isprintable() and character not in _BLANKS)


def _is_fitting(base: str, mark: str, before: int) -> bool:
    """Whether a mark belongs where it stands: on a letter, few of them, and not one that Unicode has as a letter of its own."""
    if not base.isalpha() or before >= _MOST_MARKS or mark in _BLANKS or unicodedata.category(mark) == "Me":
        return False
    return len(unicodedata.normalize("NFC", base + mark)) > 1


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
