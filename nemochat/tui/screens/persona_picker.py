"""Choosing a persona, and what else can be done with one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from nemochat.desk.port import Item, PersonaAction, PersonaWish
from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.personas.index import PersonaSummary
from nemochat.tui.screens.modal import Modal
from nemochat.tui.screens.picker import line_of, rank
from nemochat.tui.widgets.persona_preview import PersonaPreview
from nemochat.tui.widgets.portrait import half_blocks

NARROW = 100
"""Below this width the card is under the list."""
TALL = 34
"""From this height on a portrait is shown pixel by pixel beside the list."""
_SHOWN = 500
_NAME_WIDTH = 22
_SMALL, _LARGE = (12, 6), (24, 12)


_ALONE = (PersonaAction.NEW, PersonaAction.IMPORT)
"""These need no persona."""
_HINT = "Enter use  F2 card  F3 edit  F4 new  F6 copy  F7 import  F8 delete  F9 export"
# There is no F5: it opens this screen, and pressing it once more by mistake must do nothing.
_MORE = "  Ctrl+Up/Down scroll the card  Esc closes"


class PersonaPicker(Modal[PersonaWish | None]):
    """Choose one of `personas` and what to do with it; None after Esc.

    load: a persona and its portrait by id; it is called in a thread and may raise NemochatError. current: the id that is highlighted at
    first. user: what texts of personas call the user.
    """

    CSS_PATH = "persona_picker.tcss"
    REST: ClassVar[float] = 0.04
    """Seconds that the cursor has to rest on a persona before its card is read."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="personas.close", tooltip="Close without choosing"),
        Binding("up", "move('cursor_up')", "Up", show=False, id="personas.up", tooltip="The persona above"),
        Binding("down", "move('cursor_down')", "Down", show=False, id="personas.down", tooltip="The persona below"),
        Binding("pageup", "move('page_up')", "Page up", show=False, id="personas.page_up", tooltip="A page up"),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id="personas.page_down", tooltip="A page down"),
        Binding("ctrl+up", "scroll_card(-1)", "Card up", show=False, id="personas.card_up", tooltip="Earlier in the card"),
        Binding("ctrl+down", "scroll_card(1)", "Card down", show=False, id="personas.card_down", tooltip="Later in the card"),
        Binding("f2", "do('view')", "Card", id="personas.view", tooltip="Read the whole card"),
        Binding("f3", "do('edit')", "Edit", id="personas.edit", tooltip="Change it; of one that comes with nemochat you get your own copy"),
        Binding("f4", "do('new')", "New", id="personas.new", tooltip="Write a persona"),
        Binding("f6", "do('duplicate')", "Copy", id="personas.duplicate", tooltip="Make a copy under another name"),
        Binding("f7", "do('import')", "Import", id="personas.import", tooltip="Import a card: PNG, JSON, charx or TOML"),
        Binding("f8", "do('delete')", "Delete", id="personas.delete", tooltip="Delete it; that can be undone"),
        Binding("f9", "do('export')", "Export", id="personas.export", tooltip="Write it as a card: PNG, JSON or TOML"),
    ]

    def __init__(
        self,
        personas: Sequence[PersonaSummary],
        load: Callable[[str], tuple[Persona, bytes | None]],
        *,
        current: str = "",
        user: str = "User",
    ) -> None:
        super().__init__()
        self._personas = {persona.id: persona for persona in personas}
        self._items = tuple(_item(persona) for persona in personas)
        self._width = max((min(cell_len(item.label), _NAME_WIDTH) for item in self._items), default=0)
        self._load, self._current, self._user = load, current, user
        self._found: tuple[Item, ...] = ()
        self._shown = ""
        self._filter = Input(placeholder="Choose a persona: type to filter", compact=True, id="personas-filter")
        self._count = Label(id="personas-count", markup=False)
        self._choices = _Choices(id="personas-list")
        self._nothing = Static(id="personas-empty", markup=False)
        self._card = PersonaPreview()
        self._hint = Static(_HINT, id="personas-hint", markup=False)

    def compose(self) -> ComposeResult:
        """Filter and count; list and card; what can be done."""
        with Vertical(id="personas"):
            with Horizontal(id="personas-top"):
                yield self._filter
                yield self._count
            with Container(id="personas-body"):
                with Vertical(id="personas-left"):
                    yield self._choices
                    yield self._nothing
                yield self._card
            yield self._hint

    def on_mount(self) -> None:
        """Typing filters at once."""
        self._filter.focus()
        self._show("")

    def on_resize(self, event: Resize) -> None:
        """The card goes where there is room for it."""
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.width >= NARROW and event.size.height >= TALL, "-large")
        self._hint.update(_HINT if event.size.width < len(_HINT + _MORE) + 4 else _HINT + _MORE)
        self.call_after_refresh(self._choices.scroll_to_highlight)

    # -- what the user does

    async def action_move(self, how: str) -> None:
        """Move the cursor in the list while the filter keeps the focus."""
        await self._choices.run_action(how)

    def action_scroll_card(self, by: int) -> None:
        """Scroll the card by half its height."""
        card = self._card
        card.scroll_relative(y=by * max(1, card.size.height // 2), animate=False)

    def action_do(self, name: str) -> None:
        """Close with this action on the persona under the cursor."""
        action, chosen = PersonaAction(name), self._highlighted
        if action in _ALONE or (chosen is not None and not self._refuses(action, chosen)):
            self.dismiss(PersonaWish(action, chosen or ""))

    @on(Input.Changed, "#personas-filter")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._show(event.value)

    @on(Input.Submitted, "#personas-filter")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_do("use")

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_do("use")

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._reached()

    @property
    def _highlighted(self) -> str | None:
        index = self._choices.highlighted
        return self._found[index].value if index is not None and index < len(self._found) else None

    def _refuses(self, action: PersonaAction, chosen: str) -> bool:
        """Say why not, where that is known here."""
        if action is PersonaAction.DELETE and self._personas[chosen].is_builtin:
            name = sanitize(self._personas[chosen].name, strict=True)
            self.notify(f"{name} comes with nemochat and cannot be deleted. F6 makes a copy.", severity="warning", markup=False)
            return True
        return False

    # -- what is shown

    def _show(self, query: str) -> None:
        ranked = rank(query, self._items)
        self._found = tuple(item for item, _ in ranked[:_SHOWN])
        choices, empty = self._choices, self._nothing
        choices.clear_options()
        choices.add_options(Option(Content.assemble(line_of(item, marks, self._width))) for item, marks in ranked[:_SHOWN])
        choices.display = bool(self._found)
        empty.display = not self._found
        none_yet = "There are no personas yet. F4 writes one, F7 imports a card."
        empty.update(Content(f"Nothing fits “{sanitize(query, strict=True)}”." if self._items else none_yet))
        if self._found:
            values = [item.value for item in self._found]
            choices.highlighted = values.index(self._current) if not query and self._current in values else 0
        count = f"{len(ranked):,} of {len(self._items):,}" if len(ranked) != len(self._items) else f"{len(self._items):,}"
        self._count.update(count if len(ranked) <= _SHOWN else f"{count}, the first {_SHOWN} shown")
        self._reached()

    def _reached(self) -> None:
        """The cursor stands on a persona: read its card, unless it goes on at once."""
        chosen = self._highlighted
        if chosen is None:
            self._shown = ""
            self.workers.cancel_group(self, "card")
            self._card.say("")
        elif chosen != self._shown:
            self._shown = chosen
            self.run_worker(self._show_card(chosen), group="card", exclusive=True)

    async def _show_card(self, chosen: str) -> None:
        await asyncio.sleep(self.REST)
        card = self._card
        try:
            persona, png = await asyncio.to_thread(self._read, chosen)
        except NemochatError as error:
            card.say(" ".join(part for part in (error.message, error.hint) if part))
            return
        card.show(persona, png, self._personas[chosen], self._user)

    def _read(self, chosen: str) -> tuple[Persona, bytes | None]:
        """In a thread: the picture is made ready there too, because a large one takes its time."""
        persona, png = self._load(chosen)
        if png:
            half_blocks(png, *(_LARGE if self.has_class("-large") else _SMALL))
        return persona, png


class _Choices(OptionList, can_focus=False):
    """The list; the filter keeps the focus, and the mouse works without one."""


def _item(persona: PersonaSummary) -> Item:
    detail = " · ".join(part for part in (persona.summary, ", ".join(persona.tags)) if part)
    return Item(persona.id, sanitize(persona.name, strict=True)[:120], sanitize(detail, strict=True)[:300])
