"""A table of a reply: columns whose words are wrapped, or, where it does not fit even so, each row as names and values."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it.token import Token
from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Size
from textual.widgets._markdown import MarkdownTable

WORD_CELLS = 20
"""A longer word may be broken so that the columns fit."""
_BAR, _RULE, _CROSS = " │ ", "─", "─┼─"
_LINE_STYLE = "$foreground 30%"
_NAME_STYLE = "bold $text-primary"
_INDENT = 2

Row = Sequence[Content]


class Table(MarkdownTable):
    """A table in one widget. Textual has one for each cell, cuts what does not fit, and reads the cells' tooltips as markup."""

    _rows: list[list[Content]]
    """The names of the columns first."""
    _aligns: Sequence[str] = ()
    _laid_out: tuple[int, Content] = (-1, Content())

    def compose(self) -> ComposeResult:
        """No children: the cells are kept, and drawn for the width that there is."""
        # Textual has no public way to what a block is made of.
        rows = [row._blocks for part in self._blocks for row in part._blocks]  # noqa: SLF001
        self._aligns = [_align_of(cell._token) for cell in rows[0]]  # noqa: SLF001
        self._rows = [[cell._content.expand_tabs() for cell in row] for row in rows]  # noqa: SLF001
        self._blocks.clear()
        yield from ()

    def render(self) -> Content:
        """The table for the present width."""
        return self._at(self.content_size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as it needs."""
        return self._at(width).plain.count("\n") + 1

    def _at(self, width: int) -> Content:
        if self._laid_out[0] != width:
            self._laid_out = width, lay_out(self._rows, self._aligns, width)
        return self._laid_out[1]


def lay_out(rows: Sequence[Row], aligns: Sequence[str], width: int) -> Content:
    """Rows of cells, the names of the columns first, in `width` cells. aligns: "left", "center" or "right" for each column."""
    room = width - len(_BAR) * (len(aligns) - 1)
    wanted = [max(1, *(cell.get_optimal_width({}, 0) for cell in column)) for column in zip(*rows, strict=True)]
    least = [max(1, *(min(WORD_CELLS, cell.get_minimal_width({})) for cell in column)) for column in zip(*rows, strict=True)]
    if sum(least) > room:
        return _stacked(rows, width)
    widths = least
    while sum(widths) < min(room, sum(wanted)):
        narrow = max(range(len(widths)), key=lambda column: wanted[column] / widths[column])
        widths[narrow] += 1
    names, *others = ([cell.wrap(size) for cell, size in zip(row, widths, strict=True)] for row in rows)
    names = [[line.stylize(_NAME_STYLE) for line in cell] for cell in names]
    rule = Content.styled(_CROSS.join(_RULE * size for size in widths), _LINE_STYLE)
    is_wrapped = any(len(cell) > 1 for row in others for cell in row)
    lines = [*_side_by_side(names, widths, aligns), rule]
    for number, row in enumerate(others):
        lines += ([rule] if is_wrapped and number else []) + _side_by_side(row, widths, aligns)
    return Content("\n").join(lines)


def _side_by_side(row: Sequence[Row], widths: Sequence[int], aligns: Sequence[str]) -> list[Content]:
    """The lines of a row whose cells have been wrapped."""
    bar = Content.styled(_BAR, _LINE_STYLE)
    height = max(len(cell) for cell in row)
    filled = [[*cell, *[Content()] * (height - len(cell))] for cell in row]
    return [bar.join([_aligned(*each) for each in zip(line, widths, aligns, strict=True)]) for line in zip(*filled, strict=True)]


def _aligned(line: Content, width: int, align: str) -> Content:
    room = max(0, width - line.cell_length)
    left = {"left": 0, "center": room // 2, "right": room}[align]
    return line.pad(left, room - left)


def _stacked(rows: Sequence[Row], width: int) -> Content:
    """Each row as names and values; what goes on in a next line is indented."""
    names, *others = rows
    rule = Content.styled(_RULE * width, _LINE_STYLE)
    lines: list[Content] = []
    for number, row in enumerate(others or [[Content()] * len(names)]):
        lines += [rule] if number else []
        for name, cell in zip(names, row, strict=True):
            words = " ".join(name.plain.split())
            text = Content.assemble((f"{words}: ", _NAME_STYLE), cell) if words else cell
            first, *more = text.wrap(max(2, width - _INDENT))
            lines += [first, *(line.pad_left(_INDENT) for line in more)]
    return Content("\n").join(lines)


def _align_of(cell: Token) -> str:
    """What the line of dashes says of its column, as the parser gives it: `text-align:right`."""
    align = str(cell.attrGet("style") or "").removeprefix("text-align:")
    return align if align in ("center", "right") else "left"
