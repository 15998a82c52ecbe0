"""Reads the next prompt while the user looks and types, so that the reply begins at once. It knows no screen.

First comes the prompt as it stands, up to what is known of the draft; then, when the window fills up, the prompt as it will be when the
oldest turns have gone. Nothing of it is ever in the way: the engine puts any other request before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from nemochat.chat.previews import EMPTY, Preview, known_of
from nemochat.chat.reader import PromptReader
from nemochat.domain.chat import Chat
from nemochat.domain.edits import Trim
from nemochat.domain.events import Progress, Stage
from nemochat.domain.messages import Message
from nemochat.errors import NemochatError

PAUSE = 0.15
"""Seconds between two looks at what is being typed; another one is only taken when a word was finished since."""
_PAUSE_PER_MESSAGE = 0.0001
"""The same for long conversations: rendering the prompt is to take no more than a tenth of the time, so that typing stays smooth."""
_YIELD = 0.02
_MOST_WAITS = 6
"""After an interruption: how long the others have the engine for themselves, in seconds, twice as long each time that nothing was read,
and how often that may be before it is given up."""


class Watcher(Protocol):
    """Who shows what is read ahead."""

    def reads_ahead(self, progress: Progress) -> None:
        """The engine is reading."""

    def read_ahead(self, draft: Message, *, is_complete: bool) -> None:
        """One prompt has been read, with what was known of this draft; not to its end where the engine had no time or room for it."""

    def forgot_ahead(self, trim: Trim) -> None:
        """The window forgets its oldest turns, as there is time to read the others: to be done to the conversation at once."""

    def failed_ahead(self, error: NemochatError) -> None:
        """The engine failed. Said once; nothing more is read until something happens besides typing."""


class AtHand(msgspec.Struct, frozen=True):
    """What can be read ahead: a conversation, what the engine knows it by, and the model that reads it."""

    reader: PromptReader
    chat: Chat
    key: str


class WarmAhead:
    """One task reads ahead at a time. at_hand: what there is to read, None while there is nothing or while it is at work for the user.

    A task that is not wanted any more is not cancelled: the next request makes the engine leave what it does for it, and the engine knows
    what of that is needed again, a picture that is half encoded say.
    """

    def __init__(self, at_hand: Callable[[], AtHand | None], watcher: Watcher, pause: float = PAUSE) -> None:
        self._at_hand = at_hand
        self._watcher = watcher
        self._pause = pause
        self._draft = self._known = EMPTY
        self._is_due = False
        """Whether the window may have to forget something."""
        self._has_failed = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        """All tasks that have not ended."""
        self.warm = 0
        """How many tokens of the next prompt are ready."""

    @property
    def is_reading(self) -> bool:
        """Whether something is under way, or will be in a moment."""
        return self._timer is not None or (self._task is not None and not self._task.done())

    # -- what happens

    def opened(self, draft: Message = EMPTY) -> None:
        """A conversation was opened or changed, a model was loaded, or the model has made something that is no reply, a title say."""
        self._is_due = False
        self.attached(draft)

    def attached(self, draft: Message) -> None:
        """A picture is there."""
        self._has_failed = False
        self._draft = draft
        self._begin()

    def replied(self, draft: Message = EMPTY) -> None:
        """A turn has ended."""
        self._is_due = True
        self.attached(draft)

    def draft_changed(self, draft: Message) -> None:
        """The user is writing."""
        self._draft = draft
        if self._timer is None and not self._has_failed and known_of(draft) != self._known:
            at_hand = self._at_hand()
            pause = 0.0 if at_hand is None else len(at_hand.chat.entries) * _PAUSE_PER_MESSAGE
            self._timer = asyncio.get_running_loop().call_later(max(self._pause, pause), self._begin)

    def stop(self) -> None:
        """The engine is needed: nothing is asked of it any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._task = None

    async def finished(self) -> None:
        """Wait until all is read that can be."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """End it for good."""
        self.stop()
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # -- the reading

    def _begin(self) -> None:
        """Read what is known now."""
        self.stop()
        self._known = known_of(self._draft)
        self._task = asyncio.create_task(self._read_all(self._draft))
        self._leaving.add(self._task)
        self._task.add_done_callback(self._ended)

    def _is_current(self) -> bool:
        return self._task is asyncio.current_task()

    async def _read_all(self, draft: Message) -> None:
        at_hand = self._at_hand()
        if at_hand is None or not at_hand.reader.can_warm:
            return
        reader = at_hand.reader
        if not reader.can_take_back:
            draft = EMPTY  # its words may change, and all would be read anew
        try:
            if self._is_due:
                trim = await reader.forget_ahead(at_hand.chat)
                self._is_due = False
                now = self._at_hand()
                if now is None or now.chat is not at_hand.chat:
                    return  # whatever changed it has begun another reading
                if trim is not None:
                    self._watcher.forgot_ahead(trim)
                    at_hand = self._at_hand() or at_hand
            shown = await reader.preview(at_hand.chat, draft)
            is_complete = bool(shown.now) and await self._read(at_hand, shown, following=False)
            if shown.now and self._is_current():
                self._watcher.read_ahead(draft, is_complete=is_complete)
            if self._is_current() and reader.can_read_following(shown):
                is_next_complete = await self._read(at_hand, shown, following=True)
                if self._is_current():
                    self._watcher.read_ahead(draft, is_complete=is_complete if shown.now else is_next_complete)
        except NemochatError as error:
            now = self._at_hand()
            if self._is_current() and now is not None and now.reader is reader:
                self._has_failed = True
                self._watcher.failed_ahead(error)

    async def _read(self, at_hand: AtHand, shown: Preview, *, following: bool) -> bool:
        """Read one prompt, again and again while other requests come in between; whether it was read to its end."""
        waits = 0
        while self._is_current() and waits < _MOST_WAITS:
            done = await at_hand.reader.prepare(shown, at_hand.key, self._report, following=following)
            if not following:
                self.warm = done.reused_tokens + done.evaluated_tokens
            if done.is_complete:
                return self._is_current()
            waits = 0 if done.evaluated_tokens or done.encoded_images else waits + 1
            await asyncio.sleep(_YIELD * 2**waits)
        return False

    def _report(self, progress: Progress) -> None:
        # What a device is prepared for is waited for by whatever is wanted next as well.
        if self._is_current() or progress.stage is Stage.COMPILE:
            self._watcher.reads_ahead(progress)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What nobody foresaw is not swallowed."""
        self._leaving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
