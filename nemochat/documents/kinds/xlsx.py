"""Excel workbooks: a zip archive with XML inside, read as Word documents are. Values are written as the sheet shows them, as far as dates
and percentages go; the results of formulas are those that Excel has stored."""

from __future__ import annotations

import datetime
import posixpath
import re
import zipfile
from collections.abc import Iterator

from nemochat.documents.kinds.docx import entry, opened, parse
from nemochat.documents.kinds.records import MAX_COLUMNS, rows_sections
from nemochat.documents.text import clean
from nemochat.documents.values import Section

WHAT = "Excel workbook"
BOOK = "xl/workbook.xml"
_MAX_SHEETS = 500
_MAX_STRINGS = 2_000_000
_LONGEST_NAME = 100
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_PERCENT_FORMATS = frozenset((9, 10))
_NO_FORMAT = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.')
_OF_DATES = re.compile(r"[dmyhs]", re.IGNORECASE)
_PLACE = re.compile(r"([A-Z]{1,3})\d")
_FIRST_DAY = datetime.datetime(1899, 12, 30)
_LAST_DAY = 2_958_465


def xlsx_sections(data: bytes, name: str, notices: list[str]) -> Iterator[Section]:
    """A section for each row, below the name of its sheet; notices are added. Raises DocumentError."""
    with opened(data, name, WHAT) as archive:
        names = set(archive.namelist())
        book = _Book()
        _read(archive, BOOK, name, book)
        targets = _Targets()
        if "xl/_rels/workbook.xml.rels" in names:
            _read(archive, "xl/_rels/workbook.xml.rels", name, targets)
        strings, styles = _Strings(), _Styles()
        for path, reader in (("xl/sharedStrings.xml", strings), ("xl/styles.xml", styles)):
            if path in names:
                _read(archive, path, name, reader)
        if len(book.sheets) > _MAX_SHEETS:
            notices.append(f"Only the first {_MAX_SHEETS:,} of its {len(book.sheets):,} sheets were read.")
        for title, key in book.sheets[:_MAX_SHEETS]:
            path = posixpath.normpath(posixpath.join("xl", targets.paths.get(key, ""))).removeprefix("/")
            if path in names:
                sheet = _Sheet(strings.texts, styles, 1462 if book.is_1904 else 0)
                yield from rows_sections(_rows(archive, path, name, sheet), notices, clean(title)[:_LONGEST_NAME])


class _Reader:
    """Takes elements one after another; those of all name spaces by their last name."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def data(self, text: str) -> None:
        """Characters."""


def _read(archive: zipfile.ZipFile, path: str, name: str, reader: _Reader) -> None:
    for _ in _pieces(archive, path, name, reader):
        pass


def _pieces(archive: zipfile.ZipFile, path: str, name: str, reader: _Reader) -> Iterator[None]:
    def start(tag: str, attributes: dict[str, str]) -> None:
        reader.start(tag.rpartition(" ")[2], {key.rpartition(" ")[2]: value for key, value in attributes.items()})

    yield from parse(entry(archive, path, name, WHAT), start, lambda tag: reader.end(tag.rpartition(" ")[2]), reader.data)


class _Book(_Reader):
    """sheets: title and key of each. is_1904: whether days are counted as on old Macs."""

    def __init__(self) -> None:
        self.sheets: list[tuple[str, str]] = []
        self.is_1904 = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet":
            self.sheets.append((attributes.get("name", ""), attributes.get("id", "")))
        elif tag == "workbookPr":
            self.is_1904 = attributes.get("date1904") in ("1", "true")


class _Targets(_Reader):
    """paths: of each key."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "Relationship":
            self.paths[attributes.get("Id", "")] = attributes.get("Target", "")


