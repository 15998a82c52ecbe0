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

from nemochat.documents.kinds.sections import Sections
from nemochat.documents.text import tidy
from nemochat.documents.values import DocumentError, Section

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
_LONGEST_URI = 300
_LAST_LEVEL = 9
_MAX_PARTS = 200
_PARTS = (
    (re.compile(r"word/header\d*\.xml"), "Header"), (re.compile(r"word/footer\d*\.xml"), "Footer"),
    (re.compile(r"word/footnotes\.xml"), "Footnotes"), (re.compile(r"word/endnotes\.xml"), "Endnotes"),
    (re.compile(r"word/comments\.xml"), "Comments"),
)  # fmt: skip
"""What stands beside the body, and the heading that it gets."""
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
    yield from reader.sections.drained(parse(xml, reader.start, reader.end, reader.data))
    reader.sections.put()
    yield from reader.sections.done


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


class _Body:
    """Takes the elements of the body, or of what stands beside it, one after another. heading: above all of it."""

    def __init__(self, styles: dict[str, int], heading: str = "") -> None:
        self.sections = Sections(heading)
        self._styles = styles
        self._outer: list[tuple[list[str], int]] = []
        """Of paragraphs in which a text box stands: what they said before it."""
        self._text: list[str] = []
        self._level = 0
        self._in_text = False
        self._fallbacks = 0

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
            case "tbl":
                self.sections.open_table()
            case "tr":
                self.sections.end_row()
            case "tc" if (table := self.sections.table) is not None:
                table.begin_cell()

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
            case "tr":
                self.sections.end_row()
            case "tbl":
                self.sections.close_table()

    def data(self, text: str) -> None:
        """Characters."""
        if self._in_text:
            self._text.append(text)

    def _end_paragraph(self) -> None:
        text = tidy("".join(self._text))
        level, self._text, self._level = self._level, [], 0
        if text:
            self.sections.paragraph(text, level)
