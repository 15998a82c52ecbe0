"""The figures of many replies as two tables: how long the first token took, and what was read and how fast was written."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from nemochat.domain.ttft import Statistics
from nemochat.tui.tables import LABEL, Table, costs, times


class FiguresTable(Widget):
    """How long: p50 and p95 of the TTFT and of its parts, for cold, reused and all replies."""

    DEFAULT_CSS = "FiguresTable { height: auto; width: 1fr; }"

    statistics: reactive[Statistics | None] = reactive(None, layout=True)

    def table(self, statistics: Statistics) -> Table:
        """What is shown of them."""
        return times(statistics)

    def render(self) -> Content:
        """The table."""
        if self.statistics is None:
            return Content("")
        table = self.table(self.statistics)
        lines = [Content.styled(line, "$text-muted") for line in table.header]
        lines += [Content.assemble((line[:LABEL], "bold"), line[LABEL:]) for line in table.rows]
        return Content("\n").join(lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as it has."""
        return self.render().plain.count("\n") + 1 if self.statistics is not None else 0


class CostTable(FiguresTable):
    """What was read and reused, and how fast it was written."""

    def table(self, statistics: Statistics) -> Table:
        """What is shown of them."""
        return costs(statistics)
