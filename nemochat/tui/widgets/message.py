"""One message of the conversation: its label line, its text, and the keys that act on it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message as TextualMessage
from textual.selection import Selection
from textual.widget import Widget
from textual.widgets import Static

from nemochat.chat import Entry, ReplyRecord
from nemochat.desk.messages import code_of
from nemochat.domain.events import FinishReason
from nemochat.domain.messages import ImagePart, Message, Part, ReasoningPart, Role, TextPart
from nemochat.domain.sanitize import sanitize
from nemochat.domain.ttft import reading_of
from nemochat.numbers import count, duration, speed
from nemochat.tui.widgets import reply_stream
from nemochat.tui.widgets.portrait import half_blocks
from nemochat.tui.widgets.reply_text import ReplyText
from nemochat.tui.widgets.steady_scroll import SteadyItem

TOOL_LINES = 8
"""Lines shown of a tool's result; the details show all of it."""
TEXT_CHARACTERS = 50_000
"""Characters shown of a user's message; a screenful is laid out in one piece, so a pasted book would hold it up."""

_CONTEXT_CHARACTERS = 80
_AGAIN_SECONDS = 0.5
_PORTRAIT_CELLS = (6, 3)
_LABEL_STYLES = {Role.USER: "bold $text-primary", Role.ASSISTANT: "bold $text-secondary", Role.TOOL: "bold"}


class Standing(msgspec.Struct, frozen=True):
    """Where a message stands: what only the conversation around it tells."""

    index: int
    model_name: str
    forgotten: bool = False
    summed_up: bool = False
    can_regenerate: bool = False
    can_continue: bool = False
    place: int = 1
    alternatives: int = 1
    portrait: bytes = b""
    accent: str = ""

    @property
    def can_swipe(self) -> bool:
        """Whether there is another message for this place, or may be made."""
        return self.alternatives > 1 or self.can_continue


class MessageLabel(Widget):
    """Who speaks and which of the alternatives this is at the left, signs at the right. A click asks for the menu."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "MessageLabel { height: 1; width: 1fr; color: $text-muted; }"

    @dataclass
    class Swiped(TextualMessage):
        """A sign beside the counter was clicked; by: -1 or 1."""

        by: int

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown: tuple[str, str, str, tuple[str, ...]] = ("", "", "", ())

    def set_text(self, name: str, style: str, signs: Iterable[str], *, counter: str = "") -> None:
        """Change what is shown. counter: as ``2/3``, "" where there are no alternatives."""
        shown = (name, style, f"‹ {counter} ›" if counter else "", tuple(signs))  # noqa: RUF001
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def on_click(self, event: Click) -> None:
        """The signs of the counter are for the message before and the one after; the rest of the line is not."""
        name, _, counter, _ = self._shown
        start = cell_len(name) + 2
        end = start + cell_len(counter)
        if counter and event.button != 3 and (start <= event.x < start + 2 or end - 2 <= event.x < end):
            event.stop()
            self.post_message(self.Swiped(-1 if event.x < start + 2 else 1))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Who speaks is no text to copy."""
        return None

    def render(self) -> Content:
        """Name and signs; where the line is too short for both, the last signs are left out, and an only one is cut."""
        who, style, counter, signs = self._shown
        name = Content.styled(who, style)
        if counter:
            name = Content.assemble(name, "  ", counter)
        room = self.outer_size.width - name.cell_length
        while len(signs) > 1 and cell_len(" · ".join(signs)) > room - 2:
            signs = signs[:-1]
        text = Content(" · ".join(signs))
        if text.cell_length > room - 2:
            text = text.truncate(max(0, room - 2), ellipsis=True)
        return Content.assemble(name, " " * max(0, room - text.cell_length), text)


