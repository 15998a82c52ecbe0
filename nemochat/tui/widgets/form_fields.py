"""Fields of a form: a label, a control, and one sentence about a value that is not allowed.

A field that nobody has touched gives back exactly the value that it was given, whatever its control would make of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label, Select, Static, Switch, TextArea

from nemochat.domain.sanitize import sanitize

Parse = Callable[[str], object]
"""From what was typed to the value; raises ValueError with a sentence about what is allowed."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class Field(Vertical):
    """One value. key: what it is called outside. help: a sentence for the foot of the form."""

    class Edited(Message):
        """The value was changed, to a good one or not."""

    DEFAULT_CSS = """
    Field {
        height: auto;
        .line { height: auto; }
        .label { width: 16; padding-left: 1; }
        .problem { display: none; padding-left: 16; color: $text-error; height: auto; }
        .word { padding-left: 2; color: $text-muted; }
        &:focus-within .label { text-style: bold; }
        &:focus-within .line { background: $block-cursor-blurred-background; }
        &.-wrong .problem { display: block; }

        Input { width: 1fr; background: $panel; }
        Input.-textual-compact { padding: 0 1; }
        Input:focus { background: $block-cursor-background; }
        Input.-short { width: 22; }
        TextArea { width: 1fr; height: auto; min-height: 2; max-height: 9; border: none; padding: 0 1; background: $panel;
            scrollbar-size-vertical: 1; }
        TextArea:focus { border: none; background-tint: $foreground 4%; }
        Switch { border: none; height: 1; padding: 0; width: 8; background: $panel; }
        Switch:focus { background-tint: transparent; border: none; }
        Switch .switch--slider { background: $panel; color: $text-muted; }
        Switch.-on .switch--slider { color: $primary; }
        Switch:focus .switch--slider { background: $block-cursor-background; }
        Select { width: 30; height: 1; }
        Select > SelectCurrent { background: $panel; }
        Select.-textual-compact > SelectCurrent { padding: 0 1; }
        Select:focus > SelectCurrent { background: $block-cursor-background; }
        SelectOverlay { scrollbar-size-vertical: 1; }
        .swatch { width: 6; margin-left: 2; }
    }
    """

    def __init__(self, key: str, label: str, value: object, *, help: str = "") -> None:
        super().__init__()
        self.key, self.label, self.help = key, label, help
        self.initial, self.value = value, value
        self.problem = ""
        self.remark: Callable[[Field], str] | None = None
        """What is said behind the control, as it stands."""
        self._remark_words = Label("", classes="remark", markup=False)
        self._problem_line = Static(classes="problem", markup=False)

    def compose(self) -> ComposeResult:
        """A line, and a second one while the value is not allowed."""
        with Horizontal(classes="line"):
            yield Label(self.label, classes="label", markup=False)
            yield from self.controls()
            if self.remark is not None:
                self._remark_words.update(self.remark(self))
                yield self._remark_words
        yield self._problem_line

    def controls(self) -> ComposeResult:
        """What the value is changed with."""
        yield from ()

    @property
    def is_changed(self) -> bool:
        """Something else stands there than at first."""
        return bool(self.problem) or self.value != self.initial

    def take_focus(self) -> None:
        """To the control."""
        next(widget for widget in self.query(Widget) if widget.focusable).focus()

    def accept(self, value: object) -> None:
        """Take a good value."""
        self.value = value
        self._judge("")

    def refuse(self, problem: str) -> None:
        """Keep the last good value and say what is wrong with the new one."""
        self._judge(problem)
        self.call_after_refresh(self.scroll_visible, animate=False)

    def _judge(self, problem: str) -> None:
        if problem != self.problem:  # an update lays the whole form out anew
            self.problem = problem
            self.set_class(bool(problem), "-wrong")
            self._problem_line.update(Content(f"✗ {problem}" if problem else ""))
        if self.remark is not None and (words := self.remark(self)) != self._remark_words.content:
            self._remark_words.update(words)
        self.post_message(self.Edited())


