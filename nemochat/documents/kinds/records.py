"""Tables and JSON: rows and records, each with its names so that it can be understood alone. Names are cut, as each row says them again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

import msgspec

from nemochat.documents.text import as_name
from nemochat.documents.values import Section

MAX_ROWS = 200_000
MAX_COLUMNS = 2_000
_DELIMITERS = ",;\t|"
_MAX_DEPTH = 60
_MAX_FIELD = 1_000_000
_LONGEST_PATH = 300
_LONGEST_VALUE = 2_000
_LONGEST_RECORD = 500_000
"""Characters of a section. What has more of them becomes several, each of which is let go before the next one is made."""
_BROKEN = object()
_BEGINNING = 20_000
_TRIED = 40
"""Lines that tell whether a file is JSON lines."""


def delimiter_of(text: str) -> str | None:
    """What parts the columns: a character that stands equally often in the first lines; None when there is none."""
    beginning = text[:_BEGINNING].split("\n")
    if len(text) > _BEGINNING and len(beginning) > 1:
        beginning.pop()  # it was cut
    lines = [line for line in beginning[:20] if line.strip()]
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


def table_sections(text: str, delimiter: str, notices: list[str]) -> Iterator[Section]:
    """One section for each row; notices are added. Rows that are too short or too long are kept as far as they go."""
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] | None = None
    rows, widest, line = 0, 0, 1
    try:
        for row in reader:
            widest = max(widest, len(row))
            cells = [" ".join(cell.split()) for cell in row[:MAX_COLUMNS]]
            if any(cells):
                if header is None:
                    header = _header(cells)
                    if header == [as_name(cell) for cell in cells]:
                        line = reader.line_num + 1
                        continue
                rows += 1
                if rows > MAX_ROWS:
                    notices.append(f"Only the first {MAX_ROWS:,} rows were read.")
                    break
                pairs = zip(chain(header, repeat("")), cells, strict=False)
                values = (f"{name}: {value}" if name else value for name, value in pairs if value)
                yield Section("; ".join(values), line=line, is_list=True)
            line = reader.line_num + 1
    except csv.Error:
        notices.append(f"The table is broken after line {line:,}; what stands before was read.")
    if widest > MAX_COLUMNS:
        notices.append(f"Only the first {MAX_COLUMNS:,} columns were read.")
    if not rows and header:
        yield Section("; ".join(header), line=1)


def _header(cells: list[str]) -> list[str]:
    """The names of the columns: the first row unless it looks like values."""
    if all(cells) and len(set(cells)) == len(cells) and not any(_is_number(cell) for cell in cells):
        return [as_name(cell) for cell in cells]
    return [f"column {at}" for at in range(1, len(cells) + 1)]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "").replace(",", "").replace("-", "").isdecimal()


def json_sections(text: str) -> Iterator[Section] | None:
    """A section for each record of a list, or for each entry of an object; None when it is not JSON."""
    match _decoded(text):
        case list(value):
            return (section for item in value[:MAX_ROWS] for section in _records(item, "", ""))
        case dict(value):
            return (section for key, item in value.items() for section in _entries(as_name(str(key)), item))
    return None


def _entries(key: str, item: object) -> Iterator[Section]:
    if isinstance(item, list) and item and all(isinstance(each, dict) for each in item):
        for each in item[:MAX_ROWS]:
            yield from _records(each, "", key)
    else:
        yield from _records(item, key, key if isinstance(item, dict) else "")


def _records(item: object, path: str, heading: str) -> Iterator[Section]:
    """The section of a record, or several of a very long one."""
    leaves = flattened(item, path)
    while text := _joined(leaves):
        yield Section(text, heading=heading, is_list=True)


def _joined(leaves: Iterable[str]) -> str:
    """As many as fit into one record; "" when there are none left."""
    parts, size = [], 0
    for leaf in leaves:
        parts.append(leaf)
        size += len(leaf)
        if size > _LONGEST_RECORD:
            break
    return "; ".join(parts)


def is_json_lines(text: str) -> bool:
    """Whether most of the first lines are JSON, each by itself."""
    lines = [line for line in text.split("\n", _TRIED)[:_TRIED] if line.strip()]
    valid = sum(_decoded(line) is not _BROKEN for line in lines)
    return valid > len(lines) - valid


def json_lines_sections(text: str, notices: list[str]) -> Iterator[Section]:
    """A section for each line; how many are broken is added to the notices."""
    broken = 0
    for number, line in enumerate(io.StringIO(text), 1):
        if number > MAX_ROWS:
            notices.append(f"Only the first {MAX_ROWS:,} lines were read.")
            break
        if line.isspace():
            continue
        value = _decoded(line)
        if value is _BROKEN:
            broken += 1
            continue
        for section in _records(value, "", ""):
            yield msgspec.structs.replace(section, line=number)
    if broken:
        notices.append(f"{broken:,} lines are not JSON and were left out.")


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _BROKEN


def flattened(value: object, path: str = "") -> Iterator[str]:
    """``name: Anna``, ``address.city: Bonn``, ``tags: a, b``"""
    return (leaf for where, what in _leaves(value, path, 0) if (leaf := f"{where}: {what}" if where else what))


def _leaves(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            name = as_name(str(key))
            yield from _leaves(item, _path(f"{path}.{name}" if path else name), depth + 1)
    elif isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        if value:
            yield path, ", ".join(_leaf(item) for item in islice(value, _LONGEST_VALUE))[:_LONGEST_VALUE]
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _leaves(item, _path(f"{path}[{at}]"), depth + 1)
    else:
        yield path, _leaf(value)


def _path(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"…{path[-_LONGEST_PATH:]}"


def _leaf(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())[:_LONGEST_VALUE]
