"""OpenDocument (ODT, ODS, ODP): a zip archive with XML inside, as LibreOffice writes it, read as Word documents are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from nemochat.documents.kinds.docx import Table, entry, opened, parse
from nemochat.documents.kinds.foreign import protected
from nemochat.documents.text import clean, tidy
from nemochat.documents.values import Section

WHAT = "OpenDocument file"
CONTENT = "content.xml"
_MIMES = (b"application/vnd.oasis.opendocument", b"application/vnd.sun.xml")
_ENCRYPTED = b"encryption-data"
_SPACE = "urn:oasis:names:tc:opendocument:xmlns:"
_LONGEST_HEADING = 160
_LONGEST_SECTION = 500_000
_MOST_CELLS = 2_000
_DEEPEST_TABLE = 4
_BESIDE = {"note": "note", "annotation": "comment"}
"""What stands in the middle of a paragraph and is no part of its sentence."""
_LEFT_OUT = frozenset({"tracked-changes", "note-citation", "creator", "date", "date-string", "forms", "table-of-content-source"})


def is_opendocument(archive: zipfile.ZipFile) -> bool:
    """Whether an archive says that it is one."""
    names = archive.namelist()
    if CONTENT not in names:
        return False
    with archive.open("mimetype" if "mimetype" in names else CONTENT) as stream:
        head = stream.read(1000)
    return head.startswith(_MIMES) or b"opendocument" in head


def opendocument_sections(data: bytes, name: str) -> Iterator[Section]:
    """A section for each heading, sheet or slide, then headers and footers. Raises DocumentError."""
    with opened(data, name, WHAT) as archive:
        names = archive.namelist()
        if "META-INF/manifest.xml" in names and _ENCRYPTED in b"".join(entry(archive, "META-INF/manifest.xml", name, WHAT)):
            raise protected(name)
        yield from _sections_in(archive, CONTENT, name, "")
        if "styles.xml" in names:
            yield from _sections_in(archive, "styles.xml", name, "Header and footer")


def _sections_in(archive: zipfile.ZipFile, path: str, name: str, heading: str) -> Iterator[Section]:
    reader = _Reader(heading, is_style=path != CONTENT)
    for _ in parse(entry(archive, path, name, WHAT), reader.start, reader.end, reader.data):
        yield from reader.sections
        reader.sections.clear()
    reader.finish()
    yield from reader.sections


def _local(tag: str) -> str:
    """The name of an element or attribute of OpenDocument, "" for others."""
    space, _, name = tag.rpartition(" ")
    return name if space.startswith(_SPACE) or space == "http://purl.org/dc/elements/1.1/" else ""


def _number(text: str) -> int:
    """A count, 1 where there is none."""
    return max(int(text), 1) if text.isascii() and text.isdecimal() and len(text) < 9 else 1


class _Reader:
    """Takes the elements one after another. is_style: only headers and footers hold text."""

    def __init__(self, heading: str, *, is_style: bool) -> None:
        self.sections: list[Section] = []
        self._is_style = is_style
        self._headers = 0
        self._above: list[tuple[int, str]] = [(0, heading)] if heading else []
        self._sheet = ""
        self._level = 0
        self._text: list[str] | None = None
        self._outer: list[tuple[str, list[str] | None, int]] = []
        """What stands around a note, a comment or a frame: its kind, and the paragraph so far."""
        self._beside: list[str] = []
        self._left_out = 0
        self._tables: list[Table] = []
        self._deeper = 0
        self._repeats = 1
        self._missing = 0
        self._paragraphs: list[str] = []
        self._size = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        name = _local(tag)
        if self._left_out or name in _LEFT_OUT:
            self._left_out += 1
            return
        known = {_local(key): value for key, value in attributes.items()}
        match name:
            case "header" | "footer" | "header-left" | "footer-left" | "header-first" | "footer-first":
                self._headers += 1
            case "p" | "h":
                self._text = [] if self._headers or not self._is_style else None
                self._level = min(_number(known.get("outline-level", "")), 9) if name == "h" else 0
            case "s" if self._text is not None:
                self._text.append(" ")
            case "tab" | "line-break" if self._text is not None:
                self._text.append(" ")
            case "note" | "annotation" | "text-box" | "frame":
                self._outer.append((name, self._text, self._level))
                self._text, self._level = None, 0
            case "page":
                self._put()
                self._above = [(1, tidy(known["name"])[:_LONGEST_HEADING])] if "name" in known else []
            case "table" if self._deeper or len(self._tables) == _DEEPEST_TABLE:
                self._deeper += 1
            case "table":
                if not self._tables:
                    self._sheet = tidy(known.get("name", ""))[:_LONGEST_HEADING]
                self._tables.append(Table())
            case "table-cell" | "covered-table-cell" if self._tables and not self._deeper:
                for _ in range(self._missing):  # only those with something behind them count: a sheet ends with thousands
                    self._tables[-1].begin_cell()
                self._missing = 0
                self._repeats = min(_number(known.get("number-columns-repeated", "")), _MOST_CELLS)
                self._tables[-1].begin_cell()

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._left_out:
            self._left_out -= 1
            return
        match _local(tag):
            case "header" | "footer" | "header-left" | "footer-left" | "header-first" | "footer-first":
                self._headers -= 1
            case "p" | "h":
                self._end_paragraph()
            case "note" | "annotation" as name if self._outer:
                _, text, self._level = self._outer.pop()
                said, self._beside = " ".join(self._beside), []
                self._text = text
                if said and text is not None:
                    text.append(f" ({_BESIDE[name]}: {said}) ")
                elif said:
                    self._take([said])
            case "text-box" | "frame" if self._outer:
                _, self._text, self._level = self._outer.pop()
            case "table-cell" | "covered-table-cell" if self._tables and not self._deeper:
                if self._tables[-1].has_text:
                    for _ in range(self._repeats - 1):
                        self._tables[-1].repeat_cell()
                else:
                    self._missing = self._repeats - 1
                self._repeats = 1
            case "table-row" if self._tables and not self._deeper:
                self._missing = 0
                self._tables[-1].end_row()
                if len(self._tables) == 1:
                    self._take_rows()
            case "table" if self._deeper:
                self._deeper -= 1
            case "table" if self._tables:
                self._end_table()

    def data(self, text: str) -> None:
        """Characters."""
        if self._text is not None and not self._left_out:
            self._text.append(text)

    def finish(self) -> None:
        """Take what is left."""
        self._put()

    def _end_paragraph(self) -> None:
        text, self._text = tidy("".join(self._text or ())), None
        level, self._level = self._level, 0
        if not text:
            return
        if any(kind in _BESIDE for kind, _, _ in self._outer):
            self._beside.append(text)
        elif self._tables:
            self._tables[-1].add(text)
        elif level:
            self._put()
            self._above = [each for each in self._above if each[0] < level]
            self._above.append((level, clean(text)[:_LONGEST_HEADING]))
        else:
            self._take([text])

    def _end_table(self) -> None:
        table = self._tables.pop()
        table.end()
        if self._tables:
            self._tables[-1].add(" ".join(table.lines))
            return
        self._tables.append(table)
        self._take_rows()
        self._tables.pop()
        self._put()

    def _take_rows(self) -> None:
        lines, self._tables[-1].lines = self._tables[-1].lines, []
        self._take(lines)

    def _take(self, paragraphs: list[str]) -> None:
        self._paragraphs += paragraphs
        self._size += sum(map(len, paragraphs))
        if self._size > _LONGEST_SECTION:
            self._put()

    def _put(self) -> None:
        if self._paragraphs:
            heading = " > ".join(title for _, title in self._above) or self._sheet
            self.sections.append(Section(clean("\n\n".join(self._paragraphs)), heading=heading))
        self._paragraphs, self._size = [], 0
