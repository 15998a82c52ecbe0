"""What stands in for what is forgotten, and what never is: summaries that the model writes in idle time, and what the user notes down."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec

from nemochat.chat import Chat, ChatSession, Stop
from nemochat.chat.turn import Stopped
from nemochat.desk.conversation import Around, OpenConversation
from nemochat.desk.jobs import Jobs, Rank
from nemochat.desk.port import Answer, AskItem, AskMenu, AskText, Complained, Item, Port, Said, Workbench, Working
from nemochat.domain.personas import Persona
from nemochat.domain.summaries import LONGEST, Summary
from nemochat.errors import NemochatError
from nemochat.numbers import plural

MOST_REMEMBERED = 100
"""Things that are remembered in one chat."""
PERSONA = "@persona"
"""Before what is to be remembered in all chats with a persona."""
_NONE = "This chat has no summary. /compact writes one."
_OUTDATED = "This chat has no summary that holds: what it told of was changed. /compact writes one."


class Looked(Around, Protocol):
    """What summaries need of the rest of the desk."""

    @property
    def is_busy(self) -> bool:
        """Whether a reply is being written, or waits for something."""

    def summed_up(self) -> None:
        """No summary is being written any more: what comes next can be read ahead."""


class _Asked:
    """A summary that the user wants now. words: what it is to keep above all."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.is_over = asyncio.Event()


