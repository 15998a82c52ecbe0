"""PDF, with pypdf. Called in a process of its own: a broken file may take very long or very much memory."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator

from nemochat.documents.errors import DocumentError
from nemochat.documents.text import clean
from nemochat.documents.values import Section

MAX_PAGES = 5000
_HYPHENATED = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
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
    for at in range(pages):
        try:
            text = _joined(clean(reader.pages[at].extract_text()))
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a broken page makes pypdf raise anything; it is counted and told
            failed += 1
            continue
        if text.strip():
            found = True
            yield Section(text, page=at + 1)
    if failed and not found:
        raise DocumentError(f"{name} is broken: none of its pages can be read.", "Open it elsewhere and save it anew.")
    if not found:
        raise DocumentError(f"{name} has no text, only pictures.", "Attach its pages as pictures, or run text recognition on it.")
    if failed:
        notices.append(f"{failed:,} of {pages:,} pages of {name} could not be read.")
    if total > MAX_PAGES:
        notices.append(f"Only the first {MAX_PAGES:,} pages of {name} were read.")


def _joined(text: str) -> str:
    """Lines of a paragraph as the paragraph they are, as far as can be told."""
    return _LINE_END.sub(" ", _HYPHENATED.sub("", "\n".join(line.rstrip() for line in text.split("\n"))))
