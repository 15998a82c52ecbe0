"""Where Markdown as models write it differs from CommonMark: mathematics stays as it was written, `<br>` ends a line, emphasis ends beside
Chinese, Japanese and Korean. Rules for markdown-it; each decides line by line, so growing text can be cut where a block ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from unicodedata import east_asian_width

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline, emphasis, strikethrough
from markdown_it.token import Token

MATH_CHARACTERS = 2000
"""How far the end of a formula within a line of words is looked for."""
_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_ENVIRONMENT = re.compile(r"\\begin(\{[A-Za-z]+\*?\})")
_DOLLARS = re.compile(r"\$(?![\s$])(?:\\.|[^\n$\\`])+(?<!\s)\$(?![0-9A-Za-z$])")
"""As pandoc has it, and not `$HOME:$PATH`: amounts of money are no formula."""
_SIGN = re.compile(r"[\\^_=<>{}|&~]")
_LETTERS = re.compile(r"[^\W\d_]+")
_LITTLE = "a an as at by do go he if in is it me my no of on or so to up us we"
_LITTLE_WORDS = frozenset(_LITTLE.split())
_BESIDE_WORDS = re.compile(r"\s*|[xX]|\d[\d\s,;]*")
"""What within a sentence is a box to be ticked or the number of a note: `\\[x\\] done`, `as shown \\[3\\]`."""
_BREAK = re.compile(r"<br\s*/?>[ \t]*\n?", re.IGNORECASE)


def add_rules(parser: MarkdownIt) -> None:
    """Teach a parser all of them."""
    parser.block.ruler.before("fence", "math", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.inline.ruler.before("escape", "math", _math)
    parser.inline.ruler.before("autolink", "break", _break)
    parser.inline.ruler.at("emphasis", _beside_wide(emphasis.tokenize))
    parser.inline.ruler.at("strikethrough", _beside_wide(strikethrough.tokenize))


def _closer_at(text: str, start: int) -> tuple[int, str] | None:
    """Where the formula that begins at `start` has its first character behind the opening sign, and what closes it."""
    if found := _ENVIRONMENT.match(text, start):
        return found.end(), f"\\end{found[1]}"
    closer = _CLOSERS.get(text[start : start + 2])
    return None if closer is None else (start + 2, closer)


def _is_words(inside: str) -> bool:
    """Whether brackets were only escaped, for what they hold is no formula: `\\[link\\](address)`, `\\(see below\\)`."""
    letters = _LETTERS.findall(inside)
    if "`" in inside:
        return True
    return bool(letters) and not _SIGN.search(inside) and all(map(_is_word, letters)) and any(len(each) > 1 for each in letters)


def _is_escaped(inside: str, closer: str) -> bool:
    """The same within a sentence, where boxes and numbers of notes stand as well."""
    return closer in ("\\]", "\\)") and (_is_words(inside) or (closer == "\\]" and _BESIDE_WORDS.fullmatch(inside) is not None))


def _is_word(letters: str) -> bool:
    """Not a name as in mathematics, where they are short, and Latin or Greek."""
    return len(letters) > 2 or letters.lower() in _LITTLE_WORDS or letters > "\u0400"


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula that stands alone: from a line that begins with its sign to the one that closes it, or to an empty line as in TeX."""

    def line(number: int) -> str:
        return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]

    first = line(start)
    opened = _closer_at(first, 0)
    if opened is None or first.startswith("\\(") or state.is_code_block(start):
        return False
    inside, closer = opened
    place = first.find(closer, inside)
    if place >= 0 and first[place + len(closer) :].strip():
        return False  # it stands in a sentence
    if first[0] != "$" and not first.startswith("\\begin") and _is_words(first[inside : place if place >= 0 else None]):
        return False
    if silent:
        return True
    state.line = start + 1
    while place < 0 and state.line < end and not state.isEmpty(state.line) and state.sCount[state.line] >= state.blkIndent:
        place = line(state.line).find(closer)
        state.line += 1
    state.push("paragraph_open", "p", 1).map = [start, state.line]
    inline = state.push("inline", "", 0)
    inline.children = _verbatim([line(number) for number in range(start, state.line)])
    state.push("paragraph_close", "p", -1)
    return True


def _verbatim(lines: list[str]) -> list[Token]:
    tokens = [token for line in lines for token in (Token("text", "", 0, content=line), Token("hardbreak", "br", 0))]
    return tokens[:-1]


def _math(state: StateInline, silent: bool) -> bool:
    """A formula within a sentence; also two backslashes, which are the end of a line in one that has no signs around it."""
    text, start = state.src, state.pos
    if text[start] not in "$\\":
        return False
    if opened := _closer_at(text, start):
        inside, closer = opened
        place = text.find(closer, inside, inside + MATH_CHARACTERS)
        stop = -1 if place < 0 or _is_escaped(text[inside:place], closer) else place + len(closer)
    else:
        dollars = _DOLLARS.match(text, start)
        stop = dollars.end() if dollars else -1
    if stop < 0:
        if not text.startswith("\\\\", start):
            return False
        stop = start + 2
    if not silent:
        first, *others = text[start:stop].split("\n")
        state.append_pending(first)
        for line in others:
            state.push("hardbreak", "br", 0)
            state.append_pending(line)
    state.pos = stop
    return True


def _break(state: StateInline, silent: bool) -> bool:
    found = _BREAK.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _beside_wide(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """Let signs of emphasis open and close beside a wide character, where words have no spaces between them: `は**「x」**で`."""

    def scan(state: StateInline, silent: bool) -> bool:
        start, known = state.pos, len(state.delimiters)
        if not rule(state, silent):
            return False
        before, behind = state.src[max(0, start - 1) : start] or " ", state.src[state.pos : state.pos + 1] or " "
        if state.src[start] != "_" and (_is_wide(before) or _is_wide(behind)):
            for delimiter in state.delimiters[known:]:
                delimiter.open |= not behind.isspace()
                delimiter.close |= not before.isspace()
        return True

    return scan


def _is_wide(character: str) -> bool:
    return east_asian_width(character) in ("W", "F")
