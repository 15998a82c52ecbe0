"""Asks before something is allowed: what it is, in whole, and nothing counts as a yes that was given before all of it was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.errors import NoWidget
from textual.events import Click, Key, MouseDown, Resize, ScreenResume, ScreenSuspend
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Label, Static

from nemochat.desk.port import AskAllowed
from nemochat.numbers import plural
from nemochat.tui.screens.dialogs import WIDTHS, Read
from nemochat.tui.screens.modal import Modal
from nemochat.tui.widgets.whole_text import WholeText

_NAME_CELLS = 32
"""A longer name stands in whole among what has to be seen, and its beginning in the title."""
_ABOUT_ROWS = 3
_HEIGHTS = [(0, "-low"), (18, "-middle"), (30, "-high")]


class ApprovalScreen(Modal[str | None]):
    """Returns the value of an answer. An answer is taken when it was given on a frame that showed it, and a moment after the first one.

    After a frame was painted a mark goes through the app's queue, behind all that had come from the terminal by then. Its time is
    compared with that of each key and click, so that nothing counts which was on its way. A yes is taken when all of the text has been
    in sight.
    """

    CSS_PATH = "approval.tcss"
    DELAY: ClassVar[float] = 0.6
    """Seconds from the first painted frame until an answer is taken."""
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "refuse", "No", id="approval.no", tooltip="Do not allow it"),
        Binding("left,up", "app.focus_previous", "Previous answer", show=False, id="approval.previous"),
        Binding("right,down", "app.focus_next", "Next answer", show=False, id="approval.next"),
        Binding("pageup", "scroll(-1)", "Up", show=False, id="approval.up", tooltip="Earlier in what is asked about"),
        Binding("pagedown", "scroll(1)", "Down", show=False, id="approval.down", tooltip="Later in what is asked about"),
        Binding("d", "describe", "Description", show=False, id="approval.describe", tooltip="All that the tool says of itself"),
    ]

    @dataclass
    class Painted(Message):
        """A frame was painted with all that had changed, and what had come from the terminal before it was dealt with.

        is_whole: the text and every answer were in it. focused: what was drawn as having the focus.
        """

        change: int
        is_whole: bool
        focused: Widget | None

    @dataclass
    class Opened(Message):
        """The moment after the first frame is over; what had come in it was dealt with."""

        showing: int

    def __init__(self, question: AskAllowed) -> None:
        super().__init__()
        self._question = question
        self._change = self._showing = 0
        self._is_new = True
        self._opens_at = self._shown_at = self._focus_shown_at = math.inf
        self._given_at, self._is_given_by_key = -math.inf, False
        self._focus_shown: Widget | None = None
        self._is_answered = False

    def compose(self) -> ComposeResult:
        """Who asks; what is to be allowed; how much of it is not in sight; the answers."""
        asked = self._question
        with Vertical(id="approval", classes="-unfitted"):
            yield Label(Content(asked.title), classes="title")
            if asked.origin:
                yield Static(Content(asked.origin), classes="origin")
            if asked.about:
                yield Static(Content(f"It says of itself: {' '.join(asked.about.split())}"), classes="about")
                yield Static(Content("… D: its description in whole"), classes="more")
            yield WholeText(asked.whole, id="approval-whole")
            yield Static(Content(""), classes="count")
            with Container(classes="buttons"):
                for index, answer in enumerate(asked.answers):
                    yield Button(Content(answer.label), id=f"answer-{index}", disabled=True)

    @property
    def is_open(self) -> bool:
        """Whether answers are taken: all that changed was painted, and which of them Enter gives."""
        is_painted = max(self._opens_at, self._shown_at, self._focus_shown_at) < math.inf
        return is_painted and self.focused is not None and self.focused is self._focus_shown

    # -- what is in sight

    @on(Resize)
    @on(WholeText.Laid)
    def _fit(self) -> None:
        """Give the answers as many columns as fit, and the text the rows that it needs, as far as there are any."""
        if self._is_answered:  # what it is made of goes, or has gone
            return
        dialog, buttons = self.query_one("#approval"), self.query_one(".buttons")
        width = dialog.content_size.width
        if not width:
            return
        padding = 0 if self.has_class("-narrow") else 2
        widths = [cell_len(answer.label) + padding for answer in self._question.answers]
        columns = next(each for each in (len(widths), 2, 1) if each == 1 or _grid_width(widths, each) <= width)
        buttons.styles.grid_size_columns = columns
        buttons.styles.grid_columns = " ".join(str(max(widths[column::columns])) for column in range(columns))
        for button, wide in zip(self.query(Button), widths, strict=True):
            button.styles.width, button.styles.line_pad = wide, 0
            button.active_effect_duration = 0  # while it lasts, another press of the same button is swallowed
        heights = {text: text.get_content_height(Size(width, self.size.height), self.size, width) for text in dialog.query(Static)}
        for about in dialog.query(".about").results(Static):
            most = 0 if self.has_class("-low") else _ABOUT_ROWS
            dialog.query_one(".more").display = heights[about] > most
            about.styles.height = heights[about] = min(heights[about], most)
        shown = [height + text.styles.margin.height for text, height in heights.items() if text.display and text.parent is dialog]
        answers = -(-len(widths) // columns) + buttons.styles.margin.height
        rows = self._whole.row_count + self._whole.styles.margin.height
        dialog.styles.height = sum(shown) + rows + answers + dialog.gutter.height
        dialog.remove_class("-unfitted")
        self._whole.look()
        self._changed()

    @on(WholeText.Looked)
    def _looked(self) -> None:
        """Say what is not in sight, and let Yes be chosen when all has been seen."""
        if self._is_answered:
            return
        above, rest = self._whole.unseen
        below = self._whole.below
        words = ""
        if rest or above:
            words = f"{plural(below, 'more line')}: Page Down" if rest else f"{plural(above, 'line')} above not seen: Page Up"
            words += "" if self.has_class("-narrow") else ". A yes needs all of them seen."
        elif self._whole.row_count > self._whole.size.height:
            words = f"{plural(below, 'more line')}, all seen" if below else "All lines seen"
        count = self.query_one(".count", Static)
        count.update(Content(words))
        count.set_class(bool(words), "-says")
        self._offer()

    def _offer(self) -> None:
        """Buttons can be pressed from the opening on, those that allow something when all was seen."""
        is_open, is_seen = self._opens_at < math.inf, not any(self._whole.unseen)
        for answer, button in zip(self._question.answers, self.query(Button), strict=True):
            is_off = not is_open or (answer.allows and not is_seen)
            if button.disabled != is_off:
                button.disabled = is_off
                self._changed()

    @property
    def _whole(self) -> WholeText:
        return self.query_one(WholeText)

    def _is_in_sight(self) -> bool:
        """Whether the frame has the text and every answer in it, none cut off."""
        try:
            answers = [self.find_widget(button) for button in self.query(Button)]
            return self.find_widget(self._whole).visible_region.height > 0 and all(each.visible_region == each.region for each in answers)
        except NoWidget:  # not laid out yet
            return False

    # -- when an answer counts

    def _changed(self, *, focus_alone: bool = False) -> None:
        """Something looks different: no answer counts until that is painted."""
        self._change += 1
        self._focus_shown_at = math.inf
        if not focus_alone:
            self._shown_at = math.inf
        self.call_after_refresh(self._was_painted, self._change)

    def _was_painted(self, change: int) -> None:
        if change == self._change and self.is_current:
            is_whole, focused = self._is_in_sight(), self.focused
            self.app.call_later(lambda: self.post_message(self.Painted(change, is_whole, focused)))

    def on_approval_screen_painted(self, event: Painted) -> None:
        """Answers to this frame may come; to the first one in a moment."""
        if event.change != self._change:
            return
        if event.is_whole:
            self._shown_at, self._focus_shown_at, self._focus_shown = min(self._shown_at, event.time), event.time, event.focused
        if self._is_new:
            self._is_new, showing = False, self._showing
            self.set_timer(self.DELAY, lambda: self.app.call_later(lambda: self.post_message(self.Opened(showing))))

    def on_approval_screen_opened(self, event: Opened) -> None:
        """Answers are taken from now on. The first one has the focus: it says no."""
        if event.showing == self._showing and not self._is_answered:
            self._opens_at = event.time
            self._offer()
            self.query(Button).first().focus()

    @on(ScreenResume)
    def _shown_again(self) -> None:
        """It came on top, for the first time or from below another screen."""
        if self._is_answered:
            return
        self._showing += 1
        self._is_new, self._opens_at = True, math.inf
        self._whole.look()
        self._changed()

    @on(ScreenSuspend)
    def _covered(self) -> None:
        """Nothing that is typed for the screen above is an answer."""
        self._opens_at = math.inf

    def on_descendant_focus(self) -> None:
        """Enter counts when it is seen what it presses."""
        self._changed(focus_alone=True)

    def on_mouse_down(self, event: MouseDown) -> None:
        """The beginning of a click."""
        self._given_at, self._is_given_by_key = event.time, False

    def on_key(self, event: Key) -> None:
        """What was typed for something else does nothing."""
        self._given_at, self._is_given_by_key = event.time, True
        if not event.time > self._opens_at:
            event.stop()
            event.prevent_default()

    @on(Button.Pressed)
    def _answered(self, event: Button.Pressed) -> None:
        event.stop()
        answer = self._question.answers[int((event.button.id or "answer-0").rpartition("-")[2])]
        is_late_enough = self._given_at > max(self._opens_at, self._shown_at)
        if self._is_given_by_key and not (event.button is self._focus_shown and self._given_at > self._focus_shown_at):
            return  # it was not on the screen yet that Enter would press this one
        if is_late_enough and not (answer.allows and any(self._whole.unseen)):
            self._say(answer.value)

    def on_click(self, event: Click) -> None:
        """On the description: all of it."""
        if event.widget is not None and (event.widget.has_class("about") or event.widget.has_class("more")):
            self.action_describe()

    def action_refuse(self) -> None:
        """Esc is a No."""
        self._say(self._question.answers[0].value)

    def _say(self, value: str) -> None:
        if not self._is_answered:
            self._is_answered = True
            self.dismiss(value)

    def action_scroll(self, by: int) -> None:
        """A page up or down, one row of the page before with it."""
        self._whole.scroll_relative(y=by * max(1, self._whole.size.height - 1), animate=False)

    def action_describe(self) -> None:
        """All of what it says of itself, on a screen of its own, so that it covers nothing of what is asked."""
        if self._question.about:
            self.app.push_screen(Read(self._question.title, self._question.about))


def _grid_width(widths: Sequence[int], columns: int) -> int:
    """Of buttons in so many columns, each as wide as its widest, a cell between them."""
    return sum(max(widths[column::columns]) for column in range(columns)) + columns - 1
