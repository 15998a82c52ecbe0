"""Text from outside, made safe to print on a terminal.

Model output, file names, documents, tool results, persona cards and GGUF metadata may carry escape sequences that set the clipboard, the
window's title or the cursor. Everything passes through `sanitize` once, where it enters. It works character by character, so a stream may
be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable

_KEPT_CONTROLS = "\n\t"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def _codes(*spans: tuple[int, int]) -> Iterable[int]:
    for first, last in spans:
        yield from range(first, last + 1)


_CONTROLS = {code: None for code in _codes((0x00, 0x1F), (0x7F, 0x9F)) if chr(code) not in _KEPT_CONTROLS}
# Lone surrogates (undecodable bytes of a file name, say) cannot be encoded: printing them would raise UnicodeEncodeError.
_SURROGATES = dict.fromkeys(_codes((0xD800, 0xDFFF)), _REPLACEMENT)
_DEFAULT: dict[int, str | None] = {**_CONTROLS, **_SURROGATES}

_INVISIBLE = dict.fromkeys(
    _codes(
        (0x00AD, 0x00AD),  # soft hyphen
        (0x061C, 0x061C),  # Arabic letter mark
        (0x180E, 0x180E),  # Mongolian vowel separator
        (0x200B, 0x200F),  # zero-width space, joiners, direction marks
        (0x202A, 0x202E),  # bidi embeddings and overrides
        (0x2060, 0x206F),  # word joiner, invisible operators, bidi isolates
        (0xFEFF, 0xFEFF),  # zero-width no-break space
        (0xE0000, 0xE007F),  # tag characters
    )
)
_LINE_BREAKS = dict.fromkeys((0x09, 0x0A, 0x2028, 0x2029), " ")
_STRICT: dict[int, str | None] = {**_DEFAULT, **_INVISIBLE, **_LINE_BREAKS}


def sanitize(text: str, *, strict: bool = False) -> str:
    """Drop C0 controls but newline and tab, DEL and C1 controls; lone surrogates become U+FFFD.

    `strict` makes one line of visible characters: bidi controls and zero-width characters are dropped too and line breaks and tabs become
    spaces. For names, file names in messages, and whatever the user approves.
    """
    return text.translate(_STRICT if strict else _DEFAULT)
