"""Text from outside, made safe to print on a terminal.

Model output, file names, documents, tool results, persona cards and GGUF metadata may carry escape sequences that set the clipboard, the
window's title or the cursor, and characters without a look of their own that turn round the order in which other characters are shown or
hide words from the reader. Everything passes through `sanitize` once, where it enters. It works character by character, so a stream may
be cut anywhere.

There are two levels. Text to be read keeps what Arabic, Hebrew, Persian, the scripts of India and emoji are written with: the joiners, the
marks for one direction, the two selectors of an emoji's look. It loses what no script needs: embeddings, overrides and isolates, which
reach as far as the next line and make "exe.gnp" of "png.exe", and the characters that only smuggle (tags, so that the flags of England,
Scotland and Wales become black ones). Names and whatever the user approves are one line in which nothing is invisible.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

_KEPT_CONTROLS = "\n\t"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def _codes(*spans: tuple[int, int]) -> Iterable[int]:
    for first, last in spans:
        yield from range(first, last + 1)


_CONTROLS = {code: None for code in _codes((0x00, 0x1F), (0x7F, 0x9F)) if chr(code) not in _KEPT_CONTROLS}
# Lone surrogates (undecodable bytes of a file name, say) cannot be encoded: printing them would raise UnicodeEncodeError.
_SURROGATES = dict.fromkeys(_codes((0xD800, 0xDFFF)), _REPLACEMENT)
_NEVER_NEEDED = dict.fromkeys(
    _codes(
        (0x202A, 0x202E),  # bidi embeddings and overrides
        (0x2061, 0x206F),  # invisible operators, bidi isolates, deprecated shaping controls
        (0xFE00, 0xFE0D),  # selectors of a variant; 0xFE0E and 0xFE0F choose between the emoji and the sign
        (0xFEFF, 0xFEFF),  # byte order mark
        (0xFFF0, 0xFFFB),  # interlinear annotations, and what has no meaning yet
        (0x1BCA0, 0x1BCA3),  # shorthand controls
        (0x1D173, 0x1D17A),  # musical controls
        (0xE0000, 0xE0FFF),  # tags, and more selectors
    )
)
_LINES = {0x2028: "\n", 0x2029: "\n"}
_DEFAULT: dict[int, str | None] = {**_CONTROLS, **_SURROGATES, **_NEVER_NEEDED, **_LINES}

_INVISIBLE = dict.fromkeys(
    _codes(
        (0x00AD, 0x00AD),  # soft hyphen
        (0x034F, 0x034F),  # grapheme joiner
        (0x061C, 0x061C),  # Arabic letter mark
        (0x115F, 0x1160),  # Hangul fillers, also below
        (0x17B4, 0x17B5),  # Khmer inherent vowels
        (0x180B, 0x180F),  # Mongolian selectors and vowel separator
        (0x200B, 0x200F),  # zero-width space, joiners, direction marks
        (0x2060, 0x2060),  # word joiner
        (0x3164, 0x3164),
        (0xFE0E, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0x13430, 0x1345F),  # hieroglyph joiners
    )
)
_STRICT: dict[int, str | None] = {**_DEFAULT, **_INVISIBLE, **dict.fromkeys((0x09, 0x0A, 0x2028, 0x2029), " ")}


def sanitize(text: str, *, strict: bool = False) -> str:
    """Drop C0 controls but newline and tab, DEL and C1 controls, bidi embeddings, overrides and isolates, tags and other invisible
    characters that no script needs; line and paragraph separators become newlines, lone surrogates U+FFFD.

    `strict` makes one line of visible characters: direction marks, joiners, selectors and zero-width characters are dropped too and line
    breaks and tabs become spaces. For names, file names in messages, and whatever the user approves.
    """
    return text.translate(_STRICT if strict else _DEFAULT)


def escape_json(text: str) -> str:
    """JSON in which what `sanitize` would drop or replace is written as an escape: nothing is lost, and a terminal acts on none of it."""
    return text.translate(_escapes())


@cache
def _escapes() -> dict[int, str]:
    written = {code: chr(code).encode("utf-16-be", "surrogatepass").hex() for code in _STRICT if code > 0x20}
    return {code: "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) for code, units in written.items()}


def shown(path: Path | str) -> str:
    """A path as it stands in a sentence."""
    return sanitize(str(path), strict=True)


def shortened(text: str, most: int) -> str:
    """At most so many characters, the last one an ellipsis where there were more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