class _Strings(_Reader):
    """texts: those that cells name by their numbers. How Japanese is pronounced is left out."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._parts: list[str] = []
        self._is_text = False
        self._spoken = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "si":
            self._parts = []
        elif tag == "rPh":
            self._spoken += 1
        self._is_text = tag == "t" and not self._spoken

    def end(self, tag: str) -> None:
        self._is_text = False
        if tag == "rPh":
            self._spoken -= 1
        elif tag == "si" and len(self.texts) < _MAX_STRINGS:
            self.texts.append("".join(self._parts))

    def data(self, text: str) -> None:
        if self._is_text:
            self._parts.append(text)


class _Styles(_Reader):
    """Which of the formats of cells are of dates, and which of percentages, by their numbers."""

    def __init__(self) -> None:
        self.dates: set[str] = set()
        self.percentages: set[str] = set()
        self._codes: dict[int, str] = {}
        self._is_cell = False
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "numFmt":
            self._codes[_number(attributes.get("numFmtId", ""))] = _NO_FORMAT.sub("", attributes.get("formatCode", "")[:200])
        elif tag == "cellXfs":
            self._is_cell = True
        elif tag == "xf" and self._is_cell:
            format = _number(attributes.get("numFmtId", ""))
            code = self._codes.get(format, "")
            if format in _DATE_FORMATS or (_OF_DATES.search(code) and "General" not in code):
                self.dates.add(str(self._count))
            elif format in _PERCENT_FORMATS or "%" in code:
                self.percentages.add(str(self._count))
            self._count += 1

    def end(self, tag: str) -> None:
        if tag == "cellXfs":
            self._is_cell = False


class _Sheet(_Reader):
    """rows: those that are done, with their numbers. shift: days to add to dates."""

    def __init__(self, strings: list[str], styles: _Styles, shift: int) -> None:
        self.rows: list[tuple[int, list[str]]] = []
        self._strings, self._styles, self._shift = strings, styles, shift
        self._number = 0
        self._cells: list[str] = []
        self._kind = self._style = ""
        self._parts: list[str] = []
        self._is_value = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            self._number = _number(attributes.get("r", "")) or self._number + 1
            self._cells = []
        elif tag == "c":
            self._kind, self._style, self._parts = attributes.get("t", "n"), attributes.get("s", ""), []
            if (place := _PLACE.match(attributes.get("r", ""))) is not None:
                self._cells += [""] * (min(_column(place[1]), MAX_COLUMNS) - len(self._cells))
        self._is_value = tag in ("v", "t")

    def end(self, tag: str) -> None:
        self._is_value = False
        if tag == "c" and len(self._cells) <= MAX_COLUMNS:
            self._cells.append(clean(self._value("".join(self._parts))))
        elif tag == "row":
            self.rows.append((self._number, self._cells))

    def data(self, text: str) -> None:
        if self._is_value:
            self._parts.append(text)

    def _value(self, text: str) -> str:
        """What a cell shows."""
        if self._kind == "s":
            at = _number(text)
            return self._strings[at] if at < len(self._strings) else ""
        if self._kind == "b":
            return "yes" if text == "1" else "no"
        if self._kind != "n" or not text:
            return text
        try:
            number = float(text)
        except ValueError:
            return text
        if self._style in self._styles.dates and 0 <= number + self._shift <= _LAST_DAY:
            return _date(number + self._shift)
        return f"{number * 100:.12g}%" if self._style in self._styles.percentages else f"{number:.15g}"


def _rows(archive: zipfile.ZipFile, path: str, name: str, sheet: _Sheet) -> Iterator[tuple[int, list[str]]]:
    for _ in _pieces(archive, path, name, sheet):
        yield from sheet.rows
        sheet.rows.clear()
    yield from sheet.rows


def _date(days: float) -> str:
    """A day, a time, or both."""
    moment = _FIRST_DAY + datetime.timedelta(seconds=round(days * 86_400))
    if days < 1:
        return f"{moment:%H:%M:%S}".removesuffix(":00")
    return f"{moment:%Y-%m-%d}" if days == int(days) else f"{moment:%Y-%m-%d %H:%M}"


def _column(letters: str) -> int:
    """A for 0, Z for 25, AA for 26."""
    at = 0
    for letter in letters:
        at = at * 26 + ord(letter) - ord("A") + 1
    return at - 1


def _number(text: str) -> int:
    """A number from 0, 0 where there is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
