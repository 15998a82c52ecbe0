"""The pictures of the next message and of the conversation, each as the model gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from nemochat.desk import commands
from nemochat.desk.desk import Desk
from nemochat.desk.draft import Incoming
from nemochat.desk.port import Event, PicturesChanged, ShowPicture
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart
from nemochat.domain.sanitize import sanitize
from nemochat.numbers import plural
from nemochat.tui.graphics import HALFBLOCKS
from nemochat.tui.panes.base import Pane, Sign
from nemochat.tui.widgets.late import Late
from nemochat.tui.widgets.picture import Picture

_EMPTY = "No pictures yet. Drag one in, paste it, or use /image."
_FEWEST_ROWS, _MOST_ROWS = 6, 24
_LINES_PER_CARD = 3
"""Name, size, and the blank line after the picture."""
_FINISHED = {"encoded", "ready", "in the chat"}


class AttachmentItem(msgspec.Struct, frozen=True):
    """A picture of the draft or of the conversation.

    width, height: of the picture as it was given, 0 when not known yet. state: in words; "failed: ..." for a failure. pixels: what the
    model gets, None until they are made. is_exact: of the tokens, as in `numbers.count`.
    """

    key: str
    name: str
    width: int
    height: int
    tokens: int | None
    state: str
    pixels: RgbImage | None
    in_draft: bool
    is_exact: bool = True


class AttachmentCard(Vertical, Late, can_focus=True):
    """One picture with its figures."""

    help_title = "Picture"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "ask('open')", "Show large", id="attachments.open", tooltip="Show the picture as large as the terminal allows"),
        Binding("shift+up", "ask('earlier')", "Earlier", id="attachments.up", tooltip="Put the picture before the one above"),
        Binding("shift+down", "ask('later')", "Later", id="attachments.down", tooltip="Put the picture after the one below"),
        Binding(
            "minus", "ask('shrink')", "Fewer tokens", id="attachments.shrink", tooltip="Send a smaller copy, for about half of the tokens"
        ),
        Binding("plus,equals_sign", "ask('grow')", "More tokens", id="attachments.grow", tooltip="Take back that a smaller copy is sent"),
        Binding("delete", "ask('remove')", "Remove", id="attachments.remove", tooltip="Take the picture out of the next message"),
    ]
    DEFAULT_CSS = """
    AttachmentCard {
        height: auto; padding: 0 1 1 0; border-left: blank;
        &:focus { border-left: thick $accent; background: $foreground 6%; }
        &:focus .name { text-style: bold; }
        .head { height: 1; }
        .name { width: 1fr; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        .figures { height: auto; color: $text-muted; }
        .figures.-failed { color: $text-error; }
        &.-said Sign { display: none; }
    }
    """

    def __init__(self, item: AttachmentItem, protocol: str, max_rows: int) -> None:
        super().__init__()
        self.item = item
        self._protocol = protocol
        self._max_rows = max_rows
        self._title = Static(classes="name", markup=False)
        self._figures = Static(classes="figures", markup=False)
        self._picture: Picture | None = None
        self._was_focused = False
        self._write()

    def compose(self) -> ComposeResult:
        """Name and signs, figures, the picture."""
        with Horizontal(classes="head"):
            yield self._title
            yield Sign("−", "ask('shrink')", "Fewer tokens: send a smaller copy (-)")  # noqa: RUF001
            yield Sign("+", "ask('grow')", "As many tokens as before (+)")
            yield Sign("↑", "ask('earlier')", "Earlier (Shift+Up)")
            yield Sign("↓", "ask('later')", "Later (Shift+Down)")
            yield Sign("×", "ask('remove')", "Remove (Delete)")  # noqa: RUF001
        yield self._figures

    def on_mount(self) -> None:
        """The pixels may have come since the card was made."""
        self.is_up = True
        self._draw_picture()

    def show(self, item: AttachmentItem) -> None:
        """Show another state of this picture."""
        if item == self.item:
            return
        self.item = item
        self._write()
        if self.can_draw:
            self._draw_picture()

    def _draw_picture(self) -> None:
        """Make the picture on the screen that of the item; the same pixels stay as they are."""
        pixels, drawn = self.item.pixels, self._picture
        if (pixels and pixels.digest) == (drawn and drawn.pixels.digest):
            return
        if drawn is not None:
            drawn.remove()
        self._picture = Picture(pixels, self._protocol, self._max_rows) if pixels is not None else None
        if self._picture is not None:
            self.mount(self._picture)

    def set_max_rows(self, rows: int) -> None:
        """The most lines that the picture itself may take."""
        self._max_rows = rows
        if self._picture is not None:
            self._picture.max_rows = rows

    def _write(self) -> None:
        item = self.item
        state = sanitize(item.state, strict=True)
        failed = state.startswith("failed")
        sign = "✗" if failed else "✓" if state in _FINISHED else "…"
        size = [f"{item.width}x{item.height}"] if item.width and item.height else []
        tokens = [plural(item.tokens, "token", is_exact=item.is_exact)] if item.tokens is not None else []
        self._title.update(Content(sanitize(item.name, strict=True) or "picture"))
        self._figures.update(Content(" · ".join([*size, *tokens, f"{sign} {state}"])))
        self._figures.set_class(failed, "-failed")
        self.set_class(not item.in_draft, "-said")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What was said cannot be changed, moved or removed."""
        return self.item.in_draft or action != "ask" or parameters == ("open",)

    def on_click(self) -> None:
        """A click on what has the focus already opens it, like Enter."""
        if self._was_focused:
            self.action_ask("open")
        self._was_focused = True

    def on_blur(self) -> None:
        """The next click focuses again."""
        self._was_focused = False

    async def on_sign_pressed(self, event: Sign.Pressed) -> None:
        """A sign does what its key does."""
        event.stop()
        await self.run_action(event.action)

    def action_ask(self, name: str) -> None:
        """Pass it on."""
        self.post_message(AttachmentsPane.Asked(name, self.item.key))


class AttachLine(Static, can_focus=True):
    """The line that begins to attach a picture."""

    help_title = "Attach a picture"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "attach", "Attach", id="attachments.attach", tooltip="Choose a picture for the next message"),
    ]
    DEFAULT_CSS = """
    AttachLine { height: 1; padding: 0 1; color: $text-primary; pointer: pointer; }
    AttachLine:hover { text-style: underline; }
    AttachLine:focus { text-style: reverse; }
    """

    def __init__(self) -> None:
        super().__init__(Content("Attach… (Ctrl+O)"))

    def action_attach(self) -> None:
        """Ask for it."""
        self.post_message(AttachmentsPane.Asked("attach"))

    def on_click(self) -> None:
        """The same by mouse."""
        self.action_attach()


