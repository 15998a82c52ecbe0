"""Word documents: a zip archive with XML inside, read with the standard library. A document type declaration is refused outright: it
could define entities, and Word never writes one. `entry` and `parse` read other kinds of such archives as well."""

from __future__ import annotations

import contextlib
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from xml.parsers import expat

from nemochat.documents.errors import DocumentError
from nemochat.documents.text import as_name, clean, tidy
from nemochat.documents.values import Section

BODY = "word/document.xml"
WHAT = "Word document"
MAX_XML = 64 * 1024 * 1024
MAX_RATIO = 200
MAX_ENTRIES = 10_000
_SMALL = 1024 * 1024  # what is below this may be packed as tightly as it likes
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main "
_STRICT_WORD = "http://purl.oclc.org/ooxml/wordprocessingml/main "
_FALLBACK = "http://schemas.openxmlformats.org/markup-compatibility/2006 Fallback"
_HEADING_NAME = re.compile(r"^(?:heading|title)\s*(\d?)$", re.IGNORECASE)
_HEADING_ID = re.compile(r"^(?:Heading|Title)(\d?)$")
_LONGEST_HEADING = 160
_LONGEST_URI = 300
_LAST_LEVEL = 9
_DEEPEST_TABLE = 4
_MAX_PARTS = 200
_PARTS = (
    (re.compile(r"word/header\d*\.xml"), "Header"), (re.compile(r"word/footer\d*\.xml"), "Footer"),
    (re.compile(r"word/footnotes\.xml"), "Footnotes"), (re.compile(r"word/endnotes\.xml"), "Endnotes"),
    (re.compile(r"word/comments\.xml"), "Comments"),
)  # fmt: skip
"""What stands beside the body, and the heading that it gets."""
_LONGEST_SECTION = 500_000
"""Characters. What has more of them becomes several, each of which is let go before the next one is made."""
_CHUNK = 64 * 1024

_Start = Callable[[str, dict[str, str]], None]
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def docx_sections(data: bytes, name: str) -> Iterator[Section]:
    """A section for each heading, then headers, footers, notes and comments. Raises DocumentError."""
    with opened(data, name, WHAT) as archive:
        names = archive.namelist()
        styles = _heading_styles(entry(archive, "word/styles.xml", name, WHAT)) if "word/styles.xml" in names else {}
        yield from _body_sections(entry(archive, BODY, name, WHAT), styles, "")
        seen: set[str] = set()
        for pattern, heading in _PARTS:
            for path in sorted(filter(pattern.fullmatch, names))[:_MAX_PARTS]:
                for section in _body_sections(entry(archive, path, name, WHAT), styles, heading):
                    if section.text not in seen:  # each chapter has its header, which says the same
                        seen.add(section.text)
                        yield section


def _body_sections(xml: Iterable[bytes], styles: dict[str, int], heading: str) -> Iterator[Section]:
    reader = _Body(styles, heading)
    for _ in parse(xml, reader.start, reader.end, reader.data):
        yield from reader.sections
        reader.sections.clear()
    reader.finish()
    yield from reader.sections


