"""Notebooks of Jupyter: the text and code of their cells, and what these have printed. Pictures and other binary output are left out."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nemochat.documents.kinds import markdown
from nemochat.documents.text import clean
from nemochat.documents.values import Section
from nemochat.reading import listed, mapping, tables

_LONGEST_OUTPUT = 20_000


def notebook_sections(text: str) -> Iterator[Section] | None:
    """The sections of the cells; None when it is no notebook."""
    try:
        book = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    cells = _cells(book)
    return _sections(cells) if cells is not None else None


def _cells(book: object) -> list[object] | None:
    """Those of the present format, or of the one before (nbformat 3), which parts them into sheets."""
    if not isinstance(book, dict) or "nbformat" not in book:
        return None
    if isinstance(sheets := book.get("worksheets"), list):
        return [cell for sheet in sheets if isinstance(sheet, dict) for cell in listed(sheet, "cells")]
    return listed(book, "cells")


def _sections(cells: list[object]) -> Iterator[Section]:
    heading = ""
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        source = _joined(cell.get("source", cell.get("input")))
        if cell.get("cell_type") == "markdown":
            for section in markdown.markdown_sections(clean(source)):
                heading = section.heading or heading
                yield Section(section.text, heading=section.heading or heading)
            continue
        printed = [_printed(output) for output in tables(cell, "outputs")]
        body = "\n\n".join(filter(None, (source, *printed)))
        if body.strip():
            yield Section(clean(body), heading=heading)


def _printed(output: dict[str, object]) -> str:
    """What a cell has shown as text; a table that it has shown as HTML as well is there as text too."""
    data = output.get("data", output)
    text = _joined(output.get("text")) or _joined(mapping(data).get("text/plain"))
    if output.get("output_type") in ("error", "pyerr"):
        text = f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
    return text[:_LONGEST_OUTPUT]


def _joined(value: object) -> str:
    """A text, which may be there as a list of its lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
