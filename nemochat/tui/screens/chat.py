"""The chat screen: conversation, prompt, side panes and status line. It draws what the session says and hands on what the user does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen

from nemochat.chat import Chat, ChatSession, ContextView, Entry, TurnResult
from nemochat.domain.events import FinishReason, Progress, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Message
from nemochat.domain.sampling import Sampling
from nemochat.errors import NemochatError
from nemochat.tui import clipboard, message_actions
from nemochat.tui.ahead import Ahead
from nemochat.tui.attaching import Incomings
from nemochat.tui.composer import Composer
from nemochat.tui.dropping import Dropping
from nemochat.tui.holder import SessionHolder
from nemochat.tui.numbers import count
from nemochat.tui.screens.dialogs import Choose, Menu, PictureScreen, Read, Write
from nemochat.tui.shelf import Shelf
from nemochat.tui.slash import Slash
from nemochat.tui.turns import Job, TurnRunner
from nemochat.tui.typing_aid import TypingAid, edit_in_editor
from nemochat.tui.widgets.attachments import AttachmentsPane
from nemochat.tui.widgets.prompt import Prompt, PromptState
from nemochat.tui.widgets.side import SidePanes
from nemochat.tui.widgets.status import StatusLine, StatusView, state_words
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


class ChatScreen(Screen[None]):
    """One conversation at a time with one model at a time."""

    CSS_PATH = "chat.tcss"
    AUTO_FOCUS = "PromptArea"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Stop / back", show=False, id="chat.stop", tooltip="Stop the reply; close the drawer; to the prompt"),
        Binding("ctrl+n", "command('new')", "New chat", id="chat.new", tooltip="Begin a new chat; this one stays in the list"),
        Binding("ctrl+r", "command('open')", "Open", id="chat.open", tooltip="Go to another chat"),
        Binding("ctrl+o", "command('image')", "Attach", id="chat.attach", tooltip="Choose a picture"),
        Binding("f2", "side", "Panes", id="chat.panes", tooltip="Show or hide attachments, tools and context"),
        Binding("f3", "command('model')", "Model", id="chat.model", tooltip="Choose the model"),
        Binding("f4", "command('settings')", "Settings", id="chat.settings", tooltip="Change settings"),
        Binding("ctrl+enter", "command('regen')", "Another reply", show=False, id="chat.regenerate", tooltip="Make the last reply anew"),
        Binding("ctrl+up", "edit_last", "Edit last", show=False, id="chat.edit_last", tooltip="Edit your last message and send it again"),
        Binding("f8", "command('paste')", "Paste picture", show=False, id="chat.paste_picture", tooltip="Attach the clipboard's picture"),
    ]

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self.bench = bench
        self.holder = SessionHolder(bench, self._model_loads)
        self.turns = TurnRunner(self, self._start)
        self.dropping = Dropping(self)
        self.incomings = Incomings(self.holder.ready, self.dropping.changed, self.dropping.failed)
        self.shelf = Shelf()
        self.aid = TypingAid(bench.paths, self._choices)
        self.ahead = Ahead(self)
        self.composer = Composer(self)
        self.slash = Slash(self)
        self._state = "loading the model"
        self._last: TurnResult | None = None
        self._forgotten = 0
        self._continues = False

    # -- what is on it

    def compose(self) -> ComposeResult:
        """Conversation and prompt, the panes beside them, the status line below."""
        with Horizontal(id="main"):
            with Vertical(id="talk"):
                yield Transcript(empty=EMPTY)
                yield Prompt(find_drops=self.aid.find_drops, complete=self.aid.complete, history=self.aid.history)
            yield SidePanes(pictures=self.bench.pictures)
        yield StatusLine()

    def on_mount(self) -> None:
        """Show everything empty, bring the unfinished draft back, and open the model."""
        self.side.set_narrow(self.app.size.width < NARROW)
        self.side.display = self.bench.settings.interface.side_panes
        self.draw()
        if draft := self.aid.draft.load():
            self.prompt.load_text(draft)
        for notice in self.bench.take_notices():
            self.say(notice)
        self.open_model(None)

    def on_resize(self, event: Resize) -> None:
        """The panes become a drawer on a narrow screen."""
        self.side.set_narrow(event.size.width < NARROW)

    @property
    def transcript(self) -> Transcript:
        """The conversation."""
        return self.query_one(Transcript)

    @property
    def prompt(self) -> Prompt:
        """Where the user writes."""
        return self.query_one(Prompt)

    @property
    def side(self) -> SidePanes:
        """Attachments, tools and context."""
        return self.query_one(SidePanes)

    @property
    def chat(self) -> Chat:
        """The conversation as a value."""
        return self.holder.chat

    # -- drawing

    def draw(self) -> None:
        """Make the screen equal to the conversation, and ask for the numbers that only the engine knows."""
        self._draw_transcript(self.chat.entries)
        self.draw_side()
        self.draw_status()
        self.sub_title = self.chat.title
        self.ahead.count(0)

    def _draw_transcript(self, entries: tuple[Entry, ...]) -> None:
        self.transcript.show(entries, self.view, self.holder.model_name or "the model", system=self.chat.frame.system)

    def draw_side(self) -> None:
        """The panes."""
        self.side.attachments.show(self.dropping.shown())
        self.side.tools.show((), ())
        self.side.context.show(self.view)

    def draw_status(self) -> None:
        """The status line, and what Enter will do."""
        records = [entry.record for entry in self.chat.entries if entry.record is not None]
        ttfts = tuple(record.result.ttft_ms for record in records if record.result.ttft_ms is not None)
        used, limit = (self.view.used, self.view.limit) if self.view else (0, 0)
        name = self.holder.model_name or "no model"
        self.query_one(StatusLine).show(StatusView(name, self._state, used, limit, self._last, ttfts))
        self.prompt.state = self._prompt_state()

    def _prompt_state(self) -> PromptState:
        if self.composer.is_editing:
            return PromptState.EDITS
        if self.turns.is_running:
            return PromptState.QUEUES
        return PromptState.SENDS if self.holder.is_loaded else PromptState.WAITS

    def set_state(self, words: str) -> None:
        """What the engine is doing, in words."""
        self._state = words
        self.draw_status()

    def say(self, text: str) -> None:
        """A short notice."""
        self.notify(text, markup=False, timeout=self.bench.settings.interface.notify_seconds)

    def complain(self, error: NemochatError) -> None:
        """One sentence about what failed, and what to do."""
        self.notify(error.hint or " ", title=error.message, severity="error", markup=False, timeout=12)

    def counted(self) -> None:
        """New numbers came (nemochat.tui.ahead)."""
        if not self.turns.is_running:
            self._draw_transcript(self.chat.entries)
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
        try:
            session = await self.holder.open(name)
        except NemochatError as error:
            self._state = "press F3 to choose one"
            self.draw()
            await self.slash.offer_models(error)
            return
        self._state = "ready"
        for notice in self.bench.take_notices():
            self.say(notice)
        if name is not None:
            self.bench.use_model(session.model_name)
        self.draw()

    def _model_loads(self, progress: Progress) -> None:
        if not self.turns.is_running:
            self.set_state(state_words(progress))

    # -- turns (nemochat.tui.turns.Stage)

    def _start(self, serve: Awaitable[None]) -> object:
        return self.run_worker(serve, group="turns")

    async def session_ready(self) -> ChatSession:
        """The session, as soon as there is one."""
        return await self.holder.ready()

    def turn_begins(self, job: Job) -> None:
        """Its place in the conversation opens."""
        self._continues = job.continues
        self._forgotten = len(self.view.forgotten) if self.view else 0
        self.set_state("waiting for the picture" if any(not item.attachment for item in self.incomings.items) else "starting")

    def turn_opens(self, message: Message | None) -> None:
        """Show what was said, and that a reply begins."""
        entries = self.chat.entries if message is None else (*self.chat.entries, Entry(message))
        self._draw_transcript(entries)
        self.transcript.begin_reply(self.holder.model_name, continues=self._continues)
        self.transcript.waiting(self._state)

    def turn_reports(self, event: Progress | TextDelta) -> None:
        """Progress in words, text into the conversation."""
        if isinstance(event, TextDelta):
            if self._state != "writing":
                self.set_state("writing")
            self.transcript.append(event.text)
        else:
            words = state_words(event)
            self.transcript.waiting(words)
            self.set_state(words)

    def turn_ends(self, result: TurnResult | None, error: NemochatError | None) -> None:
        """Show what came of it and its figures."""
        self.transcript.end_reply()
        self._last = result or self._last
        self._state = "ready" if self.holder.is_loaded else "press F3 to choose one"
        if error is not None:
            self._state = "stopped: the reply failed"
            self.complain(error)
        elif result is not None and result.reason is FinishReason.CANCELLED and result.text:
            self._state = "stopped by you"
        if result is not None and len(result.forgotten) > self._forgotten:
            read = count(result.usage.evaluated_tokens)
            gone = len(result.forgotten)
            self.say(f"The window was full: the model no longer sees {gone} messages; {read} tokens were read for this reply.")
        self.call_after_refresh(self.draw)

    def queue_changed(self, labels: tuple[str, ...]) -> None:
        """The messages that wait."""
        self.prompt.queued = labels

    # -- what the user does in the prompt

    @on(Prompt.Submitted)
    def _submitted(self, event: Prompt.Submitted) -> None:
        self.composer.submit(event.text, event.tokens)

    @on(Prompt.Changed)
    def _changed(self, event: Prompt.Changed) -> None:
        self.transcript.typed()
        self.aid.keep_draft(self, self.prompt.plain_text)
        self.ahead.count()

    @on(Prompt.TokenRemoved)
    def _token_removed(self, event: Prompt.TokenRemoved) -> None:
        self.dropping.remove(event.key)

    @on(Prompt.Dropped)
    def _dropped(self, event: Prompt.Dropped) -> None:
        self.dropping.take(event.drop)

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

    # -- messages (nemochat.tui.message_actions.Desk)

    @on(Transcript.Action)
    def _message_action(self, event: Transcript.Action) -> None:
        self.run_worker(message_actions.act(self, event.index, event.name), group="actions")

    @on(Transcript.LinkClicked)
    def _link_clicked(self, event: Transcript.LinkClicked) -> None:
        self.slash.open_link(event.url)

    def change_chat(self, chat: Chat) -> None:
        """Show and use another value of the conversation."""
        self.holder.chat = chat
        self.draw()

    def put_aside(self, chat: Chat) -> None:
        """Keep a conversation in the list."""
        self.shelf.put(chat)

    def submit(self, job: Job) -> None:
        """Run a turn."""
        self.turns.submit(job)

    def refuse_while_busy(self) -> bool:
        """Whether a reply is being written; says so."""
        if self.turns.is_running:
            self.say("A reply is being written: wait for it, or stop it with Esc.")
        return self.turns.is_running

    def edit_in_prompt(self, index: int) -> None:
        """Bring the user's message back into the prompt."""
        self.composer.edit(index)

    def copy(self, text: str) -> None:
        """To the clipboard, as far as the terminal allows; says what happened."""
        self._copy(text)

    @work(thread=True, group="copy")
    def _copy(self, text: str) -> None:
        """The programs that copy may take a while."""
        said = clipboard.copy(lambda copied: self.app.call_from_thread(self.app.copy_to_clipboard, copied), text)
        self.app.call_from_thread(self.say, said)

    async def ask(self, screen: Choose | Menu | Write | Read) -> str | None:
        """Show a dialog and wait for its answer (call it from a worker)."""
        return await self.app.push_screen_wait(screen)

    def apply_settings(self, changes: Mapping[str, object]) -> None:
        """Write settings and put into force what can be; the rest waits for the model to be loaded again."""
        try:
            for key, value in changes.items():
                self.bench.change_setting(key, value)
        except NemochatError as error:
            self.complain(error)
        settings = self.bench.settings
        if settings.interface.theme in self.app.available_themes:
            self.app.theme = settings.interface.theme
        else:
            self.say(f"There is no theme {settings.interface.theme}. /theme shows all.")
        self.app.set_keymap(settings.keys)
        self.side.display = settings.interface.side_panes
        if self.holder.session is not None:
            self.holder.session.sampling = Sampling(**msgspec.structs.asdict(settings.sampling))
        if any(key.startswith("engine.") for key in changes):
            self.say("The engine's settings apply when the model is loaded again: /model")
        self.draw()

    def in_background(self, screen: Choose, then: Callable[[str | None], None]) -> None:
        """Show a dialog; `then` gets its answer."""
        self.app.push_screen(screen, then)

    def show_picture(self, pixels: RgbImage) -> None:
        """A picture on a screen of its own."""
        self.app.push_screen(PictureScreen(pixels, self.bench.pictures))

    # -- keys

    def action_command(self, name: str) -> None:
        """What the slash command of that name does."""
        self.slash.invoke(name)

    def action_side(self) -> None:
        """Show or hide the panes."""
        self.side.toggle()

    def _choices(self) -> dict[str, list[str]]:
        return {
            "model": [choice.name for choice in self.bench.models()],
            "theme": sorted(self.app.available_themes),
            "open": [chat.title for chat in self.shelf.chats],
        }

