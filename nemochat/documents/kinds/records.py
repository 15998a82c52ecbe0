"""Tables and JSON: rows and records, each with its names so that it can be understood alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import msgspec

from nemochat.documents.values import Section

MAX_ROWS = 200_000
_DELIMITERS = ",;\t|"
_MAX_DEPTH = 60
_MAX_FIELD = 1_000_000
_LONGEST_VALUE = 2_000


def delimiter_of(text: str) -> str | None:
    """What parts the columns: a character that stands equally often in the first lines; None when there is none."""
    lines = [line for line in text[:20_000].split("\n")[:20] if line.strip()]
    best, most = None, 0
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        usual = max(set(widths), key=widths.count) if widths else 0
        if usual > 1 and widths.count(usual) >= len(widths) * 0.6 and usual > most:
            best, most = delimiter, usual
    return best


def table_sections(text: str, delimiter: str) -> tuple[list[Section], list[str]]:
    """One section with a paragraph for each row, and notices. Rows that are too short or too long are kept as far as they go."""
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] | None = None
    sections: list[Section] = []
    notices: list[str] = []
    line = 1
    try:
        for row in reader:
            cells = [" ".join(cell.split()) for cell in row]
            if any(cells):
                if header is None:
                    header = _header(cells)
                    if header == cells:
                        line = reader.line_num + 1
                        continue
                names = header + [""] * (len(cells) - len(header))
                values = (f"{name}: {value}" if name else value for name, value in zip(names, cells, strict=False) if value)
                sections.append(Section("; ".join(values), line=line, is_list=True))
            line = reader.line_num + 1
            if len(sections) >= MAX_ROWS:
                notices.append(f"Only the first {MAX_ROWS:,} rows were read.")
                break
    except csv.Error:
        notices.append(f"The table is broken after line {line:,}; what stands before was read.")
    if not sections and header:
        sections.append(Section("; ".join(header), line=1))
    return sections, notices


def _header(cells: list[str]) -> list[str]:
    """The names of the columns: the first row unless it looks like values."""
    if all(cells) and len(set(cells)) == len(cells) and not any(_is_number(cell) for cell in cells):
        return cells
    return [f"column {at}" for at in range(1, len(cells) + 1)]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "").replace(",", "").replace("-", "").isdecimal()


def json_sections(text: str) -> list[Section] | None:
    """A section for each record of a list, or for each entry of an object; None when it is not JSON."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    match value:
        case list():
            return [Section(line, is_list=True) for item in value[:MAX_ROWS] if (line := flattened(item))]
        case dict():
            entries: list[Section] = []
            for key, item in value.items():
                if isinstance(item, list) and item and all(isinstance(each, dict) for each in item):
                    entries.extend(Section(line, heading=str(key), is_list=True) for each in item[:MAX_ROWS] if (line := flattened(each)))
                elif isinstance(item, dict):
                    entries.append(Section(flattened(item, str(key)), heading=str(key), is_list=True))
                else:
                    entries.append(Section(flattened(item, str(key)), is_list=True))
            return [section for section in entries if section.text]
    return None


def json_lines_sections(text: str) -> tuple[list[Section], int] | None:
    """A section for each line and how many lines are broken; None when most are."""
    sections: list[Section] = []
    broken = 0
    for number, line in enumerate(text.split("\n")[:MAX_ROWS], 1):
        if not line.strip():
            continue
        try:
            flat = flattened(msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            broken += 1
            if broken > 20 and broken > len(sections):
                return None
            continue
        if flat:
            sections.append(Section(flat, line=number, is_list=True))
    return (sections, broken) if len(sections) > broken else None


def flattened(value: object, path: str = "") -> str:
    """``name: Anna; address.city: Bonn; tags: a, b``"""
    return "; ".join(f"{where}: {what}" if where else what for where, what in _leaves(value, path, 0))


def _leaves(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        if value:
            yield path, ", ".join(_leaf(item) for item in value)[:_LONGEST_VALUE]
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _leaves(item, f"{path}[{at}]", depth + 1)
    else:
        yield path, _leaf(value)


def _leaf(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())[:_LONGEST_VALUE]
