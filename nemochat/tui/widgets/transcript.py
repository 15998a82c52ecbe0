"""The conversation on the screen, with the reply that is being written at its end.

All changes run one after another, in the order of the calls, in the widget's own message queue; so the methods can be called from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message as TextualMessage
from textual.reactive import reactive
from textual.widgets import Markdown

from nemochat.chat import ContextView, Entry
from nemochat.domain.messages import Message, Part, Role
from nemochat.domain.sanitize import sanitize
from nemochat.tui.widgets.message import MessageView, Standing
from nemochat.tui.widgets.message_window import MessageWindow
from nemochat.tui.widgets.reply_stream import ReplyStream, left_open
from nemochat.tui.widgets.transcript_notes import Jump, ShownSummary

_LINE_STEP = 3
_ROOM_FOR_PORTRAITS = 56


class Transcript(MessageWindow):
    """Shows a conversation. `empty` is what stands there while there is no message."""

    @dataclass
    class Action(TextualMessage):
        """The user wants something done with a message: a name as in the ids of the bindings, without ``message.``."""

        message_id: int
        name: str

    @dataclass
    class LinkClicked(TextualMessage):
        """A web address in a reply was clicked. It is not opened here."""

        url: str

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "step(1)", "Next", id="transcript.down", tooltip="Down: the rest of this message, then the next one", show=False),
        Binding("up", "step(-1)", "Previous", id="transcript.up", tooltip="Up: the rest of this message, then the one before", show=False),
        Binding("j", "go(1)", "Next message", id="transcript.next", tooltip="To the next message", show=False),
        Binding("k", "go(-1)", "Previous message", id="transcript.previous", tooltip="To the message before", show=False),
        Binding("pagedown", "page(1)", "Page down", id="transcript.page_down", tooltip="A screenful down", show=False),
        Binding("pageup", "page(-1)", "Page up", id="transcript.page_up", tooltip="A screenful up", show=False),
        Binding("home", "first", "First message", id="transcript.first", tooltip="To the first message", show=False),
        Binding("end", "last", "Last message", id="transcript.last", tooltip="To the last message, and follow new text", show=False),
    ]

    DEFAULT_CSS = """
    Transcript {
        layers: default signs; scrollbar-gutter: stable; scrollbar-size-vertical: 1;
        &.-roomy .portrait { display: block; }
        &.-roomy MessageView.-with-portrait { min-height: 4; }
    }
    """

    portraits: reactive[Mapping[str, bytes]] = reactive[Mapping[str, bytes]](dict)
    """Pictures of those who speak, by name: small PNG files."""
    accents: reactive[Mapping[str, str]] = reactive[Mapping[str, str]](dict)
    """By speaker: a colour that can be read on the theme's ground."""
    show_portraits: reactive[bool] = reactive(False)
    """Whether they stand beside the replies. Where the transcript is narrow they never do."""

    _stream: ReplyStream | None = None

    # -- what the caller tells

    def show(
        self,
        entries: Sequence[Entry],
        view: ContextView | None,
        model_name: str,
        *,
        system: str = "",
        alternatives: Mapping[int, tuple[int, int]] = {},
        summary: ShownSummary | None = None,
    ) -> None:
        """Make the display equal to these messages. Unchanged ones keep their widgets, also a reply that was just streamed.

        alternatives: of the messages that have any, by index, which one this is (from 1) and how many there are. summary: of the first
        messages.
        """
        self.call_later(self.change, tuple(entries), view, sanitize(model_name, strict=True), system, alternatives, summary)

    def begin_reply(self, model_name: str, *, continues: bool = False, speaker: str = "") -> None:
        """A reply begins below the messages, or at the end of the last one when it `continues`. The view goes there and follows.

        speaker: the persona that speaks, "" for the model itself.
        """
        self.end_reply()
        stream = self._stream = ReplyStream(self)
        self.call_later(self._begin, stream, sanitize(model_name, strict=True), continues, speaker)

    def waiting(self, text: str) -> None:
        """Say what is happening, until the first text comes."""
        if self._stream is not None:
            self._stream.wait_for(text)

    def append(self, parts: Iterable[Part]) -> None:
        """Take a piece of the reply."""
        if self._stream is not None:
            self._stream.append(parts)
            self.below.display = not self.is_following

    def typed(self) -> None:
        """The user types elsewhere: the stream makes way for the echo of the keys."""
        if self._stream is not None:
            self._stream.typed()

    def end_reply(self) -> None:
        """The reply has ended, in whatever way. Its widget stays until `show` brings its message."""
        if self._stream is not None:
            self.call_later(self._end, self._stream)
            self._stream = None

    def go_to(self, index: int) -> None:
        """Bring a message to the top and focus it."""
        self.call_later(self._go_to, index)

    def focus_last(self) -> None:
        """Focus the last message."""
        self.call_later(self._focus_last)

    # -- portraits

    def portrait_of(self, entry: Entry) -> bytes:
        """The picture beside a message: of the persona that replies, when pictures are wanted and can be drawn."""
        if not self.show_portraits or entry.message.role is not Role.ASSISTANT or not entry.speaker or self.app.no_color:
            return b""
        return self.portraits.get(entry.speaker, b"")

    def accent_of(self, entry: Entry) -> str:
        """The colour of the speaker's name, "" for the theme's."""
        return self.accents.get(entry.speaker, "") if entry.speaker and entry.message.role is Role.ASSISTANT else ""

    def watch_accents(self) -> None:
        """Other colours or pictures."""
        if self.is_mounted and self.entries:
            self.call_later(self._set_again)

    watch_portraits = watch_show_portraits = watch_accents

    def on_resize(self) -> None:
        """Where it is narrow, the words need the room."""
        self.set_class(self.outer_size.width >= _ROOM_FOR_PORTRAITS, "-roomy")

    async def _set_again(self) -> None:
        await self.set_window(self.first, self.stop)

    # -- what the user does

    def action_step(self, by: int) -> None:
        """Scroll within a message that does not fit, else go to the next one."""
        view = self.focused_view()
        region = None if view is None else self.region_of(view)
        if region is not None and (region.bottom > self.scroll_y + self.rows if by > 0 else region.y < self.scroll_y):
            self.scroll_relative(y=by * _LINE_STEP, animate=False, immediate=True)
        else:
            self.action_go(by)

    def action_go(self, by: int) -> None:
        """Focus the next message or the one before; after the last one go to the very end."""
        views = self.views
        if not views:
            return
        focused = self.focused_view()
        place = views.index(focused) + by if focused in views else len(views) - 1
        if place >= len(views):
            self.action_last()
        elif place >= 0:
            self.screen.set_focus(views[place], scroll_visible=False)
            self.reveal(views[place])
        else:
            self.scroll_home(animate=False)

    def action_page(self, by: int) -> None:
        """Scroll by a screenful, less one line."""
        self.scroll_relative(y=by * max(1, self.rows - 1), animate=False, immediate=True)

    def action_first(self) -> None:
        """To the first message. The focus goes along when it is on a message."""
        self.call_later(self._go_to, 0, takes_focus=self.focused_view() is not None)

    def action_last(self) -> None:
        """To the last message, and follow what comes."""
        self.call_later(self._go_to_end)

    @on(MessageView.Asked)
    def _pass_on(self, event: MessageView.Asked) -> None:
        event.stop()
        self.post_message(self.Action(event.view.entry.id, event.name))

    @on(Jump.Clicked)
    def _jump(self, event: Jump.Clicked) -> None:
        event.stop()
        if event.jump is self.earlier:
            self.action_first()
        else:
            self.action_last()

    @on(Markdown.LinkClicked)
    def _link(self, event: Markdown.LinkClicked) -> None:
        event.stop()
        url = sanitize(event.href, strict=True)
        if urlsplit(url).scheme in ("http", "https"):
            self.post_message(self.LinkClicked(url))
        else:
            self.notify(f"Only web addresses are opened, and this is not one: {url[:200]}", severity="warning", markup=False)

    # -- in the message queue

    async def _begin(self, stream: ReplyStream, model_name: str, continues: bool, speaker: str) -> None:
        """Open the place of the reply."""
        if not self.is_attached:
            return
        await self.open_end()
        if continues and self.views and self.views[-1].entry.message.role is Role.ASSISTANT:
            view = self.views[-1]
            view.is_streaming = True
            with self.app.batch_update():
                await view.clear_body()
                await stream.open(view, left_open(view.parts))
            return
        with self.app.batch_update():
            if self.writing is not None:
                await self.writing.remove()
            entry = Entry(Message(Role.ASSISTANT, ()), speaker=speaker)
            standing = Standing(len(self.entries), model_name, portrait=self.portrait_of(entry), accent=self.accent_of(entry))
            self.writing = MessageView(entry, standing, is_streaming=True)
            await self.mount(self.writing, before=self.later)
            await stream.open(self.writing)
            await self.set_window(self.first, self.stop)

    async def _end(self, stream: ReplyStream) -> None:
        """Show the rest of the reply; it may become a message now."""
        if stream.home is None or not self.is_attached:
            return
        await stream.finish()
        view = stream.home
        view.is_streaming = False
        view.parts = stream.parts
        if view is self.writing and not stream.parts:
            self.writing = None
            await view.remove()
            await self.set_window(self.first, self.stop)
        if self.is_attached:
            self.refresh_bindings()

    async def _go_to(self, index: int, *, takes_focus: bool = True) -> None:
        if not self.entries:
            return
        index = min(max(0, index), len(self.entries) - 1)
        await self.open_at(index)
        if takes_focus:
            self.screen.set_focus(self.views[index - self.first], scroll_visible=False)

    async def _go_to_end(self) -> None:
        await self.open_end()
        if self.views and self.focused_view() is not None:
            self.screen.set_focus(self.views[-1], scroll_visible=False)

    async def _focus_last(self) -> None:
        await self.open_end()
        if self.views:
            self.screen.set_focus(self.views[-1], scroll_visible=False)
