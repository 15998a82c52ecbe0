"""Choosing a persona, and what else can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from nemochat.desk.port import Item, PersonaAction, PersonaWish
from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.numbers import plural
from nemochat.personas.index import PersonaSummary, summary_line
from nemochat.personas.macros import Macros
from nemochat.tui.screens.browser import NARROW, Browser, browser_keys
from nemochat.tui.widgets.portrait import Portrait, half_blocks

TALL = 34
"""From this height on a portrait is shown pixel by pixel beside the list."""
_SMALL, _LARGE = (12, 6), (24, 12)
_MOST = 4_000
"""Of one text; the whole card is another screen."""
_MOST_TAGS = 12
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


class PersonaPreview(VerticalScroll, can_focus=False):
    """Shows one persona; `say` shows a sentence in its place."""

    DEFAULT_CSS = """
    PersonaPreview {
        scrollbar-size-vertical: 1;
        #preview-head { height: auto; margin-bottom: 1; }
        #preview-who { height: auto; width: 1fr; padding-left: 2; }
        #preview-name { text-style: bold; }
        #preview-text { height: auto; }
    }
    """

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._head = Horizontal(id="preview-head")
        self._portrait = Portrait()
        self._name_line = Static(id="preview-name", markup=False)
        self._facts = Static(id="preview-facts", markup=False)
        self._text = Static(id="preview-text", markup=False)
        self.say("")

    def compose(self) -> ComposeResult:
        """Portrait and facts beside each other, the texts below."""
        with self._head:
            yield self._portrait
            with Vertical(id="preview-who"):
                yield self._name_line
                yield self._facts
        yield self._text

    def say(self, text: str) -> None:
        """A sentence and no persona."""
        self._head.display = False
        self._text.update(Content(sanitize(text)))

    def show(self, persona: Persona, png: bytes | None, about: PersonaSummary, user: str) -> None:
        """A persona. user: what its texts call the user."""
        self._head.display = True
        self._portrait.show(png, persona.name, persona.accent)
        self._name_line.update(Content(sanitize(persona.name, strict=True)))
        self._facts.update(_facts(persona, about))
        self._text.update(_texts(persona, Macros(char=persona.called, user=user)))
        self.scroll_home(animate=False)


def _facts(persona: Persona, about: PersonaSummary) -> Content:
    tags = " · ".join(sanitize(tag, strict=True)[:40] for tag in persona.tags[:_MOST_TAGS])
    lines = [
        Content(sanitize(summary_line(persona), strict=True)[:200]),
        Content.styled(tags, "$text-muted"),
        Content.styled(" · ".join(_counted(persona, about)), "$text-muted"),
    ]
    return Content("\n").join(line for line in lines if line)


def _counted(persona: Persona, about: PersonaSummary) -> list[str]:
    entries = len(persona.book.entries) if persona.book is not None else 0
    creator = sanitize(persona.creator, strict=True)[:60]
    mine = f"yours, by {creator}" if creator and creator != "nemochat" else "yours"
    return [
        *([plural(entries, "lore entry", "lore entries")] if entries else []),
        *([plural(len(persona.greetings), "other greeting")] if persona.greetings else []),
        "comes with nemochat" if about.is_builtin else mine,
    ]


def _texts(persona: Persona, macros: Macros) -> Content:
    """The description (else what tells the model whom to play) and the greeting."""
    who = "\n".join(text for text in (persona.description, persona.personality, persona.scenario) if text.strip())
    parts = (("Who", who) if who else ("What the model is told", persona.system), ("Greeting", persona.greeting))
    return Content("\n\n").join(
        Content.assemble((f"{title}\n", "$text-muted"), shortened(sanitize(macros.expand(text[: 2 * _MOST]).strip()), _MOST))
        for title, text in parts
        if text.strip()
    )
