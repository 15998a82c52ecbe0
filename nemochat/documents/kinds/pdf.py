"""PDF: its text with pypdf, its pages as pictures with PDFium.

Called in a process of its own: a broken file may take very long or very much memory, and a hostile one may crash PDFium.
"""

from __future__ import annotations

import io
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from nemochat.documents.text import clean
from nemochat.documents.values import DocumentError, Section
from nemochat.documents.wire import Answer

if TYPE_CHECKING:
    import pypdfium2
    from pypdf import PageObject


MAX_PAGES = 5000
_FEW_WORDS = 25
_MANY_MARKS = 50
_NUMBERS = re.compile(r"\d+")
_MARK = re.compile(
    r"\b(?:trial|evaluat\w+|unregistered|unlicen[sc]ed|demo|watermark\w*|camscanner|register(?:ed)? (?:version|to remove)|to remove this|"
    r"(?:scanned|created|converted|made|produced|generated) (?:with|by|using|in))\b|\bwww\.|https?://",
    re.IGNORECASE,
)
"""What programs write on pages that were not paid for."""
_HYPHENATED = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_LINE_END = re.compile(r"(?<![.:;!?\n])\n(?=[^\s\d•\-–*])")  # noqa: RUF001


def pdf_sections(data: bytes, name: str, notices: list[str]) -> Iterator[Section]:
    """A section for each page that has text; notices are added. Raises DocumentError."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError(f"{name} is encrypted.", "Save it without a password and add it again.")
        total = len(reader.pages)
    except (DocumentError, MemoryError):
        raise
    except Exception as error:
        if "crypt" in str(error).lower() or "AES" in str(error):
            raise DocumentError(f"{name} is encrypted in a way that cannot be read.", "Save it without a password.") from error
        raise DocumentError(f"{name} is broken: it is not a readable PDF.", "Open it elsewhere and save it anew.") from error
    pages, failed, found = min(total, MAX_PAGES), 0, False
    held: list[Section] = []
    """Pages that may hold nothing but a mark; others follow or not."""
    for at in range(pages):
        try:
            page = reader.pages[at]
            text = _joined(clean(page.extract_text()))
            if text.strip():
                section = Section(text, page=at + 1)
                if not found and len(text.split()) <= _FEW_WORDS and len(held) < _MANY_MARKS and _is_picture(page):
                    held.append(section)
                    continue
                yield from held
                held.clear()
                found = True
                yield section
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a broken page makes pypdf raise anything; it is counted and told
            failed += 1
    if not found and held and not _are_marks([section.text for section in held]):
        found = True
        yield from held
    if failed and not found:
        raise DocumentError(f"{name} is broken: none of its pages can be read.", "Open it elsewhere and save it anew.")
    if not found:
        mark = ", apart from a mark that a program has put on it" if held else ""
        raise DocumentError(
            f"{name} has no text, only pictures{mark}.",
            "Drop it into the prompt to attach its pages as pictures, or run text recognition on it.",
        )
    if failed:
        notices.append(f"{failed:,} of {pages:,} pages of {name} could not be read.")
    if total > MAX_PAGES:
        notices.append(f"Only the first {MAX_PAGES:,} pages of {name} were read.")


def _is_picture(page: PageObject) -> bool:
    """Whether a picture stands on a page, as a scanner makes them."""
    resources = page.get("/Resources")
    objects = resources.get_object().get("/XObject") if resources is not None else None
    found = objects.get_object().values() if objects is not None else ()
    return any(each.get_object().get("/Subtype") in ("/Image", "/Form") for each in islice(found, _MANY_MARKS))


def _are_marks(texts: list[str]) -> bool:
    """Whether the few words of the pages are what a trial version or a scanner has stamped on them, page numbers aside."""
    said = {_NUMBERS.sub("", text).strip().lower() for text in texts}
    return any(map(_MARK.search, said)) if len(texts) == 1 else len(said - {""}) <= 1


def _joined(text: str) -> str:
    """Lines of a paragraph as the paragraph they are, as far as can be told, and the letters of ligatures, which are a matter of print."""
    text = text.translate(_LIGATURES)
    return _LINE_END.sub(" ", _HYPHENATED.sub("", "\n".join(line.rstrip() for line in text.split("\n"))))


_LONGEST_SIDE = 1600
"""Pixels: print of the usual size can still be read."""
_LARGEST_SCALE = 4.0


def draw_pages(data: bytes, name: str, most: int) -> Answer:
    """The first pages as PNG files. Raises DocumentError."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
        total = len(document)
        pages = tuple(_drawn(document[at]) for at in range(min(most, total)))
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentError(f"{name} is encrypted.", "Save it without a password and add it again.") from error
        raise DocumentError(f"{name} is broken: its pages cannot be drawn.", "Open it elsewhere and save it anew.") from error
    if not pages:
        raise DocumentError(f"{name} has no pages.", "Open it elsewhere and save it anew.")
    return Answer(pages=pages, total=total)


def _drawn(page: pypdfium2.PdfPage) -> bytes:
    scale = min(_LONGEST_SIDE / max(*page.get_size(), 1.0), _LARGEST_SCALE)
    out = io.BytesIO()
    page.render(scale=scale).to_pil().convert("RGB").save(out, "PNG")
    return out.getvalue()
