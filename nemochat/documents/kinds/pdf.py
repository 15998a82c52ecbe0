"""PDF, with pypdf. Called in a process of its own: a broken file may take very long or very much memory."""

from __future__ import annotations

import io
import logging
import re
import warnings

from nemochat.documents.errors import DocumentError
from nemochat.documents.text import clean
from nemochat.documents.values import Section

MAX_PAGES = 5000
MAX_CHARACTERS = 40_000_000
_HYPHENATED = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_LINE_END = re.compile(r"(?<![.:;!?\n])\n(?=[^\s\d•\-–*])")  # noqa: RUF001


def pdf_sections(data: bytes, name: str) -> tuple[list[Section], list[str]]:
    """A section for each page that has text, and notices. Raises DocumentError."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError(f"{name} is encrypted.", "Save it without a password and add it again.")
        total = len(reader.pages)
    except DocumentError:
        raise
    except Exception as error:
        if "crypt" in str(error).lower() or "AES" in str(error):
            raise DocumentError(f"{name} is encrypted in a way that cannot be read.", "Save it without a password.") from error
        raise DocumentError(f"{name} is broken: it is no readable PDF.", "Open it elsewhere and save it anew.") from error
    sections, failed, length = [], 0, 0
    for at in range(min(total, MAX_PAGES)):
        try:
            text = _joined(clean(reader.pages[at].extract_text()))
        except (PyPdfError, ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError):
            failed += 1
            continue
        length += len(text)
        if length > MAX_CHARACTERS:
            break
        if text.strip():
            sections.append(Section(text, page=at + 1))
    if not sections:
        if failed:
            raise DocumentError(f"{name} is broken: none of its pages can be read.", "Open it elsewhere and save it anew.")
        raise DocumentError(f"{name} has no text, only pictures.", "Attach its pages as pictures, or run text recognition on it.")
    return sections, _notices(name, total, failed, length)


def _notices(name: str, total: int, failed: int, length: int) -> list[str]:
    notices = []
    if failed:
        notices.append(f"{failed:,} of {min(total, MAX_PAGES):,} pages of {name} could not be read.")
    if total > MAX_PAGES or length > MAX_CHARACTERS:
        notices.append(f"{name} is very long: only its beginning was read.")
    return notices


def _joined(text: str) -> str:
    """Lines of a paragraph as the paragraph they are, as far as can be told."""
    return _LINE_END.sub(" ", _HYPHENATED.sub("", "\n".join(line.rstrip() for line in text.split("\n"))))
