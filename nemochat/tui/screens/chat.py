"""The chat screen: conversation, prompt, side panes and status line. It draws what the session says and hands on what the user does."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize

from nemochat.chat import Chat, ContextView, Entry
from nemochat.domain.events import Progress
from nemochat.domain.messages import Role
from nemochat.errors import NemochatError
from nemochat.tui import message_actions
from nemochat.tui.ahead import Ahead
from nemochat.tui.attaching import Incomings
from nemochat.tui.composer import Composer
from nemochat.tui.conversations import Conversations
from nemochat.tui.documents import Documents
from nemochat.tui.dropping import Dropping
from nemochat.tui.holder import SessionHolder
from nemochat.tui.roleplay import Roleplay
from nemochat.tui.screens.chat_desk import ChatDesk
from nemochat.tui.servers import Servers
from nemochat.tui.slash import Slash
from nemochat.tui.stage import Stage
from nemochat.tui.titles import Titles
from nemochat.tui.tooling import Tooling
from nemochat.tui.turns import TurnRunner
from nemochat.tui.typing_aid import TypingAid, edit_in_editor
from nemochat.tui.widgets.attachments import AttachmentsPane
from nemochat.tui.widgets.conversations import ConversationsDrawer
from nemochat.tui.widgets.prompt import Prompt
from nemochat.tui.widgets.side import SidePanes
from nemochat.tui.widgets.status import StatusLine, state_words
from nemochat.tui.widgets.tools import ToolsPane
from nemochat.tui.widgets.transcript import Transcript
from nemochat.tui.workbench import Workbench

EMPTY = Content.assemble(
    ("nemochat", "bold $text-primary"),
    "\n\nTalk with a model that sees, on your own machine.\n\n",
    ("Drop a picture here and ask about it, or just write.\n/ shows the commands, F1 the keys.", "$text-muted"),
)
"""What an empty conversation shows."""
NARROW = 100
"""Below this width the side panes are a drawer."""


class ChatScreen(ChatDesk):
    """One conversation at a time with one model at a time."""

    CSS_PATH = "chat.tcss"
    AUTO_FOCUS = "PromptArea"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Stop / back", show=False, id="chat.stop", tooltip="Stop the reply; close the drawer; to the prompt"),
        Binding("ctrl+n", "command('new')", "New chat", id="chat.new", tooltip="Begin a new chat; this one stays in the list"),
        Binding("ctrl+r", "command('open')", "Chats", id="chat.open", tooltip="The list of your chats"),
        Binding("ctrl+f", "command('search')", "Search", id="chat.search", tooltip="Search in every chat"),
        Binding("ctrl+o", "command('image')", "Attach", id="chat.attach", tooltip="Choose a picture"),
        Binding("f2", "side", "Panes", id="chat.panes", tooltip="Show or hide attachments, tools and context"),
        Binding("f3", "command('model')", "Model", id="chat.model", tooltip="Choose the model"),
        Binding("f4", "command('settings')", "Settings", id="chat.settings", tooltip="Change settings"),
        Binding("ctrl+enter", "command('regen')", "Another reply", show=False, id="chat.regenerate", tooltip="Make the last reply anew"),
        Binding("ctrl+up", "edit_last", "Edit last", show=False, id="chat.edit_last", tooltip="Edit your last message and send it again"),
        Binding("f5", "command('persona')", "Persona", id="chat.persona", tooltip="Choose whom the model plays"),
        Binding("ctrl+t", "command('stats')", "Figures", show=False, id="chat.stats", tooltip="Time to first token, here and in all chats"),
        Binding("f8", "command('paste')", "Paste picture", show=False, id="chat.paste_picture", tooltip="Attach the clipboard's picture"),
    ]

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self.bench = bench
        self.holder = SessionHolder(bench, self._model_loads, self._tell_notices)
        self.stage = Stage(self)
        self.turns = TurnRunner(self.stage, self.stage.start)
        self.dropping = Dropping(self)
        self.incomings = Incomings(self.holder.ready, self.dropping.changed, self.dropping.failed)
        self.conversations: Conversations = Conversations(self)
        self.roleplay: Roleplay = Roleplay(self)
        self.titles: Titles = Titles(self)
        self.tooling: Tooling = Tooling(self)
        self.documents: Documents = Documents(self)
        self.servers: Servers = Servers(self)
        self.holder.save, self.holder.toolbox, self.holder.find_passages = (
            self.conversations.save,
            self.tooling.toolbox,
            self.documents.find,
        )
        self.aid = TypingAid(bench.paths, self._choices)
        self.ahead = Ahead(self)
        self.composer = Composer(self)
        self.slash = Slash(self)
        # Held, not looked up: what is drawn when the screen has gone is no failure.
        self.drawer = ConversationsDrawer()
        self.transcript = Transcript(empty=EMPTY)
        self.prompt = Prompt(
            find_drops=self.aid.find_drops, take_drop=self.dropping.take, complete=self.aid.complete, history=self.aid.history
        )
        self.side = SidePanes(pictures=bench.pictures)
        self.status = StatusLine()

    # -- what is on it

    def compose(self) -> ComposeResult:
        """Conversation and prompt, the panes beside them, the status line below."""
        with Horizontal(id="main"):
            yield self.drawer
            with Vertical(id="talk"):
                yield self.transcript
                yield self.prompt
            yield self.side
        yield self.status

    def on_mount(self) -> None:
        """Show everything empty, bring the unfinished draft back, and open the model."""
        self.side.set_narrow(self.app.size.width < NARROW)
        self.conversations.drawer.set_narrow(self.app.size.width < NARROW)
        self.side.display = self.bench.settings.interface.side_panes
        self.draw()
        if draft := self.aid.draft.load():
            self.prompt.load_text(draft)
        self._tell_notices()
        self.tooling.begin()
        self.holder.chat = self.tooling.fresh(self.chat)
        self.open_model(None)
        if self.bench.resume is not None:
            self.slash.in_background(partial(self.conversations.resume, self.bench.resume))

    async def on_unmount(self) -> None:
        """The program ends: what came of a reply under way is kept, and the engine ends."""
        for worker in self.workers:
            if worker.node is self and worker.group != "turns":
                worker.cancel()
        await self.ahead.warming.close()
        await self.turns.leave()
        await self.conversations.save(self.chat)
        await self.holder.close()
        await self.bench.close_servers()

    def on_resize(self, event: Resize) -> None:
        """The panes become a drawer on a narrow screen."""
        self.side.set_narrow(event.size.width < NARROW)
        self.conversations.drawer.set_narrow(event.size.width < NARROW)

    @property
    def chat(self) -> Chat:
        """The conversation as a value."""
        return self.holder.chat

    # -- drawing

    def draw(self) -> None:
        """Make the screen equal to the conversation, and ask for the numbers that only the engine knows."""
        self.draw_transcript(self.chat.entries)
        self.draw_side()
        self.draw_status()
        self.sub_title = self.chat.title
        self.ahead.count(0)

    def draw_transcript(self, entries: tuple[Entry, ...]) -> None:
        """The messages."""
        chat = self.chat
        system = f"{chat.persona.name}: {chat.persona.summary}".rstrip(": ") if chat.persona is not None else chat.frame.system
        self.transcript.show(entries, self.view, self.holder.model_name or "the model", system=system, alternatives=chat.counters)

    @property
    def speaker(self) -> str:
        """Who replies."""
        return self.chat.persona.name if self.chat.persona is not None else self.holder.model_name

    def draw_side(self) -> None:
        """The panes."""
        self.side.attachments.show(self.dropping.shown())
        self.tooling.draw()
        self.side.context.show(self.view)

    def draw_status(self) -> None:
        """The status line, and what Enter will do."""
        self.stage.draw_status()

    def set_state(self, words: str) -> None:
        """What the engine is doing, in words."""
        self.stage.set_state(words)

    def counted(self) -> None:
        """New numbers came (nemochat.tui.ahead)."""
        if not self.turns.is_running:
            self.draw_transcript(self.chat.entries)
        self.side.context.show(self.view)
        self.draw_status()

    @property
    def view(self) -> ContextView | None:
        """How the window is filled, as far as it is known."""
        return self.ahead.view

    # -- models

    @work(exclusive=True, group="model")
    async def open_model(self, name: str | None) -> None:
        """Open a model, by name or path, or the one in use; on failure say why and offer the demo model."""
        self.set_state("loading the model")
        self.ahead.warming.stop()
        try:
            session = await self.holder.open(name)
        except NemochatError as error:
            self.stage.settle()
            self.draw()
            await self.slash.offer_models(error)
            return
        self.stage.settle()
        self.background(self.tooling.count, "costs")
        if name is not None:
            self.bench.use_model(session.model_name)
        self.draw()
        self.ahead.opened()

    def _tell_notices(self) -> None:
        """What was found when files were read; also why a model that is about to be loaded may not fit."""
        for notice in self.bench.take_notices():
            self.say(notice)

    def _model_loads(self, progress: Progress) -> None:
        if not self.turns.is_running:
            self.set_state(state_words(progress))

    # -- what the user does in the prompt

    @on(Prompt.Submitted)
    def _submitted(self, event: Prompt.Submitted) -> None:
        self.composer.submit(event.text, event.tokens, event.drop)

    @on(Prompt.Changed)
    def _changed(self, event: Prompt.Changed) -> None:
        self.transcript.typed()
        self.aid.keep_draft(self, self.prompt.plain_text)
        self.ahead.typed()

    @on(Prompt.TokenRemoved)
    def _token_removed(self, event: Prompt.TokenRemoved) -> None:
        self.dropping.remove(event.key)

    @on(Prompt.Notice)
    def _notice(self, event: Prompt.Notice) -> None:
        self.say(event.text)

    def action_edit_last(self) -> None:
        """Edit the user's last message."""
        self.composer.edit_last()

    @on(Prompt.EditInEditor)
    def _edit_in_editor(self, event: Prompt.EditInEditor) -> None:
        written = edit_in_editor(self, event.text)
        if written is not None:
            self.prompt.replace_text(written)

    @on(Prompt.Swipe)
    def _swipe(self, event: Prompt.Swipe) -> None:
        last = len(self.chat.entries) - 1
        if last >= 0 and self.chat.entries[last].message.role is Role.ASSISTANT and not self.turns.is_running:
            self.run_worker(message_actions.act(self, last, "swipe_right" if event.to_right else "swipe_left"), group="actions")

    @on(Prompt.Unqueue)
    def _unqueue(self, event: Prompt.Unqueue) -> None:
        self.composer.unqueue(event.index)

    @on(Prompt.Escape)
    async def action_leave(self) -> None:
        """Esc: stop the reply, else give up an edit, else close the drawer, else go to the prompt. Nothing is ever lost by it."""
        if self.turns.is_running:
            await self.turns.stop()
        elif self.composer.is_editing:
            self.composer.give_up_edit()
        elif self.side.is_open:
            self.side.toggle()
        elif self.conversations.drawer.is_open:
            self.conversations.drawer.toggle()
        else:
            self.prompt.focus_area()

    # -- pictures

    @on(AttachmentsPane.Removed)
    def _remove_picture(self, event: AttachmentsPane.Removed) -> None:
        self.dropping.remove(event.key)

    @on(AttachmentsPane.Moved)
    def _move_picture(self, event: AttachmentsPane.Moved) -> None:
        self.dropping.move(event.key, event.offset)

    @on(AttachmentsPane.Opened)
    def _open_picture(self, event: AttachmentsPane.Opened) -> None:
        self.dropping.enlarge(event.key)

    @on(AttachmentsPane.AttachRequested)
    def _attach_requested(self) -> None:
        self.action_command("image")

    # -- the drawer of conversations

    @on(ConversationsDrawer.Action)
    def _drawer_action(self, event: ConversationsDrawer.Action) -> None:
        self.slash.in_background(partial(self.conversations.act, event.conversation, event.name))

    @on(ConversationsDrawer.Search)
    def _drawer_search(self, event: ConversationsDrawer.Search) -> None:
        self.slash.in_background(partial(self.conversations.search, event.words))

    @on(ConversationsDrawer.New)
    def _drawer_new(self) -> None:
        self.action_command("new")

    @on(ConversationsDrawer.Left)
    def _drawer_left(self) -> None:
        self.prompt.focus_area()

    @on(ToolsPane.Toggled)
    def _tool_toggled(self, event: ToolsPane.Toggled) -> None:
        self.tooling.toggle(event.name, event.enabled)

    # -- messages (nemochat.tui.message_actions.Desk)

    @on(Transcript.Action)
    def _message_action(self, event: Transcript.Action) -> None:
        self.run_worker(message_actions.act(self, event.index, event.name), group="actions")

    @on(Transcript.LinkClicked)
    def _link_clicked(self, event: Transcript.LinkClicked) -> None:
        self.slash.open_link(event.url)

    # -- keys

    def action_command(self, name: str) -> None:
        """What the slash command of that name does."""
        self.slash.invoke(name)

    def action_write(self, text: str) -> None:
        """Begin to write in the prompt."""
        self.prompt.write(text)

    def action_side(self) -> None:
        """Show or hide the panes."""
        self.side.toggle()

    def _choices(self) -> dict[str, list[str]]:
        return {
            "model": [choice.name for choice in self.bench.models()],
            "theme": sorted(self.app.available_themes),
            "persona": [],
        }

