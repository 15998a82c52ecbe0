"""The list above the prompt: commands, names and paths that may come next."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from nemochat.desk.completion import Candidate, Completion
from nemochat.tui.tables import fit

MAX_ROWS = 8
_LEAST_WIDTH, _MOST_WIDTH = 20, 44
"""Cells of the first column."""


class CompletionList(OptionList, can_focus=False):
    """Shows candidates; the prompt keeps the focus."""

    DEFAULT_CSS = """
    CompletionList {
        height: auto; max-height: 8; display: none; border: none; padding: 0 1; background: $panel; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
        &.-open { display: block; }
        & > .option-list--option-highlighted {
            background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold;
        }
    }
    """

    @dataclass
    class Accepted(Message):
        """A candidate was clicked."""

        index: int

    def show(self, completion: Completion | None) -> None:
        """Show these candidates, or close."""
        self.clear_options()
        self.set_class(completion is not None, "-open")
        if completion is not None:
            longest = max(cell_len(candidate.label) for candidate in completion.candidates)
            width = min(max(longest, _LEAST_WIDTH), _MOST_WIDTH)
            self.add_options(Option(_line(candidate, width)) for candidate in completion.candidates)
            self.highlighted = None if completion.is_enough else 0

    @property
    def is_open(self) -> bool:
        """Whether anything is shown."""
        return self.has_class("-open")

    def move(self, by: int) -> None:
        """To another candidate, round the ends."""
        if self.option_count:
            self.highlighted = (by - (by > 0) if self.highlighted is None else self.highlighted + by) % self.option_count

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Clicked."""
        event.stop()
        self.post_message(self.Accepted(event.option_index))


def _line(candidate: Candidate, width: int) -> Content:
    return Content.assemble(fit(candidate.label, width) if candidate.help else candidate.label, "  ", (candidate.help, "dim"))