class Memory:
    """Writes summaries, one at a time and only while nothing else is asked of the model, and keeps what the user wants remembered."""

    def __init__(self, port: Port, jobs: Jobs, bench: Workbench, looked: Looked) -> None:
        self._port, self._jobs, self._bench, self._looked = port, jobs, bench, looked
        self._asked: _Asked | None = None
        self._stop: Stop | None = None
        self._target = self._given_up = 0
        """Ids of the messages up to which all is summed up now, and could not be: that is not tried again unasked."""

    # -- summaries

    @property
    def is_writing(self) -> bool:
        """Whether a summary is being written, or looked for."""
        return self._stop is not None

    async def compact(self, words: str) -> None:
        """Sum up all but the newest messages now, and return when that is over; what the user sends meanwhile goes first."""
        if self._looked.refuse_while_busy():
            return
        if self._asked is not None:
            self._port.tell(Said("A summary is being written already."))
            return
        if self._looked.free_session() is None:
            self._port.tell(Said("The model is still being loaded."))
            return
        asked = self._asked = _Asked(words)
        self._begin()
        await asked.is_over.wait()

    def turn_ended(self) -> bool:
        """Begin what was asked for, or what is due; whether there may be something, for which reading ahead waits."""
        chat = self._looked.conversation.chat
        is_wanted = self._bench.settings.interface.summaries and (chat.summary is None or chat.summary.is_on)
        if self._asked is None and not is_wanted:
            return False
        self._begin()
        return True

    def stop(self, *, tells: bool = True) -> bool:
        """Write no more; whether something was being written. It is not begun again for the same messages, unless it is asked for."""
        if self._stop is None and self._asked is None:
            return False
        if self._stop is not None:
            self._stop.set()
        self._given_up = self._target
        self._end(self._asked)
        if tells:
            self._port.tell(Said("The summary was stopped, so nothing is summed up."))
        return True

    def _begin(self) -> None:
        def work(stop: Stop) -> Coroutine[Any, Any, None]:
            self._stop = stop  # at once, so that nothing is read ahead in between
            return self._write(self._looked.conversation, self._asked, stop)

        self._jobs.start(Rank.IDLE, "summary", work)

    def _end(self, asked: _Asked | None) -> None:
        if asked is not None:
            asked.is_over.set()
            self._asked = None if self._asked is asked else self._asked

    async def _write(self, conversation: OpenConversation, asked: _Asked | None, stop: Stop) -> None:
        waits = False
        try:
            await self._sum_up(conversation, asked, stop)
        except Stopped:
            waits = True  # a reply goes first: what was asked for is begun again when it has ended
        except NemochatError as error:  # unasked, the next turn says what is wrong with the engine
            self._given_up = self._target
            if asked is not None:
                self._port.tell(Complained(error))
        finally:
            if not waits:
                self._end(asked)
            if self._stop is stop:
                self._stop = None
        if not stop.is_set:
            self._looked.summed_up()

    async def _sum_up(self, conversation: OpenConversation, asked: _Asked | None, stop: Stop) -> None:
        session = self._looked.free_session()
        if self._looked.is_busy:
            raise Stopped
        if session is None or conversation is not self._looked.conversation:
            return
        target = self._target = await stop.over(_target(session, conversation.chat, is_asked=asked is not None))
        if asked is None and target == self._given_up:
            return
        if not _left(conversation.chat, target):
            if asked is not None:
                self._port.tell(Said("There is nothing to sum up yet: only the newest messages are left."))
            return
        self._port.tell(Working("writing a summary"))
        try:
            await self._write_up_to(target, session, conversation, asked, stop)
        finally:
            self._port.tell(Working(""))

    async def _write_up_to(
        self, target: int, session: ChatSession, conversation: OpenConversation, asked: _Asked | None, stop: Stop
    ) -> None:
        """One summary after the other, each brought up to date by the next, until they tell of all before that message."""
        summary: Summary | None = None
        while until := _left(chat := conversation.chat, target):
            words = asked.words if asked is not None else ""
            summary = await session.sum_up(chat, until, words, stop, key=conversation.id)
            stop.check()
            if summary is None:
                self._given_up = target
                if asked is not None:
                    self._port.tell(Said("The model wrote no summary. Try it once more, or with another model (F3)."))
                return
            conversation.change(partial(_with, summary), can_undo=asked is not None)
            if conversation.chat.summary != summary:
                self._port.tell(Said("The chat was changed while its summary was being written. /compact writes another one."))
                return
        if summary is not None:
            gone = f"{plural(len(summary.covers), 'message')} ({plural(summary.tokens, 'token')})"
            begins = "" if asked is not None else "The window was nearly full: "
            self._port.tell(Said(f"{begins}{'T' if asked is not None else 't'}he model now reads a summary of {gone}. /summary shows it."))

    async def visit(self, argument: str) -> None:
        """``/summary`` shows what can be done with the summary; ``on``, ``off``, ``edit`` and ``delete`` do it."""
        conversation = self._looked.conversation
        summary = conversation.chat.summary
        if argument not in ("", "on", "off", "edit", "delete"):
            self._port.tell(Said("/summary takes on, off, edit, delete, or nothing."))
            return
        if self._looked.refuse_while_busy():
            return
        if summary is None:
            self._port.tell(Said(_OUTDATED if conversation.chat.summaries else _NONE))
            return
        switch = Answer("off", "Switch it off: the messages come back", "s") if summary.is_on else Answer("on", "Switch it on", "s")
        answers = (Answer("edit", "Read and edit it", "e"), switch, Answer("delete", "Delete it", "d"))
        chosen = argument or await self._port.ask(AskMenu(f"Summary of {plural(len(summary.covers), 'message')}", answers))
        changed: Summary | None = summary
        match chosen:
            case "edit":
                text = await self._port.ask(AskText("Summary", summary.text, "It is read in place of the messages."))
                if text is None or not text.strip():
                    return
                changed = msgspec.structs.replace(summary, text=text.strip()[:LONGEST])
            case "on" | "off":
                changed = msgspec.structs.replace(summary, is_on=chosen == "on")
            case "delete":
                changed = None
            case _:
                return
        if self._looked.refuse_while_busy():
            return
        if conversation.change(partial(_with, changed) if changed is not None else Chat.not_summed_up):
            self._port.tell(Said(_DONE[chosen]))

    # -- what is remembered

    async def remember(self, text: str) -> None:
        """Tell the model something in every prompt of this chat, with ``@persona`` before it in every chat with its persona.

        Without a text, list what that is, to be changed or forgotten. Raises NemochatError.
        """
        conversation = self._looked.conversation
        if self._looked.refuse_while_busy():
            return
        first, _, rest = text.strip().partition(" ")
        if first.lower() == PERSONA:
            await self._note_down(conversation, None, rest.strip(), is_personas=True)
        elif text.strip():
            await self._note_down(conversation, None, text.strip(), is_personas=False)
        else:
            await self._change_remembered(conversation)

    async def _change_remembered(self, conversation: OpenConversation) -> None:
        chat = conversation.chat
        persona = chat.persona
        items = [Item(f"1{each}", each, f"in every chat with {persona.name}") for each in persona.remembered] if persona is not None else []
        items += [Item(f"0{each}", each, "in this chat") for each in chat.remembered]
        chosen = await self._port.ask(AskItem("Remembered", tuple(items), empty="Nothing yet: /remember TEXT"))
        if chosen is None:
            return
        new = await self._port.ask(AskText("Remembered", chosen[1:], "Leave it empty to forget it."))
        if new is not None and not self._looked.refuse_while_busy():
            await self._note_down(conversation, chosen[1:], new.strip(), is_personas=chosen[0] == "1")

    async def _note_down(self, conversation: OpenConversation, old: str | None, new: str, *, is_personas: bool) -> None:
        """`new` in the place of `old`, or behind all others; nothing in its place when it is empty."""
        persona, new = conversation.chat.persona, new[:LONGEST]
        if is_personas and persona is None:
            self._port.tell(Said("Nobody is played in this chat: /persona chooses a persona, /remember TEXT is for this chat."))
            return
        here = persona.remembered if is_personas and persona is not None else conversation.chat.remembered
        if not (old or new):
            self._port.tell(Said(f"Write what is to be remembered behind {PERSONA}."))
        elif not old and new in here:
            self._port.tell(Said("That is remembered already."))
        elif len(_noted(here, old, new)) > MOST_REMEMBERED:
            self._port.tell(Said(f"At most {MOST_REMEMBERED} things are remembered: /remember forgets one of them."))
        elif is_personas and persona is not None:
            await self._note_down_with(persona, conversation, old, new)
        elif conversation.change(lambda chat: msgspec.structs.replace(chat, remembered=_noted(chat.remembered, old, new))):
            self._port.tell(Said(f"The model is told so{'' if new else ' no more'} in this chat. /undo takes it back."))

    async def _note_down_with(self, persona: Persona, conversation: OpenConversation, old: str | None, new: str) -> None:
        def noted(kept: Persona) -> Persona:
            return msgspec.structs.replace(kept, remembered=_noted(kept.remembered, old, new))

        kept = await asyncio.to_thread(self._bench.personas.change_kept, persona, noted)
        if kept is None:
            self._port.tell(Said(f"{persona.name} is none of your personas, or one of several alike: /remember TEXT is for this chat."))
            return
        conversation.change(partial(_with_persona_told, persona.name, kept.remembered), can_undo=False)
        told = "is told so" if new else "is told so no more"
        self._port.tell(Said(f"The model {told} here and in every new chat with {persona.name}. /remember lists it."))