@contextlib.contextmanager
def opened(data: bytes, name: str, what: str) -> Iterator[zipfile.ZipFile]:
    """An archive of this kind of document. Whatever is wrong with it while it is read is told in a DocumentError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) > MAX_ENTRIES:
                raise _too_large(name)
            yield archive
    except DocumentError:
        raise
    except (*ZIP_ERRORS, expat.ExpatError, LookupError) as error:
        raise broken(name, what) from error


def broken(name: str, what: str) -> DocumentError:
    """It is not what it should be."""
    return DocumentError(f"{name} is broken: it is not a readable {what}.", "Open it elsewhere and save it anew.")


def _too_large(name: str) -> DocumentError:
    return DocumentError(f"{name} unpacks to far too much.", "Save its text in a smaller file.")


def entry(archive: zipfile.ZipFile, path: str, name: str, what: str) -> Iterator[bytes]:
    """The content of a file in the archive, in pieces. Raises DocumentError, and what `opened` turns into one."""
    info = archive.getinfo(path)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise broken(name, what)
    if info.file_size > MAX_XML or (info.file_size > _SMALL and info.file_size > MAX_RATIO * max(info.compress_size, 1)):
        raise _too_large(name)
    left = MAX_XML
    with archive.open(info) as stream:
        while content := stream.read(_CHUNK):
            left -= len(content)
            if left < 0:  # the sizes in the directory may lie
                raise _too_large(name)
            yield content


def parse(xml: Iterable[bytes], start: _Start, end: Callable[[str], None], data: Callable[[str], None]) -> Iterator[None]:
    """Hand elements (`uri name`) and characters over, a piece of the XML at a time."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: start(tag, attributes)
    parser.EndElementHandler = lambda tag: end(tag)
    parser.CharacterDataHandler = lambda text: data(text)

    def refuse(*_: object) -> None:
        raise ValueError("a document type declaration")

    def check(_: str | None, uri: str | None) -> None:
        if uri is not None and len(uri) > _LONGEST_URI:
            raise ValueError("a name of a namespace that would be repeated with each element")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartNamespaceDeclHandler = check
    for content in xml:
        parser.Parse(content, False)
        yield
    parser.Parse(b"", True)


def _word(tag: str) -> str:
    """The name of an element or attribute of Word's own, "" for others."""
    for space in (_WORD, _STRICT_WORD):
        if tag.startswith(space):
            return tag.removeprefix(space)
    return ""


def _value(attributes: dict[str, str]) -> str:
    return next((value for key, value in attributes.items() if _word(key) == "val"), "")


def _level_of(outline: str) -> int:
    """The level of a heading, 0 for the text below them all."""
    level = int(outline) + 1 if outline.isdecimal() and len(outline) < 3 else 0
    return level if level <= _LAST_LEVEL else 0


def _heading_styles(xml: Iterable[bytes]) -> dict[str, int]:
    """The level of each style that is a heading; Word names them in English in every language, while the ids are translated."""
    levels: dict[str, int] = {}
    current = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal current
        name = _word(tag)
        if name == "style":
            current = next((value for key, value in attributes.items() if _word(key) == "styleId"), "")
        elif name == "name" and (found := _HEADING_NAME.match(_value(attributes))):
            levels[current] = int(found[1] or 1)
        elif name == "outlineLvl" and (level := _level_of(_value(attributes))):
            levels.setdefault(current, level)

    for _ in parse(xml, start, lambda _: None, lambda _: None):
        pass
    return levels


