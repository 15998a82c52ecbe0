"""Which conversation is on the screen, and what can be done with those in the library."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from nemochat import images
from nemochat.chat import Chat
from nemochat.chat.keeping import Keeper
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.library import Hit, SearchFilters
from nemochat.errors import NemochatError
from nemochat.library import ListQuery, Saved, StoredChat
from nemochat.tui.screens.dialogs import Answer, Menu, Write
from nemochat.tui.screens.search import Found, SearchScreen
from nemochat.tui.widgets.conversations import ConversationsDrawer, menu_of
from nemochat.tui.widgets.search_results import PreviewLine

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

_MOST = 10_000
_MOST_UNDO = 50
_AROUND = 3
"""Messages that the preview of a search shows before and after what was found."""


class Conversations:
    """Opens, begins, forks and finds conversations; the one on the screen is kept as it changes."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self._undo: deque[Chat] = deque(maxlen=_MOST_UNDO)
        self._keeper = Keeper(screen.bench.library, self._pictures, self._originals, screen.complain, self._copied)

    @property
    def id(self) -> str:
        """The id of the one on the screen, "" while it is empty."""
        return self._keeper.id

    # -- the one on the screen

    async def save(self, chat: Chat) -> None:
        """Keep this value of it; returns when it is on the disk, or cannot be."""
        was = self._keeper.id
        await self._keeper.save(chat, self._screen.holder.model_name)
        self._screen.holder.key = self._keeper.id
        if self._keeper.id != was and self._screen.is_running:
            self.list_soon()

    def change(self, chat: Chat, *, can_undo: bool = True) -> None:
        """Show, use and keep another value of it."""
        if can_undo:
            self._undo.append(self._screen.chat)
        self._screen.holder.chat = chat
        self._screen.draw()
        self._screen.ahead.opened()
        self.save_soon()

    def save_soon(self) -> None:
        """Keep it as it stands, in the background."""

        async def save() -> None:
            await self.save(self._screen.chat)

        self._screen.background(save, "saving")

    def undo(self) -> None:
        """Take back the last change to it that was not a message: an edit, a deletion, a pin."""
        if self._screen.refuse_while_busy():
            return
        if not self._undo:
            self._screen.say("There is nothing to take back in this chat.")
            return
        before = self._undo.pop()
        next_id = max(before.next_id, self._screen.chat.next_id)
        self.change(msgspec.structs.replace(before, next_id=next_id), can_undo=False)
        self._screen.say("Taken back.")

    def begin(self, chat: Chat, pictures: Mapping[str, RgbImage] | None = None) -> None:
        """Leave the one on the screen, which stays in the library, for a new one."""
        self._leave()
        self._keeper.begin()
        self._show(chat, pictures or {})
        self.save_soon()

    async def open(self, id_: str, node: int = 0) -> None:
        """Go on with one of the library, at the message `node`. Raises NemochatError."""
        if id_ == self.id and not node:
            return
        await self._keeper.save(self._screen.chat, self._screen.holder.model_name)
        stored, pictures = await asyncio.to_thread(self._load, id_)
        chat = stored.chat.through(node)
        self._leave()
        self._keeper.open(Saved(stored.id, stored.version), stored.chat)
        self._show(chat, pictures)
        if stored.damaged:
            self._screen.say(f"{stored.damaged} messages of this chat were damaged: only their words are there.")
        if node:
            at = next((index for index, entry in enumerate(chat.entries) if entry.id == node), None)
            if at is not None:
                self._screen.transcript.go_to(at)
        self.list_soon()

    async def resume(self, beginning: str) -> None:
        """Open the one whose id begins so, or the last one. Raises NemochatError."""
        library = self._screen.bench.library
        if beginning:
            row = await asyncio.to_thread(library.find, beginning)
            await self.open(row.id)
            return
        rows = await asyncio.to_thread(library.conversations, ListQuery(limit=1))
        if rows:
            await self.open(rows[0].id)
        else:
            self._screen.say("There is no conversation to resume yet.")

    # -- the library

    @property
    def drawer(self) -> ConversationsDrawer:
        """The list at the left."""
        return self._screen.drawer

    def list_soon(self) -> None:
        """Bring the drawer up to date, in the background."""
        if self.drawer.is_open:
            self._screen.background(self.list, "listing", exclusive=True)

    async def list(self) -> None:
        """Bring the drawer up to date."""
        try:
            rows = await asyncio.to_thread(self._screen.bench.library.conversations, ListQuery(archived=None, limit=_MOST))
        except NemochatError as error:
            self._screen.complain(error)
            return
        self.drawer.show(rows, self.id, time.time())

    async def search(self, words: str) -> None:
        """The search screen, and to what was chosen there."""
        library = self._screen.bench.library
        personas = await asyncio.to_thread(library.personas)
        models = [choice.name for choice in self._screen.bench.models()]

        async def find(words: str, filters: SearchFilters) -> Sequence[Hit]:
            return await asyncio.to_thread(library.search, words, filters, 200)

        found = await self._screen.app.push_screen_wait(
            SearchScreen(find, self._preview, personas=[name for name, _ in personas], models=models, words=words)
        )
        if isinstance(found, Found) and not self._screen.refuse_while_busy():
            await self.open(found.conversation, found.node)

    async def act(self, id_: str, name: str) -> None:
        """What the drawer asks for with a conversation. Raises NemochatError."""
        library = self._screen.bench.library
        row = next((row for row in self.drawer.rows if row.id == id_), None)
        match name:
            case "open" if not self._screen.refuse_while_busy():
                await self.open(id_)
                self._screen.prompt.focus_area()
            case "menu" if row is not None:
                chosen = await self._screen.ask(Menu(row.title, [Answer(*each) for each in menu_of(row)]))
                if chosen:
                    self.drawer.ask(id_, chosen)
            case "rename" if row is not None:
                await self._rename(id_, row.title)
            case "tags" if row is not None:
                asks = Write("Tags", ", ".join(row.tags), hint="Words with commas between them.", one_line=True)
                text = await self._screen.ask(asks)
                if text is not None:
                    await asyncio.to_thread(library.set_tags, id_, text.split(","))
            case "archive" | "unarchive":
                await asyncio.to_thread(library.archive, id_, name == "archive")
            case "delete" if not (id_ == self.id and self._screen.refuse_while_busy()):
                await asyncio.to_thread(library.delete, id_)
                if id_ == self.id:
                    self._leave()
                    self._keeper.begin()
                    self._show(self._screen.chat.forked(0), {})
                await self._screen.holder.forget(id_)
            case "undo":
                await asyncio.to_thread(library.restore, id_)
            case "export":
                stored, pictures = await asyncio.to_thread(self._load, id_)
                await self._screen.slash.export_chat(stored.chat, pictures, "")
        await self.list()

    async def _rename(self, id_: str, title: str) -> None:
        name = await self._screen.ask(Write("Name of this chat", title, one_line=True))
        if not name or not name.strip():
            return
        if id_ == self.id:
            self.change(self._screen.chat.named(name.strip()))
            await self.save(self._screen.chat)
        else:
            await asyncio.to_thread(self._screen.bench.library.set_title, id_, name.strip())

    async def _preview(self, hit: Hit) -> Sequence[PreviewLine]:
        """The messages around what was found."""
        stored = await asyncio.to_thread(self._screen.bench.library.load, hit.conversation)
        entries = stored.chat.through(hit.node).entries
        at = next((index for index, entry in enumerate(entries) if entry.id == hit.node), 0)
        around = entries[max(0, at - _AROUND) : at + _AROUND + 1]
        return [PreviewLine(each.message.role, each.speaker, each.message.text, each.id == hit.node) for each in around]

    # -- within

    def _leave(self) -> None:
        """What belongs to the conversation on the screen alone is forgotten."""
        self._undo.clear()
        self._screen.composer.leave()

    def _show(self, chat: Chat, pictures: Mapping[str, RgbImage]) -> None:
        self._screen.holder.keep_pictures(pictures)
        self._screen.holder.key = self._keeper.id
        self._screen.holder.chat = chat
        self._screen.roleplay.chat_changed()
        self._screen.stage.chat_changed()
        self._screen.tooling.chat_changed()
        self._screen.draw()
        self._screen.ahead.opened()

    def _load(self, id_: str) -> tuple[StoredChat, dict[str, RgbImage]]:
        """A conversation with its pictures; those that cannot be read are left out."""
        library = self._screen.bench.library
        stored = library.load(id_)
        pictures: dict[str, RgbImage] = {}
        for digest in {image.digest for node in stored.chat.nodes for image in node.entry.message.images}:
            data = library.picture(digest)
            if data is not None:
                pictures[digest] = images.load(data, "a picture of the library")
        return stored, pictures

    def _pictures(self) -> Mapping[str, RgbImage]:
        return self._screen.holder.pictures

    def _originals(self) -> Mapping[str, Original]:
        session = self._screen.holder.session
        return session.originals if session is not None else {}

    def _copied(self) -> None:
        self._screen.say("This chat was changed by another nemochat: it goes on here as a copy.")
