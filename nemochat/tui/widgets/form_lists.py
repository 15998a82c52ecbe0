"""A field of a form that holds several things, one a line; each is written in a form or a dialog of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from nemochat.domain.sanitize import sanitize, shortened
from nemochat.tui.widgets.form_fields import Field

T = TypeVar("T")

_LABEL_WIDTH = 24
_DETAIL_WIDTH = 120


class ListField(Field, Generic[T]):
    """The value is a tuple of things. line: the words of one and quiet words beside them. add: what the last line says.

    Enter on a line posts `Opened`; whoever writes the thing then calls `put`. Delete takes one away and Ctrl+Z brings the last one back.
    """

    @dataclass
    class Opened(Message):
        """Something shall be written: the one at `index`, or a new one where that is the end."""

        field: ListField[object]
        index: int

    DEFAULT_CSS = """
    ListField {
        OptionList { width: 1fr; height: auto; max-height: 9; border: none; padding: 0; background: $panel; scrollbar-size-vertical: 1;
            text-wrap: nowrap; text-overflow: ellipsis; }
        OptionList:focus { border: none; background-tint: $foreground 0%; }
        OptionList > .option-list--option { padding: 0 1; }
        OptionList > .option-list--option-highlighted { background: $panel; color: $foreground; text-style: none; }
        OptionList:focus > .option-list--option-highlighted {
            color: $block-cursor-foreground; background: $block-cursor-background; text-style: $block-cursor-text-style;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete", "remove", "Remove", id="form.remove", tooltip="Remove the highlighted one"),
        Binding("ctrl+z", "restore", "Bring back", show=False, id="form.restore", tooltip="Bring back what was removed last"),
    ]

    def __init__(
        self, key: str, label: str, value: tuple[T, ...], *, line: Callable[[T], tuple[str, str]], add: str, help: str = ""
    ) -> None:
        super().__init__(key, label, value, help=help)
        self._line, self._add = line, add
        self._removed: list[tuple[int, T]] = []
        self._lines = _Lines(*self._options())

    @property
    def items(self) -> tuple[T, ...]:
        """What it holds now."""
        return cast("tuple[T, ...]", self.value)

    def controls(self) -> ComposeResult:
        """The lines."""
        yield self._lines

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        event.stop()
        self.post_message(self.Opened(cast("ListField[object]", self), event.option_index))

    def put(self, index: int, item: T) -> None:
        """Take what was written, in place of the one at `index` or behind the last."""
        self._change((*self.items[:index], item, *self.items[index + 1 :]), index)

    def action_remove(self) -> None:
        """Remove the highlighted one."""
        index = self._lines.highlighted
        if index is not None and index < len(self.items):
            self._removed.append((index, self.items[index]))
            self._change((*self.items[:index], *self.items[index + 1 :]), index)

    def action_restore(self) -> None:
        """Bring back what was removed last."""
        if self._removed:
            index, item = self._removed.pop()
            self._change((*self.items[:index], item, *self.items[index:]), index)

    def _change(self, items: tuple[T, ...], highlighted: int) -> None:
        self.accept(items)
        lines = self._lines
        lines.clear_options()
        lines.add_options(self._options())
        lines.highlighted = min(highlighted, len(items))

    def _options(self) -> list[Option]:
        return [*(Option(self._drawn(item)) for item in self.items), Option(Content.styled(f"+ {self._add}", "$text-muted"))]

    def _drawn(self, item: T) -> Content:
        words, quiet = (sanitize(text[:1_000], strict=True).strip() for text in self._line(item))
        if not quiet:
            return Content(words[:_DETAIL_WIDTH] or "(empty)")
        words = shortened(words, _LABEL_WIDTH)
        return Content.assemble(f"{words or '(no name)':<{_LABEL_WIDTH}}  ", (quiet[:_DETAIL_WIDTH], "$text-muted not bold"))


class _Lines(OptionList):
    """Up on the first line and Down on the last one leave it."""

    def action_cursor_up(self) -> None:
        """The line above, or the field before this one."""
        if self.highlighted in (None, 0):
            self.screen.focus_previous()
        else:
            super().action_cursor_up()

    def action_cursor_down(self) -> None:
        """The line below, or the next field."""
        if self.highlighted == self.option_count - 1:
            self.screen.focus_next()
        else:
            super().action_cursor_down()
