"""What the engine is asked while the user writes: what the draft costs, how the window is filled, and to read what is known already."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from nemochat.chat import Chat, ContextView, Stop
from nemochat.chat.turn import Stopped
from nemochat.chat.warming import AtHand, WarmAhead
from nemochat.desk.conversation import Around
from nemochat.desk.draft import Draft
from nemochat.desk.jobs import Jobs, Rank
from nemochat.desk.memory import Memory
from nemochat.desk.port import Counted, EngineFailed, PicturesChanged, Port, ReadingAhead, Said
from nemochat.domain.edits import Trim
from nemochat.domain.events import Progress, Stage
from nemochat.domain.messages import Message, Role
from nemochat.errors import NemochatError

PAUSE = 0.25
"""How long typing must pause before the draft is counted, in seconds."""
SHOWN = 64
"""Less than this many tokens are read without a word."""
TITLE_SECONDS = 4.0
"""How long nothing must have happened before the model is asked for a title."""


class Looked(Around, Protocol):
    """What is looked at while nothing else is to be done."""

    def wants_title(self, chat: Chat) -> bool:
        """Whether the model is to name the conversation."""


class Reading:
    """Counts, reads ahead and names the conversation on the desk. A newer question replaces an older one; what the engine does is never
    cancelled for it."""

    def __init__(self, port: Port, jobs: Jobs, looked: Looked, draft: Draft, memory: Memory) -> None:
        self._port, self._jobs, self._looked, self._draft, self._memory = port, jobs, looked, draft, memory
        self.warming = WarmAhead(self._at_hand, self)
        self.view: ContextView | None = None
        """The last answer."""
        self._asked = 0
        self._is_counting = False

    # -- what happens

    def opened(self) -> None:
        """A conversation was opened or changed, a model was loaded, or a title was made."""
        self.count(0)
        self.warming.opened(self._draft.message())

    def attached(self) -> None:
        """A picture is there."""
        self.count()
        self.warming.attached(self._draft.message())

    def typed(self) -> None:
        """The draft is another one."""
        self.count()
        self.warming.draft_changed(self._draft.message())

    def replied(self) -> None:
        """A turn has ended. What the window is about to forget is summed up first, where that is wanted."""
        self.count(0)
        if not self._memory.turn_ended():
            self.warming.replied(self._draft.message())
        if self._looked.wants_title(self._looked.conversation.chat):
            self._jobs.start(Rank.IDLE, "title", self._name_when_quiet)

    def summed_up(self) -> None:
        """A summary was written, or was not to be had."""
        self.count(0)
        self.warming.replied(self._draft.message())

    def turn_begins(self) -> None:
        """The engine is needed. What was the draft is part of the conversation now; the window is counted anew when the turn has ended."""
        self.warming.stop()
        if self.view is not None and self._draft.is_empty:
            self.view = msgspec.structs.replace(self.view, history=self.view.history + self.view.draft, draft=0)
            self._port.tell(Counted(self.view, 0))

    @property
    def is_at_work(self) -> bool:
        """Whether something is being counted or read."""
        return self._is_counting or self.warming.is_reading or self._memory.is_writing

    async def close(self) -> None:
        """Nothing is read any more."""
        await self.warming.close()

    # -- what the window holds

    def count(self, delay: float = PAUSE) -> None:
        """Ask soon how the window is filled with the draft in it."""
        self._asked += 1
        self._port.tell(Counted(self.view, None))
        if not self._is_counting:
            self._is_counting = True
            self._jobs.start(Rank.USER, "count", lambda _: self._count(delay))

    async def _count(self, delay: float) -> None:
        """One question after the other, until the last one that was asked has been answered."""
        try:
            answered = -1
            while answered != self._asked:
                while answered != self._asked:  # once the typing pauses
                    answered = self._asked
                    await asyncio.sleep(delay)
                    delay = PAUSE
                await self._count_now()
        finally:
            self._is_counting = False

    async def _count_now(self) -> None:
        session = self._looked.free_session()
        if session is None or self._memory.is_writing:
            return
        conversation, message = self._looked.conversation, self._draft.message()
        try:
            view = await session.reader.context_view(self._before_draft(), message if message.parts else None)
        except NemochatError as error:
            self._port.tell(EngineFailed(error))
            return
        if conversation is self._looked.conversation and self._looked.free_session() is not None:
            self.view = view
            self._port.tell(Counted(view, view.draft + self._draft.picture_tokens if message.parts else 0))

    def _before_draft(self) -> Chat:
        """The conversation as far as the draft will have it before it: an edited message makes way, with all that came after it."""
        chat, editing = self._looked.conversation.chat, self._draft.editing
        index = None if editing is None else chat.index_of(editing)
        return chat if index is None else chat.cut(index)

    # -- what is read already

    def _at_hand(self) -> AtHand | None:
        """An edited message goes elsewhere than behind the last one."""
        session, conversation = self._looked.free_session(), self._looked.conversation
        if session is None or self._memory.is_writing or conversation.is_held or self._draft.editing is not None:
            return None
        return AtHand(session.reader, conversation.chat, conversation.id)

    def reads_ahead(self, progress: Progress) -> None:
        """Say so softly."""
        if progress.stage is not Stage.PREFILL or progress.total >= SHOWN:
            self._port.tell(ReadingAhead(progress))

    def read_ahead(self, draft: Message, *, is_complete: bool) -> None:
        """Its pictures need no encoding any more, and the numbers are others."""
        digests = {part.digest for part in draft.images} if is_complete else set()
        for item in self._draft.items:
            if item.part is not None and item.part.digest in digests:
                item.state = "encoded"
        self._port.tell(ReadingAhead(None))
        self._port.tell(PicturesChanged())
        self.count(PAUSE if draft.text else 0)

    def forgot_ahead(self, trim: Trim) -> None:
        """The line of forgetting moves."""
        self._looked.conversation.apply(trim)
        self._port.tell(Said("The window was nearly full: the oldest messages are forgotten now, before your next one."))
        self.count(0)

    def failed_ahead(self, error: NemochatError) -> None:
        """The next turn says it again, and what to do."""
        self._port.tell(EngineFailed(error))

    # -- the title

    async def _name_when_quiet(self, stop: Stop) -> None:
        """Once nothing has happened for a while. A chat without a title has its first words."""
        conversation = self._looked.conversation
        try:
            await stop.over(asyncio.sleep(TITLE_SECONDS))
            await stop.over(self.warming.finished())
            session, asked = self._looked.free_session(), conversation.chat
            is_free = session is not None and not self._memory.is_writing
            if session is None or not is_free or self._draft.text or conversation is not self._looked.conversation:
                return
            title = await session.suggest_title(asked, stop, key=conversation.id)
        except (Stopped, NemochatError):
            return  # the next turn says what is wrong with the engine
        if title and not conversation.chat.name:
            conversation.change(lambda chat: chat.named(title), can_undo=False)
        elif conversation is self._looked.conversation:
            self.opened()  # what was asked for the title stands where the next message will


def has_reply(chat: Chat) -> bool:
    """Whether the model has said something in it."""
    return any(entry.message.role is Role.ASSISTANT for entry in chat.entries)
