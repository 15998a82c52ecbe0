"""What the engine is asked while the user writes: what the draft costs, how the window is filled, and to read what is known already."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from nemochat.chat import Attachment, ChatSession, ContextView
from nemochat.chat.warming import WarmAhead
from nemochat.domain.events import Progress, Stage
from nemochat.domain.messages import Message
from nemochat.errors import NemochatError
from nemochat.tui.composer import draft_of
from nemochat.tui.numbers import count
from nemochat.tui.widgets.status import state_words

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

PAUSE = 0.25
"""How long typing must pause before the draft is counted, in seconds."""
SHOWN = 64
"""Less than this many tokens are read without a word."""


class Ahead:
    """Asks in the background; a newer question replaces an older one."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self.warming = WarmAhead(self._session, self)
        self.view: ContextView | None = None
        """The last answer."""
        self._said = self._before = ""
        """What the status line says of the reading, and what it said before."""

    # -- what the window holds

    def count(self, delay: float = PAUSE) -> None:
        """Ask soon how the window is filled with the draft in it."""
        self._screen.prompt.token_count = None
        self._recount(delay)

    def _recount(self, delay: float) -> None:
        self._screen.background(partial(self._count, delay), "count", exclusive=True)

    def _attached(self) -> list[Attachment]:
        return [item.attachment for item in self._screen.incomings.items if item.attachment]

    @property
    def _draft(self) -> Message:
        return draft_of(self._screen.prompt.plain_text, self._attached())

    async def _count(self, delay: float) -> None:
        await asyncio.sleep(delay)
        screen = self._screen
        if not screen.holder.is_loaded:
            return
        session = await screen.holder.ready()
        attached, draft = self._attached(), self._draft
        try:
            view = await session.context_view(draft if draft.parts else None)
        except NemochatError as error:
            screen.set_state(f"stopped: {error.message}")
            return
        self.view = view
        screen.prompt.room = view.limit - view.reserve - view.used
        screen.prompt.token_count = view.draft + sum(each.tokens for each in attached) if draft.parts else 0
        screen.counted()

    # -- what is read already

    def opened(self) -> None:
        """A conversation was opened or changed, a model was loaded, or a title was made."""
        self.warming.opened(self._draft)

    def attached(self) -> None:
        """A picture is there."""
        self.count()
        self.warming.attached(self._draft)

    def typed(self) -> None:
        """The draft is another one."""
        self.count()
        self.warming.draft_changed(self._draft)

    def replied(self) -> None:
        """A turn has ended."""
        self.warming.replied(self._draft)

    def _session(self) -> ChatSession | None:
        """The session when it has nothing to do for the user. An edited message goes elsewhere than behind the last one."""
        screen = self._screen
        is_free = screen.holder.is_loaded and not screen.turns.is_running and not screen.composer.is_editing
        return screen.holder.session if is_free and screen.is_running else None

    # -- nemochat.chat.warming.Watcher

    def reads_ahead(self, progress: Progress) -> None:
        """Say so softly."""
        screen = self._screen
        is_long = progress.stage is not Stage.PREFILL or progress.total >= SHOWN
        if screen.turns.is_running or not is_long:
            return
        if screen.stage.state != self._said:
            self._before = screen.stage.state
        self._said = state_words(progress)
        if progress.stage is Stage.PREFILL:
            self._said = f"reading ahead {count(progress.done)} of {count(progress.total)}"
        screen.set_state(self._said)

    def read_ahead(self, draft: Message, *, is_complete: bool) -> None:
        """Its pictures need no encoding any more, and the numbers are others."""
        screen = self._screen
        digests = {part.digest for part in draft.images} if is_complete else set()
        for item in screen.incomings.items:
            if item.attachment is not None and item.attachment.part.digest in digests:
                item.state = "encoded"
        if screen.stage.state == self._said and not screen.turns.is_running:
            screen.set_state(self._before)
        screen.draw_side()
        self._recount(PAUSE if draft.text else 0)

    def forgot_ahead(self) -> None:
        """The line of forgetting has moved."""
        self._screen.say("The window was nearly full: the oldest messages are forgotten now, before your next one.")
        self._screen.draw()

    def failed_ahead(self, error: NemochatError) -> None:
        """The next turn says it again, and what to do."""
        self._screen.set_state(f"stopped: {error.message}")
