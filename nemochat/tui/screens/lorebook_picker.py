"""The lorebooks: whose each of them is, and what can be done with one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from nemochat.desk.port import Item, LoreAction, LorebookItem, LoreWish
from nemochat.domain.personas import Lorebook
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.errors import NemochatError
from nemochat.numbers import plural
from nemochat.personas.lore import title
from nemochat.tui.screens.modal import Modal
from nemochat.tui.screens.picker import line_of, rank

NARROW = 100
"""Below this width what a lorebook says is under the list."""
_SHOWN = 500
_NAME_WIDTH = 26
_MOST_ENTRIES = 200
_MOST_TEXT = 2_000
_ALONE = (LoreAction.NEW, LoreAction.IMPORT)
"""These need no lorebook."""


class LorebookPicker(Modal[LoreWish | None]):
    """Choose one of the lorebooks and what to do with it; None after Esc. The arguments are as in `AskLore`."""

    CSS_PATH = "lorebook_picker.tcss"
    REST: ClassVar[float] = 0.04
    """Seconds that the cursor has to rest on a lorebook before it is read."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="lorebooks.close", tooltip="Close without choosing"),
        Binding("up", "move('cursor_up')", "Up", show=False, id="lorebooks.up", tooltip="The lorebook above"),
        Binding("down", "move('cursor_down')", "Down", show=False, id="lorebooks.down", tooltip="The lorebook below"),
        Binding("pageup", "move('page_up')", "Page up", show=False, id="lorebooks.page_up", tooltip="A page up"),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id="lorebooks.page_down", tooltip="A page down"),
        Binding("ctrl+up", "scroll_card(-1)", "Up", show=False, id="lorebooks.card_up", tooltip="Earlier in what it says"),
        Binding("ctrl+down", "scroll_card(1)", "Down", show=False, id="lorebooks.card_down", tooltip="Later in what it says"),
        Binding("f2", "do('chat')", "Chat", id="lorebooks.chat", tooltip="Use it in this chat, or no more"),
        Binding("f3", "do('persona')", "Persona", id="lorebooks.persona", tooltip="Give it to the persona, or take it away"),
        Binding("f4", "do('everywhere')", "Everywhere", id="lorebooks.everywhere", tooltip="Use it in every chat, or no more"),
        Binding("f6", "do('new')", "New", id="lorebooks.new", tooltip="Write a lorebook"),
        Binding("f7", "do('import')", "Import", id="lorebooks.import", tooltip="Import a file of another program"),
        Binding("f8", "do('delete')", "Delete", id="lorebooks.delete", tooltip="Delete it; that can be undone"),
        Binding("f9", "do('export')", "Export", id="lorebooks.export", tooltip="Write it to a file"),
    ]

    def __init__(
        self, lorebooks: Sequence[LorebookItem], load: Callable[[str], Lorebook], *, current: str = "", persona: str = ""
    ) -> None:
        super().__init__()
        self._lorebooks = {each.summary.id: each for each in lorebooks}
        self._items = tuple(_item(each) for each in lorebooks)
        self._width = max((min(len(item.label), _NAME_WIDTH) for item in self._items), default=0)
        self._load, self._current, self._persona = load, current, sanitize(persona, strict=True)
        self._found: tuple[Item, ...] = ()
        self._shown = ""
        self._filter = Input(placeholder="Lorebooks: type to filter", compact=True, id="lorebooks-filter")
        self._count = Label(id="lorebooks-count", markup=False)
        self._choices = _Choices(id="lorebooks-list")
        self._nothing = Static(id="lorebooks-empty", markup=False)
        self._text = Static(id="lorebooks-text", markup=False)
        self._card = VerticalScroll(self._text, id="lorebooks-card", can_focus=False)
        self._hint = Static(id="lorebooks-hint", markup=False)

    def compose(self) -> ComposeResult:
        """Filter and count; list and what the highlighted one says; what can be done."""
        with Vertical(id="lorebooks"):
            with Horizontal(id="lorebooks-top"):
                yield self._filter
                yield self._count
            with Container(id="lorebooks-body"):
                with Vertical(id="lorebooks-left"):
                    yield self._choices
                    yield self._nothing
                yield self._card
            yield self._hint

    def on_mount(self) -> None:
        """Typing filters at once."""
        self._filter.focus()
        self._show("")

    def on_resize(self, event: Resize) -> None:
        """The text goes where there is room for it."""
        self.set_class(event.size.width < NARROW, "-narrow")
        whose = f"F3 {shortened(self._persona, 12)}  " if self._persona else ""
        words = f"Enter open  F2 this chat  {whose}F4 every chat  F6 new  F7 import  F8 delete  F9 export"
        if len(words) + 4 > event.size.width:
            words = words.replace("this chat", "chat").replace("every chat", "all").replace("  F", " F")
        if len(words) + 2 > event.size.width:
            words = "Enter open F2 chat F4 all F6 new F8 delete"
        self._hint.update(Content(words))
        self.call_after_refresh(self._choices.scroll_to_highlight)

    def action_leave(self) -> None:
        """Close without a choice."""
        self.dismiss(None)

    async def action_move(self, how: str) -> None:
        """Move the cursor in the list while the filter keeps the focus."""
        await self._choices.run_action(how)

    def action_scroll_card(self, by: int) -> None:
        """Scroll what it says by half its height."""
        self._card.scroll_relative(y=by * max(1, self._card.size.height // 2), animate=False)

    def action_do(self, name: str) -> None:
        """Close with this action on the lorebook under the cursor."""
        action, chosen = LoreAction(name), self._highlighted
        if action is LoreAction.PERSONA and not self._persona:
            self.notify("No persona is played. F5 in the chat chooses one.", severity="warning", markup=False)
        elif action in _ALONE or chosen is not None:
            self.dismiss(LoreWish(action, chosen or ""))

    @on(Input.Changed, "#lorebooks-filter")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._show(event.value)

    @on(Input.Submitted, "#lorebooks-filter")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_do("open")

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_do("open")

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._reached()

    @property
    def _highlighted(self) -> str | None:
        index = self._choices.highlighted
        return self._found[index].value if index is not None and index < len(self._found) else None

    def _show(self, query: str) -> None:
        ranked = rank(query, self._items)
        self._found = tuple(item for item, _ in ranked[:_SHOWN])
        self._choices.clear_options()
        self._choices.add_options(Option(Content.assemble(line_of(item, marks, self._width))) for item, marks in ranked[:_SHOWN])
        self._choices.display, self._nothing.display = bool(self._found), not self._found
        none_yet = "There are no lorebooks yet. F6 writes one, F7 imports a file of SillyTavern, NovelAI, Agnai or RisuAI."
        self._nothing.update(Content(f"Nothing fits “{sanitize(query, strict=True)}”." if self._items else none_yet))
        if self._found:
            values = [item.value for item in self._found]
            self._choices.highlighted = values.index(self._current) if not query and self._current in values else 0
        self._count.update(f"{len(ranked):,} of {len(self._items):,}" if len(ranked) != len(self._items) else f"{len(self._items):,}")
        self._reached()

    def _reached(self) -> None:
        """The cursor stands on a lorebook: read it, unless it goes on at once."""
        chosen = self._highlighted
        if chosen is None:
            self._shown = ""
            self.workers.cancel_group(self, "card")
            self._text.update(Content(""))
        elif chosen != self._shown:
            self._shown = chosen
            self.run_worker(self._show_card(chosen), group="card", exclusive=True)

    async def _show_card(self, chosen: str) -> None:
        await asyncio.sleep(self.REST)
        try:
            book = await asyncio.to_thread(self._load, chosen)
        except NemochatError as error:
            self._text.update(Content(sanitize(" ".join(part for part in (error.message, error.hint) if part))))
            return
        self._text.update(_card(book, self._lorebooks[chosen]))
        self._card.scroll_home(animate=False)


class _Choices(OptionList, can_focus=False):
    """The list; the filter keeps the focus, and the mouse works without one."""


def _item(lorebook: LorebookItem) -> Item:
    summary = lorebook.summary
    detail = ", ".join(lorebook.where) or "not in use"
    return Item(summary.id, sanitize(summary.name, strict=True)[:120], sanitize(detail, strict=True)[:200])


def _card(book: Lorebook, lorebook: LorebookItem) -> Content:
    """What a lorebook is, and what its entries are called."""
    off = lorebook.summary.entries - lorebook.summary.enabled
    entries = plural(len(book.entries), "entry", "entries") + (f", {off:,} off" if off else "")
    facts = [entries, *([f"at most {plural(book.token_budget, 'token')}"] if book.token_budget is not None else [])]
    lines = [
        Content.styled(sanitize(book.name, strict=True), "bold"),
        Content.styled(" · ".join(facts), "$text-muted"),
        Content(f"In use: {', '.join(sanitize(each, strict=True) for each in lorebook.where) or 'nowhere'}"),
        Content(""),
    ]
    if book.description.strip():
        lines += [Content(shortened(sanitize(book.description).strip(), _MOST_TEXT)), Content("")]
    for entry in book.entries[:_MOST_ENTRIES]:
        keys = "always there" if entry.constant else ", ".join(entry.keys[:20])
        words = sanitize(f"{'' if entry.enabled else 'off · '}{keys}", strict=True)[:200]
        lines.append(Content.assemble(sanitize(title(entry), strict=True), "  ", (words, "$text-muted")))
    if len(book.entries) > _MOST_ENTRIES:
        lines.append(Content.styled(f"and {len(book.entries) - _MOST_ENTRIES:,} more", "$text-muted"))
    return Content("\n").join(lines)
