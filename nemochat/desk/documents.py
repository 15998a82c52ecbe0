"""Documents of the conversation on the desk: added, listed, read and taken out; their passages go beside each message."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from nemochat.chat import Chat
from nemochat.chat.meaning import Meaning, Passages
from nemochat.desk.conversation import OpenConversation
from nemochat.desk.port import Answer, AskItem, AskOne, Item, Port, Said, ShowText, Workbench, Working
from nemochat.documents.index import DocumentIndex
from nemochat.documents.split import estimate_tokens, together
from nemochat.documents.values import (
    DocumentError,
    DocumentRow,
    DrawnPages,
    Progress,
    Report,
    chat_collection,
    collection_name,
    named_collection,
)
from nemochat.domain.messages import ContextPart, Message
from nemochat.domain.sanitize import sanitize
from nemochat.numbers import count, plural
from nemochat.tools.builtin.search import Passage

Seen = TypeVar("Seen")
_CHAT = chat_collection("")
_ADD, _REMOVE = "add:", "remove:"
_SHOWN = 200
"""Passages of a document that is read: about 80 pages, which a terminal lays out in a moment."""


class Documents:
    """The documents that belong to a conversation alone, and the named collections that it searches as well."""

    def __init__(self, port: Port, bench: Workbench) -> None:
        self._port, self._bench = port, bench
        self._meaning = Meaning(self._say)
        self._adding: set[threading.Event] = set()

    @property
    def _index(self) -> DocumentIndex:
        return self._bench.documents

    def _say(self, text: str) -> None:
        self._port.tell(Said(text))

    async def find(self, chat: Chat, message: Message) -> tuple[ContextPart, ...]:
        """What goes beside a message (nemochat.chat.meaning.FindPassages)."""
        await self._refresh(chat)
        retriever = self._meaning.retriever(self._index, self._bench.embedder)
        return tuple(await Passages(retriever, self._bench.settings.tools.document_tokens, self._say).find(chat, message))

    async def search(self, chat: Chat, query: str) -> Sequence[Passage]:
        """The same for the tool that searches. Raises DocumentError."""
        if not chat.collections:
            return ()
        await self._refresh(chat)
        retriever = self._meaning.retriever(self._index, self._bench.embedder)
        found = await retriever.retrieve(query, chat.collections, self._bench.settings.tools.document_tokens, _estimates)
        return [Passage(f"{each.document}, {each.locator.in_words()}".removesuffix(", "), each.text) for each in found.passages]

    async def _refresh(self, chat: Chat) -> None:
        """What the user has changed in an editor since is read again; a file that is away just now is kept as it was read."""
        try:
            report = await self._until_stopped(partial(self._index.refresh, chat.collections, drops=False), set())
            if report.read:
                self._say(f"Read again because it has changed: {', '.join(Path(place).name for place in report.read[:3])}")
                await self._make_vectors()
        except DocumentError as error:
            self._say(f"{error.message} {error.hint}".strip())

    async def add(self, conversation: OpenConversation, path: Path) -> None:
        """Read a file or a folder into the documents of a chat. Raises DocumentError."""
        loop = asyncio.get_running_loop()
        collection = _own(conversation.chat)

        def tell(progress: Progress) -> None:
            words = f"reading {sanitize(progress.name, strict=True)} ({count(progress.done + 1)} of {count(progress.total)})"
            loop.call_soon_threadsafe(self._port.tell, Working(words))

        try:
            report = await self._until_stopped(partial(self._index.add, path, collection, progress=tell), self._adding)
        finally:
            self._port.tell(Working(""))
        self._tell(conversation, report, collection)
        await self._make_vectors()

    async def text_of(self, path: Path) -> str:
        """What a document says, without searching it. Raises DocumentError."""
        return together((await self._looked(partial(self._index.look_into, path), path)).pieces)

    async def pages_of(self, path: Path, most: int) -> DrawnPages:
        """The first pages of a PDF as pictures. Raises DocumentError."""
        return await self._looked(partial(self._index.draw, path, most), path)

    async def _looked(self, work: Callable[..., Seen], path: Path) -> Seen:
        self._port.tell(Working(f"reading {sanitize(path.name, strict=True)} ..."))
        try:
            return await self._until_stopped(work, self._adding)
        finally:
            self._port.tell(Working(""))

    async def add_text(self, conversation: OpenConversation, place: str, name: str, text: str) -> None:
        """Take a text that is in no file into the documents of a chat. Raises DocumentError."""
        collection = _own(conversation.chat)
        report = await self._until_stopped(partial(self._index.add_text, place, name, text, collection), self._adding)
        self._tell(conversation, report, collection)
        await self._make_vectors()

    def stop(self) -> bool:
        """Stop adding documents; whether any were being added. What has been read until then is kept."""
        for event in self._adding:
            event.set()
        return bool(self._adding)

    async def _until_stopped(self, work: Callable[..., Seen], stops: set[threading.Event]) -> Seen:
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
        if await self._meaning.complete(self._index, self._bench.embedder, lambda words: self._port.tell(Working(words))):
            self._port.tell(Working(""))

    def _tell(self, conversation: OpenConversation, report: Report, collection: str) -> None:
        """Say what came of it, and search the collection from now on."""
        for problem in report.problems[:3]:
            self._say(f"{problem.message} {problem.hint}".strip())
        for notice in report.notices[:3]:
            self._say(notice)
        if report.stopped:
            self._say("Reading documents was stopped. What had been read until then is kept.")
        if len(report.problems) > 3:
            self._say(f"{count(len(report.problems) - 3)} more files could not be read.")
        if report.read:
            conversation.change(lambda chat: _searching(chat, collection))
        if report.read or report.unchanged:
            n_files = len(report.read) + report.unchanged
            self._say(f"{plural(n_files, 'document')} in this chat: passages that fit are added to each message you send. /doc lists them.")

    async def choose(self, conversation: OpenConversation) -> None:
        """The documents of a chat: read one, take one out; named collections: search them as well, or no more. Raises DocumentError."""
        collections = conversation.chat.collections
        own = [name for name in collections if name.startswith(_CHAT)]
        rows = [row for name in own for row in await asyncio.to_thread(self._index.documents, name)]
        items = [Item(str(row.id), row.name, f"{row.kind.value}, {plural(row.passages, 'passage')}") for row in rows]
        for collection in await asyncio.to_thread(self._index.collections):
            name = collection_name(collection.name)
            if name is not None:
                is_on = collection.name in collections
                action = f"{_REMOVE if is_on else _ADD}{name}"
                words = "searched, Enter leaves it out" if is_on else "Enter searches it"
                items.append(Item(action, name, f"collection, {plural(collection.documents, 'document')} · {words}"))
        empty = "No documents yet: /doc PATH, or drop a file. Collections are made with nemochat docs add."
        chosen = await self._port.ask(AskItem("Documents of this chat", tuple(items), empty=empty))
        if chosen is None:
            return
        if chosen.startswith((_ADD, _REMOVE)):
            verb, _, name = chosen.partition(":")
            wanted = named_collection(name)
            conversation.change(lambda chat: _not_searching(chat, wanted) if f"{verb}:" == _REMOVE else _searching(chat, wanted))
        else:
            await self._open(next(row for row in rows if row.id == int(chosen)))

    async def _open(self, row: DocumentRow) -> None:
        answers = (Answer("read", "Read it"), Answer("remove", "Remove it from this chat"), Answer("no", "Cancel"))
        chosen = await self._port.ask(AskOne(row.name, f"{row.place}", answers))
        if chosen == "read":
            passages = await asyncio.to_thread(self._index.passages, row.id)
            texts = [f"[{passage.locator.in_words()}]\n{passage.text}".removeprefix("[]\n") for passage in passages[:_SHOWN]]
            if len(passages) > _SHOWN:
                texts.append(f"[{plural(len(passages) - _SHOWN, 'more passage')}: found by their words, not shown here]")
            await self._port.ask(ShowText(row.name, "\n\n".join(texts)))
        elif chosen == "remove":
            await asyncio.to_thread(self._index.remove, row.place, row.collection)
            self._say(f"{row.name} was removed from this chat. Passages in earlier messages stay.")


def sources(message: Message) -> str:
    """What was put beside a message, in full: where it is from, why it is there, and its words."""
    blocks = (f"{part.source or 'context'}{f'  ({part.reason})' if part.reason else ''}\n{part.text}" for part in message.contexts)
    return "\n\n".join(blocks)


def _own(chat: Chat) -> str:
    """The collection of this chat, a new one when it has none yet."""
    return next((name for name in chat.collections if name.startswith(_CHAT)), "") or chat_collection(secrets.token_hex(6))


def _searching(chat: Chat, collection: str) -> Chat:
    if collection in chat.collections:
        return chat
    return msgspec.structs.replace(chat, collections=(*chat.collections, collection))


def _not_searching(chat: Chat, collection: str) -> Chat:
    return msgspec.structs.replace(chat, collections=tuple(each for each in chat.collections if each != collection))


async def _estimates(texts: Sequence[str]) -> Sequence[int]:
    return [estimate_tokens(text) for text in texts]
