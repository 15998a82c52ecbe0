"""The conversations of the library: which one is put on the desk, and what can be done with the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from nemochat.chat import Chat
from nemochat.chat.album import Album
from nemochat.chat.import_file import read_conversation
from nemochat.desk.conversation import Around, OpenConversation, Store
from nemochat.desk.port import (
    AboutToAsk,
    Answer,
    AskAllowed,
    AskFound,
    AskMenu,
    AskText,
    ChatsChanged,
    Found,
    Port,
    PreviewLine,
    Said,
    Wanted,
    Workbench,
)
from nemochat.domain.chat import pictures_of
from nemochat.domain.images import RgbImage
from nemochat.domain.library import ConversationRow, Hit, SearchFilters
from nemochat.domain.visible import visible
from nemochat.library import ListQuery, Saved, StoredChat
from nemochat.paths import at_home

_MOST = 10_000
_MOST_PROBLEMS = 3
_AROUND = 3
"""Messages that the preview of a search shows before and after what was found."""


class Shelf(Around, Protocol):
    """What the conversations need of the rest of the desk."""

    album: Album

    @property
    def pictures(self) -> Mapping[str, RgbImage]:
        """What is shown of every picture, by digest."""

    def put(self, conversation: OpenConversation, node: int = 0) -> bool:
        """Put another one on the desk; False, and the user is told why, while a reply is being written."""

    async def written(self) -> None:
        """Wait until what is on the desk, and what was there before, is on the disk or cannot be written."""

    async def forget(self, key: str) -> None:
        """A conversation was deleted: what engines have read of it goes. Raises NemochatError."""


class Chats:
    """Opens, begins and finds conversations. store: what an open one tells of its keeping."""

    def __init__(self, port: Port, bench: Workbench, shelf: Shelf, store: Store) -> None:
        self._port, self._bench, self._shelf, self._store = port, bench, shelf, store

    def new(self, chat: Chat) -> OpenConversation:
        """A conversation that is not in the library yet."""
        return OpenConversation(self._bench.library, self._shelf.album, self._store, chat)

    async def open(self, id_: str, node: int = 0) -> None:
        """Go on with one of the library, at the message `node`: it is loaded first and then put on the desk. Raises NemochatError."""
        await self._shelf.written()  # else it would be loaded as it was before, and have two writers
        if id_ == self._shelf.conversation.id and not node:
            return
        stored = await asyncio.to_thread(self._load, id_)
        if id_ == self._shelf.conversation.id:  # another message of the one that is there
            here = self._shelf.conversation
            here.change(lambda chat: chat.through(node), can_undo=False)
            self._port.tell(Wanted("message", str(node)))
            return
        opened = OpenConversation(
            self._bench.library, self._shelf.album, self._store, stored.chat, Saved(stored.id, stored.version), stored.model
        )
        if node:
            opened.go_through(node)
        if not self._shelf.put(opened, node):
            return
        if stored.damaged:
            problem = "Parts of this chat are damaged: what could be read of it is here. `nemochat library check` names them."
            self._port.tell(Said(problem))
        self._port.tell(ChatsChanged())

    async def open_file(self, path: Path) -> None:
        """Go on with a conversation of a JSON file. Raises ConversationError and ImageError."""
        read = await asyncio.to_thread(read_conversation, path)
        self._shelf.album.keep(read.pictures)
        await asyncio.to_thread(self._decode, read.chat)
        if self._shelf.put(self.new(read.chat)):
            for problem in read.problems[:_MOST_PROBLEMS]:
                self._port.tell(Said(problem))

    async def resume(self, beginning: str) -> None:
        """Open the one whose id begins so, or the last one. Raises NemochatError."""
        library = self._bench.library
        if beginning:
            await self.open((await asyncio.to_thread(library.find, beginning)).id)
            return
        rows = await asyncio.to_thread(library.conversations, ListQuery(limit=1))
        if rows:
            await self.open(rows[0].id)
        else:
            self._port.tell(Said("There is no conversation to resume yet."))

    async def rows(self) -> list[ConversationRow]:
        """All that there are, newest first. Raises LibraryError."""
        return await asyncio.to_thread(self._bench.library.conversations, ListQuery(archived=None, limit=_MOST))

    async def search(self, words: str) -> None:
        """Let the user search, and go to what was chosen. Raises NemochatError."""
        library = self._bench.library
        self._port.tell(AboutToAsk())
        personas = await asyncio.to_thread(library.personas)
        models = tuple(choice.name for choice in self._bench.models())

        async def find(words: str, filters: SearchFilters) -> Sequence[Hit]:
            return await asyncio.to_thread(library.search, words, filters, 200)

        found = await self._port.ask(AskFound(find, self._preview, tuple(name for name, _ in personas), models, words))
        if isinstance(found, Found) and not self._shelf.refuse_while_busy():
            await self.open(found.conversation, found.node)

    async def act(self, row: ConversationRow, name: str) -> str:
        """What the list asks for with a conversation; what the menu has chosen, "" else. Raises NemochatError."""
        library, id_ = self._bench.library, row.id
        match name:
            case "open" if not self._shelf.refuse_while_busy():
                await self.open(id_)
                self._port.tell(Wanted("prompt"))
            case "menu":
                answers = (Answer(*each) for each in menu_of(row))
                return await self._port.ask(AskMenu(row.title, tuple(answers))) or ""
            case "rename":
                await self._rename(id_, row.title)
            case "tags":
                asks = AskText("Tags", ", ".join(row.tags), "Separate tags with commas.", one_line=True)
                text = await self._port.ask(asks)
                if text is not None:
                    await asyncio.to_thread(library.set_tags, id_, text.split(","))
            case "archive" | "unarchive":
                await asyncio.to_thread(library.archive, id_, name == "archive")
            case "delete":
                await self._delete(id_)
            case "undo":
                await asyncio.to_thread(library.restore, id_)
            case "export":
                stored = await asyncio.to_thread(library.load, id_)
                await self.export(stored.chat, "")
        self._port.tell(ChatsChanged())
        return ""

    async def export(self, chat: Chat, name: str) -> None:
        """Write a conversation to a file, which is asked for when it is not named. Raises NemochatError."""
        if not chat.entries and not chat.waiting:
            self._port.tell(Said("There is nothing to export yet."))
            return
        hint = "The ending of the name sets the format: .md, .json (OpenAI messages) or .html."
        name = name or await self._port.ask(AskText("Export to which file?", "chat.md", hint, one_line=True)) or ""
        if not name:
            return
        path = at_home(name)
        replace = False
        if path.exists():
            answers = (Answer("no", "Keep the old file"), Answer("yes", "Replace it", allows=True))
            question = AskAllowed("Replace the file that is there?", "", visible(str(path)), answers)
            replace = await self._port.ask(question) == "yes"
            if not replace:
                return
        from nemochat.chat.export import export, notes_of

        originals, notes = self._shelf.album.originals, notes_of(chat)
        await asyncio.to_thread(
            export, path, chat.entries, chat.frame.system, originals, waiting=chat.waiting, notes=notes, replace=replace
        )
        self._port.tell(Said(f"Written to {path}."))

    async def _rename(self, id_: str, title: str) -> None:
        name = await self._port.ask(AskText("Name of this chat", title, one_line=True))
        if not name or not name.strip():
            return
        here = self._shelf.conversation
        if id_ == here.id:
            here.change(lambda chat: chat.named(name.strip()))
            await here.stored()
        else:
            await asyncio.to_thread(self._bench.library.set_title, id_, name.strip())

    async def _delete(self, id_: str) -> None:
        here = self._shelf.conversation
        if id_ == here.id:
            if not self._shelf.put(self.new(here.chat.forked(0))):
                return
            await here.stored()  # nothing of it is written behind the deletion, which would bring it back
        await asyncio.to_thread(self._bench.library.delete, id_)
        await self._shelf.forget(id_)

    async def _preview(self, hit: Hit) -> Sequence[PreviewLine]:
        """The messages around what was found."""
        stored = await asyncio.to_thread(self._bench.library.load, hit.conversation)
        entries = stored.chat.through(hit.node).entries
        at = next((index for index, entry in enumerate(entries) if entry.id == hit.node), 0)
        around = entries[max(0, at - _AROUND) : at + _AROUND + 1]
        return [PreviewLine(each.message.role, each.speaker, each.message.text, each.id == hit.node) for each in around]

    def _load(self, id_: str) -> StoredChat:
        """A conversation of the library, its pictures ready to be shown."""
        stored = self._bench.library.load(id_)
        self._decode(stored.chat)
        return stored

    def _decode(self, chat: Chat) -> None:
        """Those that cannot be read are left out: their names stand in the messages."""
        for digest in {image.digest for image in pictures_of(chat)}:
            self._shelf.pictures.get(digest)


def menu_of(row: ConversationRow) -> tuple[tuple[str, str, str], ...]:
    """The lines of a conversation's menu: what is asked for, in words, and its key."""
    return (
        ("open", "Open", "↵"),
        ("rename", "Rename", "r"),
        ("tags", "Tags", "t"),
        ("archive", "Bring back from the archive" if row.archived else "Archive", "a"),
        ("export", "Export", "e"),
        ("delete", "Delete", "d"),
    )
