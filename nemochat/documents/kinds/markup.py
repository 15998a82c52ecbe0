"""HTML: headings, paragraphs, lists and tables. Scripts, styles and what is hidden are dropped.

The tags are found here and not by `html.parser`: that one needs the square of the time for some broken pages, and raises for others.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

from nemochat.documents.kinds.sections import LONGEST_HEADING, Sections
from nemochat.documents.text import as_name, tidy
from nemochat.documents.values import Section

_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "math", "iframe", "object", "head", "nav", "select", "button"})
_BLOCKS = frozenset({
    "p", "div", "section", "article", "main", "header", "footer", "aside", "li", "ul", "ol", "dl", "dt", "dd", "table", "tr", "caption",
    "blockquote", "pre", "figure", "figcaption", "form", "fieldset", "address", "details", "summary", "hr", "body",
})  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CELLS = frozenset({"td", "th"})
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "area", "base", "col", "embed", "source", "track", "wbr"})
_RAW = frozenset({"script", "style"})
_NAME = re.compile(r"(/?)([a-zA-Z][a-zA-Z0-9:-]{0,40})")
_MARK = re.compile(r"<(?=[!?]|/?[a-zA-Z])")
_FAR_NUMBER = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{8,});?")  # no character has one, and Python reads none of 4,300 digits
_ATTRIBUTE = re.compile(r"""\s([a-zA-Z-]{1,40})(?:\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"'>]*)))?""")
_LONGEST_TAG = 2_000  # of a longer one the beginning is looked at

_Attributes = list[tuple[str, str]]


class _Reader:
    def __init__(self) -> None:
        self.sections = Sections()
        self.sections.line = 1
        self._current: list[str] = []
        self._dropped: list[str] = []
        self._level = 0
        self._in_title = False
        self._in_pre = False
        self._header: list[str] = []
        self._row: list[tuple[bool, list[str]]] | None = None

    def open(self, tag: str, attrs: _Attributes) -> None:
        if tag == "title" and not self.sections.title:
            self._in_title = True
            return
        if tag == "body":
            self._dropped.clear()  # a head that was never closed
        if self._dropped or tag in _DROPPED or _is_hidden(attrs):
            if tag not in _VOID and (not self._dropped or tag == self._dropped[0]):
                self._dropped.append(tag)
            return
        if tag in _HEADINGS:
            self._end_section()
            self._level = _HEADINGS[tag]
        elif tag == "tr":
            self._end_row()  # one that was never closed
            self._end_paragraph()
            self._row = []
        elif tag in _CELLS:
            self._take_cell()
            if self._row is not None:
                self._row.append((tag == "th", []))
        elif tag == "br":
            self._current.append("\n" if self._in_pre else " ")
        elif tag in _BLOCKS and self._row is None:
            self._end_paragraph()
            self._in_pre = tag == "pre" or self._in_pre
            if tag == "table":
                self._header = []
        elif tag in _BLOCKS:
            self._current.append(" ")

    def close(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif self._dropped:
            if tag == self._dropped[-1]:
                self._dropped.pop()
        elif tag in _HEADINGS and self._level:
            title = tidy("".join(self._current))[:LONGEST_HEADING]
            self._current = []
            if title:
                self.sections.begin(self._level, title)
            self._level = 0
        elif tag == "tr":
            self._end_row()
        elif tag in _CELLS:
            self._take_cell()
        elif tag in _BLOCKS and self._row is None:
            self._end_paragraph()
            if tag == "pre":
                self._in_pre = False

    def text(self, data: str, line: Callable[[], int]) -> None:
        if self._in_title:
            self.sections.title = tidy(f"{self.sections.title}{data}")[:LONGEST_HEADING]
        elif not self._dropped:
            if not self.sections.is_begun and not self._current:
                self.sections.line = line()
            self._current.append(data)

    def finish(self) -> None:
        """Take what is left."""
        self._end_row()
        self._end_section()

    def _take_cell(self) -> None:
        if self._row is not None:
            text = tidy("".join(self._current))
            self._current = []
            if self._row and text:
                self._row[-1][1].append(text)

    def _end_row(self) -> None:
        """A row as a line, each value after the name of its column, so that it can be understood alone."""
        self._take_cell()
        row, self._row = self._row, None
        if not row:
            return
        cells = [" ".join(parts) for _, parts in row]
        if all(is_header for is_header, _ in row) and len(row) > 1 and not self._header:
            self._header = list(map(as_name, cells))
        elif self._header and len(self._header) == len(cells):
            pairs = zip(self._header, cells, strict=True)
            self.sections.take(["; ".join(f"{name}: {value}" if name else value for name, value in pairs)])
        else:
            self.sections.take([" | ".join(cell for cell in cells if cell)])

    def _end_paragraph(self) -> None:
        if self._level:
            self._current.append(" ")
            return
        joined = "".join(self._current)
        text = joined.strip("\n") if self._in_pre else tidy(joined)
        self._current = []
        if text.strip():
            self.sections.take([text])

    def _end_section(self) -> None:
        self._end_paragraph()
        self.sections.put()


def html_sections(text: str) -> Iterator[Section]:
    """A section for each heading; the page's title stands for the heading before the first one."""
    reader = _Reader()
    yield from reader.sections.drained(_scan(text, reader))
    reader.finish()
    yield from reader.sections.done


def _scan(text: str, reader: _Reader) -> Iterator[None]:
    """Hand tags and the text between them to the reader, a step at a time, in time that grows with the length alone."""
    at, seen, lines = 0, 0, 1

    def line() -> int:
        nonlocal seen, lines
        lines += text.count("\n", seen, at)
        seen = at
        return lines

    while at < len(text):
        yield
        mark = _MARK.search(text, at)
        start = mark.start() if mark is not None else len(text)
        if start > at:
            reader.text(html.unescape(_FAR_NUMBER.sub("\N{REPLACEMENT CHARACTER}", text[at:start])), line)
            at = start
            continue
        name = _NAME.match(text, at + 1)
        if name is None:
            end = text.find("-->" if text.startswith("<!--", at) else ">", at)
            at = len(text) if end < 0 else end + (3 if text[end] == "-" else 1)
            continue
        end = _end_of_tag(text, name.end())
        tag = name[2].lower()
        if name[1]:
            reader.close(tag)
        else:
            found = _ATTRIBUTE.finditer(text, name.end(), min(end, name.end() + _LONGEST_TAG))
            reader.open(tag, [(each[1].lower(), each[2] or each[3] or each[4] or "") for each in found])
        at = end + 1
        if tag in _RAW and not name[1]:
            closing = re.compile(f"</{tag}", re.IGNORECASE).search(text, at)
            at = closing.start() if closing is not None else len(text)


def _end_of_tag(text: str, start: int) -> int:
    """Where a tag closes: the first ">" that does not stand in a quoted value."""
    end = text.find(">", start)
    if end >= 0 and end - start < _LONGEST_TAG and text.count('"', start, end) % 2:
        quote = text.find('"', end)
        further = text.find(">", quote) if 0 <= quote < start + _LONGEST_TAG else -1
        end = further if further >= 0 else end
    return len(text) if end < 0 else end


def _is_hidden(attrs: _Attributes) -> bool:
    """Text that nobody who looks at the page would see."""
    for name, value in attrs:
        if name == "hidden" or (name == "aria-hidden" and value == "true"):
            return True
        if name == "style" and "display:none" in value.replace(" ", "").lower():
            return True
    return False
