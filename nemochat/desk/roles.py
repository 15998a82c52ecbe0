"""Whom the model plays and who the user is: personas, profiles, the author's note."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from nemochat.chat import Chat
from nemochat.chat.cast import Moment, opened
from nemochat.chat.toolbox import with_tools
from nemochat.desk.conversation import Around
from nemochat.desk.port import (
    AboutToAsk,
    Answer,
    AskEditor,
    AskItem,
    AskOne,
    AskPersona,
    AskPersonaEdited,
    AskText,
    Complained,
    Item,
    PersonaAction,
    Port,
    RolesChanged,
    Said,
    ShowPersona,
    Workbench,
)
from nemochat.domain.chat import Entry
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import AuthorNote, Persona, UserProfile
from nemochat.errors import NemochatError
from nemochat.paths import at_home
from nemochat.personas.index import named
from nemochat.personas.profiles import Profiles
from nemochat.personas.sampling_presets import PresetStore

_MAX_DEPTH = 100
_MOST_NAMED = 8
_NEW = "\0new"


class Cast(Around, Protocol):
    """What roles need of the rest of the desk."""

    def moment(self) -> Moment:
        """Now, with the variables of all chats."""

    def use_model(self, name: str) -> str:
        """Open a model by its name if it is there; "" then, else the name of the one that is used."""


class Roles:
    """Takes personas from the store into the conversation on the desk."""

    def __init__(self, port: Port, bench: Workbench, cast: Cast) -> None:
        self._port, self._bench, self._cast = port, bench, cast

    # -- personas

    async def choose(self, name: str) -> None:
        """Use the persona of that name or id, or let the user choose. Raises NemochatError."""
        if not name:
            await self.pick()
            return
        found = named(name, await asyncio.to_thread(self._bench.personas.list))
        if len(found) == 1:
            await self.use(found[0].id)
        elif found:
            several = ", ".join(each.name for each in found[:_MOST_NAMED])
            self._port.tell(Said(f"Several personas are called like {name}: {several}. Write more of the name."))
        else:
            self._port.tell(Said(f"There is no persona {name}. /persona lists them."))

    async def pick(self) -> None:
        """The picker, until something was chosen that leaves it. Raises NemochatError."""
        store = self._bench.personas
        current = ""
        while True:
            self._port.tell(AboutToAsk())
            personas = await asyncio.to_thread(store.list)
            for notice in store.notices:
                self._port.tell(Said(notice))
            mine = self._cast.conversation.chat.persona
            current = current or next((each.id for each in personas if mine is not None and each.name == mine.name), "")
            wish = await self._port.ask(AskPersona(tuple(personas), store.load, current, self.user.name))
            if wish is None:
                return
            current = wish.id or current
            if wish.action is PersonaAction.USE:
                await self.use(wish.id)
                return
            try:
                current = await self._act(wish.action, wish.id) or current
            except NemochatError as error:
                self._port.tell(Complained(error))

    async def use(self, id_: str) -> None:
        """Begin a chat with a persona, or let it take over this one. Raises NemochatError."""
        persona, _ = await asyncio.to_thread(self._bench.personas.load, id_)
        if self._cast.refuse_while_busy():
            return
        conversation = self._cast.conversation
        if any(entry.record is not None or not entry.speaker for entry in conversation.chat.entries):
            answers = (Answer("new", "Begin a new chat"), Answer("here", "Go on in this chat"), Answer("no", "Cancel"))
            chosen = await self._port.ask(AskOne(persona.name, "This chat has begun already.", answers))
            if chosen == "here":
                user = self.user
                conversation.change(lambda chat: msgspec.structs.replace(chat, persona=persona, group=None, user=user, examples_gone=0))
                self._use_model(persona)
                self._port.tell(RolesChanged())
            if chosen != "new":
                return
        chat = self._cast.conversation.chat
        if self._cast.begin(with_tools(self._cast.opened(Chat(persona=persona).framed(chat.frame.system)), chat.frame.tools)):
            self._use_model(persona)

    def give_up(self) -> None:
        """The model is itself again, in this chat."""
        if not self._cast.refuse_while_busy():
            bare = {"persona": None, "group": None, "user": None, "examples_gone": 0}
            self._cast.conversation.change(lambda chat: msgspec.structs.replace(chat, **bare))
            self._port.tell(Said("The model is itself again. /persona chooses another role."))

    async def import_file(self, path: Path) -> None:
        """Keep the persona of a card and offer to use it. Raises NemochatError."""
        id_ = await self._imported(path)
        if not id_:
            return
        persona, _ = await asyncio.to_thread(self._bench.personas.load, id_)
        answers = (Answer("use", "Talk with it now"), Answer("view", "Look at its card"), Answer("later", "Later"))
        chosen = await self._port.ask(AskOne(f"{persona.name} is now one of your personas", persona.summary, answers))
        if chosen == "use":
            await self.use(id_)
        elif chosen == "view":
            await self._act(PersonaAction.VIEW, id_)

    async def _imported(self, path: Path) -> str:
        """Keep the persona of a file and say what it had besides; its id, "" where it is not wanted again. Raises NemochatError."""
        store = self._bench.personas
        read = await asyncio.to_thread(store.read, path)
        here = await asyncio.to_thread(store.find_same, read.persona)
        if here is not None:
            what = "It is one of your personas already." if here.is_equal else "Another one of your personas has this name."
            answers = (Answer("no", "Leave it out"), Answer("yes", "Add it as another one"))
            if await self._port.ask(AskOne(read.persona.name, what, answers)) != "yes":
                return ""
        id_ = await asyncio.to_thread(store.keep, read)
        for notice in read.notices:
            self._port.tell(Said(notice))
        return id_

    def _use_model(self, persona: Persona) -> None:
        """The model that the persona was written for, when there is such a one."""
        if persona.model and (used := self._cast.use_model(persona.model)):
            self._port.tell(Said(f"{persona.name} asks for the model {persona.model}, which is not here; {used} is used."))

    async def _act(self, action: PersonaAction, id_: str) -> str:
        """What the picker asks for with a persona; the id to come back to. Raises NemochatError."""
        store = self._bench.personas
        match action:
            case PersonaAction.VIEW:
                persona, avatar = await asyncio.to_thread(store.load, id_)
                await self._port.ask(ShowPersona(persona, avatar))
            case PersonaAction.EDIT | PersonaAction.NEW:
                return await self._edit(id_ if action is PersonaAction.EDIT else None)
            case PersonaAction.DUPLICATE:
                return await asyncio.to_thread(store.duplicate, id_)
            case PersonaAction.EXPORT:
                hint = "The ending of the name sets the format: .png, .json or .charx (cards), or .toml."
                name = await self._port.ask(AskText("Export to which file?", f"{id_}.png", hint, one_line=True))
                if name:
                    await asyncio.to_thread(store.export, id_, at_home(name))
                    self._port.tell(Said(f"Written to {name}."))
            case PersonaAction.IMPORT:
                name = await self._port.ask(AskText("Import which card?", "", "A PNG, JSON, charx or TOML file.", one_line=True))
                if name:
                    return await self._imported(at_home(name.strip()))
            case PersonaAction.DELETE:
                kept = await asyncio.to_thread(store.delete, id_)
                answers = (Answer("yes", "Good"), Answer("undo", "Bring it back"))
                if await self._port.ask(AskOne("The persona is deleted", "Its chats stay as they are.", answers)) == "undo":
                    return await asyncio.to_thread(store.restore, kept)
        return ""

    async def _edit(self, id_: str | None) -> str:
        """The form, and the text editor as far as it is asked for; the id under which the persona is kept then."""
        from nemochat.personas.toml_text import read_toml, write_toml

        store = self._bench.personas
        saved = (await asyncio.to_thread(store.load, id_))[0] if id_ else Persona(name="")
        persona, text = saved, ""
        presets = await asyncio.to_thread(PresetStore(self._bench.paths.presets).list)
        while True:
            lorebooks = await asyncio.to_thread(self._bench.lorebooks.list)
            edited = await self._port.ask(AskPersonaEdited(persona, saved, lorebooks, presets))
            if edited is None:
                return id_ or ""
            persona = edited.persona
            try:
                if edited.in_editor:
                    text = await self._port.ask(AskEditor(text or write_toml(persona), "persona.toml")) or ""
                    persona = read_toml(text) if text else persona
                    text = ""
                    continue
                kept = await asyncio.to_thread(store.save, persona, id_)
            except NemochatError as error:
                self._port.tell(Complained(error))  # and once more to the form; what was written in the editor is there again with Ctrl+G
                continue
            conversation = self._cast.conversation
            if saved.name and saved.name in _players(conversation.chat):
                conversation.change(_playing(saved.name, persona))
            return kept

    # -- the user

    @property
    def user(self) -> UserProfile:
        """Who the user is now."""
        return self._bench.personas.profiles().current

    async def profile(self, wanted: str = "") -> None:
        """Choose who the user is, or write another profile. Raises NemochatError.

        wanted: a name, which chooses the profile that has it or makes one, and behind a colon who that is.
        """
        store = self._bench.personas
        if not wanted.strip():
            self._port.tell(AboutToAsk())
        profiles = await asyncio.to_thread(store.profiles)
        if wanted.strip():
            name, colon, about = (each.strip() for each in wanted.partition(":"))
            await self._be(_with_profile(profiles, name or profiles.current.name, about if colon else None))
            return
        items = (
            *(Item(str(index), each.name, each.description) for index, each in enumerate(profiles.profiles)),
            Item(_NEW, "Another one…", "a name, and what the model may know of you"),
        )
        chosen = await self._port.ask(AskItem("Who are you?", items, current=str(profiles.active)))
        if chosen is None:
            return
        if chosen == _NEW:
            name = await self._port.ask(AskText("Your name", one_line=True))
            if not name or not name.strip():
                return
            about = await self._port.ask(AskText(f"Who is {name.strip()}?", hint="What the model is told about you; it may stay empty."))
            added = (*profiles.profiles, UserProfile(name.strip(), (about or "").strip()))
            profiles = Profiles(added, len(added) - 1)
        else:
            profiles = msgspec.structs.replace(profiles, active=int(chosen))
        await self._be(profiles)

    async def _be(self, profiles: Profiles) -> None:
        """Keep the profiles, and be the current one in the conversation on the desk."""
        await asyncio.to_thread(self._bench.personas.save_profiles, profiles)
        current, conversation = self._bench.personas.profiles().current, self._cast.conversation
        if conversation.chat.playing is not None:
            greets = not _is_answered(conversation.chat)  # what it then says anew is not taken back with the profile
            moment = self._cast.moment()
            conversation.change(lambda chat: _met_as(chat, current, moment), can_undo=not greets)
        self._port.tell(Said(f"You are {current.name}."))

    async def note(self, text: str) -> None:
        """Write the author's note of this chat: ``@DEPTH`` before it says how many messages before the end it stands."""
        conversation = self._cast.conversation
        before = conversation.chat.note
        if not text:
            shown = f"@{before.depth} {before.text}" if before else "@4 "
            hint = "@4 puts it four messages before the end, @0 with your last one. Leave it empty to remove the note."
            written = await self._port.ask(AskText("Author's note", shown, hint))
            if written is None:
                return
            text = written
        depth = before.depth if before else AuthorNote("").depth
        first, _, rest = text.strip().partition(" ")
        if first.startswith("@") and first[1:].isdecimal():
            depth, text = min(int(first[1:]), _MAX_DEPTH), rest
        note = AuthorNote(text.strip(), depth) if text.strip() else None
        conversation.change(lambda chat: msgspec.structs.replace(chat, note=note))
        self._port.tell(Said("The note is saved with this chat." if note else "The note was removed."))


