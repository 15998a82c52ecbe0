"""The whole card of a persona, to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from nemochat.domain.personas import Lorebook, LoreEntry, Persona, Position
from nemochat.domain.sampling import in_words
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.numbers import count, plural
from nemochat.personas.index import summary_line
from nemochat.personas.lore import title
from nemochat.tui.screens.modal import Modal
from nemochat.tui.widgets.portrait import Portrait

MOST_CHARACTERS = 20_000
"""Shown of one text. The form and the editor have all of it."""
MOST_ENTRIES = 200
_MOST_OF_AN_ENTRY = 2_000
_MOST_KEYS = 40

_SECTIONS = (
    ("Description", "description"),
    ("Personality", "personality"),
    ("Scenario", "scenario"),
    ("System text, in place of yours", "system"),
    ("Said again behind the history", "post_history"),
    ("Greeting", "greeting"),
    ("Example dialogues, the first to be forgotten", "examples"),
)


class PersonaCard(Modal[None]):
    """Everything that a persona says, as it is written."""

    CSS_PATH = "persona_card.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,f2", "leave", "Close", id="persona_card.close", tooltip="Back to where you were"),
    ]

    def __init__(self, persona: Persona, portrait: bytes | None = None) -> None:
        super().__init__()
        self._persona, self._portrait = persona, portrait
        self._scroller = VerticalScroll(id="card-scroll")

    def compose(self) -> ComposeResult:
        """Portrait and facts; the texts under quiet headings; the lorebook."""
        persona = self._persona
        with Vertical(id="card"):
            with self._scroller:
                with Horizontal(id="card-head"):
                    yield Portrait(self._portrait, persona.name, persona.accent)
                    with Vertical(id="card-who"):
                        yield Static(Content(sanitize(persona.name, strict=True)), id="card-name")
                        yield Static(_facts(persona))
                for heading, text in _texts(persona):
                    yield Static(Content(heading), classes="heading")
                    yield Static(Content(text), classes="text")
                if persona.book is not None and (persona.book.entries or persona.book.description):
                    yield from _book(persona.book)
            yield Static("Up/Down and Page Up/Down scroll · Esc closes", id="card-hint")

    def on_mount(self) -> None:
        """The arrow keys scroll."""
        self._scroller.focus()


def _facts(persona: Persona) -> Content:
    """A few lines about it."""
    made = (f"by {persona.creator}" if persona.creator else "", f"version {persona.version}" if persona.version else "")
    wanted = {name: value for name, value in msgspec.structs.asdict(persona.sampling).items() if value is not None}
    called = {name: "longest reply" if name == "max_tokens" else name.replace("_", " ") for name in wanted}
    asked = [f"{called[name]} {_line(in_words(name, value))}" for name, value in wanted.items()]
    quiet = (
        f"answers to {_line(persona.nickname)}" if persona.nickname else "",
        f"calls you {_line(persona.user_name)}" if persona.user_name else "",
        " · ".join(_line(tag) for tag in persona.tags[:20]),
        " · ".join(_line(part) for part in made if part),
        f"for the model {_line(persona.model)}" if persona.model else "",
        ", ".join(asked),
    )
    lines = [Content(_line(summary_line(persona))), *(Content.styled(each, "$text-muted") for each in quiet)]
    return Content("\n").join(line for line in lines if line)


def _texts(persona: Persona) -> Iterator[tuple[str, str]]:
    """Headings and texts, without those that are empty."""
    for heading, field in _SECTIONS:
        if text := _cut(getattr(persona, field)):
            yield heading, text
        if field == "greeting":
            for number, greeting in enumerate(persona.greetings[:20], 1):
                yield f"Another greeting, {number} of {count(len(persona.greetings))}", _cut(greeting)
    if text := _cut(persona.creator_notes):
        yield "Notes of its author, which the model does not see", text


def _book(book: Lorebook) -> ComposeResult:
    """The lorebook's rules and its entries."""
    name = f" “{_line(book.name)}”" if book.name else ""
    rules = (
        f"the last {plural(book.scan_depth, 'message')} are searched" if book.scan_depth is not None else "",
        f"at most {plural(book.token_budget, 'token')} a turn" if book.token_budget is not None else "",
        "what fired is searched too" if book.recursive else "",
    )
    yield Static(Content(f"Lorebook{name}, {plural(len(book.entries), 'entry', 'entries')}"), classes="heading")
    if about := "\n".join(part for part in (_cut(book.description), ", ".join(rule for rule in rules if rule)) if part):
        yield Static(Content(about), classes="text")
    for entry in book.entries[:MOST_ENTRIES]:
        yield Static(_entry(entry), classes="entry")
    if len(book.entries) > MOST_ENTRIES:
        yield Static(Content(f"… and {count(len(book.entries) - MOST_ENTRIES)} more entries"), classes="text")


def _entry(entry: LoreEntry) -> Content:
    keys = ", ".join(_line(key) for key in entry.keys[:_MOST_KEYS])
    also = ", ".join(_line(key) for key in entry.secondary_keys[:_MOST_KEYS])
    conditions = (
        "" if entry.enabled else "switched off",
        f"always there, {'before' if entry.position is Position.BEFORE else 'after'} the description" if entry.constant else "",
        "" if entry.constant or not keys else f"keys: {keys}",
        f"and one of: {also}" if entry.selective and also else "",
        "as regular expressions" if entry.use_regex else "",
        "upper and lower case count" if entry.case_sensitive else "",
    )
    return Content.assemble(
        (_line(title(entry)) or "(no name)", "bold"),
        ("  " + " · ".join(each for each in conditions if each), "$text-muted"),
        "\n",
        _cut(entry.content, _MOST_OF_AN_ENTRY),
    )


def _line(text: str) -> str:
    """On one line, and not too long a one."""
    return shortened(sanitize(text, strict=True).strip(), 200)


def _cut(text: str, most: int = MOST_CHARACTERS) -> str:
    text = sanitize(text).strip()
    return text if len(text) <= most else f"{text[:most].rstrip()}…\n({count(len(text) - most)} more characters)"
