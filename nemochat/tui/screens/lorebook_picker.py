"""The lorebooks: whose each of them is, and what can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from nemochat.desk.port import Item, LoreAction, LorebookItem, LoreWish
from nemochat.domain.personas import Lorebook
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.numbers import plural
from nemochat.personas.lore import title
from nemochat.tui.screens.browser import Browser, browser_keys

_MOST_ENTRIES = 200
_MOST_TEXT = 2_000
_ALONE = (LoreAction.NEW, LoreAction.IMPORT)
"""These need no lorebook."""


class LorebookPicker(Browser[LoreWish]):
    """Choose one of the lorebooks and what to do with it; None after Esc. The arguments are as in `AskLore`."""

    NAME_WIDTH = 26
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="lorebooks.close", tooltip="Close without choosing"),
        *browser_keys("lorebooks", "lorebook", "what it says"),
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
        text = Static(classes="card-text", markup=False)
        card = VerticalScroll(text, classes="card", can_focus=False)
        empty = "There are no lorebooks yet. F6 writes one, F7 imports a file of SillyTavern, NovelAI, Agnai or RisuAI."
        super().__init__(map(_item, lorebooks), card, placeholder="Lorebooks: type to filter", empty=empty, current=current)
        self._lorebooks = {each.summary.id: each for each in lorebooks}
        self._text, self._load, self._persona = text, load, sanitize(persona, strict=True)

    def keys(self) -> Sequence[Sequence[str]]:
        """Those of the actions; that of the persona where one is played."""
        whose = [f"F3 {shortened(self._persona, 12)}"] if self._persona else []
        others = ("F6 new", "F7 import", "F8 delete", "F9 export")
        return (
            ("Enter open", "F2 this chat", *whose, "F4 every chat", *others),
            ("Enter open", "F2 chat", *whose, "F4 all", *others),
            ("Enter open", "F2 chat", "F4 all", "F6 new", "F8 delete"),
        )

    def choose(self, value: str) -> None:
        """Show its entries."""
        self.action_do(LoreAction.OPEN)

    def action_do(self, name: str) -> None:
        """Close with this action on the lorebook under the cursor."""
        action, chosen = LoreAction(name), self.highlighted
        if action is LoreAction.PERSONA and not self._persona:
            self.notify("No persona is played. F5 in the chat chooses one.", severity="warning", markup=False)
        elif action in _ALONE or chosen is not None:
            self.dismiss(LoreWish(action, chosen or ""))

    def read(self, value: str) -> Callable[[], None]:
        """What it is, and what its entries are called."""
        book = self._load(value)
        return lambda: self._text.update(_card(book, self._lorebooks[value]))

    def say(self, text: str) -> None:
        """In place of the card."""
        self._text.update(Content(sanitize(text)))


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
