"""The line under the prompt: what Enter will do, or the keys of what has the focus instead, and what the draft costs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from nemochat.numbers import count, plural

_GAP = 1
"""Columns between words and figures."""
_BETWEEN = " · "
_MORE = ((" · Ctrl+J new line", 70), (" · Ctrl+O picture · F1 help", 100))
"""What is added, and the width from which on."""


_PLACEHOLDERS = (
    "Ask something, drop a picture, or type / for commands",
    "Ask something, or type / for commands",
    "Ask something",
)


def placeholder(width: int) -> str:
    """What an empty prompt of this width says."""
    return next((words for words in _PLACEHOLDERS if len(words) <= width), _PLACEHOLDERS[-1])


class PromptState(StrEnum):
    """What Enter will do, in words. What stands before the colon says it where there is no room for the whole."""

    SENDS = "Enter sends"
    QUEUES = "Enter queues: a reply is being written"
    WAITS = "Enter sends as soon as the model is there"
    LACKS = "Enter sends once there is a model: F3 chooses one"
    EDITS = "Enter sends the edited message: Esc leaves it"
    RUNS = "Enter runs the command"
    LOST = "Not on this machine: add words to send it as text"


class Hint(msgspec.Struct, frozen=True):
    """What the line says. tokens: of the draft, None while they are being counted. room: what is free behind it and behind `reserve` tokens
    that are kept for the reply, None when not known.

    is_empty: there is no draft. keys: of what has the focus, each with what it does; () while that is the prompt. is_exact: of both
    numbers, as in `numbers.count`.
    """

    state: PromptState
    tokens: int | None = None
    room: int | None = None
    reserve: int = 0
    is_empty: bool = True
    keys: tuple[str, ...] = ()
    is_exact: bool = True

    @property
    def figures(self) -> str:
        """The cost of the draft and what is left; what is never sent costs nothing. Keys get its place."""
        if self.keys:
            return ""
        if self.room is not None and -self.reserve <= self.room < 0:
            return f"{plural(-self.room, 'token', is_exact=self.is_exact)} too few for the reply"
        if self.room is not None and self.room < 0:
            return f"too long by {plural(-self.room - self.reserve, 'token', is_exact=self.is_exact)}"
        free = "" if self.room is None else f"{count(self.room, is_exact=self.is_exact)} free"
        if self.is_empty or self.state in (PromptState.RUNS, PromptState.LOST):
            return free
        tokens = f"{'…' if self.tokens is None else count(self.tokens, is_exact=self.is_exact)} tokens"
        return f"{tokens} · {free}" if free else tokens

    def words(self, width: int) -> str:
        """What Enter will do, or the keys, in a line of this width beside the figures."""
        room = width - _GAP - len(self.figures)
        if self.keys:
            return fitting(self.keys, room)
        words = self.state.value
        if len(words) > room:
            words = words.partition(":")[0]
        for more, least in _MORE:
            if width >= least and len(words + more) <= room:
                words += more
        return words


def fitting(keys: Sequence[str], width: int) -> str:
    """As many of these as fit, the last one always: it leads back."""
    shown = list(keys)
    while len(shown) > 1 and len(_BETWEEN.join(shown)) > width:
        del shown[-2]
    return _BETWEEN.join(shown)


def lines_of(keys: Sequence[str], width: int) -> list[str]:
    """All of these, in as many lines of this width as they need; none is broken."""
    lines: list[str] = []
    for key in keys:
        if lines and len(lines[-1] + _BETWEEN + key) <= width:
            lines[-1] += _BETWEEN + key
        else:
            lines.append(key)
    return lines


class HintLine(Horizontal):
    """Shows a `Hint`."""

    DEFAULT_CSS = """
    HintLine {
        height: 1; padding: 0 1; color: $text-muted;
        #hint { width: 1fr; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #count { width: auto; height: 1; padding-left: 1; }
    }
    """

    hint: reactive[Hint] = reactive(Hint(PromptState.WAITS))

    def __init__(self) -> None:
        super().__init__()
        self._words = Static(id="hint")
        self._figures = Static(id="count")
        self._drawn = ("", "", False)

    def compose(self) -> ComposeResult:
        """Words at the left, figures at the right."""
        yield self._words
        yield self._figures

    def watch_hint(self) -> None:
        """Other words, or more or less room."""
        hint = self.hint
        is_too_long = hint.room is not None and hint.room < 0
        drawn = hint.words(self.content_size.width), hint.figures, is_too_long
        if drawn != self._drawn:  # an update lays the whole screen out anew, and this is called at each key
            self._drawn = drawn
            self._words.update(Content(drawn[0]))
            self._figures.update(Content.styled(hint.figures, "bold $text-error" if is_too_long else ""))

    on_resize = watch_hint
