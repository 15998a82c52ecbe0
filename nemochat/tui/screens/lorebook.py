"""The entries of a lorebook: seen, switched, written and tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from nemochat.desk.port import Item
from nemochat.domain.personas import Lorebook, LoreEntry
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.personas.lore import Fired, Scan, title
from nemochat.personas.lore_rules import in_words, rules_of_entry
from nemochat.tui.screens.lore_form import LoreForm
from nemochat.tui.screens.modal import Modal
from nemochat.tui.screens.picker import line_of, rank

NARROW = 100
"""Below this width the entry is under the list."""
_SHOWN = 500
_NAME_WIDTH = 24
_MOST_TEXT = 20_000
_MOST_UNDO = 100
_MOST_NOTICES = 3
_HINTS = (
    "Enter edit  F2 on/off  F4 new  F6 copy  F8 delete  Ctrl+Z undo  Tab try a text  Esc closes",
    "Enter edit  F2 on/off  F4 new  F6 copy  F8 delete  Ctrl+Z undo  Tab try",
    "Enter edit F2 on/off F4 new F8 delete Tab try",
)
_ON, _OFF, _FIRED, _ALWAYS, _DROPPED = "●", "○", "+", "=", "−"  # noqa: RUF001


class _Tried(msgspec.Struct, frozen=True):
    """What a text would call: each entry with the sign before it and why."""

    found: tuple[tuple[LoreEntry, str, str], ...]
    notices: tuple[str, ...] = ()


class LorebookScreen(Modal[None]):
    """The arguments are as in `AskLorebook`. Every change is kept at once, and Ctrl+Z takes it back."""

    CSS_PATH = "lorebook.tcss"
    REST: ClassVar[float] = 0.15
    """Seconds that typing has to rest before a text is tried."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="lore.close", tooltip="Close; every change is kept already"),
        Binding("tab,shift+tab", "other_line", "Try", show=False, priority=True, id="lore.try", tooltip="Filter, or a text to try"),
        Binding("up", "move('cursor_up')", "Up", show=False, id="lore.up", tooltip="The entry above"),
        Binding("down", "move('cursor_down')", "Down", show=False, id="lore.down", tooltip="The entry below"),
        Binding("pageup", "move('page_up')", "Page up", show=False, id="lore.page_up", tooltip="A page up"),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id="lore.page_down", tooltip="A page down"),
        Binding("ctrl+up", "scroll_card(-1)", "Up", show=False, id="lore.card_up", tooltip="Earlier in the entry"),
        Binding("ctrl+down", "scroll_card(1)", "Down", show=False, id="lore.card_down", tooltip="Later in the entry"),
        Binding("f2", "switch", "On/off", id="lore.switch", tooltip="Use the entry, or not"),
        Binding("f3", "edit", "Edit", id="lore.edit", tooltip="Change the entry"),
        Binding("f4", "new", "New", id="lore.new", tooltip="Write an entry"),
        Binding("f6", "copy", "Copy", id="lore.copy", tooltip="Make a copy of the entry"),
        Binding("f8", "delete", "Delete", id="lore.delete", tooltip="Delete the entry; Ctrl+Z brings it back"),
        Binding("ctrl+z", "undo", "Undo", show=False, priority=True, id="lore.undo", tooltip="Take the last change back"),
    ]

    def __init__(
        self, book: Lorebook, attempt: Callable[[Lorebook, str], Scan], save: Callable[[Lorebook], None]
    ) -> None:
        super().__init__()
        self._book, self._attempt, self._save = book, attempt, save
        self._before: list[Lorebook] = []
        self._tried: _Tried | None = None
        self._found: tuple[Item, ...] = ()
        self._items: tuple[Item, ...] = ()
        self._width = 0
        self._filter = Input(placeholder="Type to filter", compact=True, id="lore-filter")
        self._text = Input(placeholder="Tab: try a text. Which entries would it call?", compact=True, id="lore-try")
        self._count = Label(id="lore-count", markup=False)
        self._choices = _Choices(id="lore-list")
        self._nothing = Static(id="lore-empty", markup=False)
        self._card = Static(id="lore-text", markup=False)
        self._around = VerticalScroll(self._card, id="lore-card", can_focus=False)
        self._hint = Static(id="lore-hint", markup=False)

    def compose(self) -> ComposeResult:
        """Name and count; filter, and the text to try; list and entry; what can be done."""
        with Vertical(id="lore"):
            with Horizontal(id="lore-top"):
                yield Label(sanitize(self._book.name or "Lorebook", strict=True), id="lore-title", markup=False)
                yield self._count
            yield self._filter
            yield self._text
            with Container(id="lore-body"):
                with Vertical(id="lore-left"):
                    yield self._choices
                    yield self._nothing
                yield self._around
            yield self._hint

    def on_mount(self) -> None:
        """Typing filters at once."""
        self._filter.focus()
        self._take(self._book, 0)

    def on_resize(self, event: Resize) -> None:
        """The entry goes where there is room for it."""
        self.set_class(event.size.width < NARROW, "-narrow")
        self._hint.update(Content(next((words for words in _HINTS if len(words) + 4 <= event.size.width), _HINTS[-1])))
        self.call_after_refresh(self._choices.scroll_to_highlight)

    # -- what the user does

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)

    def action_other_line(self) -> None:
        """From the filter to the text that is tried, and back."""
        (self._filter if self._text.has_focus else self._text).focus()

    async def action_move(self, how: str) -> None:
        """Move the cursor in the list while a line above keeps the focus."""
        await self._choices.run_action(how)

    def action_scroll_card(self, by: int) -> None:
        """Scroll the entry by half its height."""
        self._around.scroll_relative(y=by * max(1, self._around.size.height // 2), animate=False)

    def action_switch(self) -> None:
        """Use the entry under the cursor, or not."""
        if (at := self._highlighted) is not None:
            entry = self._book.entries[at]
            self._put(at, msgspec.structs.replace(entry, enabled=not entry.enabled))

    def action_edit(self) -> None:
        """Open the entry under the cursor."""
        if (at := self._highlighted) is not None:
            known = self._book.entries[at]
            self.open_above(LoreForm(known), lambda entry: self._written(known, entry))

    def action_new(self) -> None:
        """Write another entry."""
        self.open_above(LoreForm(), lambda entry: self._written(None, entry))

    def action_copy(self) -> None:
        """A copy of the entry under the cursor, behind it."""
        if (at := self._highlighted) is not None:
            copy = msgspec.structs.replace(self._book.entries[at], id=None)
            self._change((*self._book.entries[: at + 1], copy, *self._book.entries[at + 1 :]), at + 1)

    def action_delete(self) -> None:
        """Take the entry under the cursor away."""
        if (at := self._highlighted) is not None:
            self._change((*self._book.entries[:at], *self._book.entries[at + 1 :]), at)

    def action_undo(self) -> None:
        """Take the last change back."""
        if self._before:
            self._take(self._before.pop(), self._highlighted or 0)
            self._save(self._book)

    def _written(self, known: LoreEntry | None, entry: LoreEntry | None) -> None:
        """An entry came out of the form; the one that it was is found again, wherever it is by now."""
        if entry is None or entry == known:
            return
        entries = self._book.entries
        at = len(entries) if known is None else next((at for at, each in enumerate(entries) if each is known), len(entries))
        self._put(at, entry)

    def _put(self, at: int, entry: LoreEntry) -> None:
        self._change((*self._book.entries[:at], entry, *self._book.entries[at + 1 :]), at)

    def _change(self, entries: Sequence[LoreEntry], at: int) -> None:
        self._before = [*self._before[1 - _MOST_UNDO :], self._book]
        self._take(msgspec.structs.replace(self._book, entries=tuple(entries)), at)
        self._save(self._book)

    # -- what is shown

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input is self._text:
            self._try_again()
        else:
            self._show()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_edit()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_edit()

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._reached()

    @property
    def _highlighted(self) -> int | None:
        """Of the entry under the cursor, its place in the book."""
        index = self._choices.highlighted
        return int(self._found[index].value) if index is not None and index < len(self._found) else None

    def _take(self, book: Lorebook, at: int) -> None:
        """Show another state of the lorebook. at: the entry to stand on."""
        self._book = book
        self._items = tuple(_item(index, entry) for index, entry in enumerate(book.entries))
        self._width = max((min(len(item.label), _NAME_WIDTH) for item in self._items), default=0)
        self._show(min(at, len(self._items) - 1))
        self._try_again()

    def _try_again(self) -> None:
        if self._text.value.strip():
            self.run_worker(self._try_now(self._book, self._text.value), group="try", exclusive=True)
        else:
            self.workers.cancel_group(self, "try")
            if self._tried is not None:
                self._tried = None
                self._show()

    async def _try_now(self, book: Lorebook, text: str) -> None:
        await asyncio.sleep(self.REST)
        found = await asyncio.to_thread(self._attempt, book, text)
        self._tried = _tried(found)
        self._show(self._highlighted)

    def _show(self, at: int | None = None) -> None:
        """Show what fits the filter and, where a text is tried, what it calls. at: the entry to stand on if it is among them."""
        signs = self._signs()
        ranked = rank(self._filter.value, (self._items[index] for index in signs))
        self._found = tuple(item for item, _ in ranked[:_SHOWN])
        self._choices.clear_options()
        for item, marks in ranked[:_SHOWN]:
            sign, colour, quiet = signs[int(item.value)]
            line = line_of(msgspec.structs.replace(item, detail=quiet or item.detail), marks, self._width)
            self._choices.add_option(Option(Content.assemble((f"{sign} ", colour), line)))
        self._choices.display, self._nothing.display = bool(self._found), not self._found
        self._nothing.update(Content(self._why_empty()))
        if self._found:
            values = [int(item.value) for item in self._found]
            self._choices.highlighted = values.index(at) if at in values else 0
        off = sum(not entry.enabled for entry in self._book.entries)
        whole = f"{len(self._items):,}" + (f", {off:,} off" if off else "")
        self._count.update(f"{len(ranked):,} of {whole}" if len(ranked) != len(self._items) else whole)
        self._reached()

    def _signs(self) -> dict[int, tuple[str, str, str]]:
        """For each entry that is shown: the sign before it, its colour, and the quiet words that stand for its keys then, if any."""
        if self._tried is None:
            on, off = (_ON, "$text-secondary", ""), (_OFF, "$text-muted", "")
            return {index: on if entry.enabled else off for index, entry in enumerate(self._book.entries)}
        colours = {_DROPPED: "$text-warning", _ALWAYS: "$text-muted"}
        places = {id(entry): at for at, entry in enumerate(self._book.entries)}  # what was changed since is tried again in a moment
        return {
            places[id(entry)]: (sign, colours.get(sign, "$text-success"), why)
            for entry, sign, why in self._tried.found
            if id(entry) in places
        }

    def _why_empty(self) -> str:
        if not self._items:
            return "This lorebook has no entries yet. F4 writes one."
        if self._tried is not None and not self._signs():
            return "This text calls no entry."
        return f"Nothing fits “{sanitize(self._filter.value, strict=True)}”."

    def _reached(self) -> None:
        at = self._highlighted
        notices = self._tried.notices if self._tried is not None else ()
        why = "" if at is None else self._signs()[at][2]
        lines = [Content.styled(f"! {sanitize(notice, strict=True)}", "$text-warning") for notice in notices[:_MOST_NOTICES]]
        if len(notices) > _MOST_NOTICES:
            lines.append(Content.styled(f"! {len(notices) - _MOST_NOTICES:,} more keys cannot be used", "$text-muted"))
        if at is not None:
            lines += [*([Content("")] if lines else []), _entry(self._book.entries[at], self._book, why)]
        self._card.update(Content("\n").join(lines))
        self._around.scroll_home(animate=False)


class _Choices(OptionList, can_focus=False):
    """The list; the lines above keep the focus, and the mouse works without one."""


def _item(index: int, entry: LoreEntry) -> Item:
    keys = "always there" if entry.constant else ", ".join(entry.keys[:20])
    return Item(str(index), sanitize(title(entry), strict=True) or "(empty)", sanitize(keys, strict=True)[:200])


def _tried(found: Scan) -> _Tried:
    """What fired first, then what did not, then what is always there."""

    def row(each: Fired, sign: str) -> tuple[LoreEntry, str, str]:
        return each.entry, sign, sanitize(each.reason, strict=True)

    rows = [
        *(row(each, _FIRED) for each in found.fired),
        *(row(each, _DROPPED) for each in found.dropped),
        *(row(each, _ALWAYS) for each in found.always),
    ]
    return _Tried(tuple(rows), found.notices)


def _entry(entry: LoreEntry, book: Lorebook, why: str) -> Content:
    """One entry as it is read: what it is called, why it was called, when and where, what it says."""
    keys = "always there" if entry.constant else f"keys: {', '.join(entry.keys)}"
    rules = [keys, *in_words(rules_of_entry(entry, book))]
    lines = [
        Content.styled(sanitize(title(entry), strict=True) + ("" if entry.enabled else "  (off)"), "bold"),
        *([Content.styled(why, "$text-secondary")] if why else []),
        Content.styled(shortened(sanitize(" · ".join(rules), strict=True), 1_000), "$text-muted"),
        Content(""),
        Content(shortened(sanitize(entry.content).strip(), _MOST_TEXT)),
    ]
    if entry.comment.strip() and entry.comment != title(entry):
        lines += [Content(""), Content.styled(shortened(sanitize(entry.comment).strip(), 2_000), "$text-muted")]
    return Content("\n").join(lines)