def _with_profile(profiles: Profiles, name: str, about: str | None) -> Profiles:
    """With the profile of that name in force, a new one where there is none; `about` None leaves what is known of it."""
    at = next((index for index, each in enumerate(profiles.profiles) if each.name.casefold() == name.casefold()), len(profiles.profiles))
    known = profiles.profiles[at] if at < len(profiles.profiles) else UserProfile(name)
    changed = known if about is None else UserProfile(known.name, about)
    return Profiles((*profiles.profiles[:at], changed, *profiles.profiles[at + 1 :]), at)


def _is_answered(chat: Chat) -> bool:
    return any(entry.message.role is not Role.ASSISTANT or entry.record is not None for entry in chat.entries)


def _met_as(chat: Chat, user: UserProfile, moment: Moment) -> Chat:
    """With another user. A greeting that was not answered yet is said to this one; one that was written anew stays."""
    before, chat = chat, msgspec.structs.replace(chat, user=user)
    if _is_answered(chat):
        return chat
    bare = {"entries": (), "aside": {}, "next_id": 1, "variables": {}}
    old, new = (opened(each, moment.scene(each)) for each in (msgspec.structs.replace(one, **bare) for one in (before, chat)))
    said = dict(zip(_greetings(old), _greetings(new), strict=False)) if len(old.nodes) == len(new.nodes) else {}

    def greeted(entry: Entry) -> Entry:
        text = said.get((entry.speaker, entry.message.text))
        return entry if text is None else msgspec.structs.replace(entry, message=Message(Role.ASSISTANT, (TextPart(text[1]),)))

    aside = {id_: msgspec.structs.replace(node, entry=greeted(node.entry)) for id_, node in chat.aside.items()}
    return msgspec.structs.replace(chat, entries=tuple(map(greeted, chat.entries)), aside=aside)


def _greetings(chat: Chat) -> list[tuple[str, str]]:
    """Who says what, in the order of the messages' ids."""
    return [(node.entry.speaker, node.entry.message.text) for node in sorted(chat.nodes, key=lambda node: node.id)]


def _players(chat: Chat) -> tuple[str, ...]:
    """The names of all whom the model plays in a chat."""
    return chat.group.names if chat.group is not None else (chat.persona.name,) if chat.persona is not None else ()


def _playing(name: str, persona: Persona) -> Callable[[Chat], Chat]:
    """With another card for who is called so."""

    def change(chat: Chat) -> Chat:
        if chat.group is None or (member := chat.group.member(name)) is None:
            return chat if chat.group is not None else msgspec.structs.replace(chat, persona=persona)
        return msgspec.structs.replace(chat, group=chat.group.changed(name, msgspec.structs.replace(member, persona=persona)))

    return change
