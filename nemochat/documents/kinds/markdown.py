"""Markdown: sections by headings. The text stays as it is written, tables and lists included."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nemochat.documents.values import Section

_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*)$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_MARKS = re.compile(r"(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|`")
_LINK = re.compile(r"!?\[([^\]\[]{0,500})\]\([^()\s]{0,2000}(?:\s\"[^\"]{0,500}\")?\)")
_PATH = " > "
_LONGEST_HEADING = 160


def markdown_sections(text: str) -> Iterator[Section]:
    """A section for each heading; its heading names those above it too."""
    lines = text.split("\n")
    heading, has_text = "", False
    for start, end, heading in _parts(lines):
        body = "\n".join(lines[start:end])
        if body.strip():
            has_text = True
            skipped = len(body) - len(body.lstrip("\n"))
            yield Section(_LINK.sub(r"\1", body.strip("\n")), heading=heading, line=start + skipped + 1)
    if not has_text:
        yield Section(heading, line=1)


def _parts(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Where the text below each heading begins and ends, and that heading with those above it; first the text above them all."""
    above: list[tuple[int, str]] = []
    start, fence, path = _after_front_matter(lines), "", ""
    for at in range(start, len(lines)):
        if (mark := _FENCE.match(lines[at])) is not None:
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
            continue
        found = None if fence else _heading(lines, at)
        if found is not None:
            level, title, taken, first = found
            yield start, first, path
            above = [each for each in above if each[0] < level]
            above.append((level, title))
            start, path = at + taken, _PATH.join(title for _, title in above)[-_LONGEST_HEADING * 2 :]
    yield start, len(lines), path


def _heading(lines: list[str], at: int) -> tuple[int, str, int, int] | None:
    """Level, title, how many lines from `at` on it takes, and the line where it begins."""
    if (found := _HEADING.match(lines[at])) is not None:
        title = _plain(_without_closing(found[2].strip()))
        return (len(found[1]), title, 1, at) if title else None
    under = _UNDERLINE.match(lines[at])
    if under is not None and at and lines[at - 1].strip() and not _HEADING.match(lines[at - 1]) and "|" not in lines[at - 1]:
        is_alone = at < 2 or not lines[at - 2].strip()
        if is_alone:
            return (1 if under[1][0] == "=" else 2), _plain(lines[at - 1].strip()), 1, at - 1
    return None


def _without_closing(title: str) -> str:
    """A heading may be closed by signs like those that open it; those of "C#" belong to the word."""
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else title


def _plain(title: str) -> str:
    return _MARKS.sub("", _LINK.sub(r"\1", title[: _LONGEST_HEADING * 10])).strip()[:_LONGEST_HEADING]


def _after_front_matter(lines: list[str]) -> int:
    """The line after a block of settings between two lines of dashes at the very beginning."""
    if lines and lines[0].rstrip() == "---":
        for at in range(1, min(len(lines), 60)):
            if lines[at].rstrip() in ("---", "..."):
                return at + 1
    return 0
