"""Tables and JSON: rows and records, each with its names so that it can be understood alone. Names are cut, as each row says them again."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

import msgspec

from nemochat.documents.text import as_name
from nemochat.documents.values import Section

MAX_ROWS = 200_000
MAX_COLUMNS = 2_000
_DELIMITERS = ",;\t|:^~"
_SAID = re.compile(r"\A[\"']?sep=(\\t|[^\w\s\"']|\t)[\"']?[ ,;]*\n", re.IGNORECASE)
"""How Excel is told what parts the columns."""
_COMMENTS = ("#", "%", "//")
_ALIKE, _ENOUGH_ALIKE = 0.6, 0.9
_SIGNS = str.maketrans("", "", ".,-")
"""Of numbers, beside their digits."""
_MAX_DEPTH = 60
_MAX_FIELD = 1_000_000
_LONGEST_PATH = 300
_LONGEST_VALUE = 2_000
_LONGEST_RECORD = 500_000
"""Characters of a section. What has more of them becomes several, each of which is let go before the next one is made."""
_BROKEN = object()
_BEGINNING = 20_000
_TRIED = 40
"""Lines that tell whether a file is JSON lines, and how wide a table is."""


def delimiter_of(text: str) -> str | None:
    """What parts the columns: what the first line says it is, or a character that stands equally often in the first lines; None when there
    is none."""
    if (said := _SAID.match(text)) is not None:
        return "\t" if said[1] == "\\t" else said[1]
    beginning = text[:_BEGINNING].split("\n")
    if len(text) > _BEGINNING and len(beginning) > 1:
        beginning.pop()  # it was cut
    lines = [line for line in beginning if line.strip() and not line.startswith(_COMMENTS)][:_TRIED]
    best, most = None, (0.0, 0)
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        usual = max(set(widths), key=widths.count) if widths else 0
        share = widths.count(usual) / len(widths) if widths else 0.0
        if usual > 1 and share >= _ALIKE and (min(share, _ENOUGH_ALIKE), usual) > most:
            best, most = delimiter, (min(share, _ENOUGH_ALIKE), usual)
    return best


def table_sections(text: str, delimiter: str, notices: list[str]) -> Iterator[Section]:
    """One section for each row; notices are added. Rows that are too short or too long are kept as far as they go."""
    csv.field_size_limit(_MAX_FIELD)
    said = _SAID.match(text)
    source = io.StringIO(text[said.end() :] if said is not None else text, newline="")
    skipped = text.count("\n", 0, said.end()) if said is not None else 0
    comments: list[str] = []
    after = 1 + skipped

    def lines() -> Iterator[str]:
        """All of it, less the comments that stand before the first row."""
        nonlocal after
        for line in source:
            if not line.startswith(_COMMENTS):
                if comments and delimiter in comments[-1] and comments[-1].count(delimiter) == line.count(delimiter):
                    after -= 1
                    yield comments.pop().lstrip("#%/ ")  # the names of the columns, behind such a sign
                yield line
                yield from source
                return
            comments.append(line)
            after += 1

    reader = csv.reader(lines(), delimiter=delimiter)
    line = 0

    def rows() -> Iterator[tuple[int, list[str]]]:
        nonlocal line
        try:
            for row in reader:
                begins, line = line, reader.line_num
                yield begins + after, row
        except csv.Error:
            notices.append(f"The table is broken after line {line + after:,}; what stands before was read.")

    table = rows_sections(rows(), notices)
    first = next(table, None)
    if comments:
        yield Section("".join(comments), line=1 + skipped)
    if first is not None:
        yield first
    yield from table


def rows_sections(rows: Iterable[tuple[int, list[str]]], notices: list[str], heading: str = "") -> Iterator[Section]:
    """One section for each row (with the number that it has); notices are added. What stands above the names of the columns is text."""
    waiting = iter(rows)
    beginning = [(line, row) for line, row in islice(waiting, _TRIED) if any(_cells(row))]
    widths = [_width(_cells(row)) for _, row in beginning]
    usual = max(sorted(set(widths)), key=widths.count) if widths else 0
    header: list[str] | None = None
    count = widest = 0
    for line, row in chain(beginning, waiting):
        widest = max(widest, len(row))
        cells = _cells(row)
        if not any(cells):
            continue
        if header is None:
            if usual > 1 and _width(cells) == 1 and line < beginning[-1][0]:
                yield Section(cells[0] or next(filter(None, cells)), heading=heading, line=line)
                continue
            header = _header(cells)
            if header == [as_name(cell) for cell in cells]:
                continue
        count += 1
        if count > MAX_ROWS:
            notices.append(f"Only the first {MAX_ROWS:,} rows were read.")
            break
        pairs = zip(chain(header, repeat("")), cells, strict=False)
        values = (f"{name}: {value}" if name else value for name, value in pairs if value)
        yield Section("; ".join(values), heading=heading, line=line, is_list=True)
    if widest > MAX_COLUMNS:
        notices.append(f"Only the first {MAX_COLUMNS:,} columns were read.")
    if not count and header:
        yield Section("; ".join(header), heading=heading, line=1)


def _cells(row: list[str]) -> list[str]:
    return [" ".join(cell.split()) for cell in row[:MAX_COLUMNS]]


def _width(cells: list[str]) -> int:
    """How many columns a row reaches over."""
    return max((at for at, cell in enumerate(cells, 1) if cell), default=0)


def _header(cells: list[str]) -> list[str]:
    """The names of the columns: the first row unless it looks like values."""
    if all(cells) and len(set(cells)) == len(cells) and not any(cell.translate(_SIGNS).isdecimal() for cell in cells):
        return [as_name(cell) for cell in cells]
    return [f"column {at}" for at in range(1, len(cells) + 1)]


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
