"""From the prompt to a turn, in the order in which it happens.

What is sent before the conversation is there is held. Then it is part of the conversation, and so on the disk; its pictures follow when
they are read; and it has its turn. What waits in a conversation is sent by one program alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Protocol

import msgspec

from nemochat.chat import Chat, ChatEvent, ChatSession, Stop
from nemochat.chat.recall import PromptHistory
from nemochat.desk.conversation import Around, OpenConversation
from nemochat.desk.draft import Draft, message_of, said, unsaid
from nemochat.desk.port import Port, Said
from nemochat.desk.turns import Turn, Turns
from nemochat.library.claims import Claims

LEAVE_SECONDS = 2.0
"""How long the end of the program waits for pictures, and for a reply to stop."""


class Sender(Around, Protocol):
    """What sending needs of the rest of the desk."""

    def new(self) -> bool:
        """Begin a new chat; False, and the user is told why, while a reply is being written."""


class Held(msgspec.Struct, frozen=True):
    """What was sent before the conversation was there. sources: pictures that the text named at the last moment."""

    text: str
    tokens: Sequence[str]
    sources: Sequence[str]


class Sending:
    """Owns what is on its way from the prompt to a turn."""

    def __init__(self, port: Port, draft: Draft, history: PromptHistory, turns: Turns, claims: Claims, sender: Sender) -> None:
        """claims: conversations in which something waits or runs here; what waits in them is not sent by another program too."""
        self._port, self._draft, self._history, self._turns, self._claims, self._sender = port, draft, history, turns, claims, sender
        self._held: list[Held | None] | None = None
        """What was sent before the conversation was there with which the user begins, None for a new chat; None once it is there."""
        self._resuming: asyncio.Task[None] | None = None
        self._unread: list[Turn] = []
        """Turns of messages whose pictures are still being read."""

    # -- before the conversation is there

    @property
    def is_resuming(self) -> bool:
        """Whether the conversation with which the user begins is not there yet."""
        return self._held is not None

    def resume(self, resuming: asyncio.Task[None]) -> None:
        """The conversation with which the user begins is on its way: what is sent until then belongs to it."""
        self._held, self._resuming = [], resuming
        self._sender.do(partial(self._resumed, resuming))

    async def _resumed(self, resuming: asyncio.Task[None]) -> None:
        try:
            await resuming
        except asyncio.CancelledError:
            if self._held is not None:  # else the user has begun another chat meanwhile
                raise
        finally:
            held, self._held = self._held or [], None
            for at, each in enumerate(held):
                if each is not None:
                    self.send(each.text, each.tokens, each.sources)
                elif not self._sender.new():  # what comes behind was meant for another chat than this one
                    self._put_back(held[at:])
                    break

    def holds_new(self) -> bool:
        """A new chat is asked for: whether it comes behind what was sent before. Else a conversation that is on its way is given up."""
        if self._held:
            self._held.append(None)
            return True
        if self._held is not None and self._resuming is not None:
            self._held = None
            self._resuming.cancel()
        return False

    def leave(self) -> None:
        """The program ends: what is held has come nowhere, and is in the prompt."""
        held, self._held = self._held or [], None
        if held:
            self._put_back(held)

    def _put_back(self, held: Sequence[Held | None]) -> None:
        there = [each for each in held if each is not None]
        self._draft.put_back("\n".join(unsaid(each.text) for each in there))
        for source in (source for each in there for source in each.sources):
            self._draft.add_source(source)

    # -- into the conversation

    def send(self, text: str, tokens: Sequence[str], sources: Sequence[str] = ()) -> None:
        """Send what was in the prompt with the pictures of these tokens, and those that the text named at the last moment (`sources`)."""
        if self._held is not None:
            self._held.append(Held(text, tokens, sources))
            self._draft.leave(said(text.strip()), lambda: self._held is None, sources=sources)
            self._history.add(said(text.strip()))
            return
        text = said(text.strip())
        pictures = [*self._draft.take(tokens), *(self._draft.take_in_source(source) for source in sources)]
        self._draft.text = ""
        if not text and not pictures:
            return
        replaces, self._draft.editing = self._draft.editing or 0, None
        if replaces and self._sender.refuse_while_busy():
            self._draft.editing = replaces
            self._draft.put_back(unsaid(text), pictures)
            return
        conversation = self._sender.conversation
        self._claim(conversation)
        keeps = conversation.chat.index_of(replaces)
        if replaces and keeps is None:
            self._port.tell(Said("The message that you edited was deleted, so your text is sent as a new message."))
        self._history.add(text)
        waiting = conversation.chat.next_id
        paths = [item.source for item in pictures if item.part is None and item.source]
        message = message_of(text, [item.part for item in pictures if item.part is not None])
        conversation.change(lambda chat: chat.queued(message, paths, replaces, time.time()), can_undo=False)
        there = partial(conversation.has_written, waiting), pictures, partial(conversation.has_pictures, waiting, len(pictures))
        self._draft.leave(text, *there)
        turn = Turn(conversation, text or "picture", waiting, text, pictures, keeps=keeps, is_kept=False)
        self.submit(turn)
        self._sender.do(partial(self._sent, turn))
        if any(item.part is None for item in pictures):
            self._unread.append(turn)
            self._sender.do(partial(self._pictured, turn))

    async def _sent(self, turn: Turn) -> None:
        """Only what is on the disk is shown as one that waits."""
        await turn.conversation.stored()
        turn.is_kept = True
        self._turns.announce()

    # -- its pictures

    async def _pictured(self, turn: Turn) -> None:
        """The pictures of a message that waits are kept with it as soon as they are read: their files may go, or there are none."""
        for item in turn.pictures:
            await item.is_read.wait()
        self._unread = [each for each in self._unread if each is not turn]
        self._keep_pictures(turn)

    def _keep_pictures(self, turn: Turn) -> None:
        parts = [item.part for item in turn.pictures if item.part is not None]
        if len(parts) == len(turn.pictures):
            turn.conversation.change(lambda chat: chat.pictured(turn.waiting, parts), can_undo=False)

    async def pictures_read(self) -> None:
        """The program ends: wait for pictures of messages that are in no file, which could not be read later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                for item in (item for turn in self._unread for item in turn.pictures if not item.source):
                    await item.is_read.wait()
        for turn in self._unread:
            self._keep_pictures(turn)

    # -- to its turn

    def submit(self, turn: Turn) -> None:
        """Run a turn."""
        self._claim(turn.conversation)
        self._turns.submit(turn)

    def send_what_waits(self) -> None:
        """What was sent in an earlier run and had no turn yet has it now."""
        conversation = self._sender.conversation
        chat = conversation.chat
        if chat.waiting and not self._claims.claim(conversation.id):
            conversation.is_guest = True
            self._port.tell(Said("This chat is open in another nemochat, which sends what waits there."))
            return
        for waiting in chat.waiting:
            pictures = [*map(self._draft.take_in_source, waiting.sources), *map(self._draft.take_in_part, waiting.message.images)]
            label = waiting.message.text or "picture"
            keeps = chat.index_of(waiting.replaces)
            self.submit(Turn(conversation, label, waiting.id, waiting.message.text, pictures, keeps=keeps))

    def impersonate(self) -> None:
        """Let the model write the user's next words into the prompt; what the user types meanwhile stays, and ends it."""
        conversation = self._sender.conversation
        if not conversation.chat.entries:
            self._port.tell(Said("There is nothing to answer yet."))
        elif self._draft.text:
            self._port.tell(Said("The prompt is not empty: send or clear it first."))
        elif not self._sender.refuse_while_busy():
            turn = Turn(conversation, "your next words", play=_impersonate)
            turn.drafts = _Ghost(self._draft, turn.stop).write
            self.submit(turn)

    # -- in one program alone

    def _claim(self, conversation: OpenConversation) -> None:
        """Something is to run in a conversation: while another program is at work in it, it goes on as a copy."""
        if conversation.id and not self._claims.claim(conversation.id):
            conversation.part()

    def settled(self, conversation: OpenConversation) -> None:
        """A turn of it is over, or it is on the disk: when nothing runs or waits in it any more, another program may go on with it."""
        if not conversation.is_held and conversation.is_kept:
            self._claims.release(conversation.id)

    def named(self, conversation: OpenConversation) -> None:
        """It is on the disk under an id that it has had for the first time."""
        if conversation.is_held:
            self._claims.claim(conversation.id)


class _Ghost:
    """Writes the user's words into the prompt as long as nobody else writes there."""

    def __init__(self, draft: Draft, stop: Stop) -> None:
        self._draft, self._stop = draft, stop
        self._written = ""

    def write(self, text: str) -> None:
        if self._draft.text.strip() != self._written.strip():
            self._stop.set()
        if not self._stop.is_set:
            self._written = (self._written + text).lstrip()
            self._draft.load(self._written)


def _impersonate(session: ChatSession, chat: Chat, stop: Stop, key: str, asked_at: float) -> AsyncGenerator[ChatEvent, None]:
    return session.impersonate(chat, stop, key=key, asked_at=asked_at)
