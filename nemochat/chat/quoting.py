"""Paths as a shell would quote them: read what terminals send, and write what can be read back."""

from __future__ import annotations

import re

BLANKS = " \t\r\n"
"""What separates words. Only ASCII: macOS puts U+202F into the names of screenshots, and no terminal escapes it."""
LONGEST_PATH = 4096
"""The most characters that are read as one path."""

_IN_DOUBLE_QUOTES = re.compile(r'"((?:[^"\\]|\\.){0,4096})"', re.DOTALL)
_ESCAPED_IN_DOUBLE_QUOTES = re.compile(r'\\(["\\$`!])')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN = re.compile(r"[\w./~@%+=:,-]+")
_TO_ESCAPE = re.compile(r"([\s\"'\\`$&|;<>()\[\]{}*?!#])")


def shell_word(text: str, at: int = 0) -> tuple[str, int] | None:
    """The word that a POSIX shell reads at `at`, and where it ends. None when a quote is not closed or the word is too long for a path.

    >>> shell_word(r"'it'\\''s here.png' and more")
    ("it's here.png", 18)
    """
    pieces: list[str] = []
    stop = min(len(text), at + 2 * LONGEST_PATH)
    while at < stop and text[at] not in BLANKS:
        char = text[at]
        if char == "'":
            end = text.find("'", at + 1, at + LONGEST_PATH + 2)
            if end < 0:
                return None
            pieces.append(text[at + 1 : end])
            at = end + 1
        elif char == '"':
            quoted_part = _IN_DOUBLE_QUOTES.match(text, at)
            if quoted_part is None:
                return None
            pieces.append(_ESCAPED_IN_DOUBLE_QUOTES.sub(r"\1", quoted_part[1]))
            at = quoted_part.end()
        elif char == "\\" and at + 1 < len(text):
            pieces.append(text[at + 1])
            at += 2
        else:
            pieces.append(char)
            at += 1
    return None if at < len(text) and text[at] not in BLANKS else ("".join(pieces), at)


def unescaped(text: str) -> str:
    """With the backslash before any character taken away."""
    return _ESCAPED.sub(r"\1", text)


def unquoted(text: str) -> str:
    """The path behind a text that is one shell word; any other text as it is.

    >>> unquoted('"a b.png"'), unquoted("a b.png")
    ('a b.png', 'a b.png')
    """
    word = shell_word(text)
    return word[0] if word is not None and word[1] == len(text) else text


def quoted(path: str, *, is_open: bool = False) -> str:
    """A path so that `unquoted` gives it back, bare where that is enough. `is_open`: more will be typed, so a quote is not closed.

    >>> quoted("a b.png"), quoted("a.png"), quoted("a b/", is_open=True)
    ('"a b.png"', 'a.png', '"a b/')
    """
    if _PLAIN.fullmatch(path):
        return path
    if not any(char in path for char in '"\\$`!'):
        return f'"{path}' if is_open else f'"{path}"'
    if "'" not in path:
        return f"'{path}" if is_open else f"'{path}'"
    return _TO_ESCAPE.sub(r"\\\1", path)
