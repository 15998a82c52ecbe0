"""Choosing a persona, and what else can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Resize

from nemochat.desk.port import Item, PersonaAction, PersonaWish
from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize
from nemochat.personas.index import PersonaSummary
from nemochat.tui.screens.browser import NARROW, Browser, browser_keys
from nemochat.tui.widgets.persona_preview import PersonaPreview
from nemochat.tui.widgets.portrait import half_blocks

TALL = 34
"""From this height on a portrait is shown pixel by pixel beside the list."""
_SMALL, _LARGE = (12, 6), (24, 12)
_ALONE = (PersonaAction.NEW, PersonaAction.IMPORT)
"""These need no persona."""
_KEYS = ("Enter use", "F2 card", "F3 edit", "F4 new", "F6 copy", "F7 import", "F8 delete", "F9 export")
# There is no F5: it opens this screen, and pressing it once more by mistake must do nothing.
_MORE = ("Ctrl+Up/Down scroll the card", "Esc closes")


class PersonaPicker(Browser[PersonaWish]):
    """Choose one of `personas` and what to do with it; None after Esc.

    load: a persona and its portrait by id; it is called in a thread and may raise NemochatError. current: the id that is highlighted at
    first. user: what texts of personas call the user.
    """

    NAME_WIDTH = 22
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="personas.close", tooltip="Close without choosing"),
        *browser_keys("personas", "persona", "the card"),
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
        preview, empty = PersonaPreview(classes="card"), "There are no personas yet. F4 writes one, F7 imports a card."
        super().__init__(
            map(_item, personas), preview, placeholder="Choose a persona: type to filter", empty=empty, current=current
        )
        self._personas = {persona.id: persona for persona in personas}
        self._preview, self._load, self._user = preview, load, user

    def keys(self) -> Sequence[Sequence[str]]:
        """Those of the actions, and how to get about."""
        return (*_KEYS, *_MORE), _KEYS

    def on_resize(self, event: Resize) -> None:
        """A large portrait where there is room for it."""
        self.set_class(event.size.width >= NARROW and event.size.height >= TALL, "-large")

    def choose(self, value: str) -> None:
        """Talk with it."""
        self.action_do(PersonaAction.USE)

    def action_do(self, name: str) -> None:
        """Close with this action on the persona under the cursor."""
        action, chosen = PersonaAction(name), self.highlighted
        if action in _ALONE or (chosen is not None and not self._refuses(action, chosen)):
            self.dismiss(PersonaWish(action, chosen or ""))

    def _refuses(self, action: PersonaAction, chosen: str) -> bool:
        """Say why not, where that is known here."""
        if action is PersonaAction.DELETE and self._personas[chosen].is_builtin:
            name = sanitize(self._personas[chosen].name, strict=True)
            self.notify(f"{name} comes with nemochat and cannot be deleted. F6 makes a copy.", severity="warning", markup=False)
            return True
        return False

    def read(self, value: str) -> Callable[[], None]:
        """The picture is made ready too, because a large one takes its time."""
        persona, png = self._load(value)
        if png:
            half_blocks(png, *(_LARGE if self.has_class("-large") else _SMALL))
        return lambda: self._preview.show(persona, png, self._personas[value], self._user)

    def say(self, text: str) -> None:
        """In place of the card."""
        self._preview.say(text)


def _item(persona: PersonaSummary) -> Item:
    detail = " · ".join(part for part in (persona.summary, ", ".join(persona.tags)) if part)
    return Item(persona.id, sanitize(persona.name, strict=True)[:120], sanitize(detail, strict=True)[:300])
