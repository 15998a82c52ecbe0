"""The form in which a persona is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import msgspec
from textual.binding import Binding, BindingType

from nemochat.desk.port import EditedPersona
from nemochat.domain.personas import Lorebook, LoreEntry, Persona, PersonaSampling
from nemochat.domain.sanitize import shortened
from nemochat.errors import SettingsError
from nemochat.personas.files import MAX_NAME
from nemochat.personas.lore import title
from nemochat.personas.lore_rules import SCAN_DEPTH
from nemochat.personas.lorebooks import LorebookSummary
from nemochat.personas.sampling_presets import Preset, for_persona
from nemochat.settings import describe, parse_setting
from nemochat.tui.screens.form import FormScreen, Section
from nemochat.tui.screens.lore_form import LoreForm, TextForm
from nemochat.tui.screens.picker import preset_picker
from nemochat.tui.widgets.form_fields import ColourField, Field, LineField, LinesField, Parse, SwitchField, TextField
from nemochat.tui.widgets.form_lists import ListField

_MACROS = "{{char}} and {{user}} stand for the two names."
_LIST_KEYS = "Enter adds one, Delete removes it, Ctrl+Z brings it back."
_GREETING = f"How the persona opens. {_MACROS}"
_REMEMBERED = "Told to the model in every chat with it; cards do not take it along."
_SAMPLING, _BOOK = "sampling.", "book."
_LABELS = {"max_tokens": "Longest reply"}


class PersonaForm(FormScreen[EditedPersona]):
    """Every field of a persona. saved: how it is kept now, where that is not `persona` (after an editor). lorebooks: that there are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+g", "editor", "Editor", id="form.editor", priority=True, tooltip="Continue in $EDITOR, as TOML"),
        Binding("ctrl+r", "preset", "Presets", id="form.preset", tooltip="Fill in sampling from a preset"),
    ]
    MORE_KEYS: ClassVar[str] = " · Ctrl+G in $EDITOR"

    def __init__(
        self, persona: Persona, saved: Persona | None = None, lorebooks: Sequence[LorebookSummary] = (), presets: Sequence[Preset] = ()
    ) -> None:
        super().__init__(persona.name or "A new persona", was_changed=saved is not None and saved != persona)
        self._presets = {each.name: each for each in presets}
        self._persona = persona
        self._book = persona.book or Lorebook()
        names = {each.name.casefold(): each.id for each in lorebooks}
        self._ids = {**names, **{each.id.casefold(): each.id for each in lorebooks}, **{id_.casefold(): id_ for id_ in persona.lorebooks}}

    def sections(self) -> Iterator[Section]:
        """Name, who it is, what the model is told, how it opens, the lorebook, sampling, what is for people."""
        persona, book, sampling = self._persona, self._book, self._persona.sampling
        yield Section("", (
            _name("name", "Name", persona.name, "Who speaks. It stands over the replies and in lists."),
            _name("nickname", "Called", persona.nickname, "What {{char}} becomes; empty is the name."),
            LineField("summary", "Summary", persona.summary, help="One line for lists; empty is made from the texts."),
            LineField("tags", "Tags", persona.tags, text=", ".join(persona.tags), parse=_tags, help="Words to find it by, between commas."),
            ColourField("accent", "Colour", persona.accent, help="Of its name; empty is the theme's own."),
            _name("user_name", "Calls you", persona.user_name, "What {{user}} becomes; empty is the name of your profile."),
            _name("model", "Model", persona.model, "The name of the model that it was written for; empty is whichever is open."),
        ))  # fmt: skip
        yield Section("Who it is", (
            TextField("description", "Description", persona.description, help=f"Looks, history, manner. {_MACROS}"),
            TextField("personality", "Personality", persona.personality, help="A few words or sentences, behind the description."),
            TextField("scenario", "Scenario", persona.scenario, help="Where you two are and what is going on."),
        ))  # fmt: skip
        yield Section("What the model is told", (
            TextField(
                "system", "System text", persona.system,
                help="In place of your own system text; {{original}} puts that back in. Empty: yours, and whom to play.",
            ),
            TextField("post_history", "Said again", persona.post_history, help="Added to your last message, for what is soon forgotten."),
            ListField[str](
                "remembered", "Remembers", persona.remembered, line=lambda text: (text, ""), add="something to remember",
                help=f"{_REMEMBERED} {_LIST_KEYS}",
            ),
        ))  # fmt: skip
        yield Section("How it opens", (
            TextField("greeting", "Greeting", persona.greeting, help=f"{_GREETING} Empty: you begin."),
            ListField[str](
                "greetings", "Others", persona.greetings, line=lambda text: (text, ""), add="another greeting",
                help=f"Swipes of the greeting. {_LIST_KEYS}",
            ),
            TextField(
                "examples", "Examples", persona.examples,
                help="Dialogues: each begins with <START>, then lines “{{user}}: …” and “{{char}}: …”. The first to be forgotten.",
            ),
        ))  # fmt: skip
        yield Section("Lorebook", (
            ListField[LoreEntry](
                "book.entries", "Entries", book.entries, line=lambda entry: (title(entry), _about(entry)), add="another entry",
                help=f"What is known of the world. {_LIST_KEYS}",
            ),
            _name("book.name", "Book", book.name, "The lorebook's name, for people."),
            TextField("book.description", "About it", book.description, help="For people."),
            _optional("book.scan_depth", "Messages", book.scan_depth, f"How many of the last are searched; empty is {SCAN_DEPTH}."),
            _optional("book.token_budget", "Tokens", book.token_budget, "The most that enter in a turn; empty: a quarter of the window."),
            SwitchField("book.recursive", "Chains", book.recursive, help="What entered is searched for keys too."),
            LinesField("lorebooks", "Others", persona.lorebooks, help="Lorebooks that it has besides, by name, one per line."),
        ))  # fmt: skip
        known = {info.key.removeprefix(_SAMPLING): info for info in describe("sampling")}
        numbers = [
            LineField(
                f"{_SAMPLING}{name}", _LABELS.get(name, name.replace("_", " ").capitalize()), value, text=_typed(value),
                parse=_setting(f"{_SAMPLING}{name}", known[name].allowed), hint="yours", is_short=not isinstance(value, tuple | dict),
                help=f"{known[name].help} Empty is your own setting.",
            )
            for name in PersonaSampling.__struct_fields__
            for value in [getattr(sampling, name)]
        ]  # fmt: skip
        yield Section("Sampling", numbers)
        yield Section("For people", (
            TextField("creator_notes", "Notes", persona.creator_notes, help="For people; they are never told to the model."),
            _name("creator", "Author", persona.creator, "Who wrote it."),
            _name("version", "Version", persona.version, "Of the card."),
        ))  # fmt: skip

    def missing(self, values: Mapping[str, object]) -> tuple[str, str] | None:
        """A persona has a name, and its lorebooks exist."""
        if not str(values["name"]).strip():
            return "name", "A persona needs a name."
        unknown = next((name for name in cast("tuple[str, ...]", values["lorebooks"]) if name.casefold() not in self._ids), None)
        if unknown is None:
            return None
        return "lorebooks", f"There is no lorebook {shortened(unknown, 40)}. /lore shows them, and adds others."

    def made(self, values: Mapping[str, object]) -> EditedPersona:
        """The persona, with what the form does not show as it was."""
        return EditedPersona(self._made(values))

    def _made(self, values: Mapping[str, object]) -> Persona:
        sampling = {key.removeprefix(_SAMPLING): value for key, value in values.items() if key.startswith(_SAMPLING)}
        book_values = {key.removeprefix(_BOOK): value for key, value in values.items() if key.startswith(_BOOK)}
        book: Lorebook | None = msgspec.structs.replace(self._book, **book_values)
        if self._persona.book is None and book == Lorebook():
            book = None
        others: dict[str, Any] = {key: value for key, value in values.items() if "." not in key}
        others["lorebooks"] = tuple(dict.fromkeys(self._ids.get(name.casefold(), name) for name in others["lorebooks"]))
        return msgspec.structs.replace(self._persona, **others, sampling=PersonaSampling(**cast("dict[str, Any]", sampling)), book=book)

    def action_editor(self) -> None:
        """Close with what stands here, to go on in a text editor."""
        if self.is_current and self.is_sound():
            self.dismiss(EditedPersona(self._made(self.values), in_editor=True))

    def action_preset(self) -> None:
        """Fill in sampling from a preset; nothing is saved by that yet."""

        def fill(name: str | None) -> None:
            if name:
                wanted = for_persona(self._presets[name].sampling)
                for field in self.fields:
                    if isinstance(field, LineField) and field.key.startswith(_SAMPLING):
                        field.fill(_typed(getattr(wanted, field.key.removeprefix(_SAMPLING))))

        self.open_above(preset_picker(self._presets.values()), fill)

    def on_list_field_opened(self, event: ListField.Opened) -> None:
        """Write a greeting, an entry of the lorebook, or something to remember."""
        event.stop()
        field, index = event.field, event.index
        known = field.items[index] if index < len(field.items) else None

        def written(item: object) -> None:
            if item is not None and item != "":
                field.put(index, item)

        if isinstance(known, LoreEntry) or field.key == "book.entries":
            self.open_above(LoreForm(known if isinstance(known, LoreEntry) else None), written)
        else:
            heading, help = (
                (f"Another greeting, {index + 1}", _GREETING) if field.key == "greetings" else ("Something to remember", _REMEMBERED)
            )
            self.open_above(TextForm(heading, "" if known is None else str(known), help=help), written)


