"""A form that fills the screen: fields under quiet headings, an explanation of the one in use, and nothing lost on Esc."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, TypeVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from nemochat.desk.port import Answer
from nemochat.domain.sanitize import sanitize
from nemochat.numbers import plural
from nemochat.tui.screens.dialogs import Choose
from nemochat.tui.screens.modal import Modal
from nemochat.tui.widgets.form_fields import Field, FieldScroller, LineField, TextField, field_of

R = TypeVar("R")

class Section(msgspec.Struct, frozen=True):
    """Fields that belong together. title: "" for none."""

    title: str
    fields: Sequence[Field]


class FormScreen(Modal[R | None]):
    """Returns what `made` makes of the values, or None when the user leaves it.

    saves: what Ctrl+S does, in a word or two. was_changed: what the form begins with is not saved anywhere yet.
    """

    CSS_PATH = "form.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="form.save", priority=True, tooltip="Save and close"),
        Binding("escape", "leave", "Leave", id="form.leave", tooltip="Close; asks first when something was changed"),
        Binding("up", "app.focus_previous", "Previous", show=False, id="form.previous", tooltip="The field above"),
        Binding("down", "app.focus_next", "Next", show=False, id="form.next", tooltip="The field below"),
        Binding("ctrl+down,ctrl+pagedown", "section(1)", "Next part", show=False, id="form.next_part", tooltip="To the next heading"),
        Binding("ctrl+up,ctrl+pageup", "section(-1)", "Part before", show=False, id="form.part_before", tooltip="To the heading before"),
    ]
    MORE_KEYS: ClassVar[str] = ""
    """What else the hint line says."""

    def __init__(self, title: str, *, saves: str = "saves", was_changed: bool = False) -> None:
        super().__init__()
        self._title, self._saves, self._was_changed = sanitize(title, strict=True), saves, was_changed
        self._sections: tuple[Section, ...] = ()
        self._told = ""
        self._help = Static(id="form-help", markup=False)
        self._hint = Static(id="form-hint", markup=False)

    # -- what a form of this kind says

    def sections(self) -> Iterator[Section]:
        """The fields, in their order."""
        raise NotImplementedError

    def made(self, values: Mapping[str, object]) -> R:
        """What is returned for these values, by the keys of the fields."""
        raise NotImplementedError

    def missing(self, values: Mapping[str, object]) -> tuple[str, str] | None:
        """The key of a field that has to be filled in first, with a sentence; None when all is well."""
        return None

    # -- the frame

    def compose(self) -> ComposeResult:
        """Title, parts, help, keys."""
        with Vertical(id="form"):
            yield Label(self._title, id="form-title", markup=False)
            with FieldScroller():
                self._sections = tuple(self.sections())
                for section in self._sections:
                    with Vertical(classes="part"):
                        if section.title:
                            yield Label(section.title, classes="part-title", markup=False)
                        yield from section.fields
            yield self._help
            yield self._hint

    def on_mount(self) -> None:
        """Into the first field."""
        self.fields[0].take_focus()
        self._tell()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Explain the field that has the focus."""
        field = field_of(event.widget)
        self._help.update(field.help if field is not None else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes to the next field."""
        event.stop()
        self.focus_next()

    def on_field_edited(self, event: Field.Edited) -> None:
        """Say how it stands."""
        event.stop()
        self._tell()

    @property
    def fields(self) -> list[Field]:
        """All fields."""
        return [field for section in self._sections for field in section.fields]

    @property
    def values(self) -> dict[str, object]:
        """The values, by the keys of the fields."""
        return {field.key: field.value for field in self.fields}

    @property
    def initial(self) -> dict[str, object]:
        """What stood there at first, by the keys of the fields."""
        return {field.key: field.initial for field in self.fields}

    @property
    def is_changed(self) -> bool:
        """There is something that leaving would lose."""
        return self._was_changed or any(field.is_changed for field in self.fields)

    @property
    def typed(self) -> str:
        """The texts that were changed, each under its label."""
        return _labelled(field for field in self.fields if isinstance(field, LineField | TextField))

    @property
    def unfinished(self) -> str:
        """The same without those of one line."""
        return _labelled(field for field in self.fields if isinstance(field, TextField))

    def action_save(self) -> None:
        """Close with what stands here; the first value that is not allowed keeps the form open and gets the focus."""
        if self.is_current and self.is_sound():
            self.dismiss(self.made(self.values))

    def is_sound(self) -> bool:
        """Whether everything is allowed; goes to the first field that is not."""
        wrong = next((field for field in self.fields if field.problem), None)
        if wrong is None and (missing := self.missing(self.values)) is not None:
            wrong = next(field for field in self.fields if field.key == missing[0])
            wrong.refuse(missing[1])
        if wrong is not None:
            wrong.take_focus()
        return wrong is None

    def action_section(self, by: int) -> None:
        """To the first field of the next heading, or of the one before."""
        inside = field_of(self.focused)
        at = next((index for index, section in enumerate(self._sections) if inside in section.fields), 0)
        field = self._sections[(at + by) % len(self._sections)].fields[0]
        field.take_focus()
        if isinstance(field.parent, Widget):
            field.parent.scroll_visible(animate=False, top=True)

    def action_leave(self) -> None:
        """Close, but ask before anything is lost."""
        if not self.is_changed:
            self.dismiss(None)
            return
        changed = sum(field.is_changed for field in self.fields)
        text = f"{plural(changed, 'field')} changed, not saved yet." if changed else "Your changes are not saved."
        answers = (Answer("save", "Save"), Answer("stay", "Go on"), Answer("leave", "Leave without saving"))
        self.open_above(Choose("Leave the form?", text, answers), self._answered)

    def _answered(self, answer: str | None) -> None:
        if answer == "save":
            self.action_save()
        elif answer == "leave":
            self.dismiss(None)

    def _tell(self) -> None:
        wrong = sum(bool(field.problem) for field in self.fields)
        changed = sum(field.is_changed for field in self.fields)
        first = f"Ctrl+S {self._saves}" + (f" {plural(changed, 'change')}" if changed else "")
        if wrong:
            first = f"✗ {wrong} not allowed: Ctrl+S goes there"
        words = f"{first}{self.MORE_KEYS} · Ctrl+Down next part · Esc leaves"
        if words != self._told:
            self._told = words
            self._hint.update(Content(words))


def _labelled(fields: Iterable[LineField | TextField]) -> str:
    return "\n\n".join(f"{field.label}:\n{field.text}" for field in fields if field.is_changed)
