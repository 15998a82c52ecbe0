"""Pages of a PDF as pictures, drawn by PDFium. Called in a process of its own, as a hostile file may crash it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from nemochat.documents.values import DocumentError
from nemochat.documents.wire import Answer

if TYPE_CHECKING:
    import pypdfium2

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