def _name(key: str, label: str, value: str, help: str) -> Field:
    return LineField(key, label, value, help=help, parse=_short)


def _optional(key: str, label: str, value: int | None, help: str) -> Field:
    return LineField(key, label, value, text="" if value is None else str(value), parse=_count_or_none, is_short=True, help=help)


def _about(entry: LoreEntry) -> str:
    keys = "always there" if entry.constant else ", ".join(entry.keys[:20])
    return keys if entry.enabled else f"off · {keys}"


def _short(text: str) -> str:
    if len(text) > MAX_NAME:
        raise ValueError(f"This has to be at most {MAX_NAME} characters.")
    return text.strip()


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag for part in text.split(",") if (tag := part.strip()))


def _count_or_none(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("This has to be a whole number, 0 or more, or nothing.")
    return number


def _typed(value: object) -> str:
    """A value of sampling as it is typed."""
    if isinstance(value, tuple | dict):
        return msgspec.json.encode(value).decode()
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _setting(key: str, allowed: str) -> Parse:
    """Reads a value as the settings do; nothing is None."""

    def parse(text: str) -> object:
        if not text.strip():
            return None
        try:
            return parse_setting(key, text)
        except SettingsError:
            raise ValueError(f"This has to be {allowed}, or nothing.") from None

    return parse