_DONE = {
    "edit": "The summary is changed.",
    "on": "The model reads the summary in place of its messages.",
    "off": "The summary is off: the model reads the messages again, as far as the window holds them.",
    "delete": "The summary is deleted. /undo brings it back.",
}


async def _target(session: ChatSession, chat: Chat, *, is_asked: bool) -> int:
    """Id of the message up to which all is to be summed up; 0 for nothing."""
    if not chat.entries:
        return 0
    if is_asked:
        return chat.entries[await session.reader.kept_from(chat)].id
    trim = await session.reader.forget_ahead(chat)
    return trim.first_kept if trim is not None and trim.first_kept else chat.entries[chat.first_kept].id


def _left(chat: Chat, target: int) -> int:
    """Index of the entry with that id, if something before it is not summed up yet; 0 else."""
    index, shown = chat.index_of(target), chat.shown
    return index if index and bisect.bisect_left(shown, index) > chat.summed else 0


def _with(summary: Summary, chat: Chat) -> Chat:
    return chat.summed_up(summary)


def _noted(remembered: tuple[str, ...], old: str | None, new: str) -> tuple[str, ...]:
    at = remembered.index(old) if old in remembered else len(remembered)
    return tuple(dict.fromkeys((*remembered[:at], *([new] if new else []), *remembered[at + 1 :])))


def _with_persona_told(name: str, remembered: tuple[str, ...], chat: Chat) -> Chat:
    """With this in the persona's memory, if it is still the one that plays."""
    if chat.persona is None or chat.persona.name != name:
        return chat
    return msgspec.structs.replace(chat, persona=msgspec.structs.replace(chat.persona, remembered=remembered))
