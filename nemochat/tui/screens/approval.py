"""Asks before a tool runs: which tool, from whom, and all that it is given."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.widgets import Button, Label, Static

from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import Approval, ToolRequest
from nemochat.tools.approval import arguments_for_people
from nemochat.tui.screens.modal import Modal

_ANSWERS = (
    (Approval.REFUSED, "No"),
    (Approval.ONCE, "Yes, once"),
    (Approval.ALWAYS, "Always in this chat"),
    (Approval.NEVER, "Never in this chat"),
)


class ApprovalScreen(Modal[Approval]):
    """Returns what the user says. For a moment no key is taken: one that was on its way when the question came is no answer.

    The first answer is No, and Esc says it too.
    """

    CSS_PATH = "approval.tcss"
    DELAY: ClassVar[float] = 0.6
    """Seconds until an answer is taken."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "refuse", "No", id="approval.no", tooltip="Do not run it"),
        Binding("left,up", "app.focus_previous", "Previous answer", show=False, id="approval.previous"),
        Binding("right,down", "app.focus_next", "Next answer", show=False, id="approval.next"),
        Binding("pageup", "scroll(-1)", "Up", show=False, id="approval.up", tooltip="Earlier in the arguments"),
        Binding("pagedown", "scroll(1)", "Down", show=False, id="approval.down", tooltip="Later in the arguments"),
    ]

    def __init__(self, request: ToolRequest) -> None:
        super().__init__()
        self._request = request
        self._is_open = False

    def compose(self) -> ComposeResult:
        """Who asks; what it is given; the answers."""
        tool = self._request.tool
        origin = f"{tool.origin.value}{f': {sanitize(tool.source, strict=True)}' if tool.source else ''}"
        with Vertical(id="approval"):
            yield Label(Content(f"The model wants to run {sanitize(tool.name, strict=True)}"), classes="title")
            yield Static(Content(f"{origin}\n{sanitize(tool.spec.description, strict=True)}"), classes="hint")
            with VerticalScroll(id="approval-arguments", can_focus=False):
                yield Static(Content(arguments_for_people(self._request.arguments)))
            with Horizontal(classes="buttons"):
                for index, (_, words) in enumerate(_ANSWERS):
                    yield Button(Content(words), id=f"answer-{index}", variant="primary" if index == 0 else "default", disabled=True)

    def on_mount(self) -> None:
        """Answers are taken in a moment."""
        self.set_timer(self.DELAY, self._open)

    def on_key(self, event: Key) -> None:
        """What was typed for something else does nothing."""
        if not self._is_open:
            event.stop()
            event.prevent_default()

    @on(Button.Pressed)
    def _answered(self, event: Button.Pressed) -> None:
        event.stop()
        if self._is_open:
            self.dismiss(_ANSWERS[int((event.button.id or "answer-0").rpartition("-")[2])][0])

    def action_refuse(self) -> None:
        """Esc is a No."""
        if self._is_open:
            self.dismiss(Approval.REFUSED)

    def action_scroll(self, by: int) -> None:
        """Through long arguments."""
        self.query_one(VerticalScroll).scroll_relative(y=by * 5, animate=False)

    def _open(self) -> None:
        self._is_open = True
        for button in self.query(Button):
            button.disabled = False
        self.query(Button).first().focus()
