"""A turn as the user sees it: what is being done, the reply as it comes, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from nemochat.chat import ChatSession, RoundEnded, ToolRun, ToolsAnswered, ToolState, TurnResult
from nemochat.domain.events import FinishReason, Progress, TextDelta
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.tui.numbers import plural
from nemochat.tui.turns import Job
from nemochat.tui.widgets.hint_line import PromptState
from nemochat.tui.widgets.status import StatusView, state_words

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

READY = "ready"
NO_MODEL = "press F3 to choose one"


class Stage:
    """Shows turns on the chat screen (nemochat.tui.turns.Stage), and keeps the status line."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self.state = "loading the model"
        """What the engine is doing, in words."""
        self._last: TurnResult | None = None
        self._forgotten = 0
        self._job: Job | None = None
        self._draft: list[str] = []

    def start(self, serve: Awaitable[None]) -> object:
        """Serve the queue in the background."""
        return self._screen.run_worker(serve, group="turns")

    # -- the status line

    def set_state(self, words: str) -> None:
        """What the engine is doing, in words."""
        self.state = words
        self.draw_status()

    def settle(self) -> None:
        """Nothing is being done."""
        self.state = READY if self._screen.holder.is_loaded else NO_MODEL

    def draw_status(self) -> None:
        """The status line, and what Enter will do."""
        screen = self._screen
        records = [entry.record for entry in screen.chat.entries if entry.record is not None]
        ttfts = tuple(record.result.ttft_ms for record in records if record.result.ttft_ms is not None)
        used, limit = (screen.view.used, screen.view.limit) if screen.view else (0, 0)
        name = screen.holder.model_name or "no model"
        last = self._last or (records[-1].result if records else None)
        screen.status.show(StatusView(name, self.state, used, limit, last, ttfts))
        screen.prompt.state = self._prompt_state()

    def chat_changed(self) -> None:
        """Another conversation: the figures of the last reply are those of its own."""
        self._last = None
        if self.state.startswith("stopped"):
            self.settle()

    def _prompt_state(self) -> PromptState:
        if self._screen.composer.is_editing:
            return PromptState.EDITS
        if self._screen.turns.is_running:
            return PromptState.QUEUES
        return PromptState.SENDS if self._screen.holder.is_loaded else PromptState.WAITS

    # -- turns

    async def session_ready(self) -> ChatSession:
        """The session, as soon as there is one and it has nothing else to do."""
        await self._screen.titles.stop()
        return await self._screen.holder.ready()

    def turn_begins(self, job: Job) -> None:
        """Its place in the conversation opens."""
        self._job = job
        self._draft = []
        self._screen.ahead.warming.stop()
        self._forgotten = len(self._screen.view.forgotten) if self._screen.view else 0
        self.set_state("waiting for the picture" if any(not item.attachment for item in self._screen.incomings.items) else "starting")

    def turn_opens(self) -> None:
        """Show what was said, and that a reply begins."""
        job, screen = self._job, self._screen
        if job is None or job.drafts:
            return
        screen.draw_transcript(screen.chat.entries[: job.keeps])
        screen.transcript.begin_reply(screen.speaker, continues=job.continues)
        screen.transcript.waiting(self.state)

    def turn_reports(self, event: Progress | TextDelta | ToolRun | RoundEnded | ToolsAnswered) -> None:
        """Progress in words, text into the conversation or the prompt, calls into the tools' pane."""
        screen = self._screen
        match event:
            case Progress():
                words = state_words(event)
                screen.transcript.waiting(words)
                self.set_state(words)
            case TextDelta():
                self._take_text(event)
            case RoundEnded():
                screen.transcript.end_reply()
                screen.draw_transcript(screen.chat.entries)
            case ToolRun():
                running = event.state in (ToolState.ASKED, ToolState.RUNNING)
                self.set_state(f"running {sanitize(event.name, strict=True)}" if running else "reading the result")
                screen.tooling.noted(event)
            case ToolsAnswered():
                screen.tooling.settled()
                screen.draw_transcript(screen.chat.entries)
                screen.transcript.begin_reply(screen.speaker)
                screen.transcript.waiting(self.state)

    def _take_text(self, event: TextDelta) -> None:
        if self.state != "writing":
            self.set_state("writing")
        if self._job is not None and self._job.drafts:
            self._draft.append(event.text)
            self._screen.prompt.replace_text("".join(self._draft).lstrip())
        else:
            self._screen.transcript.append(event.text)

    def turn_ends(self, result: TurnResult | None, error: NemochatError | None) -> None:
        """Show what came of it and its figures."""
        screen = self._screen
        screen.transcript.end_reply()
        self._last = result or self._last
        self.settle()
        if error is not None:
            self.state = "stopped: the reply failed"
            screen.complain(error)
        elif result is not None and result.reason is FinishReason.CANCELLED and result.text:
            self.state = "stopped by you"
        if result is not None and len(result.forgotten) > self._forgotten:
            read = plural(result.usage.evaluated_tokens, "token")
            gone = plural(len(result.forgotten), "message")
            screen.say(f"The window was full: the model no longer sees {gone}; {read} were read for this reply.")
        screen.tooling.settled()
        screen.conversations.save_soon()
        screen.ahead.replied()
        screen.titles.soon()
        screen.call_after_refresh(screen.draw)

    def queue_changed(self, labels: tuple[str, ...]) -> None:
        """The messages that wait."""
        self._screen.prompt.queued = labels
