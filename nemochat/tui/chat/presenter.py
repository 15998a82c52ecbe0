"""Shows what the desk tells, and nothing before the screen is there or after it has gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual.message import Message
from textual.screen import Screen

from nemochat.chat import Entry, RoundEnded, ToolRun, ToolsAnswered, ToolState
from nemochat.desk import port
from nemochat.desk.desk import Desk
from nemochat.desk.port import Event, Wanted
from nemochat.domain.events import FinishReason, Progress, Stage, TextDelta
from nemochat.domain.messages import ReasoningPart
from nemochat.domain.replies import ALL_THOUGHT, TurnResult
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.numbers import count
from nemochat.tui.chat.asking import edit_in_editor, screen_for
from nemochat.tui.chat.faces import Faces
from nemochat.tui.panes.side import SidePanes
from nemochat.tui.screens.dialogs import Write
from nemochat.tui.widgets.conversations import ConversationsDrawer
from nemochat.tui.widgets.hint_line import PromptState
from nemochat.tui.widgets.prompt import Prompt
from nemochat.tui.widgets.status import StatusLine, StatusView, state_words
from nemochat.tui.widgets.transcript import Transcript
from nemochat.tui.widgets.transcript_notes import ShownSummary
from nemochat.tui.widgets.welcome import Welcome

READY = "ready"
NO_MODEL = "press F3 to choose one"
LOADING = "loading the model"


class QuestionComes(Message):
    """The key that is under way asks something as soon as that has been read: those behind it wait for the question."""


class QuestionStands(Message):
    """It is there, or will not come."""


class Presenter:
    """The desk's port (nemochat.desk.port.Port) on the chat screen. wanted: does what only the screen and the application can."""

    desk: Desk
    """What is shown; `attend` brings it."""
    faces: Faces
    """Portraits and colours."""

    def __init__(
        self,
        screen: Screen[None],
        transcript: Transcript,
        prompt: Prompt,
        side: SidePanes,
        drawer: ConversationsDrawer,
        status: StatusLine,
        welcome: Welcome,
        wanted: Callable[[Wanted], None],
    ) -> None:
        self._screen, self._transcript, self._prompt = screen, transcript, prompt
        self._side, self._drawer, self._status, self._welcome, self._wanted = side, drawer, status, welcome, wanted
        self._early: list[Event] | None = []
        """What was told before the screen was there; None from then on."""
        self._is_gone = False
        self.state = LOADING
        """What the engine is doing, in words."""
        self._ahead = self._before = ""
        """What the status line says of the reading ahead, and what it said before."""
        self._fetching = ""
        """What the status line says of a model that is on its way."""
        self._shown: tuple[object, ...] = ()
        self._ttfts: tuple[tuple[Entry, ...], tuple[float, ...], TurnResult | None] = ((), (), None)

    def attend(self, desk: Desk) -> None:
        """Know the desk, which is made with this as its port."""
        self.desk = desk
        self._side.attend(desk)
        self.faces = Faces(self._screen, self._transcript, desk.bench)

    def open(self) -> None:
        """The screen is there: draw all of it, then what was told meanwhile."""
        early, self._early = self._early or [], None
        self.draw()
        for event in early:
            self.tell(event)

    def close(self) -> None:
        """The screen goes: nothing is drawn any more."""
        self._is_gone = True

    # -- nemochat.desk.port.Port

    def tell(self, event: Event) -> None:
        """Show it."""
        if self._is_gone:
            return
        if self._early is not None:
            self._early.append(event)
            return
        self._side.tell(event)
        match event:
            case port.AboutToAsk():
                self._screen.app.post_message(QuestionComes())
            case port.Said(text):
                self._screen.notify(text, markup=False, timeout=self.desk.bench.settings.interface.notify_seconds)
            case port.Complained(error):
                self._screen.app.post_message(QuestionStands())
                self.complain(error)
            case port.Fetching(words):
                self._fetching = f" · ↓ {words}" if words else ""
                self.draw_status()
            case port.ChatOpened(node):
                self._opened(node)
            case port.ChatChanged():
                self._changed()
            case port.ChatsChanged():
                self._list_soon()
            case port.RolesChanged():
                self.faces.show(self.desk.chat)
            case port.SettingsChanged():
                self.faces.show()
                self._wanted(Wanted("settings"))
                self.draw()
            case Wanted("drawer"):
                self._toggle_drawer()
            case Wanted("message", node):
                self._go_to(int(node))
            case Wanted("prompt"):
                self._prompt.area.focus()
                self.draw_status()
            case Wanted():
                self._wanted(event)
            case _:
                self._tell_turn(event)
                self._tell_state(event)
                self._tell_draft(event)

    async def ask(self, ask: port.Ask) -> Any:
        """Show the question, and wait for its answer; None when the program ends first."""
        if isinstance(ask, port.AskEditor):
            return edit_in_editor(self._screen, ask)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answer(value: Any) -> None:
            if not answered.done():
                answered.set_result(value)

        app = self._screen.app
        screen = screen_for(ask, app, self.desk.bench.pictures, lambda text: self._wanted(Wanted("copy", text)))
        await app.push_screen(screen, answer)
        app.post_message(QuestionStands())
        given = await answered
        self.desk.draft.save_soon()
        if given is None and isinstance(screen, Write) and screen.unfinished.strip():
            self.desk.history.add(screen.unfinished)
            self.tell(port.Said("What you wrote is kept: Up in the empty prompt brings it."))
        return given

    def complain(self, error: NemochatError) -> None:
        """One sentence about what failed, and what to do."""
        self._screen.notify(error.hint or " ", title=error.message, severity="error", markup=False, timeout=12)

    # -- the whole

    def draw(self) -> None:
        """Make the screen equal to the desk."""
        self._draw_transcript(self.desk.chat.entries)
        self._side.draw(self.desk)
        self.draw_status()

    def _draw_transcript(self, entries: tuple[Entry, ...]) -> None:
        """The messages."""
        desk = self.desk
        chat, view = desk.chat, desk.reading.view
        system = f"{chat.persona.name}: {chat.persona.summary}".rstrip(": ") if chat.persona is not None else chat.cast or chat.frame.system
        self._shown = self._seen(entries)
        summary = chat.summary
        told = None if summary is None else ShownSummary(chat.shown[len(summary.covers)], summary.text, summary.is_on)
        name = desk.model.name or "the model"
        self._transcript.show(entries, view, name, system=system, alternatives=chat.counters, summary=told)

    def _seen(self, entries: tuple[Entry, ...]) -> tuple[object, ...]:
        """What the messages look like: drawn again when this is another."""
        view = self.desk.reading.view
        return (entries, self.desk.model.name, *((view.forgotten, view.excluded, view.forgotten_tokens) if view is not None else ()))

    def _draw_if_changed(self) -> None:
        entries = self.desk.chat.entries
        seen = self._seen(entries)
        is_same = len(seen) == len(self._shown) and seen[0] is self._shown[0] and seen[1:] == self._shown[1:]
        if not is_same and not self.desk.turns.is_running:
            self._draw_transcript(entries)

    def draw_status(self) -> None:
        """The status line, and what Enter will do."""
        desk, view = self.desk, self.desk.reading.view
        entries = desk.chat.entries
        if self._ttfts[0] is not entries:
            records = [entry.record for entry in entries if entry.record is not None]
            ttfts = tuple(record.result.ttft_ms for record in records if record.result.ttft_ms is not None)
            self._ttfts = entries, ttfts, records[-1].result if records else None
        used, limit, is_exact = (view.used, view.limit, view.is_exact) if view else (0, 0, True)
        last = desk.last or self._ttfts[2]
        model = desk.model
        name = model.name or ("no model" if model.is_missing else model.coming)
        state, ttfts = f"{self.state}{self._fetching}", self._ttfts[1]
        seen = StatusView(name, state, used, limit, last, ttfts, model.leaves, model.is_unprotected, is_exact, model.devices)
        self._status.view = seen
        self._prompt.state = self._prompt_state()
        self._welcome.is_demo, self._welcome.leaves = model.name == desk.bench.demo_model, model.leaves

    def _prompt_state(self) -> PromptState:
        if self.desk.draft.editing is not None:
            return PromptState.EDITS
        if self.desk.turns.is_running:
            return PromptState.QUEUES
        model = self.desk.model
        return PromptState.SENDS if model.is_loaded else PromptState.LACKS if model.is_missing else PromptState.WAITS

    def set_state(self, words: str) -> None:
        """What the engine is doing, in words."""
        self.state = words
        self.draw_status()

    def settle(self) -> None:
        """Nothing is being done."""
        model = self.desk.model
        self.set_state(READY if model.is_loaded else NO_MODEL if model.is_missing else LOADING)

    # -- conversations

    def _opened(self, node: int) -> None:
        self._prompt.queued = ()
        self.settle()
        self.draw()
        if node:
            self._go_to(node)

    def _changed(self) -> None:
        """Under a reply that is being written only its frame is drawn anew."""
        if not self.desk.turns.is_running:
            self.draw()

    def _go_to(self, node: int) -> None:
        index = self.desk.chat.index_of(node)
        if index is not None:
            self._transcript.go_to(index)

    def _toggle_drawer(self) -> None:
        if self._drawer.is_open and self._drawer.has_focus_within:
            self._drawer.leave()
            return
        self._drawer.open()
        self._list_soon()

    def _list_soon(self) -> None:
        """Bring the drawer up to date, in the background."""
        if self._drawer.is_open:
            self.desk.do(self._list)

    async def _list(self) -> None:
        rows = await self.desk.chats.rows()
        if not self._is_gone:
            self._drawer.show(rows, self.desk.conversation.id, time.time())

    # -- turns

    def _tell_turn(self, event: Event) -> None:
        match event:
            case port.TurnBegan(words):
                self.set_state(NO_MODEL if self.desk.model.is_missing else words)
            case port.TurnOpened(keeps, continues):
                self._draw_transcript((*self.desk.chat.entries[:keeps], *self.desk.turns.said()))
                self._begin_reply(continues=continues)
            case port.TurnSaid():
                self._transcript.end_reply()
                self._draw_transcript(self.desk.chat.entries)
                self._begin_reply()
            case port.TurnReported(reported):
                self._report(reported)
            case port.TurnEnded(result, error):
                self._ended(result, error)
            case port.QueueChanged(labels):
                self._prompt.queued = labels
                self.draw_status()

    def _begin_reply(self, *, continues: bool = False) -> None:
        turn = self.desk.turns.running
        if turn is not None and not turn.replies:
            return
        speaker = self.desk.chat.playing is not None and self.desk.speaker
        self._transcript.begin_reply(self.desk.speaker, continues=continues, speaker=speaker or "")
        self._transcript.waiting(self.state)

    def _report(self, event: Progress | TextDelta | ToolRun | RoundEnded | ToolsAnswered) -> None:
        """Progress in words, text into the conversation, calls into the tools' pane."""
        match event:
            case Progress():
                self._wait(state_words(event))
            case TextDelta():
                state = "thinking" if event.parts and isinstance(event.parts[-1], ReasoningPart) else "writing"
                if self.state != state and (event.parts or self.state != "thinking"):
                    self.set_state(state)
                self._transcript.append(event.parts)
            case RoundEnded():
                self._transcript.end_reply()
                self._draw_transcript(self.desk.chat.entries)
            case ToolRun():
                running = event.state in (ToolState.ASKED, ToolState.RUNNING)
                self.set_state(f"running {sanitize(event.name, strict=True)}" if running else "reading the result")
            case ToolsAnswered():
                self._draw_transcript(self.desk.chat.entries)
                self._begin_reply()

    def _wait(self, words: str) -> None:
        self._transcript.waiting(words)
        self.set_state(words)

    def _ended(self, result: TurnResult | None, error: NemochatError | None) -> None:
        """Show what came of it and its figures."""
        self._transcript.end_reply()
        self.settle()
        if error is not None:
            self.set_state("stopped: the reply failed")
            self.complain(error)
        elif result is not None and result.reason is FinishReason.CANCELLED and result.text:
            self.set_state("stopped by you")
        elif result is not None and result.is_all_thought:
            self._screen.notify(ALL_THOUGHT, severity="warning", markup=False)
        self._screen.call_after_refresh(self._draw_at_rest)

    def _draw_at_rest(self) -> None:
        """Unless the next turn has begun: what it shows stays."""
        if not self._is_gone and self.desk.turns.running is None:
            self.draw()

    # -- the engine

    def _tell_state(self, event: Event) -> None:
        is_busy = self.desk.turns.is_running
        match event:
            case port.ModelChanged(Progress() as progress):
                if is_busy:
                    self._wait(state_words(progress))
                else:
                    self.set_state(state_words(progress))
            case port.ModelChanged():
                if not is_busy:
                    self.settle()
                    self._draw_if_changed()
                elif self.desk.model.is_missing or self.state == NO_MODEL:  # what was sent waits for a model
                    self._wait(NO_MODEL if self.desk.model.is_missing else LOADING)
                else:
                    self.draw_status()
            case port.Working(words) if not is_busy:
                self.set_state(words) if words else self.settle()
            case port.ReadingAhead(progress) if not is_busy:
                self._read_ahead(progress)
            case port.ReadingAhead(Progress(stage=Stage.COMPILE) as progress):
                self._wait(state_words(progress))
            case port.EngineFailed(error):
                self.set_state(f"stopped: {error.message}")
            case port.Counted(view, tokens):
                self._prompt.token_count = tokens
                self._prompt.is_exact = view is None or view.is_exact
                if tokens is not None and view is not None:
                    self._prompt.reserve = view.reserve
                    self._prompt.room = view.limit - view.reserve - view.used
                    self._draw_if_changed()
                    self.draw_status()

    def _read_ahead(self, progress: Progress | None) -> None:
        """Softly: what was said before comes back."""
        if progress is None:
            if self.state == self._ahead:
                self.set_state(self._before)
            return
        if self.state != self._ahead:
            self._before = self.state
        is_text = progress.stage is Stage.PREFILL
        self._ahead = f"reading ahead {count(progress.done)} of {count(progress.total)}" if is_text else state_words(progress)
        self.set_state(self._ahead)

    # -- the draft

    def _tell_draft(self, event: Event) -> None:
        prompt = self._prompt
        match event:
            case port.DraftLoaded(text, tokens):
                self.desk.history.add(prompt.plain_text)  # whatever stands there: keys of the same burst are not in the draft yet
                prompt.load_text(text)
                for key, label in tokens:
                    prompt.area.insert_token(key, label)
                self.draw_status()
            case port.DraftPutBack(text, tokens, lead):
                prompt.area.put_back(text, tokens, lead)
                self.draw_status()
            case port.TextInserted(text):
                prompt.area.insert_pasted(text)
            case port.TokenAdded(key, label):
                prompt.area.insert_token(key, label)
            case port.TokenChanged(key, label):
                prompt.area.replace_token(key, label)
            case port.TokenRemoved(key):
                prompt.area.remove_token(key)