class Table:
    """A table that is being read. Each row becomes a line as soon as it ends, its values after the names of their columns."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._first: list[str] | None = None
        self._names: list[str] | None = None
        self._row: list[list[str]] = []

    def begin_cell(self) -> None:
        """The next cell of the row."""
        self._row.append([])

    @property
    def has_text(self) -> bool:
        """Whether the last cell holds anything."""
        return bool(self._row) and bool(self._row[-1])

    def repeat_cell(self) -> None:
        """The last cell of the row once more."""
        self._row.append(self._row[-1])

    def add(self, text: str) -> None:
        """A paragraph of the cell."""
        if self._row:
            self._row[-1].append(text)

    def end_row(self) -> None:
        """The row as a line. The first one waits: it holds the names when another one follows."""
        cells, self._row = [" ".join(parts) for parts in self._row], []
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            return
        if self._first is None:
            self._first = cells
            return
        if self._names is None:
            self._names = list(map(as_name, self._first)) if all(self._first) else []
            if not self._names:
                self.lines.append(_row_line(self._first))
        if len(self._names) >= len(cells) and len(self._names) > 1:
            self.lines.append("; ".join(f"{name}: {value}" for name, value in zip(self._names, cells, strict=False) if value))
        else:
            self.lines.append(_row_line(cells))

    def end(self) -> None:
        """No row follows."""
        self.end_row()
        if self._first is not None and self._names is None:
            self.lines.append(_row_line(self._first))


def _row_line(cells: list[str]) -> str:
    return " | ".join(cell for cell in cells if cell)


class _Body:
    """Takes the elements of the body, or of what stands beside it, one after another. sections: those that are done; heading: above all."""

    def __init__(self, styles: dict[str, int], heading: str = "") -> None:
        self.sections: list[Section] = []
        self._styles = styles
        self._above: list[tuple[int, str]] = [(0, heading)] if heading else []
        self._outer: list[tuple[list[str], int]] = []
        """Of paragraphs in which a text box stands: what they said before it."""
        self._paragraphs: list[str] = []
        self._size = 0
        self._text: list[str] = []
        self._level = 0
        self._in_text = False
        self._fallbacks = 0
        self._tables: list[Table] = []
        self._deeper = 0
        """Tables inside of those that are kept apart: their paragraphs belong to the cell."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        name = _word(tag)
        if tag == _FALLBACK or name == "moveFrom":
            self._fallbacks += 1  # the same once more, for old programs, or where it stood before
        if self._fallbacks:
            return
        match name:
            case "txbxContent":
                self._outer.append((self._text, self._level))
                self._text, self._level = [], 0
            case "comment":
                author = next((value for key, value in attributes.items() if _word(key) == "author"), "")
                self._text = [f"{author}: "] if author else []
            case "t":
                self._in_text = True
            case "tab" | "br" | "cr":
                self._text.append(" ")
            case "noBreakHyphen":
                self._text.append("-")
            case "pStyle":
                style = _value(attributes)
                found = _HEADING_ID.match(style)
                self._level = self._styles.get(style, int(found[1] or 1) if found else 0)
            case "outlineLvl":
                self._level = _level_of(_value(attributes)) or self._level
            case "tbl" if self._deeper or len(self._tables) == _DEEPEST_TABLE:
                self._deeper += 1
            case "tbl":
                self._tables.append(Table())
            case "tr" if self._tables and not self._deeper:
                self._end_row()
            case "tc" if self._tables and not self._deeper:
                self._tables[-1].begin_cell()

    def end(self, tag: str) -> None:
        """An element ends."""
        name = _word(tag)
        if tag == _FALLBACK or name == "moveFrom":
            self._fallbacks -= 1
            return
        if self._fallbacks:
            return
        match name:
            case "t":
                self._in_text = False
            case "txbxContent" if self._outer:
                self._text, self._level = self._outer.pop()
            case "p":
                self._end_paragraph()
            case "tr" if self._tables and not self._deeper:
                self._end_row()
            case "tbl" if self._deeper:
                self._deeper -= 1
            case "tbl" if self._tables:
                self._end_table()

    def data(self, text: str) -> None:
        """Characters."""
        if self._in_text:
            self._text.append(text)

    def finish(self) -> None:
        """Take what is left."""
        self._put_section()

    def _end_paragraph(self) -> None:
        text = tidy("".join(self._text))
        level, self._text, self._level = self._level, [], 0
        if not text:
            return
        if self._tables:
            self._tables[-1].add(text)
        elif level:
            self._put_section()
            self._above = [each for each in self._above if each[0] < level]
            self._above.append((level, clean(text)[:_LONGEST_HEADING]))
        else:
            self._take([text])

    def _end_row(self) -> None:
        self._tables[-1].end_row()
        if len(self._tables) == 1:
            self._take(self._tables[-1].lines)
            self._tables[-1].lines = []

    def _end_table(self) -> None:
        table = self._tables.pop()
        table.end()
        if self._tables:
            self._tables[-1].add(" ".join(table.lines))  # a table inside of a cell
        else:
            self._take(table.lines)

    def _take(self, paragraphs: list[str]) -> None:
        self._paragraphs += paragraphs
        self._size += sum(map(len, paragraphs))
        if self._size > _LONGEST_SECTION:
            self._put_section()

    def _put_section(self) -> None:
        if self._paragraphs:
            heading = " > ".join(title for _, title in self._above)
            self.sections.append(Section(clean("\n\n".join(self._paragraphs)), heading=heading))
        self._paragraphs, self._size = [], 0