class MessageView(SteadyItem, can_focus=True):
    """A message. `parts` is what its body shows, sanitised; while `is_streaming` somebody else writes the body."""

    help_title = "A message"

    @dataclass
    class Asked(TextualMessage):
        """The user wants something done with a message."""

        view: MessageView
        name: str

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(keys, f"ask('{name}')", description, id=f"message.{name}", tooltip=tooltip, show=show)
            for keys, name, description, tooltip, show in (
                ("c", "copy", "Copy", "Copy the text of this message", True),
                ("y", "copy_code", "Copy code", "Copy the last code block of this message", True),
                ("e", "edit", "Edit", "Edit this message and send it again", True),
                ("w", "rewrite", "Rewrite", "Change the text of this message and keep the messages after it", False),
                ("r", "regenerate", "Again", "Make another reply", True),
                ("left", "swipe_left", "Before", "The version before this one", False),
                ("right", "swipe_right", "Next one", "The next version; after the last one, another reply", False),
                ("n,alt+enter", "continue", "Continue", "Continue this reply from its end", True),
                ("f", "fork", "Fork", "Continue in a copy of this chat that ends with this message", False),
                ("s", "sources", "Sources", "Show what was added to this message: passages, lore", False),
                ("p", "pin", "Pin", "Keep this message in the window, or let it be forgotten again", False),
                ("x", "exclude", "Hide", "Hide this message from the model, or show it again", False),
                ("q", "question", "Question", "Keep this question to test models, with what would have been right", False),
                ("delete,d", "delete", "Delete", "Delete this message", False),
                ("i", "details", "Details", "How this message came to be", False),
                ("enter,space", "menu", "Menu", "All that can be done with this message", True),
            )
        ),
        Binding("u", "screen.command('undo')", "Undo", show=False, id="message.undo", tooltip="Undo the last change of a message"),
        Binding("t", "thoughts", "Thoughts", show=False, id="message.thoughts", tooltip="Show or fold what the model thought first"),
        Binding("slash", "screen.write('/')", "Command", show=False, id="message.command", key_display="/", tooltip="Begin a command"),
    ]

    DEFAULT_CSS = """
    MessageView {
        padding: 0 1; max-width: 124;
        border-left: blank $background;
        &.-user { border-left: solid $primary; margin: 0 0 1 0; }
        &.-tool { color: $text-muted; margin: 0 0 1 0; }
        &.-dimmed { opacity: 55%; }
        &:focus { border-left: thick $accent; }
        &:focus > MessageLabel { background: $foreground 10%; }
        & > .text { height: auto; }
        & > .contexts { height: 1; width: 1fr; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
        & > .portrait { display: none; dock: left; width: 7; height: 3; }
    }
    """

    def __init__(self, entry: Entry, standing: Standing, *, is_streaming: bool = False) -> None:
        super().__init__(classes=f"-{entry.message.role}")
        self.entry = entry
        self.standing = standing
        self.is_streaming = is_streaming
        self.parts = reply_stream.joined(entry.message.parts)
        self._deleted_at = float("-inf")
        self._label = MessageLabel()
        self._portrait: Static | None = None
        self._draw_label()

    def compose(self) -> ComposeResult:
        """The portrait, the label and the body."""
        if portrait := self._new_portrait():
            yield portrait
        yield self._label
        yield from self._body()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Only the bar and the label show the focus, so only these are styled anew: a long reply has thousands of widgets in it."""
        for widget in (self, self._label):
            self.app.stylesheet.apply(widget)
            widget.refresh()

    async def set(self, entry: Entry, standing: Standing) -> None:
        """Show another state of the message; what has not changed is not touched."""
        if entry is self.entry and standing == self.standing:
            return
        before, portrait, self.entry, self.standing = self.entry, self.standing.portrait, entry, standing
        self._draw_label()
        if portrait != standing.portrait:
            await self._set_portrait()
        if self.is_streaming:
            return
        if entry.message.parts is not before.message.parts:
            parts, shown = reply_stream.joined(entry.message.parts), self.parts
            self.parts = parts
            if reply_stream.looks(parts) != reply_stream.looks(shown):
                await self.clear_body()
                await self.mount_all(self._body())
                return
            thoughts = (part for part in parts if isinstance(part, ReasoningPart))
            for line, part in zip(self.query(reply_stream.ThoughtLine), thoughts, strict=False):
                line.set_part(part)
        if isinstance(last := self.children[-1], reply_stream.ToolCallLine):
            last.tell(was_cut=_is_cut(entry))

    def shows(self, entry: Entry) -> bool:
        """Whether the body looks just as this entry's would."""
        parts = reply_stream.joined(entry.message.parts)
        return entry.message.role is self.entry.message.role and reply_stream.looks(parts) == reply_stream.looks(self.parts)

    async def clear_body(self) -> None:
        """Take everything out but the label and the portrait."""
        await self.remove_children([child for child in self.children if child not in (self._label, self._portrait)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this message now is offered."""
        if action == "thoughts":
            return any(isinstance(part, ReasoningPart) for part in self.parts) or self.is_streaming
        if action != "ask":
            return True
        match parameters:
            case _ if self.is_streaming:
                return False
            case ("continue",):
                return self.standing.can_continue
            case ("regenerate",):
                return self.standing.can_regenerate
            case ("swipe_left" | "swipe_right",):
                return self.standing.can_swipe
            case ("sources",):
                return bool(self.entry.message.contexts)
            case ("rewrite",):
                return self.entry.message.role is not Role.TOOL
            case ("copy_code",):
                # This is asked at each key: a long reply is not read again for it.
                replies = [child for child in self.children if isinstance(child, ReplyText)]
                return any(reply.has_code for reply in replies) if replies else code_of(self.entry.message) is not None
        return True

    def action_ask(self, name: str) -> None:
        """Pass it on. A second press that follows at once deletes no other message."""
        if name == "delete":
            before, self._deleted_at = self._deleted_at, time.monotonic()
            if self._deleted_at - before < _AGAIN_SECONDS:
                return
        self.post_message(self.Asked(self, name))

    def action_thoughts(self) -> None:
        """Show what the model thought first, or fold it again."""
        for line in self.query(reply_stream.ThoughtLine):
            line.toggle()

    def on_message_label_swiped(self, event: MessageLabel.Swiped) -> None:
        """Pass it on."""
        event.stop()
        if not self.is_streaming:
            self.action_ask("swipe_left" if event.by < 0 else "swipe_right")

    def on_click(self, event: Click) -> None:
        """The right button, or any click on the label, asks for the menu."""
        if not self.is_streaming and (event.button == 3 or event.widget is self._label):
            event.stop()
            self.post_message(self.Asked(self, "menu"))

    def _body(self) -> list[Widget]:
        message = self.entry.message
        if message.role is Role.ASSISTANT:
            return reply_stream.widgets_of(self.parts, is_cut=_is_cut(self.entry))
        text = _tool_text(message.text) if message.role is Role.TOOL else _user_text(self.parts)
        body: list[Widget] = [Static(text, markup=False, classes="text")]
        if message.contexts:
            body.append(Static(_contexts_text(message), markup=False, classes="contexts"))
        return body

    def _new_portrait(self) -> Static | None:
        """The portrait as a widget, None when there is none that can be read."""
        picture = half_blocks(self.standing.portrait, *_PORTRAIT_CELLS) if self.standing.portrait else None
        self._portrait = Static(picture, markup=False, classes="portrait") if picture else None
        self.set_class(self._portrait is not None, "-with-portrait")
        return self._portrait

    async def _set_portrait(self) -> None:
        if self._portrait is not None:
            await self._portrait.remove()
        if portrait := self._new_portrait():
            await self.mount(portrait, before=0)

    def _draw_label(self) -> None:
        message, standing = self.entry.message, self.standing
        self.set_class(standing.forgotten or message.excluded, "-dimmed")
        counter = f"{count(standing.place)}/{count(standing.alternatives)}" if standing.alternatives > 1 else ""
        name = label_of(self.entry, standing.model_name)
        style = f"bold {standing.accent}" if standing.accent else _LABEL_STYLES[message.role]
        self._label.set_text(name, style, signs_of(self.entry, standing), counter=counter)


def label_of(entry: Entry, model_name: str) -> str:
    """Who speaks: the persona, else the model."""
    match entry.message.role:
        case Role.USER:
            return sanitize(entry.speaker, strict=True) or "You"
        case Role.TOOL:
            return "Tool"
        case _:
            return sanitize(entry.speaker or (str(entry.record.model) if entry.record else model_name), strict=True)


def signs_of(entry: Entry, standing: Standing) -> list[str]:
    """The words at the right of the label."""
    signs = [
        word
        for word, applies in (
            ("summed up", standing.forgotten and standing.summed_up),
            ("forgotten", standing.forgotten and not standing.summed_up),
            ("excluded", entry.message.excluded),
            ("pinned", entry.message.pinned),
            ("interrupted: the engine failed", entry.interrupted),
        )
        if applies
    ]
    return signs if entry.record is None else [*signs, *_record_signs(entry.record)]


def _is_cut(entry: Entry) -> bool:
    """Whether a reply did not end by itself."""
    return entry.interrupted or (entry.record is not None and entry.record.result.reason in (FinishReason.CANCELLED, FinishReason.LENGTH))


def _record_signs(record: ReplyRecord) -> list[str]:
    """How the reply ended, and how fast it came."""
    result, reading = record.result, reading_of(record.result)
    tokens = reading.completion_tokens
    signs = []
    if result.reason is FinishReason.CANCELLED:
        signs.append("stopped")
    elif result.reason is FinishReason.LENGTH:
        signs.append(f"cut at {tokens:,} tokens")
    if reading.ttft_ms is not None:
        signs.append(f"{duration(reading.ttft_ms)} to first {'token' if reading.first_thought_ms is None else 'word'}")
    if reading.tokens_per_second is not None:
        signs.append(speed(reading.tokens_per_second))
    return signs


def _user_text(parts: Iterable[Part]) -> Content:
    """Pictures as one line each, text as typed."""
    lines: list[Content] = []
    for part in parts:
        if isinstance(part, ImagePart):
            lines.append(Content.styled(f"▣ {sanitize(part.name, strict=True) or 'picture'}", "$foreground-muted"))
        elif isinstance(part, TextPart):
            text = part.text
            if (more := len(text) - TEXT_CHARACTERS) > 0:
                text = f"{text[:TEXT_CHARACTERS]}\n… and {more:,} more characters"
            lines.append(Content(text))
    return Content("\n").join(lines)


def _contexts_text(message: Message) -> Content:
    """What was put beside the user's words, folded into one line: where each piece comes from, and why it is there."""
    pieces = []
    for context in message.contexts:
        source = sanitize(context.source or context.text[:_CONTEXT_CHARACTERS], strict=True).strip()
        reason = sanitize(context.reason, strict=True).strip()
        pieces.append(f"{source} ({reason})" if reason else source)
    return Content(f"+ {' · '.join(pieces)}")


def _tool_text(text: str) -> Content:
    """The first lines of what tools brought."""
    lines = sanitize(text).rstrip().split("\n")
    more = len(lines) - TOOL_LINES
    shown = [line[:1000] for line in lines[:TOOL_LINES]] + ([f"… and {more:,} more lines"] if more > 0 else [])
    return Content("\n".join(shown))
