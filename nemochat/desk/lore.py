"""Lorebooks of their own: whose they are, their entries, and files that bring new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from nemochat.chat import Chat
from nemochat.chat.lore import Shelf, tried
from nemochat.desk.conversation import Around, OpenConversation
from nemochat.desk.port import (
    AboutToAsk,
    Answer,
    AskLore,
    AskLorebook,
    AskOne,
    AskText,
    Complained,
    LoreAction,
    LorebookItem,
    LoreWish,
    Port,
    RolesChanged,
    Said,
    ShowText,
    Workbench,
)
from nemochat.domain.personas import Lorebook, Persona
from nemochat.domain.sanitize import shown
from nemochat.errors import NemochatError, SettingsError
from nemochat.numbers import plural
from nemochat.paths import at_home
from nemochat.personas.index import named
from nemochat.personas.lore import Lore, Scan
from nemochat.personas.lorebooks import LorebookSummary

BOOKS = "lore.books"
"""The setting that names the lorebooks of every chat."""
_OWN = "\0own"
"""Stands for the lorebook that is part of the persona."""
_MOST_NAMED = 8


class Reader(Around, Protocol):
    """What lorebooks need of the rest of the desk."""

    async def settings_changed(self, changes: Mapping[str, object]) -> None:
        """Keep settings and put them into force."""

    def lore_changed(self) -> None:
        """What the model will read may be another."""


class Lorebooks:
    """Takes lorebooks from the store into the conversation on the desk.

    What is written in a lorebook's screen is saved behind it, one save after the other: nothing that the user does waits for it or ends it.
    """

    def __init__(self, port: Port, bench: Workbench, shelf: Shelf, reader: Reader) -> None:
        self._port, self._bench, self._shelf, self._reader = port, bench, shelf, reader
        self._writer = ThreadPoolExecutor(1, "lorebooks")
        self._latest: dict[str, Lorebook] = {}
        """What is not on the disk yet."""
        self._known: dict[str, Lorebook] = {}
        """What was on the disk when it was last read or written here."""
        self._last: Future[Path | None] | None = None

    async def visit(self, argument: str) -> None:
        """The list; with a name, that one into this chat or out of it; ``try TEXT`` says what the text would call. Raises NemochatError."""
        word, _, rest = argument.partition(" ")
        if word == "try" and rest.strip():
            await self._port.ask(ShowText("What this would call", self._in_words(self._all(rest))))
        elif argument:
            found = named(argument, await asyncio.to_thread(self._bench.lorebooks.list))
            if len(found) == 1:
                await self._give(LoreAction.CHAT, found[0].id)
            elif found:
                several = ", ".join(each.name for each in found[:_MOST_NAMED])
                self._port.tell(Said(f"Several lorebooks are called like {argument}: {several}. Write more of the name."))
            else:
                self._port.tell(Said(f"There is no lorebook {argument}. /lore shows them."))
        else:
            await self._pick()

    async def offer(self, path: Path) -> None:
        """Keep the lorebook of a file and ask whose it shall be. Raises NemochatError."""
        store, chat = self._bench.lorebooks, self._reader.conversation.chat
        id_ = await asyncio.to_thread(store.import_file, path)
        for notice in store.notices:
            self._port.tell(Said(notice))
        book = await asyncio.to_thread(store.get, id_)
        persona = chat.playing
        answers = (
            Answer(LoreAction.CHAT, "Use it in this chat"),
            *([Answer(LoreAction.PERSONA, f"Give it to {persona.name}")] if persona is not None and chat.group is None else []),
            Answer(LoreAction.EVERYWHERE, "Use it in every chat"),
            Answer(LoreAction.OPEN, "Look at its entries"),
            Answer("later", "Later"),
        )
        size = plural(len(book.entries), "entry", "entries")
        chosen = await self._port.ask(AskOne(f"{book.name} is one of your lorebooks", f"It has {size}.", answers))
        if chosen in (LoreAction.CHAT, LoreAction.PERSONA, LoreAction.EVERYWHERE):
            await self._give(LoreAction(chosen), id_)
        elif chosen == LoreAction.OPEN:
            await self._open(id_)

    async def written(self) -> None:
        """Wait until what was changed is on the disk; what could not be written is tried once more."""
        await self._settled()
        for id_, book in tuple(self._latest.items()):
            self._save(id_, book)
        await self._settled()
        self._writer.shutdown()

    async def _settled(self) -> None:
        if self._last is not None:
            done, _ = await asyncio.wait([asyncio.wrap_future(self._last)])
            for each in done:
                each.exception()  # was told where it was written

    # -- the list

    async def _pick(self) -> None:
        """The list, until it is left. Raises NemochatError."""
        current = ""
        while True:
            self._port.tell(AboutToAsk())
            items = await asyncio.to_thread(self._items)
            for notice in self._bench.lorebooks.notices:
                self._port.tell(Said(notice))
            persona = self._reader.conversation.chat.persona
            wish = await self._port.ask(AskLore(items, self._load, current, persona.name if persona is not None else ""))
            if wish is None:
                return
            current = wish.id or current
            try:
                current = await self._act(wish) or current
            except NemochatError as error:
                self._port.tell(Complained(error))

    def _items(self) -> tuple[LorebookItem, ...]:
        chat = self._reader.conversation.chat
        found = [LorebookItem(each, self._where(each.id)) for each in self._bench.lorebooks.list()]
        own = chat.persona.book if chat.persona is not None else None
        if chat.persona is None or own is None or not own.entries:
            return tuple(found)
        enabled = sum(entry.enabled for entry in own.entries)
        name = own.name or chat.persona.name
        summary = LorebookSummary(_OWN, name, own.description, len(own.entries), enabled)
        return (LorebookItem(summary, (f"part of {chat.persona.name}",)), *found)

    def _where(self, id_: str) -> tuple[str, ...]:
        chat = self._reader.conversation.chat
        places = (
            ("this chat", chat.lorebooks),
            (chat.persona.name if chat.persona is not None else "", chat.persona.lorebooks if chat.persona is not None else ()),
            ("every chat", self._shelf.settings.books),
        )
        return tuple(name for name, ids in places if id_ in ids)

    def _load(self, id_: str) -> Lorebook:
        own = self._reader.conversation.chat.persona
        if id_ == _OWN and own is not None and own.book is not None:
            return own.book
        return self._latest.get(id_) or self._bench.lorebooks.get(id_)

    async def _act(self, wish: LoreWish) -> str:
        """What the list asks for with a lorebook; the id to come back to. Raises NemochatError."""
        store, id_ = self._bench.lorebooks, wish.id
        await self._settled()
        if id_ == _OWN and wish.action not in (LoreAction.OPEN, LoreAction.NEW, LoreAction.IMPORT):
            self._port.tell(Said("This lorebook is part of the persona: it goes where the persona goes."))
            return id_
        match wish.action:
            case LoreAction.OPEN:
                await self._open(id_)
            case LoreAction.NEW:
                name = await self._port.ask(AskText("Name of the lorebook", one_line=True))
                if name and name.strip():
                    id_ = await asyncio.to_thread(store.add, Lorebook(name=name.strip()))
                    await self._open(id_)
            case LoreAction.IMPORT:
                name = await self._port.ask(AskText("Import which lorebook?", "", "A JSON file, or a .risum of RisuAI.", one_line=True))
                if name:
                    id_ = await asyncio.to_thread(store.import_file, at_home(name.strip()))
                    for notice in store.notices:
                        self._port.tell(Said(notice))
            case LoreAction.EXPORT:
                await self._export(id_)
            case LoreAction.DELETE:
                self._latest.pop(id_, None)
                removed = await asyncio.to_thread(store.remove, id_)
                self._reader.lore_changed()
                answers = (Answer("yes", "Good"), Answer("undo", "Bring it back"))
                if await self._port.ask(AskOne("The lorebook is deleted", "What it has said in chats stays there.", answers)) == "undo":
                    id_ = await asyncio.to_thread(store.restore, removed)
                    self._reader.lore_changed()
            case _:
                await self._give(wish.action, id_)
        return id_

    async def _export(self, id_: str) -> None:
        name = (await self._port.ask(AskText("Export to which file?", f"{id_}.json", one_line=True)) or "").strip()
        if not name:
            return
        answers = (Answer("v3", "lorebook_v3, which has everything"), Answer("world", "World info, for SillyTavern"))
        shape = await self._port.ask(AskOne("In which shape?", "Both can be added here again.", answers))
        if shape is not None:
            await asyncio.to_thread(self._bench.lorebooks.export, id_, at_home(name), world_info=shape == "world")
            self._port.tell(Said(f"Written to {name}."))

    # -- whose it is

    async def _give(self, action: LoreAction, id_: str) -> None:
        """Give a lorebook to this chat, its persona or every chat, or take it away where it has it. Raises NemochatError."""
        name = (await asyncio.to_thread(self._load, id_)).name
        conversation, books = self._reader.conversation, self._shelf.settings.books
        match action:
            case LoreAction.CHAT:
                is_there = id_ in conversation.chat.lorebooks
                conversation.change(lambda chat: msgspec.structs.replace(chat, lorebooks=_toggled(chat.lorebooks, id_)))
                whose = "this chat"
            case LoreAction.EVERYWHERE:
                if who := self._bench.locked.get(BOOKS):
                    raise SettingsError(f"The lorebooks of every chat are set by {who}.", "Change it there.")
                is_there, whose = id_ in books, "every chat"
                await self._reader.settings_changed({BOOKS: _toggled(books, id_)})
            case _:
                persona = conversation.chat.persona
                if persona is None:
                    self._port.tell(Said("No persona is played. F5 chooses one."))
                    return
                is_there, whose = id_ in persona.lorebooks, persona.name
                await self._give_persona(conversation, persona, id_)
        self._port.tell(Said(f"{name} is no more used in {whose}." if is_there else f"{name} is used in {whose} now."))
        self._reader.lore_changed()

    async def _give_persona(self, conversation: OpenConversation, persona: Persona, id_: str) -> None:
        """The persona of this chat, and the one that is kept under its name."""

        def given(chat: Chat) -> Chat:
            mine = chat.persona
            if mine is None or mine.name != persona.name:
                return chat
            return msgspec.structs.replace(chat, persona=msgspec.structs.replace(mine, lorebooks=_toggled(mine.lorebooks, id_)))

        conversation.change(given, can_undo=False)  # /undo would take it from this chat alone
        self._port.tell(RolesChanged())
        is_there = id_ not in persona.lorebooks
        await asyncio.to_thread(
            self._bench.personas.change_kept,
            persona,
            lambda kept: msgspec.structs.replace(kept, lorebooks=_with(kept.lorebooks, id_, is_there=is_there)),
        )

    # -- its entries

    async def _open(self, id_: str) -> None:
        """The entries of a lorebook, until they are left. Raises NemochatError."""
        book = await asyncio.to_thread(self._load, id_)
        if id_ not in self._latest:
            self._known[id_] = book
        save = self._save_own if id_ == _OWN else partial(self._save, id_)
        chat = self._reader.conversation.chat
        persona = chat.playing

        def attempt(book: Lorebook, text: str) -> Scan:
            lore = Lore((book,), persona.name, persona.tags) if persona is not None else Lore((book,))
            return tried(lore, text, chat)

        await self._port.ask(AskLorebook(book, attempt, save))
        mine = self._reader.conversation.chat.persona
        if id_ == _OWN and mine is not None and (new := mine.book) is not book:
            # The persona that is kept under that name, unless it says something else by now.
            same = partial(_with_book, before=book, book=new)
            await asyncio.to_thread(self._bench.personas.change_kept, msgspec.structs.replace(mine, book=book), same)

    def _save(self, id_: str, book: Lorebook) -> None:
        """Keep it soon; a newer state takes the place of one that was not written yet."""
        self._latest[id_] = book
        self._shelf.own.add(id_)
        loop = asyncio.get_running_loop()

        def write() -> Path | None:
            if self._latest.get(id_) is not book:
                return None
            aside = self._bench.lorebooks.save(id_, book, self._known.get(id_))
            self._known[id_] = self._bench.lorebooks.get(id_)
            return aside

        def done(future: Future[Path | None]) -> None:
            error = future.exception()
            loop.call_soon_threadsafe(self._saved, id_, book, error, future.result() if error is None else None)

        self._last = self._writer.submit(write)
        self._last.add_done_callback(done)

    def _saved(self, id_: str, book: Lorebook, error: BaseException | None, aside: Path | None) -> None:
        if aside is not None:
            self._port.tell(Said(f"{book.name} was changed elsewhere meanwhile. What it was there lies in {shown(aside)}."))
        if error is None and self._latest.get(id_) is book:
            del self._latest[id_]
            self._shelf.lore_of(self._reader.conversation.chat)  # it is known now
            self._shelf.own.discard(id_)
        if isinstance(error, NemochatError):
            self._port.tell(Complained(error))
        elif error is not None:
            raise error
        self._reader.lore_changed()

    def _save_own(self, book: Lorebook) -> None:
        """Keep the lorebook that is part of the persona, in this chat."""

        def told(chat: Chat) -> Chat:
            mine = chat.persona
            return chat if mine is None else msgspec.structs.replace(chat, persona=msgspec.structs.replace(mine, book=book))

        self._reader.conversation.change(told)
        self._reader.lore_changed()

    # -- trying

    def _all(self, text: str) -> Scan:
        """What a text would call of all lorebooks of the conversation."""
        chat = self._reader.conversation.chat
        return tried(self._shelf.lore_of(chat), text, chat)

    def _in_words(self, found: Scan) -> str:
        lines = [
            *(f"+ {each.source}: {each.reason}" for each in (*found.fired, *found.always)),
            *(f"- {each.source}: {each.reason}" for each in found.dropped),
            *(f"! {notice}" for notice in found.notices),
        ]
        return "\n".join(lines) or "This text calls no entry."


def _with_book(persona: Persona, before: Lorebook, book: Lorebook | None) -> Persona:
    return msgspec.structs.replace(persona, book=book) if persona.book == before else persona


def _toggled(ids: tuple[str, ...], id_: str) -> tuple[str, ...]:
    return _with(ids, id_, is_there=id_ not in ids)


def _with(ids: tuple[str, ...], id_: str, *, is_there: bool) -> tuple[str, ...]:
    """With this one among them, or without it."""
    return tuple(dict.fromkeys((*ids, id_))) if is_there else tuple(each for each in ids if each != id_)
