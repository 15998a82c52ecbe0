"""Word documents: a zip archive with XML inside, read with the standard library. A document type declaration is refused outright: it
could define entities, and Word never writes one."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from xml.parsers import expat

from nemochat.documents.errors import DocumentError
from nemochat.documents.text import clean, tidy
from nemochat.documents.values import Section

BODY = "word/document.xml"
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

_Start = Callable[[str, dict[str, str]], None]


def docx_sections(data: bytes, name: str) -> list[Section]:
    """A section for each heading. Raises DocumentError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) > MAX_ENTRIES:
                raise _too_large(name)
            body = _entry(archive, BODY, name)
            styles = _entry(archive, "word/styles.xml", name) if "word/styles.xml" in archive.namelist() else b""
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _broken(name) from error
    try:
        reader = _Body(_heading_styles(styles) if styles else {})
        _parse(body, reader.start, reader.end, reader.data)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise _broken(name) from error
    return reader.finished()


def is_docx(data: bytes, name: str) -> bool:
    """Whether the bytes are a zip archive with a Word document in it, or what is left of one by its name."""
    if not data.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return BODY in archive.namelist()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError):
        return name.lower().endswith(".docx")


def _broken(name: str) -> DocumentError:
    return DocumentError(f"{name} is broken: it is no readable Word document.", "Open it elsewhere and save it anew.")


def _too_large(name: str) -> DocumentError:
    return DocumentError(f"{name} unpacks to far too much.", "Save its text in a smaller file.")


def _entry(archive: zipfile.ZipFile, path: str, name: str) -> bytes:
    info = archive.getinfo(path)
    if info.file_size > MAX_XML or (info.file_size > _SMALL and info.file_size > MAX_RATIO * max(info.compress_size, 1)):
        raise _too_large(name)
    with archive.open(info) as stream:  # the sizes in the directory may lie
        content = stream.read(MAX_XML + 1)
    if len(content) > MAX_XML:
        raise _too_large(name)
    return content


def _parse(xml: bytes, start: _Start, end: Callable[[str], None], data: Callable[[str], None]) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: start(tag, attributes)
    parser.EndElementHandler = lambda tag: end(tag)
    parser.CharacterDataHandler = lambda text: data(text)

    def refuse(*_: object) -> None:
        raise ValueError("a document type declaration")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.Parse(xml, True)


def _word(tag: str) -> str:
    """The name of an element or attribute of Word's own, "" for others."""
    for space in (_WORD, _STRICT_WORD):
        if tag.startswith(space):
            return tag.removeprefix(space)
    return ""


def _value(attributes: dict[str, str]) -> str:
    return next((value for key, value in attributes.items() if _word(key) == "val"), "")


def _heading_styles(xml: bytes) -> dict[str, int]:
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
        elif name == "outlineLvl" and _value(attributes).isdecimal():
            levels.setdefault(current, int(_value(attributes)) + 1)

    _parse(xml, start, lambda _: None, lambda _: None)
    return levels


class _Body:
    """Takes the elements of the body one after another."""

    def __init__(self, styles: dict[str, int]) -> None:
        self._styles = styles
        self._sections: list[Section] = []
        self._above: list[tuple[int, str]] = []
        self._paragraphs: list[str] = []
        self._text: list[str] = []
        self._level = 0
        self._in_text = False
        self._fallbacks = 0
        self._tables: list[list[list[str]]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if tag == _FALLBACK:
            self._fallbacks += 1  # the same once more, for old programs
        if self._fallbacks:
            return
        match _word(tag):
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
            case "outlineLvl" if _value(attributes).isdecimal() and int(_value(attributes)) < 9:
                self._level = int(_value(attributes)) + 1
            case "tbl":
                self._tables.append([])
            case "tr" if self._tables:
                self._tables[-1].append([])
            case "tc" if self._tables and self._tables[-1]:
                self._tables[-1][-1].append("")

    def end(self, tag: str) -> None:
        """An element ends."""
        if tag == _FALLBACK:
            self._fallbacks -= 1
        if self._fallbacks:
            return
        match _word(tag):
            case "t":
                self._in_text = False
            case "p":
                self._end_paragraph()
            case "tbl" if self._tables:
                self._end_table(self._tables.pop())

    def data(self, text: str) -> None:
        """Characters."""
        if self._in_text:
            self._text.append(text)

    def finished(self) -> list[Section]:
        """The sections."""
        self._end_section()
        return self._sections

    def _end_paragraph(self) -> None:
        text = tidy("".join(self._text))
        level, self._text, self._level = self._level, [], 0
        if not text:
            return
        if self._tables:
            if self._tables[-1] and self._tables[-1][-1]:
                row = self._tables[-1][-1]
                row[-1] = f"{row[-1]} {text}".strip()
        elif level:
            self._end_section()
            self._above = [each for each in self._above if each[0] < level]
            self._above.append((level, clean(text)[:_LONGEST_HEADING]))
        else:
            self._paragraphs.append(text)

    def _end_table(self, rows: list[list[str]]) -> None:
        """Each row as a line, the values after the names of their columns."""
        rows = [row for row in rows if any(row)]
        if not rows:
            return
        header = rows[0] if len(rows) > 1 and all(rows[0]) else None
        lines = []
        for row in rows[1:] if header else rows:
            if header and len(header) == len(row) and len(row) > 1:
                lines.append("; ".join(f"{name}: {value}" for name, value in zip(header, row, strict=True)))
            else:
                lines.append(" | ".join(cell for cell in row if cell))
        if self._tables and self._tables[-1] and self._tables[-1][-1]:
            self._tables[-1][-1][-1] += " " + " ".join(lines)  # a table inside of a cell
        else:
            self._paragraphs.extend(lines)

    def _end_section(self) -> None:
        if self._paragraphs:
            heading = " > ".join(title for _, title in self._above)
            self._sections.append(Section(clean("\n\n".join(self._paragraphs)), heading=heading))
        self._paragraphs = []