class AttachmentsPane(Pane, can_focus=False):
    """All pictures, those of the next message first."""

    title = "Attachments"
    follows: ClassVar[tuple[type[Event], ...]] = (PicturesChanged,)

    @dataclass
    class Asked(Message):
        """The user wants something done with a picture: open, earlier, later, shrink, grow or remove; or to attach another one."""

        name: str
        key: str = ""

    DEFAULT_CSS = """
    AttachmentsPane {
        .empty, .heading { height: auto; padding: 0 1; color: $text-muted; }
        .heading { text-style: italic; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._protocol = HALFBLOCKS
        self._items: tuple[AttachmentItem, ...] = ()
        self._cards: dict[str, AttachmentCard] = {}
        self._attach_line = AttachLine()
        self._empty = Static(Content(_EMPTY), classes="empty")
        self._draft_heading = Static(Content("In the next message"), classes="heading")
        self._said_heading = Static(Content("In this chat"), classes="heading")

    def compose(self) -> ComposeResult:
        """What is always there; `show` puts the pictures between."""
        yield self._attach_line
        yield self._empty
        yield self._draft_heading
        yield self._said_heading

    def on_mount(self) -> None:
        """Show what was given before."""
        self.is_up = True
        self._arrange()

    def on_resize(self) -> None:
        """Pictures share the height that there is."""
        for card in self._cards.values():
            card.set_max_rows(self._rows())

    def attend(self, desk: Desk) -> None:
        """Know how this terminal shows pictures, too."""
        super().attend(desk)
        self._protocol = desk.bench.pictures

    def draw(self, desk: Desk) -> None:
        """The draft's pictures, then the conversation's."""
        pictures = desk.pictures
        drafted = [_drafted(item, pictures) for item in desk.draft.items]
        said = {part.digest: part for entry in desk.chat.entries for part in entry.message.images}
        is_exact = desk.model.counts_pictures
        shown = ((part, pictures.get(digest)) for digest, part in said.items())
        self.show([*drafted, *(_held(part, pixels, is_exact) for part, pixels in shown if pixels is not None)])

    @on(Asked)
    def _asked(self, event: Asked) -> None:
        key = event.key
        match event.name:
            case "attach":
                self.act(lambda desk: commands.run(desk, "image"))
            case "open":
                self.enlarge(key)
            case "earlier" | "later":
                self.act(lambda desk: desk.draft.move(key, -1 if event.name == "earlier" else 1))
            case "shrink":
                self.act(lambda desk: desk.draft.shrink(key))
            case "grow":
                self.act(lambda desk: desk.draft.grow(key))
            case "remove":
                self.act(lambda desk: desk.draft.remove(key))

    def enlarge(self, key: str) -> None:
        """Show a picture as large as the terminal allows: one of the draft by its key, one of the chat by its digest."""
        pixels = next((item.pixels for item in self._items if item.key == key), None)
        if pixels is not None:
            self.act(lambda desk: desk.port.ask(ShowPicture(pixels)))

    def show(self, items: Sequence[AttachmentItem]) -> None:
        """Show these pictures; what is on the screen already stays, so that no picture is drawn again needlessly."""
        ordered = tuple(sorted(items, key=lambda item: not item.in_draft))
        if ordered == self._items and self._cards:
            return
        self._items = ordered
        tokens = sum(item.tokens or 0 for item in ordered)
        cost = f", {plural(tokens, 'token', is_exact=all(item.is_exact for item in ordered))}" if tokens else ""
        self.summary = plural(len(ordered), "picture") + cost if ordered else "none"
        if self.can_draw:
            self._arrange()

    def _arrange(self) -> None:
        keys = {item.key for item in self._items}
        for key in [key for key in self._cards if key not in keys]:
            self._cards.pop(key).remove()
        rows = self._rows()
        previous: Static | AttachmentCard = self._draft_heading
        children = self.children
        for item in self._items:
            if not item.in_draft and (isinstance(previous, Static) or previous.item.in_draft):
                previous = self._place(self._said_heading, previous)
            card = self._cards.get(item.key)
            if card is None:
                card = self._cards[item.key] = AttachmentCard(item, self._protocol, rows)
                self.mount(card, after=previous)
            else:
                card.show(item)
                card.set_max_rows(rows)
                if children.index(card) != children.index(previous) + 1:
                    self.move_child(card, after=previous)
            previous = card
        self._empty.display = not self._items
        self._draft_heading.display = any(item.in_draft for item in self._items)
        self._said_heading.display = any(not item.in_draft for item in self._items)

    def _place(self, heading: Static, after: Static | AttachmentCard) -> Static:
        if heading is not after and self.children.index(heading) != self.children.index(after) + 1:
            self.move_child(heading, after=after)
        return heading

    def _rows(self) -> int:
        # By the height of the screen, because that of the pane may depend on the pictures.
        pictures = max(1, sum(item.pixels is not None for item in self._items))
        room = self.app.size.height * 3 // 5 - _LINES_PER_CARD * len(self._items)
        return min(_MOST_ROWS, max(_FEWEST_ROWS, room // pictures))


def _drafted(item: Incoming, pictures: Mapping[str, RgbImage]) -> AttachmentItem:
    part = item.part
    width, height, pixels = (part.width, part.height, pictures.get(part.digest)) if part is not None else (0, 0, None)
    tokens = item.tokens or None
    return AttachmentItem(item.key, item.name, width, height, tokens, item.state, pixels, in_draft=True, is_exact=item.is_exact)


def _held(part: ImagePart, pixels: RgbImage, is_exact: bool) -> AttachmentItem:
    width, height = part.width or pixels.width, part.height or pixels.height
    name, tokens = part.name or "picture", part.tokens or None
    return AttachmentItem(part.digest, name, width, height, tokens, "in the chat", pixels, in_draft=False, is_exact=is_exact)
