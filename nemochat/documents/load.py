"""A file becomes sections of clean text. What it holds decides how it is read; its name is only a hint.

PDF files, and large ones of every kind, are read in a process of their own with limits on time and memory
(`nemochat.documents.isolated`): a file made to be slow cannot hold up the chat.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

import msgspec

from nemochat.documents.errors import DocumentError, NotTextError, shown
from nemochat.documents.isolated import in_child
from nemochat.documents.kinds import docx, markdown, markup, plain, records
from nemochat.documents.text import clean, decode
from nemochat.documents.values import Kind, LoadedDocument, Section
from nemochat.domain.sanitize import sanitize
from nemochat.files import reason

MAX_BYTES = 100_000_000
MAX_TEXT_BYTES = 50_000_000
CHILD_BYTES = 500_000
"""Larger files are read in a process of their own."""

# Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_PDF_HEAD = 1024
_LONGEST_NAME = 200
_KINDS = "It reads text, Markdown, HTML, PDF, DOCX, CSV, JSON and source code."
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<(?:p|div|h[1-6]|body|table|ul|ol|span|br|a|article|section)\b[^>]*>", re.IGNORECASE)
_CODE = """
    .py .pyi .js .mjs .cjs .ts .tsx .jsx .c .h .cc .cpp .cxx .hpp .cs .java .kt .go .rs .rb .php .swift .scala .lua .pl .r .jl .sh .bash
    .zsh .ps1 .sql .zig .hs .ml .ex .exs .erl .clj .dart .vue .svelte .css .scss .m .mm .v .sv .vhdl .asm .s .nim .d .f90 .groovy .gradle
    .tcss
"""
_CODE_SUFFIXES = frozenset(_CODE.split())
_MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown", ".mkd", ".qmd", ".rmd"})
_HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_JSON_LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})


def load_file(path: Path, *, name: str = "") -> LoadedDocument:
    """Read a document. Raises DocumentError with a sentence about the file; NotTextError when it is of no kind that holds text."""
    return load_bytes(read_bytes(path), name or path.name)


def read_bytes(path: Path) -> bytes:
    """The content of a regular file that is not too large. Raises DocumentError."""
    name = shown(path.name)
    try:
        handle = os.open(path, _FLAGS)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise NotTextError(f"{name} is not a regular file.", "Name a file or a folder.")
            if status.st_size > MAX_BYTES:
                raise _too_large(name, status.st_size)
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise DocumentError(f"{name} cannot be read: {reason(error)}.", "Check that it exists and may be read.") from error
    if len(data) > MAX_BYTES:
        raise _too_large(name, len(data))
    return data


def load_bytes(data: bytes, name: str) -> LoadedDocument:
    """The document that these bytes are; `name` as for a file. Raises DocumentError."""
    name = sanitize(name, strict=True)[:_LONGEST_NAME] or "document"
    if _is_pdf(data) or len(data) > CHILD_BYTES:
        kind, sections, notices = in_child(data, name)
    else:
        kind, sections, notices = sections_of(data, name)
    if not sections:
        raise NotTextError(f"{name} holds no text.", "Add a file with text in it.")
    return LoadedDocument(name, kind, sections, hashlib.sha256(data).hexdigest(), notices)


def sections_of(data: bytes, name: str) -> tuple[Kind, tuple[Section, ...], tuple[str, ...]]:
    """How a document is read and what it holds, in this process. Raises DocumentError."""
    kind, sections, notices = _read(data, name)
    return kind, tuple(_safe(section) for section in sections if section.text.strip()), tuple(notices)


def _safe(section: Section) -> Section:
    """JSON and HTML can spell control characters, so text is sanitised once more after it was taken apart."""
    return msgspec.structs.replace(section, text=clean(section.text), heading=sanitize(section.heading, strict=True).strip())


def _read(data: bytes, name: str) -> tuple[Kind, list[Section], list[str]]:
    if _is_pdf(data):
        from nemochat.documents.kinds.pdf import pdf_sections

        return (Kind.PDF, *pdf_sections(data, name))
    if docx.is_docx(data, name):
        return Kind.DOCX, docx.docx_sections(data, name), []
    if len(data) > MAX_TEXT_BYTES:
        raise _too_large(name, len(data))
    text = decode(data)
    if text is None:
        raise NotTextError(f"{name} is of no kind that nemochat reads text from.", _KINDS)
    if not text.strip():
        raise NotTextError(f"{name} is empty.", "Add a file with text in it.")
    return _read_text(text, Path(name).suffix.lower())


def _read_text(text: str, suffix: str) -> tuple[Kind, list[Section], list[str]]:
    notices: list[str] = []
    if suffix in _JSON_LINES_SUFFIXES and (lines := records.json_lines_sections(text)) is not None:
        sections, broken = lines
        return Kind.JSON_LINES, sections, [f"{broken:,} lines are no JSON and were left out."] if broken else []
    if suffix == ".json" or (suffix not in _CODE_SUFFIXES and text.lstrip()[:1] in ("{", "[")):
        found = records.json_sections(text)
        if found is not None:
            return Kind.JSON, found, []
        if suffix == ".json":
            notices.append("It is no valid JSON and was read as text.")
    if suffix in _CODE_SUFFIXES:
        return Kind.CODE, plain.code_sections(text), notices
    if _HTML_START.match(text[:4000]) or (suffix in _HTML_SUFFIXES and _TAG.search(text[:20_000])):
        return Kind.HTML, markup.html_sections(text), notices
    if suffix in _TABLE_SUFFIXES:
        delimiter = "\t" if suffix != ".csv" and "\t" in text else records.delimiter_of(text)
        if delimiter is not None:
            return (Kind.TABLE, *records.table_sections(text, delimiter))
    if suffix in _MARKDOWN_SUFFIXES:
        return Kind.MARKDOWN, markdown.markdown_sections(text), notices
    return Kind.TEXT, plain.text_sections(text), notices


def _is_pdf(data: bytes) -> bool:
    return b"%PDF-" in data[:_PDF_HEAD]


def _too_large(name: str, size: int) -> DocumentError:
    return DocumentError(f"{name} is too large ({size / 1e6:,.0f} MB).", "Split it into smaller files.")
