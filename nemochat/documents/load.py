"""A file becomes passages of clean text. What it holds decides how it is read; its name is only a hint.

All of this runs in the process of `nemochat.documents.child`: a file made to be slow or to fill the memory harms nothing else. Sections and
passages are made one after another as they are asked for, so that what is over a limit is never made.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from nemochat.documents import wire
from nemochat.documents.encodings import decode
from nemochat.documents.kinds import docx, foreign, markdown, markup, notebook, opendocument, plain, records, rtf, xlsx
from nemochat.documents.split import split_sections
from nemochat.documents.text import clean
from nemochat.documents.values import Kind, NotTextError, Piece, Section, too_large
from nemochat.documents.wire import Answer
from nemochat.domain.sanitize import sanitize

_PDF_HEAD = 1024
_LONGEST_HEADING = 400
_KINDS = "It reads text, Markdown, HTML, PDF, DOCX, ODT, RTF, XLSX, ODS, CSV, JSON, mail (EML), notebooks and source code."
_BLANKS = b" \t\r\n\xef\xbb\xbf"
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_JSON_START = re.compile(r"\s*[\[{]")
_TAG = re.compile(r"<(?:p|div|h[1-6]|body|table|ul|ol|span|br|a|article|section)\b[^<>]*>", re.IGNORECASE)
_CODE = """
    .py .pyi .js .mjs .cjs .ts .tsx .jsx .c .h .cc .cpp .cxx .hpp .cs .java .kt .go .rs .rb .php .swift .scala .lua .pl .r .jl .sh .bash
    .zsh .ps1 .sql .zig .hs .ml .ex .exs .erl .clj .dart .vue .svelte .css .scss .m .mm .v .sv .vhdl .asm .s .nim .d .f90 .groovy .gradle
    .tcss
