"""The entries of a lorebook: seen, switched, written and tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import msgspec
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from nemochat.desk.port import Item
from nemochat.domain.personas import Lorebook, LoreEntry
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.personas.lore import Scan, title
from nemochat.personas.lore_rules import in_words, rules_of_entry
from nemochat.tui.screens.browser import Browser, browser_keys
from nemochat.tui.screens.lore_form import LoreForm

_MOST_TEXT = 20_000
_MOST_UNDO = 100
_MOST_NOTICES = 3
_KEYS = ("Enter edit", "F2 on/off", "F4 new", "F6 copy", "F8 delete", "Ctrl+Z undo")
_ON, _OFF = "●", "○"


class _Sign(msgspec.Struct, frozen=True):
    """The sign before an entry, and the quiet words that stand for its keys, if any: why a text calls it, or not."""

    sign: str
    colour: str
    quiet: str = ""


class _Tried(msgspec.Struct, frozen=True):
    """What a text would call."""

    found: tuple[tuple[LoreEntry, _Sign], ...]
    notices: tuple[str, ...] = ()


class LorebookScreen(Browser[None]):
    """The arguments are as in `AskLorebook`. Every change is kept at once, and Ctrl+Z takes it back."""

    NAME_WIDTH = 24
    REST: ClassVar[float] = 0.15
    """Seconds that typing has to rest before a text is tried."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="lore.close", tooltip="Close; every change is kept already"),
        Binding("tab,shift+tab", "other_line", "Try", show=False, priority=True, id="lore.try", tooltip="Filter, or a text to try"),
        *browser_keys("lore", "entry", "the entry"),
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
        text = Static(classes="card-text", markup=False)
        card = VerticalScroll(text, classes="card", can_focus=False)
        super().__init__(_items(book), card, placeholder="Type to filter", empty="This lorebook has no entries yet. F4 writes one.")
        self._book, self._attempt, self._save, self._card_text = book, attempt, save, text
        self._before: list[Lorebook] = []
        self._tried: _Tried | None = None
        self._signs: Mapping[int, _Sign] = {}
        """Of the entries that are shown."""
        self._text = Input(placeholder="Tab: try a text. Which entries would it call?", compact=True, id="lore-try")

    def keys(self) -> Sequence[Sequence[str]]:
        """Those of the actions."""
        return (*_KEYS, "Tab try a text", "Esc closes"), (*_KEYS, "Tab try"), ("Enter edit", "F2 on/off", "F4 new", "F8 delete", "Tab try")

    def head(self) -> Iterable[Widget]:
        """Name and count; filter, and the text to try."""
        title = Label(sanitize(self._book.name or "Lorebook", strict=True), id="lore-title", markup=False)
        return Horizontal(title, self._count, classes="top"), self._filter, self._text

    # -- what the user does

    def choose(self, value: str) -> None:
        """Write on it."""
        self.action_edit()

    def action_other_line(self) -> None:
        """From the filter to the text that is tried, and back."""
        (self._filter if self._text.has_focus else self._text).focus()

    def action_switch(self) -> None:
        """Use the entry under the cursor, or not."""
        if (at := self._at) is not None:
            entry = self._book.entries[at]
            self._put(at, msgspec.structs.replace(entry, enabled=not entry.enabled))

    def action_edit(self) -> None:
        """Open the entry under the cursor."""
        if (at := self._at) is not None:
            known = self._book.entries[at]
            self.open_above(LoreForm(known), lambda entry: self._written(known, entry))

    def action_new(self) -> None:
        """Write another entry."""
        self.open_above(LoreForm(), lambda entry: self._written(None, entry))

    def action_copy(self) -> None:
        """A copy of the entry under the cursor, behind it."""
        if (at := self._at) is not None:
            copy = msgspec.structs.replace(self._book.entries[at], id=None)
            self._change((*self._book.entries[: at + 1], copy, *self._book.entries[at + 1 :]), at + 1)

    def action_delete(self) -> None:
        """Take the entry under the cursor away."""
        if (at := self._at) is not None:
            self._change((*self._book.entries[:at], *self._book.entries[at + 1 :]), at)

    def action_undo(self) -> None:
        """Take the last change back."""
        if self._before:
            self._take_book(self._before.pop(), self._at or 0)
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
        self._take_book(msgspec.structs.replace(self._book, entries=tuple(entries)), at)
        self._save(self._book)

    # -- what is shown

    @on(Input.Changed, "#lore-try")
    def _try_typed(self, event: Input.Changed) -> None:
        event.stop()
        self._try_again()

    @property
    def _at(self) -> int | None:
        """Of the entry under the cursor, its place in the book."""
        return None if self.highlighted is None else int(self.highlighted)

    def _take_book(self, book: Lorebook, at: int) -> None:
        """Show another state of the lorebook. at: the entry to stand on."""
        self._book = book
        self._take(_items(book))
        self.show(str(min(at, len(book.entries) - 1)))
        self._try_again()

    def _try_again(self) -> None:
        if self._text.value.strip():
            self.run_worker(self._try_now(self._book, self._text.value), group="try", exclusive=True)
        else:
            self.workers.cancel_group(self, "try")
            if self._tried is not None:
                self._tried = None
                self.show()

    async def _try_now(self, book: Lorebook, text: str) -> None:
        await asyncio.sleep(self.REST)
        found = await asyncio.to_thread(self._attempt, book, text)
        self._tried = _tried(found)
        self.show(self.highlighted)

    def offered(self) -> Iterable[Item]:
        """All entries, or those that the text calls which is tried."""
        self._signs = self._signs_now()
        return (self._items[index] for index in self._signs)

    def option(self, item: Item, marks: Sequence[int]) -> Content:
        """With a sign before it, and quiet words in place of its keys where a text is tried."""
        sign = self._signs[int(item.value)]
        line = super().option(msgspec.structs.replace(item, detail=sign.quiet or item.detail), marks)
        return Content.assemble((f"{sign.sign} ", sign.colour), line)

    def counted(self, n_fitting: int) -> str:
        """With those that are not in use."""
        off = sum(not entry.enabled for entry in self._book.entries)
        return super().counted(n_fitting) + (f", {off:,} off" if off else "")

    def _signs_now(self) -> Mapping[int, _Sign]:
        if self._tried is None:
            on, off = _Sign(_ON, "$text-secondary"), _Sign(_OFF, "$text-muted")
            return {index: on if entry.enabled else off for index, entry in enumerate(self._book.entries)}
        places = {id(entry): at for at, entry in enumerate(self._book.entries)}  # what was changed since is tried again in a moment
        return {places[id(entry)]: sign for entry, sign in self._tried.found if id(entry) in places}

    def why_empty(self) -> str:
        """Also of a text that is tried."""
        is_tried_in_vain = self._items and self._tried is not None and not self._signs
        return "This text calls no entry." if is_tried_in_vain else super().why_empty()

    def reached(self) -> None:
        """Show the entry, below what is wrong with the keys that were tried."""
        at = self._at
        notices = self._tried.notices if self._tried is not None else ()
        why = "" if at is None else self._signs[at].quiet
        lines = [Content.styled(f"! {sanitize(notice, strict=True)}", "$text-warning") for notice in notices[:_MOST_NOTICES]]
        if len(notices) > _MOST_NOTICES:
            lines.append(Content.styled(f"! {len(notices) - _MOST_NOTICES:,} more keys cannot be used", "$text-muted"))
        if at is not None:
            lines += [*([Content("")] if lines else []), _entry(self._book.entries[at], self._book, why)]
        self._card_text.update(Content("\n").join(lines))
        self._card.scroll_home(animate=False)


def _items(book: Lorebook) -> Iterator[Item]:
    for index, entry in enumerate(book.entries):
        keys = "always there" if entry.constant else ", ".join(entry.keys[:20])
        yield Item(str(index), sanitize(title(entry), strict=True) or "(empty)", sanitize(keys, strict=True)[:200])


def _tried(found: Scan) -> _Tried:
    """What fired first, then what did not, then what is always there."""
    groups = ((found.fired, "+", "$text-success"), (found.dropped, "−", "$text-warning"), (found.always, "=", "$text-muted"))  # noqa: RUF001
    rows = [(each.entry, _Sign(sign, colour, sanitize(each.reason, strict=True))) for fired, sign, colour in groups for each in fired]
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
