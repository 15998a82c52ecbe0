"""Markdown while it grows: where its finished blocks end, and the parsers that everything here shares. Pure text, no widgets.

CommonMark closes blocks line by line and never opens them again, so everything before the last top-level block is final once that last
block has surely begun. Only link reference definitions reach back; `Split.has_references` tells of them.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from nemochat.tui.widgets.markdown_rules import add_rules

_SURE_BEGINNING = re.compile(r"[^\W\d_]|\*\*[^\s*]|#{1,6} \S")
"""The beginning of an unfinished line that can no longer turn into a list item, a rule or a fence, however it goes on."""
_CLOSING_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*\n?")
_ENDED_BY_BLANK_LINE = frozenset({"paragraph_open", "heading_open", "table_open", "blockquote_open"})
_ENDED_BY_LINE_BREAK = frozenset({"hr"})


class _Parser(MarkdownIt):
    """GitHub's flavour, with HTML shown as it was written instead of dropped, and line breaks kept: a model means those that it writes."""

    def __init__(self) -> None:
        super().__init__("gfm-like", {"html": False})
        add_rules(self)
        self.core.ruler.push("line_breaks", _keep_line_breaks)

    def normalizeLink(self, url: str) -> str:
        """Encode the address. Percent signs are doubled up because Textual decodes a link once more when it is clicked."""
        return super().normalizeLink(url).replace("%", "%25")


def _keep_line_breaks(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """The parser of replies. Its linkifier keeps state: use it on the event loop's thread only."""
    return _Parser()


@lru_cache(maxsize=1)
def _block_parser() -> MarkdownIt:
    """The same without inline parsing: only where blocks begin and end."""
    blocks = _Parser()
    blocks.core.ruler.enableOnly(["normalize", "block"])
    return blocks


class Split(msgspec.Struct, frozen=True):
    """Growing Markdown cut in two.

    finished: whole top-level blocks that nothing coming later can change. open: the rest. is_fence: the rest is an open code fence.
    has_references: a link reference definition was seen, which can change any block, also earlier ones.
    """

    finished: str
    open: str
    is_fence: bool
    has_references: bool


def split(source: str) -> Split:
    """Cut growing Markdown behind its last finished block. Cost: one pass over `source`, blocks only."""
    complete, newline, last_line = source.rpartition("\n")
    certain = source if _SURE_BEGINNING.match(last_line) else complete + newline
    env: dict[str, object] = {}
    blocks = [token for token in _block_parser().parse(certain, env) if token.level == 0 and token.nesting >= 0 and token.map]
    has_references = bool(env.get("references"))
    if not blocks:
        return Split("", source, is_fence=False, has_references=has_references)
    last = blocks[-1]
    assert last.map is not None
    start, stop = last.map
    lines = certain.split("\n")
    if _is_closed(last, lines, stop):
        end = _offset(lines, stop)
        return Split(source[:end], source[end:], is_fence=False, has_references=has_references)
    start = _offset(lines, start)
    return Split(source[:start], source[start:], is_fence=last.type == "fence", has_references=has_references)


def _is_closed(block: Token, lines: list[str], stop: int) -> bool:
    """Whether the last block can grow no more, although nothing follows it. `lines` ends with what follows the last line break."""
    has_line_break = stop < len(lines)
    if block.type == "fence":
        closing = _CLOSING_FENCE.fullmatch(lines[stop - 1]) if has_line_break and block.map and stop - block.map[0] > 1 else None
        return closing is not None and closing[1].startswith(block.markup)
    if block.type in _ENDED_BY_LINE_BREAK or (block.type == "heading_open" and block.markup.startswith("#")):
        return has_line_break
    return block.type in _ENDED_BY_BLANK_LINE and stop + 1 < len(lines) and not lines[stop].strip(" \t")


def _offset(lines: list[str], line: int) -> int:
    """Where line number `line` begins."""
    return sum(len(text) + 1 for text in lines[:line])