"""
_CODE_SUFFIXES = frozenset(_CODE.split())
_MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown", ".mkd", ".qmd", ".rmd"})
_HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_MAIL_SUFFIXES = frozenset({".eml", ".mbox", ".mht", ".mhtml"})
_MAYBE_MAIL = frozenset({"", ".txt", ".mail", ".msg"})
_ARCHIVES = {
    ".docx": docx.WHAT, ".docm": docx.WHAT, ".dotx": docx.WHAT, ".xlsx": xlsx.WHAT, ".xlsm": xlsx.WHAT, ".odt": opendocument.WHAT,
    ".ods": opendocument.WHAT, ".odp": opendocument.WHAT,
}  # fmt: skip
_JSON_LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})


class Parsed(NamedTuple):
    """How a document is read, and what it holds. notices: complete when the last section has been taken."""

    kind: Kind
    sections: Iterator[Section]
    notices: list[str]


def read_document(data: bytes, name: str, has_time: Callable[[], bool] = lambda: True) -> Answer:
    """The passages of a document, as far as limits and time go. Raises DocumentError; NotTextError for what has no text."""
    kind, sections, notices = sections_of(data, name)
    pieces: list[Piece] = []
    left = wire.characters_of(len(data))
    for piece in split_sections(sections):
        left -= len(piece.text) + len(piece.locator.heading)
        if left < 0 or len(pieces) == wire.MAX_PASSAGES:
            notices.append(f"{name} is very long: {_only(pieces)}")
            break
        pieces.append(piece)
        if not has_time():
            notices.append(f"{name} takes very long to read: {_only(pieces)}")
            break
    if not pieces:
        raise NotTextError(f"{name} has no text.", "Add a file with text in it.")
    return Answer(kind, tuple(pieces), tuple(notices))


def _only(pieces: list[Piece]) -> str:
    return f"only its first {len(pieces):,} passages ({sum(len(piece.text) for piece in pieces):,} characters) were read."


def sections_of(data: bytes, name: str) -> Parsed:
    """How a document is read and what it holds. It and its sections raise DocumentError."""
    kind, sections, notices = _read(data, name)
    return Parsed(kind, _safe(sections), notices)


def _safe(sections: Iterable[Section]) -> Iterator[Section]:
    """JSON and HTML can spell control characters, so text is sanitised once more after it was taken apart."""
    for section in sections:
        if section.text.strip():
            heading = sanitize(section.heading, strict=True).strip()[-_LONGEST_HEADING:]
            yield msgspec.structs.replace(section, text=clean(section.text), heading=heading)


def _read(data: bytes, name: str) -> Parsed:
    notices: list[str] = []
    if b"%PDF-" in data[:_PDF_HEAD]:
        from nemochat.documents.kinds.pdf import pdf_sections

        return Parsed(Kind.PDF, pdf_sections(data, name, notices), notices)
    if data.startswith(b"PK\x03\x04"):
        return _read_archive(data, name, notices)
    foreign.refuse_foreign(data, name)
    if len(data) > wire.MAX_TEXT_BYTES:
        raise too_large(name, len(data))
    if data.lstrip(_BLANKS).startswith(b"{\\rtf"):
        return Parsed(Kind.RTF, rtf.rtf_sections(data.lstrip(_BLANKS), name), notices)
    suffix = Path(name).suffix.lower()
    if suffix in _MAIL_SUFFIXES or (suffix in _MAYBE_MAIL and data[:1].isalpha() and b":" in data[:200]):
        from nemochat.documents.kinds import mail

        if suffix in _MAIL_SUFFIXES or mail.is_mail(data):
            return Parsed(Kind.MAIL, mail.mail_sections(data, name, notices), notices)
    decoded = decode(data)
    if decoded is None:
        raise NotTextError(f"{name} is of a kind that nemochat cannot read text from.", _KINDS)
    text = decoded.text
    if decoded.doubt:
        notices.append(decoded.doubt)
    if not text or text.isspace():
        raise NotTextError(f"{name} is empty.", "Add a file with text in it.")
    kind, sections = _read_text(text, suffix, notices)
    return Parsed(kind, iter(sections), notices)


def _read_archive(data: bytes, name: str, notices: list[str]) -> Parsed:
    """What is inside of a zip decides what it is; of one that is broken, its name."""
    suffix = Path(name).suffix.lower()
    what = _ARCHIVES.get(suffix)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            is_open = opendocument.is_opendocument(archive)
            foreign.refuse_archive(archive, name)
    except docx.ZIP_ERRORS as error:
        if what is not None:
            raise docx.broken(name, what) from error
        names, is_open = set(), False
    if docx.BODY in names:
        return Parsed(Kind.DOCX, docx.docx_sections(data, name), notices)
    if xlsx.BOOK in names:
        return Parsed(Kind.SHEET, xlsx.xlsx_sections(data, name, notices), notices)
    if is_open:
        return Parsed(Kind.OPEN_DOCUMENT, opendocument.opendocument_sections(data, name), notices)
    raise NotTextError(f"{name} is of a kind that nemochat cannot read text from.", _KINDS)


def _read_text(text: str, suffix: str, notices: list[str]) -> tuple[Kind, Iterable[Section]]:
    if suffix in _JSON_LINES_SUFFIXES and records.is_json_lines(text):
        return Kind.JSON_LINES, records.json_lines_sections(text, notices)
    if suffix == ".ipynb" and (cells := notebook.notebook_sections(text)) is not None:
        return Kind.NOTEBOOK, cells
    if suffix == ".json" or (suffix not in _CODE_SUFFIXES and _JSON_START.match(text)):
        found = records.json_sections(text)
        if found is not None:
            return Kind.JSON, found
        if suffix == ".json":
            notices.append("It is no valid JSON and was read as text.")
    if suffix in _CODE_SUFFIXES:
        return Kind.CODE, plain.code_sections(text)
    if _HTML_START.match(text[:4000]) or (suffix in _HTML_SUFFIXES and _TAG.search(text[:20_000])):
        return Kind.HTML, markup.html_sections(text)
    if suffix in _TABLE_SUFFIXES:
        delimiter = "\t" if suffix != ".csv" and "\t" in text else records.delimiter_of(text)
        if delimiter is not None:
            return Kind.TABLE, records.table_sections(text, delimiter, notices)
    if suffix in _MARKDOWN_SUFFIXES:
        return Kind.MARKDOWN, markdown.markdown_sections(text)
    return Kind.TEXT, [Section(text, line=1)]
