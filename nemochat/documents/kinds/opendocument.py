"""OpenDocument (ODT, ODS, ODP): a zip archive with XML inside, as LibreOffice writes it, read as Word documents are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from nemochat.documents.kinds.docx import entry, opened, parse
from nemochat.documents.kinds.foreign import protected
from nemochat.documents.kinds.sections import LONGEST_HEADING, Sections
from nemochat.documents.text import tidy
from nemochat.documents.values import Section

WHAT = "OpenDocument file"
CONTENT = "content.xml"
_MIMES = (b"application/vnd.oasis.opendocument", b"application/vnd.sun.xml")
_ENCRYPTED = b"encryption-data"
_SPACE = "urn:oasis:names:tc:opendocument:xmlns:"
_MOST_CELLS = 2_000
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
    yield from reader.sections.drained(parse(entry(archive, path, name, WHAT), reader.start, reader.end, reader.data))
    reader.sections.put()
    yield from reader.sections.done


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
        self.sections = Sections(heading)
        self._is_style = is_style
        self._headers = 0
        self._level = 0
        self._text: list[str] | None = None
        self._outer: list[tuple[str, list[str] | None, int]] = []
        """What stands around a note, a comment or a frame: its kind, and the paragraph so far."""
        self._beside: list[str] = []
        self._left_out = 0
        self._repeats = 1
        self._missing = 0

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
                self.sections.put()
                self.sections.above = [(1, tidy(known["name"])[:LONGEST_HEADING])] if "name" in known else []
            case "table":
                if not self.sections.in_table:
                    self.sections.title = tidy(known.get("name", ""))[:LONGEST_HEADING]
                self.sections.open_table()
            case "table-cell" | "covered-table-cell" if (table := self.sections.table) is not None:
                for _ in range(self._missing):  # only those with something behind them count: a sheet ends with thousands
                    table.begin_cell()
                self._missing = 0
                self._repeats = min(_number(known.get("number-columns-repeated", "")), _MOST_CELLS)
                table.begin_cell()

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
                    self.sections.take([said])
            case "text-box" | "frame" if self._outer:
                _, self._text, self._level = self._outer.pop()
            case "table-cell" | "covered-table-cell" if (table := self.sections.table) is not None:
                if table.has_text:
                    table.repeat_cell(self._repeats - 1)
                else:
                    self._missing = self._repeats - 1
                self._repeats = 1
            case "table-row" if self.sections.table is not None:
                self._missing = 0
                self.sections.end_row()
            case "table":
                if self.sections.close_table():
                    self.sections.put()

    def data(self, text: str) -> None:
        """Characters."""
        if self._text is not None and not self._left_out:
            self._text.append(text)

    def _end_paragraph(self) -> None:
        text, self._text = tidy("".join(self._text or ())), None
        level, self._level = self._level, 0
        if not text:
            return
        if any(kind in _BESIDE for kind, _, _ in self._outer):
            self._beside.append(text)
        else:
            self.sections.paragraph(text, level)