class LineField(Field):
    """A value typed on one line. text: how the value is written. parse: what is written as a value, by default itself."""

    def __init__(
        self, key: str, label: str, value: object, *, help: str = "", text: str | None = None, parse: Parse = str, hint: str = "",
        is_short: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(key, label, value, help=help)
        self._text = self.text = str(value) if text is None else text
        """What is written there, at first and now."""
        self._parse = parse
        self._input = Input(_one_line(self._text), placeholder=hint, compact=True, classes="-short" if is_short else None)

    def controls(self) -> ComposeResult:
        """An input."""
        yield self._input

    def fill(self, text: str) -> None:
        """Write something else, as if it were typed."""
        self._input.value = _one_line(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look at each letter, so that the sentence is there while it is typed."""
        event.stop()
        self.text = event.value
        if event.value == _one_line(self._text):
            self.accept(self.initial)
            return
        try:
            self.accept(self._parse(sanitize(event.value)))
        except ValueError as problem:
            self.refuse(str(problem))


class ColourField(LineField):
    """A colour written #rrggbb, with a swatch; it may be empty."""

    def __init__(self, key: str, label: str, value: str, *, help: str = "") -> None:
        super().__init__(key, label, value, help=help, parse=_colour, hint="#rrggbb", is_short=True)
        self._sample = Static(self._swatch(), classes="swatch", markup=False)

    def controls(self) -> ComposeResult:
        """An input and what the colour looks like."""
        yield from super().controls()
        yield self._sample

    def accept(self, value: object) -> None:
        """Show it."""
        super().accept(value)
        self._sample.update(self._swatch())

    def _swatch(self) -> Content:
        colour = str(self.value)
        return Content.styled("      ", f"on {colour}") if _COLOUR.fullmatch(colour) else Content("")


class TextField(Field):
    """A long text. Its area grows with it up to a limit. text: how the value is written, where that is not the value itself."""

    def __init__(self, key: str, label: str, value: object, *, help: str = "", text: str | None = None) -> None:
        super().__init__(key, label, value, help=help)
        self._area = _Area(
            str(value) if text is None else text, soft_wrap=True, tab_behavior="focus", compact=True, highlight_cursor_line=False
        )
        self._first = self._area.text

    @property
    def text(self) -> str:
        """What is written there."""
        return self._area.text

    def controls(self) -> ComposeResult:
        """An area; Tab leaves it."""
        yield self._area

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Another text."""
        event.stop()
        text = event.text_area.text
        self.accept(self.initial if text == self._first else self.read(sanitize(text)))

    def read(self, text: str) -> object:
        """The value of a text."""
        return text


class LinesField(TextField):
    """Several short texts, one a line."""

    def __init__(self, key: str, label: str, value: tuple[str, ...], *, help: str = "") -> None:
        super().__init__(key, label, value, help=help, text="\n".join(_one_line(each) for each in value))

    def read(self, text: str) -> object:
        """Lines that say something."""
        return tuple(line.strip() for line in text.split("\n") if line.strip())


class _Area(TextArea):
    """Up on the first line and Down on the last one leave it."""

    def action_cursor_up(self, select: bool = False) -> None:
        """Where there is no way further up, the field before this one."""
        before = self.cursor_location
        super().action_cursor_up(select)
        if not select and self.cursor_location == before:
            self.screen.focus_previous()

    def action_cursor_down(self, select: bool = False) -> None:
        """Where there is no way further down, the next field."""
        before = self.cursor_location
        super().action_cursor_down(select)
        if not select and self.cursor_location == before:
            self.screen.focus_next()


class SwitchField(Field):
    """On or off, also in words."""

    def __init__(self, key: str, label: str, value: object, *, help: str = "") -> None:
        super().__init__(key, label, value, help=help)
        self._word = Label("on" if value else "off", classes="word", markup=False)

    def controls(self) -> ComposeResult:
        """A switch and its word."""
        yield Switch(bool(self.initial), animate=False)
        yield self._word

    def on_switch_changed(self, event: Switch.Changed) -> None:
        """Switched."""
        event.stop()
        self._word.update("on" if event.value else "off")
        self.accept(event.value)


class _Menu(Select[int], inherit_bindings=False):
    """Opens on Enter or Space; the arrow keys are left to move between fields."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "show_overlay", "Open", show=False, id="form.open_menu", tooltip="Show the values"),
    ]


class ChoiceField(Field):
    """One of a few values, each with its words."""

    def __init__(self, key: str, label: str, value: object, options: Sequence[tuple[str, object]], *, help: str = "") -> None:
        super().__init__(key, label, value, help=help)
        self._options = tuple(options)

    def controls(self) -> ComposeResult:
        """A menu. Its own values are positions, because None could not be one of them."""
        prompts = [(Text(words), index) for index, (words, _) in enumerate(self._options)]
        at = [value for _, value in self._options].index(self.initial)
        yield _Menu(prompts, value=at, allow_blank=False, compact=True)

    def on_select_changed(self, event: Select.Changed) -> None:
        """Chosen."""
        event.stop()
        if isinstance(event.value, int):
            self.accept(self._options[event.value][1])


class FieldScroller(VerticalScroll, can_focus=False, inherit_bindings=False):
    """Holds the fields, and leaves the arrow keys to the form, which moves between fields."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "page_up", "Page up", show=False, id="form.page_up", tooltip="Scroll a page up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="form.page_down", tooltip="Scroll a page down"),
    ]


def field_of(widget: Widget | None) -> Field | None:
    """The field that a control belongs to."""
    if widget is None:
        return None
    try:
        return widget.query_ancestor(Field)
    except NoMatches:
        return None


def _one_line(text: str) -> str:
    return sanitize(text).replace("\n", " ").replace("\t", " ")


def _colour(text: str) -> str:
    if text.strip() and not _COLOUR.fullmatch(text.strip()):
        raise ValueError("A colour is written #rrggbb, such as #3fa7d6; empty is the theme's own.")
    return text.strip().lower()
