"""RTF, with striprtf: its control words, pictures and hidden groups are dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nemochat.documents.text import clean
from nemochat.documents.values import DocumentError, Section

_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_MOST_BYTES = 20_000_000
_LONG_HEX = re.compile(r"(?:[0-9a-fA-F]{64,}[\r\n]*){2,}")


def rtf_sections(data: bytes, name: str) -> Iterator[Section]:
    """One section; what stands in the rows of tables is parted by strokes. Raises DocumentError."""
    from striprtf.striprtf import rtf_to_text

    found = _CODE_PAGE.search(data[:4096])
    page = "cp1252" if found is None or found[1] == b"0" else f"cp{int(found[1])}"
    try:
        text = data.decode(page, errors="replace")
    except LookupError:
        page, text = "cp1252", data.decode("cp1252", errors="replace")
    # The address of a link is no text; and the pattern that would look for it needs the cube of the time for some files.
    text = _LONG_HEX.sub("", text).replace("\\fldinst{", "\\fldinst {")
    if len(text) > _MOST_BYTES:
        raise DocumentError(f"{name} is too large for an RTF file.", "Save it as DOCX and add that.")
    text = text.replace("\\ansicpg0", "\\ansicpg1252")
    try:
        plain: str = rtf_to_text(text, encoding=page, errors="replace")  # type: ignore[no-untyped-call]
    except (ValueError, LookupError, IndexError, OverflowError, TypeError) as error:
        raise DocumentError(f"{name} is broken: it is no readable RTF file.", "Open it elsewhere and save it anew.") from error
    # Characters beyond the first plane are written as two halves.
    plain = plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    lines = (" | ".join(filter(None, (cell.strip() for cell in line.split("|")))) for line in plain.split("\n"))
    yield Section(clean("\n\n".join(line for line in lines if line)))
