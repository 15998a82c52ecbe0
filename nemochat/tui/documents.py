"""Documents of the conversation on the screen: added, listed, read and taken out; their passages go beside each message."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nemochat.chat import Chat
from nemochat.chat.meaning import Meaning
from nemochat.chat.passages import Passages
from nemochat.documents.errors import DocumentError
from nemochat.documents.index import DocumentIndex
from nemochat.documents.values import DocumentRow, Progress, Report, chat_collection, collection_name, named_collection
from nemochat.domain.messages import ContextPart, Message
from nemochat.domain.sanitize import sanitize
from nemochat.tui.numbers import count, plural
from nemochat.tui.screens.dialogs import Answer, Choose, Read
from nemochat.tui.screens.picker import Picker, PickerItem

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

_CHAT = chat_collection("")
_ADD, _REMOVE = "add:", "remove:"
_SHOWN = 200
"""Passages of a document that is read: about 80 pages, which a terminal lays out in a moment."""


class Documents:
    """The documents that belong to the conversation alone, and the named collections that it searches as well."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self._meaning = Meaning(screen.say)
        self._adding: set[threading.Event] = set()
        self._refreshing: set[threading.Event] = set()

    @property
    def _index(self) -> DocumentIndex:
        return self._screen.bench.documents

    async def find(self, chat: Chat, message: Message) -> tuple[ContextPart, ...]:
        """What goes beside a message (nemochat.chat.passages.FindPassages)."""
        bench = self._screen.bench
        try:
            # What the user has changed in an editor since; a file that is away just now is kept as it was read.
            refresh = partial(self._index.refresh, chat.collections, drops=False)
            report = await self._until_stopped(refresh, self._refreshing)
            if report.read:
                self._screen.say(f"Read again, because changed: {', '.join(Path(place).name for place in report.read[:3])}")
                await self._make_vectors()
        except DocumentError as error:
            self._screen.say(f"{error.message} {error.hint}".strip())
        retriever = self._meaning.retriever(self._index, bench.embedder)
        return tuple(await Passages(retriever, bench.settings.tools.document_tokens, self._screen.say).find(chat, message))

    async def add(self, path: Path) -> None:
        """Read a file or a folder into the documents of this chat. Raises DocumentError."""
        screen = self._screen
        collection = self._own()

        def tell(progress: Progress) -> None:
            words = f"reading {sanitize(progress.name, strict=True)} ({count(progress.done + 1)} of {count(progress.total)})"
            screen.app.call_from_thread(screen.set_state, words)

        try:
            report = await self._until_stopped(partial(self._index.add, path, collection, progress=tell), self._adding)
        finally:
            screen.stage.settle()
        self._tell(report, collection)
        await self._make_vectors()

    async def add_text(self, place: str, name: str, text: str) -> None:
        """Take a text that is in no file into the documents of this chat. Raises DocumentError."""
        collection = self._own()
        self._tell(await self._until_stopped(partial(self._index.add_text, place, name, text, collection), self._adding), collection)
        await self._make_vectors()

    def stop(self) -> bool:
        """Stop adding documents; whether any were being added. What has been read until then is kept."""
        for event in self._adding:
            event.set()
        return bool(self._adding)

    def stop_refreshing(self) -> None:
        """Stop reading what has changed since: the message that it was for is not wanted any more."""
        for event in self._refreshing:
            event.set()

    async def _until_stopped(self, work: Callable[..., Report], stops: set[threading.Event]) -> Report:
        """Do it in a thread, which ends soon when an event in `stops` is set or nobody waits for it any more."""
        event = threading.Event()
        stops.add(event)
        try:
            return await asyncio.to_thread(work, cancelled=event.is_set)
        finally:
            stops.discard(event)
            event.set()

    async def _make_vectors(self) -> None:
        """Those that the embedding model has not made yet. The documents are found by their words meanwhile. Raises DocumentError."""
        screen = self._screen

        def show(words: str) -> None:
            if not screen.turns.is_running:
                screen.set_state(words)

        if await self._meaning.complete(self._index, screen.bench.embedder, show) and not screen.turns.is_running:
            screen.stage.settle()
            screen.draw_status()

    def _own(self) -> str:
        """The collection of this chat, a new one when it has none yet."""
        own = (name for name in self._screen.chat.collections if name.startswith(_CHAT))
        return next(own, "") or chat_collection(secrets.token_hex(6))

    def _tell(self, report: Report, collection: str) -> None:
        """Say what came of it, and search the collection from now on."""
        screen = self._screen
        for problem in report.problems[:3]:
            screen.say(f"{problem.message} {problem.hint}".strip())
        if len(report.problems) > 3:
            screen.say(f"{count(len(report.problems) - 3)} more files could not be read.")
        for notice in report.notices[:3]:
            screen.say(notice)
        if report.stopped:
            screen.say("Reading documents was stopped. What had been read until then is kept.")
        chat = screen.chat
        if report.read and collection not in chat.collections:
            screen.change_chat(msgspec.structs.replace(chat, collections=(*chat.collections, collection)))
        if report.read or report.unchanged:
            n_files = len(report.read) + report.unchanged
            screen.say(f"{plural(n_files, 'document')} in this chat: what fits is put beside each message you send. /doc lists them.")
        screen.draw_status()

    async def choose(self) -> None:
        """The documents of this chat: read one, take one out; named collections: search them as well, or no more. Raises DocumentError."""
        chat = self._screen.chat
        own = [name for name in chat.collections if name.startswith(_CHAT)]
        rows = [row for name in own for row in await asyncio.to_thread(self._index.documents, name)]
        items = [PickerItem(str(row.id), row.name, f"{row.kind.value}, {plural(row.passages, 'passage')}") for row in rows]
        for collection in await asyncio.to_thread(self._index.collections):
            name = collection_name(collection.name)
            if name is not None:
                is_on = collection.name in chat.collections
                action = f"{_REMOVE if is_on else _ADD}{name}"
                words = "searched, Enter leaves it out" if is_on else "Enter searches it"
                items.append(PickerItem(action, name, f"collection, {plural(collection.documents, 'document')} · {words}"))
        empty = "No documents yet: /doc PATH, or drop a file. Collections are made with nemochat docs add."
        chosen = await self._screen.app.push_screen_wait(Picker("Documents of this chat", items, empty=empty))
        if chosen is None:
            return
        if chosen.startswith((_ADD, _REMOVE)):
            verb, _, name = chosen.partition(":")
            others = tuple(each for each in chat.collections if each != named_collection(name))
            collections = others if f"{verb}:" == _REMOVE else (*others, named_collection(name))
            self._screen.change_chat(msgspec.structs.replace(chat, collections=collections))
        else:
            await self._open(next(row for row in rows if row.id == int(chosen)))

    async def _open(self, row: DocumentRow) -> None:
        answers = (Answer("read", "Read it"), Answer("remove", "Take it out of this chat"), Answer("no", "Neither"))
        chosen = await self._screen.ask(Choose(row.name, f"{row.place}", answers))
        if chosen == "read":
            passages = await asyncio.to_thread(self._index.passages, row.id)
            texts = [f"[{passage.locator.in_words()}]\n{passage.text}".removeprefix("[]\n") for passage in passages[:_SHOWN]]
            if len(passages) > _SHOWN:
                texts.append(f"[{plural(len(passages) - _SHOWN, 'more passage')}: found by their words, not shown here]")
            await self._screen.ask(Read(row.name, "\n\n".join(texts)))
        elif chosen == "remove":
            await asyncio.to_thread(self._index.remove, row.place, row.collection)
            self._screen.say(f"{row.name} is no document of this chat any more. What stands in earlier messages stays.")


def sources(message: Message) -> str:
    """What was put beside a message, in full: where it is from, why it is there, and its words."""
    blocks = (f"{part.source or 'context'}{f'  ({part.reason})' if part.reason else ''}\n{part.text}" for part in message.contexts)
    return "\n\n".join(blocks)
