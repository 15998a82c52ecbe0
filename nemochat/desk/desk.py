"""The desk: everything that the user works on, put together. It knows no screen; a `Port` shows it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from nemochat.chat import Chat, ChatSession, Stop, TurnResult
from nemochat.chat.album import Album
from nemochat.chat.assembly import settled
from nemochat.chat.cast import Moment, next_speakers, opened, unknown_macros
from nemochat.chat.lore import Shelf
from nemochat.chat.pictures import OpenedPicture
from nemochat.chat.recall import DraftFile, PromptHistory
from nemochat.chat.toolbox import with_tools
from nemochat.desk.chats import Chats
from nemochat.desk.conversation import OpenConversation
from nemochat.desk.documents import Documents
from nemochat.desk.downloads import Downloads
from nemochat.desk.draft import Draft
from nemochat.desk.dropping import Dropping
from nemochat.desk.groups import Groups
from nemochat.desk.jobs import Jobs, Rank
from nemochat.desk.lore import Lorebooks
from nemochat.desk.memory import Memory
from nemochat.desk.messages import Messages
from nemochat.desk.model import OpenModel
from nemochat.desk.moving import Moving
from nemochat.desk.port import (
    ChatChanged,
    ChatOpened,
    ChatsChanged,
    Complained,
    PicturesChanged,
    Port,
    RolesChanged,
    Said,
    SettingsChanged,
    Workbench,
)
from nemochat.desk.reading import Reading, has_reply
from nemochat.desk.roles import Roles
from nemochat.desk.sending import LEAVE_SECONDS, Sending
from nemochat.desk.tools import Servers, Tools
from nemochat.desk.turns import Turn, Turns
from nemochat.domain.chat import pictures_of
from nemochat.domain.edits import applied
from nemochat.domain.events import FinishReason
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import Role
from nemochat.domain.personas import Lorebook
from nemochat.domain.replies import ModelRef
from nemochat.domain.sampling import InForce
from nemochat.errors import NemochatError
from nemochat.images import is_flat
from nemochat.library.claims import CHAT, REPLY, Claims
from nemochat.models.naming import meant
from nemochat.numbers import plural
from nemochat.personas.sampling_presets import PresetStore
from nemochat.personas.shared_variables import SharedVariables
from nemochat.settings_file import sampling_layers
from nemochat.tools.builtin.search import Passage

_BUSY = "A reply is being written: wait for it, or stop it."


class Desk:
    """Owns the conversation on the desk and what works on it. failed: gets what nobody foresaw in something that runs beside the user."""

    def __init__(self, bench: Workbench, port: Port, jobs: Jobs, history: PromptHistory) -> None:
        self.bench, self.port, self.jobs = bench, port, jobs
        self.variables = SharedVariables(bench.paths.variables)
        """Of macros, shared by all chats."""
        self.tools = Tools(port, bench, self.picture, self._search)
        self.documents = Documents(port, bench)
        self.moving = Moving(port, bench)
        self.presets = PresetStore(bench.paths.presets)
        self.servers = Servers(port, bench, self.tools)
        self.album = Album(bench.library.original)
        """The pictures of this run, whichever model looks at them."""
        self.shelf = Shelf(bench.lorebooks.get, bench.settings.lore, self._tell_of_lore)
        self._side: int | None = None
        self.chats = Chats(port, bench, self, self)
        self.conversation = self.chats.new(self.tools.fresh(Chat()))
        self.downloads = Downloads(port, bench, jobs)
        self.model = OpenModel(port, bench, self._equip, self.downloads.choose)
        self.draft = Draft(port, self, DraftFile(bench.paths.drafts, spare=bench.paths.rescued[1]), history)
        self.history = history
        self.turns = Turns(port, jobs, self.draft, self.tools, self)
        self._claims = Claims(bench.paths.claims)
        self.sending = Sending(port, self.draft, history, self.turns, self._claims, self)
        self.memory = Memory(port, jobs, bench, self)
        self.reading = Reading(port, jobs, self, self.draft, self.memory)
        self.roles = Roles(port, bench, self)
        self.groups = Groups(port, bench, self)
        self.lore = Lorebooks(port, bench, self.shelf, self)
        self.messages = Messages(port, self.draft, history, self.sending, self)
        self.dropping = Dropping(port, self.draft, self.documents, self.roles, self.lore, self.moving, self)
        self.last: TurnResult | None = None
        """What came of the last turn of this conversation in this run."""
        self.draw: Callable[[], float] = secrets.SystemRandom().random
        """Chance, of who of a group speaks."""
        self.last_words: list[str] = []
        """What the user has to be told when nothing shows the desk any more."""
        self._forgotten = 0
        self._has_photograph = self._is_warned = False
        self._before: list[OpenConversation] = []
        """Conversations that were on the desk and were not on the disk yet when they left it, or were changed after that."""

    # -- from the start to the end

    def start(self, *, restores: bool = True) -> None:
        """Bring the unfinished draft back (unless not `restores`), open the model, and go on with what the command line names."""
        self._claims.begin(CHAT)
        if restores:
            self.draft.restore()
        self._tell_notices()
        self.do(self.tools.begin)
        if self.bench.resume is not None:
            self.sending.resume(asyncio.create_task(self.chats.resume(self.bench.resume)))
        self.do(partial(self.open_model, None))

    async def close(self) -> None:
        """The program ends: what was sent and what came of it is on the disk, and the engine ends."""
        self.sending.leave()
        self.draft.close()
        self.history.leave()
        self.turns.leave()
        await self.sending.pictures_read()
        await self.jobs.close(LEAVE_SECONDS)
        await self.lore.written()
        await self.written()
        await self._rescue()
        self._claims.close()
        await self.reading.close()
        await self.model.close()
        await self.bench.close_servers()

    async def _rescue(self) -> None:
        """What is on no disk by now is kept in a file, from which the next start takes it in."""
        for conversation in (*self._before, self.conversation):
            if conversation.is_kept:
                continue
            title = conversation.chat.title
            try:
                path = await conversation.rescue(self.bench.paths.rescued)
            except NemochatError as error:
                self.last_words.append(f"The newest of the chat {title} is lost. {error.message} {error.hint}")
            else:
                self.last_words.append(f"The newest of the chat {title} could not be saved: the next start takes it from {path}.")
        if words := self.draft.rescue():
            self.last_words.append(words)

    def do(self, work: Callable[[], object]) -> None:
        """Do something at once, go on with it where it has to wait, and say what went wrong with it."""
        if self.jobs.is_closed:
            return
        try:
            done = work()
        except NemochatError as error:
            self.port.tell(Complained(error))
            return
        if not isinstance(done, Awaitable):
            return

        async def run(_: Stop) -> None:
            try:
                await done
            except NemochatError as error:
                self.port.tell(Complained(error))

        self.jobs.start(Rank.USER, "command", run)

    # -- the conversation

    @property
    def chat(self) -> Chat:
        """The conversation's value."""
        return self.conversation.chat

    @property
    def speaker(self) -> str:
        """Who replies."""
        turn, playing = self.turns.running, self.chat.playing
        return (turn.speaker if turn is not None else "") or (playing.name if playing is not None else self.model.name)

    @property
    def is_busy(self) -> bool:
        """Whether a reply is being written, or waits for something."""
        return self.turns.is_running

    def keep_question(self, conversation: OpenConversation, chat: Chat, index: int, right: str) -> None:
        """Keep a message of the user's as a question for ``nemochat eval``. Called in a thread. Raises EvaluationError."""
        number = sum(entry.message.role is Role.USER for entry in chat.entries[: index + 1])
        self.bench.keep_question(chat, index, right, self.album.original, f"{conversation.id}-{number}")

    def refuse_while_busy(self) -> bool:
        """Whether a reply is being written; says so."""
        if self.is_busy:
            self.port.tell(Said(_BUSY))
        return self.is_busy

    def change(self, chat: Chat, *, can_undo: bool = True) -> None:
        """Another value, made of the present one at once."""
        self.conversation.change(lambda _: chat, can_undo=can_undo)

    def begin(self, chat: Chat) -> bool:
        """Put a new conversation on the desk; the one before stays in the library."""
        return self.put(self.chats.new(chat))

    def put(self, conversation: OpenConversation, node: int = 0) -> bool:
        """Put another conversation on the desk; False, and the user is told why, while a turn holds the one that is there."""
        if self.refuse_while_busy():
            return False
        self.memory.stop(tells=False)
        self._left(self.conversation)
        self.conversation = conversation
        self.draft.editing = None
        self.last = None
        self.reading.view = None
        self.port.tell(PicturesChanged())
        self.tools.chat_opened()
        self.port.tell(ChatOpened(node))
        self.port.tell(RolesChanged())
        self.reading.opened()
        self._tell_of_unseen()
        self.sending.send_what_waits()
        if not conversation.is_stored:
            self.do(conversation.stored)
        return True

    def new(self) -> bool:
        """Begin a new chat with the persona, the system text and the tools of the present one. False, and the user is told why, while a
        reply is being written."""
        if self.sending.holds_new():
            return True
        chat = self.chat
        fresh = Chat().framed(chat.frame.system)
        if chat.playing is not None:
            fresh = self.opened(msgspec.structs.replace(fresh, persona=chat.persona, group=chat.group))
        return self.begin(with_tools(fresh, chat.frame.tools))

    def opened(self, chat: Chat) -> Chat:
        """A new conversation in which the persona, or everybody of the group, has greeted the user; all texts are read."""
        chat = msgspec.structs.replace(chat, user=self.roles.user, seed=secrets.randbits(32))
        greeting = self.moment().scene(chat)
        chat = opened(chat, greeting)
        chat = chat if greeting.read is None else applied(chat, greeting.read)
        chat, reading = settled(chat, self.shelf.lore_of(chat), Moment(greeting.now, greeting.shared))
        if greeting.unknown or reading.unknown:
            reading.unknown = {**greeting.unknown, **reading.unknown}
            self.port.tell(Said(unknown_macros(reading)))
        if changes := (*greeting.changes, *reading.changes):
            self.do(partial(asyncio.to_thread, self.variables.change, changes))
        return chat

    def moment(self) -> Moment:
        """Now, with the variables of all chats."""
        return Moment(Moment.present().now, self.variables.values)

    def undo(self) -> None:
        """Take back the last thing that the user did to the conversation."""
        if not self.refuse_while_busy():
            self.port.tell(Said("Undone." if self.conversation.undo() else "There is nothing to undo in this chat."))

    def toggle_tool(self, name: str, *, enabled: bool) -> None:
        """Offer a tool in this conversation, or not. The prompt begins with the tools, so all of it is read anew."""
        if not self.refuse_while_busy():
            self.conversation.change(lambda chat: self.tools.toggled(chat, name, enabled=enabled))

    @property
    def sampling(self) -> InForce | None:
        """How replies in this conversation are made, None while there is no model."""
        return self.model.session.reader.in_force(self.chat) if self.model.session is not None else None

    def stop(self) -> bool:
        """Stop the reply under way, whatever it is at, else a summary, else what is being read; whether there is any."""
        return self.turns.stop() or self.memory.stop() or self.documents.stop() or self.moving.stop()

    # -- what turns need (nemochat.desk.turns.Around)

    async def ready(self) -> ChatSession:
        """The session, as soon as its model is loaded."""
        return await self.model.ready()

    def due(self, chat: Chat, said: str) -> tuple[str, ...]:
        """Who of a group is to answer a message of the user, in their order."""
        return next_speakers(chat, said, self.draw, answers=True)

    def turn_begins(self) -> None:
        """The engine is needed, and an evaluation on this machine waits."""
        if not self.model.leaves:
            self._claims.begin(REPLY)
        self._forgotten = len(self.reading.view.forgotten) if self.reading.view else 0
        self.reading.turn_begins()

    def turn_ended(self, turn: Turn, result: TurnResult | None) -> None:
        """What comes of it beside the conversation."""
        self._claims.end(REPLY)
        self.sending.settled(turn.conversation)
        self.tools.settled()
        if turn.conversation is not self.conversation:
            return
        self.last = result or self.last
        if result is not None and result.reason is FinishReason.STOP and not (result.text.strip() or result.is_all_thought):
            if turn.continues:
                self.port.tell(Said("The model has nothing to add: its reply had ended. Press r on it for another one."))
            else:
                self.port.tell(Said("The model said nothing. Send your message again, or choose another model (F3)."))
        if result is not None and result.note:
            self.port.tell(Said(result.note))
        if result is not None and len(result.forgotten) > self._forgotten:
            read = plural(result.usage.evaluated_tokens, "token")
            gone = plural(len(result.forgotten), "message")
            self.port.tell(Said(f"The window was full: the model no longer sees {gone}; {read} were read for this reply."))
        self.reading.replied()

    # -- what the draft and the reading need

    def keep(self, picture: OpenedPicture) -> str:
        """Put a picture into the album, made ready for the screen and for the model while it is decoded; its digest. Called in a thread."""
        self._has_photograph = self._has_photograph or not is_flat(picture.image)
        digest, session = self.album.add(picture.image, picture.original), self.model.session
        if session is not None:
            self.album.pixels(digest, session.reader.side, decoded=picture.image)
        self.album.preview(digest, self._side, decoded=picture.image)
        return digest

    def original(self, digest: str) -> Original | None:
        """The file of a picture. Called in a thread."""
        return self.album.original(digest)

    def draft_changed(self, *, is_picture: bool) -> None:
        """The draft would make another message."""
        if is_picture:
            self._warn_of_photographs()
            self.reading.attached()
        else:
            self.reading.typed()

    def _warn_of_photographs(self) -> None:
        """Once: nobody should think that all models see as little as the built-in one."""
        if self._has_photograph and not self._is_warned and self.model.name == self.bench.demo_model:
            self._is_warned = True
            self.port.tell(Said("The built-in model knows flat coloured shapes only, not photographs. /model adds one that does."))

    def free_session(self) -> ChatSession | None:
        """The session when it has nothing to do for the user."""
        return self.model.session if self.model.is_loaded and not self.turns.is_running else None

    def summed_up(self) -> None:
        """No summary is being written any more."""
        self.reading.summed_up()

    def wants_title(self, chat: Chat) -> bool:
        """Once it has a reply and no name. The demo model is not asked: the first words do."""
        return self.bench.settings.interface.titles and self.model.name != self.bench.demo_model and not chat.name and has_reply(chat)

    # -- what the conversation tells (nemochat.desk.conversation.Store)

    def model_in_use(self) -> ModelRef:
        """The model."""
        return self.model.ref

    def changed(self, conversation: OpenConversation) -> None:
        """By the user."""
        if conversation is self.conversation:
            self.port.tell(ChatChanged())
            self.reading.opened()
        else:
            self._left(conversation)

    async def written(self) -> None:
        """Wait until what is on the desk, and what was there before, is on the disk or cannot be written."""
        for conversation in (*self._before, self.conversation):
            await conversation.stored()

    def _left(self, conversation: OpenConversation) -> None:
        """It is not forgotten before it is on the disk."""
        self._before = [each for each in self._before if each is not conversation and not each.is_stored]
        if not conversation.is_stored:
            self._before.append(conversation)

    def stored(self, conversation: OpenConversation, *, is_new: bool) -> None:
        """On the disk."""
        self.draft.settle()
        self.sending.settled(conversation)
        if is_new:
            self.sending.named(conversation)
            self.port.tell(ChatsChanged())

    def not_stored(self, error: NemochatError) -> None:
        """The disk does not have it."""
        self.port.tell(Complained(error))

    def copied(self) -> None:
        """It goes on as a copy."""
        self.port.tell(Said("Another nemochat is at work in this chat, so it continues here as a copy."))

    async def forget(self, key: str) -> None:
        """A conversation was deleted: what engines have read of it goes. One that is brought back is read anew. Raises NemochatError."""
        if self.model.session is not None and self.model.is_loaded:
            await self.model.session.reader.forget(key)
        await asyncio.to_thread(self.bench.forget_states, key)

    # -- pictures and documents

    def picture(self, number: int) -> bytes | None:
        """The file of a picture of the conversation by its number, as it came."""
        parts = [part for entry in self.chat.entries for part in entry.message.images if entry.message.role is Role.USER]
        if not 0 < number <= len(parts):
            return None
        original = self.album.original(parts[number - 1].digest)
        return original.data if original is not None else None

    @property
    def pictures(self) -> Mapping[str, RgbImage]:
        """What is shown of every picture, by digest."""
        return self.album.previews(self._side)

    async def _show_as(self, side: int | None) -> None:
        """Show the pictures as a model gets them that wants this side; they are decoded first."""
        digests = {image.digest for image in pictures_of(self.chat)} | {item.part.digest for item in self.draft.items if item.part}
        shown = self.album.previews(side)
        await asyncio.to_thread(lambda: [shown.get(digest) for digest in digests])
        self._side = side
        self.port.tell(PicturesChanged())

    async def _search(self, query: str) -> Sequence[Passage]:
        return await self.documents.search(self.chat, query)

    # -- the model

    async def open_model(self, name: str | None) -> None:
        """Open a model, by name or path, or the one in use; on failure say why and offer others."""
        self.reading.turn_begins()
        while True:
            try:
                session = await self.model.open(name)
                break
            except NemochatError as error:
                name = await self.model.offer_others(error)
                if name is None:
                    session = None
                    break
        if session is None:  # another one is being opened, or the one before goes on
            if self.model.is_loaded:
                self.reading.opened()
            return
        if name is not None:
            self.bench.use_model(session.model_name)
        self._tell_notices()
        self.draft.model_opened()
        await self._show_as(session.reader.side)
        self._tell_of_unseen()
        self.reading.opened()
        with contextlib.suppress(NemochatError):  # what tools cost is only shown
            await self.tools.count(session)

    def _tell_of_unseen(self) -> None:
        """A model that reads text only goes on in a chat with pictures without them."""
        info = self.model.session.reader.engine.info if self.model.session is not None else None
        if info is not None and not info.has_vision and any(pictures_of(self.chat)):
            self.port.tell(Said(f"{info.name} reads text only: it does not see the pictures of this chat."))

    async def choose_model(self, name: str) -> None:
        """Open the model of that name, or let the user choose."""
        if self.refuse_while_busy_with_a_model():
            return
        chosen = name or await self.model.choose("Choose a model")
        if chosen:
            await self.open_model(chosen)

    def refuse_while_busy_with_a_model(self) -> bool:
        """A model is not changed under a reply; one that only waits for a model may get it."""
        return self.model.is_loaded and self.refuse_while_busy()

    def use_model(self, name: str) -> str:
        """Open the model that a name means (`nemochat.models.naming.meant`) if it is there; "" then, else the name of the one that is
        used."""
        names = {self.model.name} & {name} or {choice.name for choice in meant(name, self.bench.models())}
        if len(names) != 1:
            return self.model.name or "no model"
        if (found := names.pop()) != self.model.name:
            self.do(partial(self.open_model, found))
        return ""

    def _equip(self, session: ChatSession) -> None:
        """Before its model is loaded."""
        session.reader.album, session.reader.shelf = self.album, self.shelf
        session.reader.shared = self.variables
        session.toolbox = self.tools.toolbox
        session.reader.find_passages = self.documents.find
        session.reader.tools.budget = self.bench.settings.tools.budget
        session.reader.sums_up = self.bench.settings.interface.summaries
        session.holds_calls_to_schema = self.bench.settings.tools.constrained
        session.gate = self.bench.settings.tools.gate
        self._tell_notices()

    def _tell_notices(self) -> None:
        """What was found when files were read; also why a model that is about to be loaded may not fit."""
        for notice in (*self.bench.take_notices(), *self.variables.notices):
            self.port.tell(Said(notice))
        self.variables.notices.clear()

    def _tell_of_lore(self, book: Lorebook) -> None:
        """Somebody has changed the file of a lorebook that is in use."""
        self.port.tell(Said(f"The lorebook {book.name} was changed: what it says now counts."))

    def lore_changed(self) -> None:
        """What lorebooks say to the model may be something else now."""
        if not self.jobs.is_closed:
            self.reading.opened()

    # -- the settings

    async def settings_changed(self, changes: Mapping[str, object]) -> None:
        """Write settings and put into force what can be; the rest waits for the model to be loaded again."""
        for key, value in changes.items():
            self.bench.change_setting(key, value)
        settings, session = self.bench.settings, self.model.session
        self.shelf.settings = settings.lore
        if session is not None:
            session.reader.layers = {**session.reader.layers, **sampling_layers(settings, self.bench.locked)}
            session.reader.tools.budget = settings.tools.budget
            session.reader.sums_up = settings.interface.summaries
            session.holds_calls_to_schema = settings.tools.constrained
            session.gate = settings.tools.gate
        self.port.tell(SettingsChanged())
        if any(key.startswith("engine.") for key in changes):
            self.port.tell(Said("The engine's settings apply when the model is loaded again: /model"))
        if any(key.startswith(("tools.", "tool_rules")) for key in changes):
            await self.tools.settings_changed()
        self.reading.opened()
