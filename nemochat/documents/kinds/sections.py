"""What readers of documents put together as they go: tables as lines, and paragraphs under the headings above them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nemochat.documents.text import as_name, clean
from nemochat.documents.values import Section

LONGEST_HEADING = 160
_LONGEST_SECTION = 500_000
"""Characters. What has more of them becomes several, each of which is let go before the next one is made."""
_DEEPEST_TABLE = 4


class Table:
    """A table that is being read. Each row becomes a line as soon as it ends, its values after the names of their columns."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._first: list[str] | None = None
        self._names: list[str] | None = None
        self._row: list[list[str]] = []

    def begin_cell(self) -> None:
        """The next cell of the row."""
        self._row.append([])

    @property
    def has_text(self) -> bool:
        """Whether the last cell holds anything."""
        return bool(self._row) and bool(self._row[-1])

    def repeat_cell(self, times: int) -> None:
        """The last cell of the row so many times more."""
        self._row += [self._row[-1]] * times

    def add(self, text: str) -> None:
        """A paragraph of the cell."""
        if self._row:
            self._row[-1].append(text)

    def end_row(self) -> None:
        """The row as a line. The first one waits: it holds the names when another one follows."""
        cells, self._row = [" ".join(parts) for parts in self._row], []
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            return
        if self._first is None:
            self._first = cells
            return
        if self._names is None:
            self._names = list(map(as_name, self._first)) if all(self._first) else []
            if not self._names:
                self.lines.append(_row_line(self._first))
        if len(self._names) >= len(cells) and len(self._names) > 1:
            self.lines.append("; ".join(f"{name}: {value}" for name, value in zip(self._names, cells, strict=False) if value))
        else:
            self.lines.append(_row_line(cells))

    def end(self) -> None:
        """No row follows."""
        self.end_row()
        if self._first is not None and self._names is None:
            self.lines.append(_row_line(self._first))


def _row_line(cells: list[str]) -> str:
    return " | ".join(cell for cell in cells if cell)


class Sections:
    """The sections of a document as it is read. done: those that nothing is added to any more; heading: above them all."""

    def __init__(self, heading: str = "") -> None:
        self.done: list[Section] = []
        self.above: list[tuple[int, str]] = [(0, heading)] if heading else []
        """The headings that hold now, each with its level."""
        self.title = ""
        """What stands for a heading where there is none."""
        self.line = 0
        self._paragraphs: list[str] = []
        self._size = 0
        self._tables: list[Table] = []
        self._deeper = 0
        """Tables inside of those that are kept apart: their paragraphs belong to the cell."""

    def drained(self, steps: Iterable[None]) -> Iterator[Section]:
        """The sections that are done after each step of reading."""
        for _ in steps:
            yield from self.done
            self.done.clear()

    def begin(self, level: int, title: str) -> None:
        """What follows stands under this heading."""
        self.above = [*(each for each in self.above if each[0] < level), (level, title)]

    def take(self, paragraphs: Sequence[str]) -> None:
        """More of this section, or of the cell of a table that is being read."""
        self._paragraphs += paragraphs
        self._size += sum(map(len, paragraphs))
        if self._size > _LONGEST_SECTION:
            self.put()

    def paragraph(self, text: str, level: int) -> None:
        """A whole paragraph: of the cell that is being read, a heading where it has a level, else one of the section."""
        if self._tables:
            self._tables[-1].add(text)
        elif level:
            self.put()
            self.begin(level, clean(text)[:LONGEST_HEADING])
        else:
            self.take([text])

    def put(self) -> None:
        """The section ends here."""
        if self._paragraphs:
            heading = " > ".join(title for _, title in self.above) or self.title
            self.done.append(Section(clean("\n\n".join(self._paragraphs)), heading=clean(heading), line=self.line))
        self._paragraphs, self._size = [], 0

    @property
    def is_begun(self) -> bool:
        """Whether paragraphs wait for the end of their section."""
        return bool(self._paragraphs)

    @property
    def in_table(self) -> bool:
        """Whether a table is being read."""
        return bool(self._tables)

    @property
    def table(self) -> Table | None:
        """The table that rows and cells belong to now."""
        return self._tables[-1] if self._tables and not self._deeper else None

    def open_table(self) -> None:
        """A table begins, maybe inside of another one."""
        if self._deeper or len(self._tables) == _DEEPEST_TABLE:
            self._deeper += 1
        else:
            self._tables.append(Table())

    def end_row(self) -> None:
        """A row ends; those of an outermost table are lines of the section at once."""
        if (table := self.table) is not None:
            table.end_row()
            if len(self._tables) == 1:
                lines, table.lines = table.lines, []
                self.take(lines)

    def close_table(self) -> bool:
        """A table ends. Whether it was an outermost one; one inside of a cell is a line there."""
        if self._deeper or not self._tables:
            self._deeper = max(self._deeper - 1, 0)
            return False
        table = self._tables.pop()
        table.end()
        if self._tables:
            self._tables[-1].add(" ".join(table.lines))
        else:
            self.take(table.lines)
        return not self._tables
