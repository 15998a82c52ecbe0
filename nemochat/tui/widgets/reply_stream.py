"""A reply while it streams: text in, Markdown blocks and tool-call lines out, at most ten times a second."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from textual.content import Content
from textual.events import Click
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from nemochat.domain.messages import Part, ReasoningPart, TextPart, ToolCallPart
from nemochat.domain.sanitize import sanitize
from nemochat.numbers import duration, plural
from nemochat.prompt.replies import ends_open
from nemochat.tui.widgets import markdown_blocks
from nemochat.tui.widgets.reply_text import ReplyText

if TYPE_CHECKING:
    from nemochat.tui.widgets.message import MessageView

FLUSH_SECONDS = 0.1
TYPING_SECONDS = 0.25
"""For how long after a key another one is expected."""
ECHO_SECONDS = 0.025
"""How long the echo of a key takes to be drawn, with some room."""


class ToolCallLine(Static):
    """One line a call: what the model asks for."""

    ALLOW_SELECT = True
    DEFAULT_CSS = """
    ToolCallLine { height: auto; text-wrap: nowrap; text-overflow: ellipsis; margin: 0 0 1 0; color: $text-muted; }
    """

    def __init__(self, part: ToolCallPart, *, was_cut: bool = False) -> None:
        super().__init__(markup=False)
        self._part = part
        self.tell(was_cut=was_cut)

    def tell(self, *, was_cut: bool) -> None:
        """Say what became of it; was_cut: the reply ended in the middle of this call."""
        lines = [f"⚙ {_call_text(call.name, call.arguments)}" for call in self._part.calls]
        if not lines:
            why = "was cut" if was_cut else "could not be read"
            lines = [f"⚙ a tool call that {why}: {sanitize(self._part.verbatim, strict=True).strip()}"]
        self.update(Content("\n".join(lines)))


class ThoughtLine(Static):
    """What the model thought before it spoke: one line, and all of it after a click."""

    ALLOW_SELECT = True
    DEFAULT_CSS = """
    ThoughtLine { height: auto; margin: 0 0 1 0; color: $text-muted; }
    ThoughtLine.-open { border-left: outer $surface-lighten-1; padding: 0 0 0 1; }
    """

    def __init__(self, part: ReasoningPart, *, is_streaming: bool = False) -> None:
        super().__init__(markup=False)
        self._part, self._is_streaming, self._began = part, is_streaming, time.monotonic()
        self._draw()

    def add(self, text: str) -> None:
        """The model thinks on."""
        self.set_part(msgspec.structs.replace(self._part, text=self._part.text + text))

    def set_part(self, part: ReasoningPart) -> None:
        """Show this."""
        self._part = part
        self._draw()

    def end(self) -> None:
        """The model speaks now, or has ended."""
        if self._is_streaming:
            self._is_streaming = False
            self.set_part(msgspec.structs.replace(self._part, seconds=time.monotonic() - self._began))

    def toggle(self) -> None:
        """Show all of it, or one line."""
        self.toggle_class("-open")
        self._draw()

    def on_click(self, event: Click) -> None:
        """A click opens and closes it."""
        event.stop()
        self.toggle()

    def _draw(self) -> None:
        part = self._part
        if self._is_streaming:
            words = f"Thinking … {duration((time.monotonic() - self._began) * 1000)}"
        else:
            words = "Thought" if part.seconds is None else f"Thought for {duration(part.seconds * 1000)}"
            words += "" if part.tokens is None else f" · {plural(part.tokens, 'token')}"
        is_open = self.has_class("-open")
        head = f"{'▾' if is_open else '▸'} {words}"
        self.update(Content(f"{head}\n{sanitize(part.text).strip()}" if is_open else head))


class WaitingLine(Static):
    """What is happening while there is no text yet."""

    DEFAULT_CSS = "WaitingLine { height: auto; color: $text-muted; text-style: italic; margin: 0 0 1 0; }"

    def __init__(self, text: str) -> None:
        super().__init__(Content(text), markup=False)


class ReplyStream:
    """Streams one reply into the message that `open` names, behind the widgets that are there.

    `append` only collects; a flush follows at once when the last one is `FLUSH_SECONDS` ago, and when that time has come otherwise.
    Nothing is held back by `finish`. All that mounts runs in the order of `driver`'s messages, where also `open` and `finish`
    must be called.
    """

    def __init__(self, driver: Widget) -> None:
        self.home: MessageView | None = None
        """The message that is written, None before it has a place."""
        self._driver = driver
        self._pending: list[Part] = []
        self._open = ""
        self._segment: ReplyText | None = None
        self._thought: ThoughtLine | None = None
        self._segment_source: list[str] = []
        self._has_references = False
        self._parts: list[Part] = []
        self._waiting_for = ""
        self._waiting: WaitingLine | None = None
        self._timer: Timer | None = None
        self._last_flush = 0.0
        self._typed_at = float("-inf")
        self._is_finished = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of what was shown so far, adjacent texts joined."""
        return joined(self._parts)

    async def open(self, home: MessageView, before: Iterable[Part] = ()) -> None:
        """Begin in this message; `before` is what the reply goes on from."""
        self.home = home
        await self._show(before)
        if self._pending:
            await self.flush()

    def wait_for(self, text: str) -> None:
        """Say what is happening. Once there is text this does nothing."""
        if self._parts or self._pending:
            return
        self._waiting_for = sanitize(text, strict=True)
        self._driver.call_later(self._show_waiting)

    def append(self, parts: Iterable[Part]) -> None:
        """Take a piece of the reply."""
        if new := joined(parts):
            self._pending += new
            if self._timer is None:
                self._schedule()

    def typed(self) -> None:
        """The user has typed: what was collected is shown right behind the echo of that key, so that the next one meets no layout."""
        self._typed_at = time.monotonic()
        if self._pending:
            if self._timer is not None:
                self._timer.stop()
            self._schedule(behind_key=True)

    def _schedule(self, *, behind_key: bool = False) -> None:
        """Set the timer for the next flush."""
        now = time.monotonic()
        due = self._last_flush + FLUSH_SECONDS - now
        if behind_key and due <= ECHO_SECONDS:
            delay = ECHO_SECONDS
        elif now - self._typed_at < TYPING_SECONDS:
            delay = max(due, 0) + TYPING_SECONDS  # the next key brings it forward
        else:
            delay = max(due, 0.001)
        self._timer = self._driver.set_timer(delay, self.flush)

    async def flush(self) -> None:
        """Show what has been collected."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self.home is None or not self.home.is_attached:
            return  # the message has no place yet; `open` shows what has come by then
        parts = joined(self._pending)
        self._pending.clear()
        await self._show(parts)
        self._last_flush = time.monotonic()

    async def finish(self) -> None:
        """The reply has ended, in whatever way: show all that was held back, and render what was still open."""
        await self.flush()
        await self._close_segment()
        if self._thought is not None:
            self._thought.end()
        await self._remove_waiting()
        self._is_finished = True

    async def _show_waiting(self) -> None:
        if self.home is None or not self.home.is_attached or self._parts or self._pending or self._is_finished:
            return
        if self._waiting is None:
            self._waiting = WaitingLine(self._waiting_for)
            await self.home.mount(self._waiting)
        else:
            self._waiting.update(Content(self._waiting_for))

    async def _show(self, parts: Iterable[Part]) -> None:
        """Add parts, all of them in one repaint."""
        if (home := self.home) is None:
            return
        with home.app.batch_update():
            for part in parts:
                await self._remove_waiting()
                self._parts.append(part)
                match part:
                    case TextPart(text):
                        await self._add_text(home, text)
                    case ToolCallPart():
                        await self._close_segment()
                        await home.mount(ToolCallLine(part))
                    case ReasoningPart():
                        await self._add_thought(home, part)

    async def _add_thought(self, home: MessageView, part: ReasoningPart) -> None:
        if self._thought is None or self._segment is not None:
            await self._close_segment()
            self._thought = ThoughtLine(part, is_streaming=True)
            await home.mount(self._thought)
        else:
            self._thought.add(part.text)

    async def _add_text(self, home: MessageView, text: str) -> None:
        if self._thought is not None:
            self._thought.end()
            self._thought = None
        if self._segment is None:
            self._segment = ReplyText()
            await home.mount(self._segment)
        self._segment_source.append(text)
        self._open += text
        cut = markdown_blocks.split(self._open)
        self._has_references |= cut.has_references
        self._open = cut.open
        await self._segment.add(cut.finished, cut.open, is_fence=cut.is_fence)

    async def _close_segment(self) -> None:
        """End a run of text, where a tool call or the end of the reply follows."""
        if self._segment is None:
            return
        # A definition may stand in what was left open, or in text whose blocks were rendered before it came.
        if self._has_references or markdown_blocks.split(self._open + "\n\n").has_references:
            await self._segment.replace("".join(self._segment_source))
        else:
            await self._segment.close(self._open)
        self._segment, self._open, self._has_references = None, "", False
        self._segment_source.clear()

    async def _remove_waiting(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            await waiting.remove()


def widgets_of(parts: Sequence[Part], *, is_cut: bool = False) -> list[Widget]:
    """The same as streaming ends with, made at once: Markdown for each run of text, a line for each tool call and for what was thought.

    is_cut: the reply ended in the middle of a call.
    """
    made: list[Widget] = []
    for part in parts:
        match part:
            case TextPart(text):
                made.append(ReplyText(text))
            case ToolCallPart():
                made.append(ToolCallLine(part, was_cut=is_cut and part is parts[-1]))
            case ReasoningPart():
                made.append(ThoughtLine(part))
    return made


def joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Sanitised parts with adjacent texts made one, adjacent thoughts too, and empty ones left out."""
    result: list[Part] = []
    for part in parts:
        if not isinstance(part, TextPart | ReasoningPart):
            result.append(part)
        elif text := sanitize(part.text):
            if result and isinstance(last := result[-1], TextPart | ReasoningPart) and type(last) is type(part):
                text = last.text + text
                result.pop()
            result.append(msgspec.structs.replace(part, text=text))
    return tuple(result)


def left_open(parts: Sequence[Part]) -> Sequence[Part]:
    """What is shown of a reply that goes on: a call in the middle of which it ends comes again when it is whole."""
    return parts[:-1] if ends_open(parts) else parts


def looks(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts as far as a streamed reply can show them: how long was thought is known at the end."""
    return tuple(ReasoningPart(part.text) if isinstance(part, ReasoningPart) else part for part in parts)


def _call_text(name: str, arguments: dict[str, Any]) -> str:
    """``name(key="value")`` on one line."""
    shown = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False, default=str)}" for key, value in arguments.items())
    return sanitize(f"{name}({shown})", strict=True)
