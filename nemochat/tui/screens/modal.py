"""What every screen above another one has in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.message import Message
from textual.screen import ModalScreen, Screen

R = TypeVar("R")
Answer = TypeVar("Answer")


class Modal(ModalScreen[R]):
    """A screen above another one: it answers once, and only while it is the topmost.

    Keys and clicks come in bursts, and what a screen is to do may wait in its queue when it has closed already. Textual's own `dismiss`
    closes whatever is the topmost by then.
    """

    has_answered = False
    """Whether it has given its answer."""
    takes_keys_from = -math.inf
    """When the first key was pressed that is for it (`Message.time`). Infinity for a screen that may open while the user types, until it
    can be seen: what was typed before that is for what was there."""

    @property
    def typed(self) -> str:
        """What was typed here and is nowhere else; "" for nothing."""
        return ""

    @property
    def unfinished(self) -> str:
        """What of it is worth keeping when it is not accepted."""
        return self.typed

    def on_mount(self) -> None:
        """It can be seen when it has been drawn."""
        if self.takes_keys_from == math.inf:
            self.call_after_refresh(self._was_drawn)

    def _was_drawn(self) -> None:
        self.takes_keys_from = Message().time

    def dismiss(self, result: R | None = None) -> AwaitComplete:
        """Close with this answer. Once it has answered, or while another screen lies above it, this does nothing."""
        if self.has_answered or not self.is_active:
            return AwaitComplete()
        self.has_answered = True
        return super().dismiss(result)

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)

    def open_above(self, screen: Screen[Answer], then: Callable[[Answer | None], None]) -> None:
        """Show a screen above this one, unless one lies there already; `then` gets its answer."""
        if self.is_active and not self.has_answered:
            self.app.push_screen(screen, then)
