"""Small modal screens: a question with a few answers, a line or a text to type, a text to read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.widgets import Button, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from nemochat.desk.port import Answer
from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.tui.screens.modal import Modal
from nemochat.tui.tables import fit
from nemochat.tui.widgets.picture import Picture

WIDTHS = [(0, "-narrow"), (72, "-wide")]
"""Classes of a dialog's screen by its columns."""
_HEIGHTS = [(0, "-low"), (18, "-high")]
_ROOM, _AROUND_LABEL = 66, 5
"""Columns within a dialog, and of a button beside its words."""


class _Dialog(Modal[str | None]):
    """The frame of all of them: Esc leaves without an answer."""

    CSS_PATH = "dialogs.tcss"
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel", id="dialog.cancel", tooltip="Close without doing anything"),
    ]


class Choose(_Dialog):
    """A sentence, its hint, and answers as buttons; the first one has the focus."""

    takes_keys_from = math.inf
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up", "app.focus_previous", "Previous answer", show=False, id="dialog.previous"),
        Binding("right,down", "app.focus_next", "Next answer", show=False, id="dialog.next"),
        Binding("pageup", "scroll(-1)", "Up", show=False, id="dialog.up"),
        Binding("pagedown", "scroll(1)", "Down", show=False, id="dialog.down"),
    ]

    def __init__(self, title: str, text: str, answers: Sequence[Answer], *, hint: str = "") -> None:
        super().__init__()
        self._title, self._text, self._hint, self._answers = title, sanitize(text), sanitize(hint), tuple(answers)
        self._scroller = VerticalScroll(can_focus=False)

    def compose(self) -> ComposeResult:
        """Title, text, hint, buttons: a long text scrolls, and covers none of them."""
        with Vertical(id="dialog", classes="choose"):
            yield Label(self._title, classes="title", markup=False)
            with self._scroller:
                yield Static(Content(self._text))
                if self._hint:
                    yield Static(Content(self._hint), classes="hint")
            needed = sum(cell_len(answer.label) + _AROUND_LABEL for answer in self._answers)
            with Horizontal(classes="buttons -stacked" if needed > _ROOM else "buttons"):
                for index, answer in enumerate(self._answers):
                    yield Button(Content(answer.label), id=f"answer-{index}", variant="primary" if index == 0 else "default")

    def action_scroll(self, by: int) -> None:
        """A page of a long text up or down."""
        self._scroller.scroll_relative(y=by * max(1, self._scroller.size.height - 1), animate=False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """An answer was chosen."""
        self.dismiss(self._answers[int((event.button.id or "answer-0").rpartition("-")[2])].value)


class Menu(_Dialog):
    """What can be done with something, one line each with its key."""

    def __init__(self, title: str, answers: Sequence[Answer]) -> None:
        super().__init__()
        self._title, self._answers = title, tuple(answers)

    def compose(self) -> ComposeResult:
        """A list."""
        with Vertical(id="dialog", classes="menu"):
            yield Label(self._title, classes="title", markup=False)
            yield OptionList(*(Option(self._line(answer), id=answer.value) for answer in self._answers))

    def _line(self, answer: Answer) -> Content:
        return Content.assemble(fit(answer.label, 42), (answer.key.rjust(4), "$text-muted"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A line was chosen."""
        self.dismiss(event.option.id)

    def on_key(self, event: Key) -> None:
        """A line's own key chooses it, and is not seen by what lies below this screen."""
        for answer in self._answers:
            if answer.key and answer.key == event.key:
                event.stop()
                self.dismiss(answer.value)


class Write(_Dialog):
    """A text to type, of one line or several. Returns it, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "accept", "Accept", id="dialog.accept", priority=True, tooltip="Take the text as it stands"),
    ]

    def __init__(self, title: str, text: str = "", *, hint: str = "", one_line: bool = False) -> None:
        super().__init__()
        self._title, self._text, self._hint, self._one_line = title, text, hint, one_line
        self._area = _Area(text, soft_wrap=True, one_line=one_line)

    def compose(self) -> ComposeResult:
        """Title, area, hint."""
        with Vertical(id="dialog", classes="one-line" if self._one_line else "many-lines"):
            yield Label(self._title, classes="title", markup=False)
            yield self._area
            keys = "Enter accepts · Esc cancels" if self._one_line else "Ctrl+S accepts · Esc cancels"
            yield Static(Content(f"{self._hint}\n{keys}" if self._hint else keys), classes="hint")

    def on_mount(self) -> None:
        """The cursor stands behind the text."""
        self._area.move_cursor(self._area.document.end)
        self._area.focus()

    @property
    def typed(self) -> str:
        """The text, where it was changed."""
        return "" if self._area.text == self._text else self._area.text

    @property
    def unfinished(self) -> str:
        """The same; "" for a line."""
        return "" if self._one_line else self.typed

    def action_accept(self) -> None:
        """Take the text."""
        self.dismiss(self._area.text)


class _Area(TextArea):
    """The text of `Write`; Enter accepts where there is one line only."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "screen.leave", show=False)]

    def __init__(self, text: str, *, soft_wrap: bool, one_line: bool) -> None:
        super().__init__(text, soft_wrap=soft_wrap, tab_behavior="focus")
        self._one_line = one_line

    async def _on_key(self, event: Key) -> None:
        if self._one_line and event.key == "enter":
            event.stop()
            event.prevent_default()
            self.screen.dismiss(self.text.replace("\n", " "))


class Read(_Dialog):
    """A text to read, which scrolls."""

    def __init__(self, title: str, text: Content | str) -> None:
        super().__init__()
        self._title, self._text = title, text if isinstance(text, Content) else Content(sanitize(text))
        self._scroller = VerticalScroll()

    def compose(self) -> ComposeResult:
        """Title and text."""
        with Vertical(id="dialog", classes="read"):
            yield Label(self._title, classes="title", markup=False)
            with self._scroller:
                yield Static(self._text, markup=False)
            yield Static("Esc closes", classes="hint")

    def on_mount(self) -> None:
        """The arrow keys scroll."""
        self._scroller.focus()


class PictureScreen(_Dialog):
    """A picture as large as the terminal allows: the very pixels that the model gets."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "leave", "Close", show=False, id="dialog.close_picture")]

    def __init__(self, pixels: RgbImage, protocol: str) -> None:
        super().__init__()
        self._pixels, self._protocol = pixels, protocol

    def compose(self) -> ComposeResult:
        """The picture and a line below."""
        with Vertical(id="dialog", classes="picture"):
            yield Picture(self._pixels, self._protocol)
            yield Static(Content(f"{self._pixels.width}x{self._pixels.height} as the model gets it · Esc closes"), classes="hint")
