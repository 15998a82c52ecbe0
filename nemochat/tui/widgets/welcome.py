"""What an empty conversation shows: what this is, and something to try at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from nemochat.images import sample_picture
from nemochat.tui.widgets.portrait import blocks

_HERE, _ELSEWHERE = "Talk with a model that sees, on your own machine.", "Talk with a model that sees; this one is on another machine."
_LIMITS = "The built-in model knows flat coloured shapes and small talk only.\nF3 shows the models, and adds a real one."
_HINT = "Drop a picture here and ask about it, or just write.\n/ shows the commands, F1 the keys."
_SIDE = 16
"""Pixels of the small picture; two of them above one another are a cell."""
_LEAST_WIDTH, _LEAST_HEIGHT = 60, 19
"""Columns from which on the picture is shown; lines from which on there are blank ones."""


class TryLine(Static, can_focus=True):
    """A question to try, with its key."""

    help_title = "Something to try"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "ask", "Ask it", id="welcome.ask", tooltip="Ask this question about the sample picture"),
    ]
    DEFAULT_CSS = """
    TryLine { width: auto; height: 1; color: $foreground; pointer: pointer; }
    TryLine:hover { text-style: underline; }
    TryLine:focus { text-style: reverse; }
    """

    def __init__(self, number: int, question: str) -> None:
        super().__init__()
        self._number, self._question = number, question
        self.set_key("")

    def set_key(self, key: str) -> None:
        """Say which key asks it."""
        self.update(Content.assemble((f"{key:<4}", "bold $text-primary"), self._question))

    def action_ask(self) -> None:
        """Ask for it."""
        self.post_message(Welcome.Asked(self._number))

    def on_click(self) -> None:
        """The same by mouse."""
        self.action_ask()


class Welcome(Vertical):
    """Shown while there is no message."""

    @dataclass
    class Asked(Message):
        """The user wants to try this question, counted from 1."""

        number: int

    DEFAULT_CSS = """
    Welcome {
        width: 1fr; height: 1fr; align: center middle; padding: 0 2;
        .line { width: 1fr; height: auto; text-align: center; color: $text-muted; margin: 0 0 1 0; }
        .title { text-style: bold; color: $text-primary; }
        .limits { color: $text-warning; }
        #try { width: 1fr; height: auto; align: center top; margin: 0 0 1 0; }
        #try .picture { width: 16; height: 8; margin: 0 3 0 0; }
        #try Vertical { width: auto; height: auto; }
        #try .about { width: auto; height: auto; color: $text-muted; margin: 0 0 1 0; }
        #try .attach { width: auto; height: auto; color: $text-muted; margin: 1 0 0 0; }
        .hint { margin: 0; }
        &.-low .line { margin: 0; }
        &.-low .about, &.-low .attach { margin: 0; }
        &.-low #try { margin: 1 0; }
        &.-low .tagline { display: none; }
    }
    """

    is_demo: reactive[bool] = reactive(False)
    """Whether the built-in model is the one in use."""
    leaves: reactive[bool] = reactive(False)
    """Whether words leave this machine for the model in use."""
    keys: reactive[Sequence[str]] = reactive[Sequence[str]](())
    """Which key asks which question."""

    def __init__(self, questions: Sequence[str]) -> None:
        super().__init__()
        self._lines = tuple(TryLine(number, question) for number, question in enumerate(questions, 1))
        self._tagline = Static(Content(_HERE), classes="line tagline")
        self._limits = Static(Content(_LIMITS), classes="line limits")
        self._picture = Static(blocks(sample_picture(_SIDE).rgb, _SIDE), classes="picture", markup=False)

    def compose(self) -> ComposeResult:
        """Who it is, what it cannot do, what to try, how to go on."""
        yield Static(Content("nemochat"), classes="line title")
        yield self._tagline
        yield self._limits
        with Horizontal(id="try"):
            yield self._picture
            with Vertical():
                yield Static(Content("Try it on this picture:"), classes="about")
                yield from self._lines
                yield Static(Content("/sample attaches it, for your own question"), classes="attach")
        yield Static(Content(_HINT), classes="line hint")

    def on_resize(self) -> None:
        """The words come first, and without colours the picture says nothing."""
        self.set_class(self.size.height < _LEAST_HEIGHT, "-low")
        self._picture.display = self.size.width >= _LEAST_WIDTH and not self.app.no_color

    def watch_is_demo(self, is_demo: bool) -> None:
        """Say what it is good for."""
        self._limits.display = is_demo

    def watch_leaves(self, leaves: bool) -> None:
        """Say where it is."""
        self._tagline.update(Content(_ELSEWHERE if leaves else _HERE))

    def watch_keys(self, keys: Sequence[str]) -> None:
        """Other keys."""
        for line, key in zip(self._lines, keys, strict=False):
            line.set_key(key)
