"""Whom the model plays and who the user is: personas, profiles, notes, portraits."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nemochat.chat import Chat, ChatSession
from nemochat.chat.toolbox import with_tools
from nemochat.domain.personas import AuthorNote, Persona, UserProfile
from nemochat.errors import NemochatError
from nemochat.paths import at_home
from nemochat.personas.profiles import Profiles
from nemochat.personas.prompt_text import greetings
from nemochat.tui.screens.dialogs import Answer, Choose, Write
from nemochat.tui.screens.picker import Picker, PickerItem
from nemochat.tui.themes import accent_on
from nemochat.tui.turns import Job
from nemochat.tui.typing_aid import edit_in_editor

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

_MAX_DEPTH = 100
_NEW = "\0new"


class Roleplay:
    """Takes personas from the store into the conversation on the screen."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self._portraits: dict[str, bytes] = {}
        self._accents: dict[str, str] = {}
        self._sought: set[str] = set()

    # -- personas

    async def choose(self, name: str) -> None:
        """Use the persona of that name or id, or let the user choose. Raises NemochatError."""
        store = self._screen.bench.personas
        if name:
            personas = await asyncio.to_thread(store.list)
            found = next((each for each in personas if name.lower() in (each.id.lower(), each.name.lower())), None)
            if found is None:
                self._screen.say(f"There is no persona {name}. /persona alone shows all.")
            else:
                await self.use(found.id)
            return
        await self.pick()

    async def pick(self) -> None:
        """The picker, until something was chosen that leaves it. Raises NemochatError."""
        from nemochat.tui.screens.persona_picker import PersonaPicker

        store = self._screen.bench.personas
        current = ""
        while True:
            personas = await asyncio.to_thread(store.list)
            for notice in store.notices:
                self._screen.say(notice)
            mine = self._screen.chat.persona
            current = current or next((each.id for each in personas if mine is not None and each.name == mine.name), "")
            chosen = await self._screen.app.push_screen_wait(PersonaPicker(personas, store.load, current=current, user=self.user.name))
            if chosen is None:
                return
            current = chosen.id or current
            if chosen.action == "use":
                await self.use(chosen.id)
                return
            try:
                current = await self._act(chosen.action, chosen.id) or current
            except NemochatError as error:
                self._screen.complain(error)

    async def use(self, id_: str) -> None:
        """Begin a chat with a persona, or let it take over this one. Raises NemochatError."""
        screen = self._screen
        persona, avatar = await asyncio.to_thread(screen.bench.personas.load, id_)
        if screen.refuse_while_busy():
            return
        if avatar:
            self._portraits[persona.name] = avatar
        if any(entry.record is not None or not entry.speaker for entry in screen.chat.entries):
            answers = (Answer("new", "Begin a new chat"), Answer("here", "Go on in this chat"), Answer("no", "Neither"))
            chosen = await screen.ask(Choose(persona.name, "This chat has begun already.", answers))
            if chosen == "here":
                screen.conversations.change(msgspec.structs.replace(screen.chat, persona=persona, user=self.user, examples_gone=0))
                await self._use_model(persona)
                self.show_portraits()
                return
            if chosen != "new":
                return
        screen.conversations.begin(with_tools(self.opened(persona, screen.chat.frame.system), screen.chat.frame.tools))
        await self._use_model(persona)

    def opened(self, persona: Persona, system: str) -> Chat:
        """A new conversation in which the persona has greeted the user."""
        chat = Chat(persona=persona, user=self.user, seed=secrets.randbits(32)).framed(system)
        return chat.opened(greetings(persona, self.user, seed=str(chat.seed)), persona.name)

    def give_up(self) -> None:
        """The model is itself again, in this chat."""
        if not self._screen.refuse_while_busy():
            self._screen.conversations.change(msgspec.structs.replace(self._screen.chat, persona=None, user=None, examples_gone=0))
            self._screen.say("The model is itself again. /persona chooses another role.")

    async def import_file(self, path: Path) -> None:
        """Keep the persona of a card and offer to use it. Raises NemochatError."""
        store = self._screen.bench.personas
        id_ = await asyncio.to_thread(store.import_file, path)
        for notice in store.notices:
            self._screen.say(notice)
        persona, _ = await asyncio.to_thread(store.load, id_)
        answers = (Answer("use", "Talk with it now"), Answer("view", "Look at its card"), Answer("later", "Later"))
        chosen = await self._screen.ask(Choose(f"{persona.name} is among your personas now", persona.summary, answers))
        if chosen == "use":
            await self.use(id_)
        elif chosen == "view":
            await self._act("view", id_)

    async def _use_model(self, persona: Persona) -> None:
        """The model that the persona was written for, when there is such a one."""
        screen = self._screen
        if persona.model and persona.model != screen.holder.model_name:
            if persona.model in {choice.name for choice in screen.bench.models()}:
                screen.open_model(persona.model)
            else:
                screen.say(f"{persona.name} asks for the model {persona.model}, which is not here; {screen.holder.model_name} is used.")

    async def _act(self, action: str, id_: str) -> str:
        """What the picker asks for with a persona; the id to come back to. Raises NemochatError."""
        from nemochat.tui.screens.persona_card import PersonaCard

        store, screen = self._screen.bench.personas, self._screen
        match action:
            case "view":
                persona, avatar = await asyncio.to_thread(store.load, id_)
                await screen.app.push_screen_wait(PersonaCard(persona, avatar))
            case "edit" | "new":
                return await self._edit(id_ if action == "edit" else None)
            case "duplicate":
                return await asyncio.to_thread(store.duplicate, id_)
            case "export":
                hint = "The ending decides: .png (card), .json (card) or .toml."
                name = await screen.ask(Write("Export to which file?", f"{id_}.png", hint=hint, one_line=True))
                if name:
                    await asyncio.to_thread(store.export, id_, at_home(name))
                    screen.say(f"Written to {name}.")
            case "import":
                name = await screen.ask(Write("Import which card?", "", hint="A PNG, JSON, charx or TOML file.", one_line=True))
                if name:
                    return await asyncio.to_thread(store.import_file, at_home(name.strip()))
            case "delete":
                kept = await asyncio.to_thread(store.delete, id_)
                answers = (Answer("yes", "Good"), Answer("undo", "Bring it back"))
                if await screen.ask(Choose("The persona is deleted", "Its chats stay as they are.", answers)) == "undo":
                    return await asyncio.to_thread(store.restore, kept)
        return ""

    async def _edit(self, id_: str | None) -> str:
        """The form, and the text editor as far as it is asked for; the id under which the persona is kept then."""
        from nemochat.personas.toml_text import read_toml, write_toml
        from nemochat.tui.screens.persona_form import PersonaForm

        store, screen = self._screen.bench.personas, self._screen
        saved = (await asyncio.to_thread(store.load, id_))[0] if id_ else Persona(name="")
        persona, text = saved, ""
        while True:
            edited = await screen.app.push_screen_wait(PersonaForm(persona, saved=saved))
            if edited is None:
                return id_ or ""
            persona = edited.persona
            try:
                if edited.in_editor:
                    text = edit_in_editor(screen, text or write_toml(persona), "persona.toml") or ""
                    persona = read_toml(text) if text else persona
                    text = ""
                    continue
                kept = await asyncio.to_thread(store.save, persona, id_)
            except NemochatError as error:
                screen.complain(error)  # and once more to the form; what was written in the editor is there again with Ctrl+G
                continue
            mine = screen.chat.persona
            if mine is not None and mine.name == saved.name:
                screen.conversations.change(msgspec.structs.replace(screen.chat, persona=persona))
            return kept

    # -- the user

    @property
    def user(self) -> UserProfile:
        """Who the user is now."""
        return self._screen.bench.personas.profiles().current

    async def profile(self) -> None:
        """Choose who the user is, or write another profile. Raises NemochatError."""
        store = self._screen.bench.personas
        profiles = await asyncio.to_thread(store.profiles)
        items = [
            *(PickerItem(str(index), each.name, each.description) for index, each in enumerate(profiles.profiles)),
            PickerItem(_NEW, "Another one…", "a name, and what the model may know of you"),
        ]
        chosen = await self._screen.app.push_screen_wait(Picker("Who are you?", items, current=str(profiles.active)))
        if chosen is None:
            return
        if chosen == _NEW:
            name = await self._screen.ask(Write("Your name", "", one_line=True))
            if not name or not name.strip():
                return
            about = await self._screen.ask(Write(f"Who is {name.strip()}?", "", hint="For the model; it may stay empty."))
            added = (*profiles.profiles, UserProfile(name.strip(), (about or "").strip()))
            profiles = Profiles(added, len(added) - 1)
        else:
            profiles = msgspec.structs.replace(profiles, active=int(chosen))
        await asyncio.to_thread(store.save_profiles, profiles)
        if self._screen.chat.persona is not None:
            self._screen.conversations.change(msgspec.structs.replace(self._screen.chat, user=profiles.current))
        self._screen.say(f"You are {profiles.current.name}.")

    async def note(self, text: str) -> None:
        """Write the author's note of this chat: ``@DEPTH`` before it says how many messages before the end it stands."""
        before = self._screen.chat.note
        if not text:
            shown = f"@{before.depth} {before.text}" if before else "@4 "
            hint = "@4 puts it four messages before the end, @0 with your last one. Empty takes it away."
            written = await self._screen.ask(Write("Author's note", shown, hint=hint))
            if written is None:
                return
            text = written
        depth = before.depth if before else AuthorNote("").depth
        first, _, rest = text.strip().partition(" ")
        if first.startswith("@") and first[1:].isdecimal():
            depth, text = min(int(first[1:]), _MAX_DEPTH), rest
        note = AuthorNote(text.strip(), depth) if text.strip() else None
        self._screen.conversations.change(msgspec.structs.replace(self._screen.chat, note=note))
        self._screen.say("The note is kept with this chat." if note else "The note is gone.")

    def impersonate(self) -> None:
        """Let the model write the user's next words into the prompt."""
        if not self._screen.chat.entries:
            self._screen.say("There is nothing to answer yet.")
        elif self._screen.prompt.plain_text:
            self._screen.say("The prompt is not empty: send or clear it first.")
        elif not self._screen.refuse_while_busy():
            self._screen.submit(Job("your next words", play=ChatSession.impersonate, drafts=True))

    # -- portraits

    def chat_changed(self) -> None:
        """Another conversation is on the screen."""
        self.show_portraits()

    def show_portraits(self) -> None:
        """Bring the faces of those who speak in this chat."""
        speakers = {entry.speaker for entry in self._screen.chat.entries if entry.speaker} - self._sought
        if self._screen.chat.persona is not None and self._screen.chat.persona.name not in self._sought:
            speakers.add(self._screen.chat.persona.name)
        self._screen.transcript.show_portraits = self._screen.bench.settings.interface.portraits
        if speakers:
            self._screen.run_worker(lambda: self._find_portraits(speakers), thread=True, group="portraits")
        self._screen.transcript.portraits = dict(self._portraits)
        self.show_accents()

    def show_accents(self) -> None:
        """Colour the names, as they can be read on the theme."""
        persona = self._screen.chat.persona
        if persona is not None:
            self._accents[persona.name] = persona.accent
        theme = self._screen.app.current_theme
        self._screen.transcript.accents = {name: accent_on(accent, theme) for name, accent in self._accents.items() if accent}

    def _find_portraits(self, names: set[str]) -> None:
        store = self._screen.bench.personas
        found: dict[str, bytes] = {}
        for summary in store.list():
            if summary.name in names:
                try:
                    _, avatar = store.load(summary.id)
                except NemochatError:
                    continue  # its name is enough; /persona says what is wrong with it
                if avatar:
                    found[summary.name] = avatar
        self._screen.app.call_from_thread(self._found_portraits, names, found)

    def _found_portraits(self, names: set[str], found: dict[str, bytes]) -> None:
        self._sought |= names
        self._portraits |= found
        self._screen.transcript.portraits = dict(self._portraits)
