"""Every setting with its help and a control that fits; what was changed is handed back, and somebody else writes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import ClassVar

import msgspec
from msgspec.inspect import BoolType, EnumType, NoneType, UnionType, VarTupleType
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import DescendantFocus
from textual.theme import Theme
from textual.widgets import Input, Label, Static

from nemochat.domain.sampling import DEFAULT, InForce, in_words
from nemochat.domain.sanitize import sanitize
from nemochat.errors import SettingsError
from nemochat.numbers import plural
from nemochat.personas.sampling_presets import Preset
from nemochat.settings import SettingInfo, Settings, describe, parse_setting
from nemochat.tui.screens.modal import Modal
from nemochat.tui.screens.picker import preset_picker
from nemochat.tui.themes import NamedTheme
from nemochat.tui.widgets.form_fields import ChoiceField, Field, FieldScroller, LineField, SwitchField, field_of

_GROUP_TITLES = {
    "interface": "Interface", "engine": "Engine", "sampling": "Sampling", "tools": "Tools and documents", "lore": "Lorebooks",
}  # fmt: skip
_SHORT = {"when the model is loaded again": "↻ model reload", "at the next start": "↻ next start"}
_WORDS: dict[object, str] = {True: "on", False: "off", None: "automatic"}


class SettingsScreen(Modal[dict[str, object] | None]):
    """Returns the changes by key ("engine.threads"), or None after Esc.

    locked: the settings that cannot be changed now, by key, with what has set them (a variable of the environment, "the command line").
    sampling: what is in force of it, and who has set it, as far as that is known. presets: what sampling can be filled in with.
    misplaced: says what is wrong with changes that only the machine can tell, "" for nothing.
    """

    CSS_PATH = "settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="settings.save", priority=True, tooltip="Save the changes and close"),
        Binding("escape", "leave", "Cancel", id="settings.cancel", tooltip="Close without saving"),
        Binding("up", "app.focus_previous", "Previous", show=False, id="settings.previous", tooltip="The setting above"),
        Binding("down", "app.focus_next", "Next", show=False, id="settings.next", tooltip="The setting below"),
        Binding("ctrl+r", "preset", "Presets", id="settings.preset", tooltip="Fill in sampling from a preset"),
        Binding("ctrl+f", "filter", "Filter", show=False, id="settings.filter", tooltip="To the filter"),
    ]

    def __init__(
        self,
        settings: Settings,
        locked: Mapping[str, str],
        sampling: InForce | None = None,
        presets: Sequence[Preset] = (),
        misplaced: Callable[[Mapping[str, object]], Awaitable[str]] | None = None,
    ) -> None:
        super().__init__()
        self._presets, self._misplaced = {each.name: each for each in presets}, misplaced
        self._settings, self._locked, self._sampling = settings, locked, sampling
        self._rows: list[Field] = []
        self._searched: dict[str, str] = {}
        self._filter = Input(placeholder="Type to filter", compact=True, id="settings-filter")
        self._nothing = Static(id="settings-nothing", markup=False)
        self._help = Static(id="settings-help", markup=False)
        self._hint = Static(id="settings-hint", markup=False)

    def compose(self) -> ComposeResult:
        """Title, filter, the groups, and what the keys do."""
        with Vertical(id="settings"):
            yield Label("Settings", classes="title")
            yield self._filter
            with FieldScroller():
                for group, title in _GROUP_TITLES.items():
                    with Vertical(classes=f"group -{group}"):
                        yield Label(title, classes="group-title", markup=False)
                        if group == "sampling" and self._sampling is not None:
                            yield Static(self._sampling.order, classes="group-note", markup=False)
                        for info in describe(group):
                            yield self._row(info)
                yield self._nothing
            yield self._help
            yield self._hint

    def on_mount(self) -> None:
        """Typing filters at once."""
        self._nothing.display = False
        self._filter.focus()
        self._tell()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Of the filter; the rows keep theirs to themselves."""
        words = event.value.lower().split()
        for group in self.query(".group").results(Vertical):
            rows = [row for row in self._rows if row.parent is group]
            for row in rows:
                row.display = all(word in self._searched[row.key] for word in words)
            group.display = any(row.display for row in rows)
        self._nothing.display = not any(row.display for row in self._rows)
        self._nothing.update(f"No setting fits “{sanitize(event.value, strict=True)}”.")

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Explain the setting that has the focus."""
        row = field_of(event.widget)
        self._help.update(row.help if row else "Type words of its name or of its explanation.")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the filter goes to the first setting; in a setting to the next one."""
        event.stop()
        self.focus_next()

    def action_filter(self) -> None:
        """Write the filter anew."""
        self._filter.focus()

    async def action_save(self) -> None:
        """Close with the changes; what is not allowed keeps the screen open, and a value of that kind gets the focus."""
        wrong = next((row for row in self._rows if row.problem), None)
        if wrong is not None:
            self._filter.value = ""
            self.call_after_refresh(wrong.take_focus)
            return
        changes = {row.key: row.value for row in self._rows if row.is_changed}
        problem = await self._misplaced(changes) if self._misplaced is not None else ""
        if problem:
            self._help.update(f"✗ {sanitize(problem, strict=True)}")
        elif self.is_current:
            self.dismiss(changes)

    def action_preset(self) -> None:
        """Fill in sampling from a preset; nothing is saved by that yet."""

        def fill(name: str | None) -> None:
            if name:
                wanted = self._presets[name].over(self._settings.sampling)
                for field in self.query(LineField):
                    group, _, value = field.key.partition(".")
                    if group == "sampling":
                        field.fill(_text(getattr(wanted, value)))

        self.open_above(preset_picker(self._presets.values()), fill)

    def on_field_edited(self, event: Field.Edited) -> None:
        """Count what was changed."""
        event.stop()
        self._tell()

    def _row(self, info: SettingInfo) -> Field:
        """The field of a setting: its control, what is said beside it, its help with the default and with when a change applies."""
        group, _, name = info.key.partition(".")
        value = getattr(getattr(self._settings, group), name)
        label = name.replace("_", " ")
        self._searched[info.key] = f"{info.key} {label} {info.help}".lower()
        default, applies = _text(info.default) or "empty", f" A change applies {info.applies}." if info.applies else ""
        source, in_force, more = self._locked.get(info.key), "", ""
        if group == "sampling" and not source:
            default = in_words(name, getattr(DEFAULT, name))
            if self._sampling is not None:
                in_force = f"{self._sampling.value(name)} · {self._sampling.sources[name]}"
                more = f" In force: {self._sampling.value(name)} ({self._sampling.sources[name]})."
        if source:
            more = f" It is set by {source} and cannot be changed here."
            row: Field = _LockedField(info.key, label, value)
        elif (options := self._options(info)) is not None:
            default = next((each for each, option in options if option == info.default), default)
            if value not in [option for _, option in options]:
                options.append((f"{_text(value)} (not there)", value))
            row = ChoiceField(info.key, label, value, [(sanitize(each, strict=True), option) for each, option in options])
        elif isinstance(info.kind, BoolType):
            row = SwitchField(info.key, label, value)
        else:
            allowed = _allowed(info)
            hint = "empty" if isinstance(info.kind, UnionType | VarTupleType) else ""
            row = LineField(info.key, label, value, text=_text(value), parse=partial(_parsed, info.key, allowed), hint=hint)
            more = f" Allowed: {allowed}.{more}"
        row.help = f"{info.help} Default: {default}.{applies}{more}"

        def remark(field: Field) -> str:
            if source:
                return f"set by {source}"
            changed = "changed" if field.is_changed and not field.problem else ""
            return " ".join(word for word in (changed, _SHORT.get(info.applies, "")) if word) or in_force

        row.remark = remark
        self._rows.append(row)
        return row

    def _options(self, info: SettingInfo) -> list[tuple[str, object]] | None:
        """What a setting is chosen from; None where it is not."""
        if info.key == "interface.theme":
            return [(_theme_label(theme), theme.name) for theme in self.app.available_themes.values()]
        if info.key.startswith("sampling."):
            return None
        match info.kind:
            case EnumType():
                return [(str(member.value), member) for member in info.kind.cls]
            case UnionType() if any(isinstance(each, BoolType) for each in info.kind.types):
                return [(_WORDS[each], each) for each in (None, True, False)]
        return None

    def _tell(self) -> None:
        changed, wrong = sum(row.is_changed for row in self._rows), sum(bool(row.problem) for row in self._rows)
        if wrong:
            first = f"✗ {wrong} not allowed: Ctrl+S goes there"
        elif changed:
            first = f"Ctrl+S saves {plural(changed, 'change')}"
        else:
            first = "Up/Down or Tab moves"
        presets = " · Ctrl+R presets" if self._presets else ""
        self._hint.update(f"{first} · Esc leaves without saving{presets}")


class _LockedField(Field):
    """A setting that the environment or the command line has set: only shown. It takes the focus, so that it is explained."""

    def controls(self) -> ComposeResult:
        """The value as text."""
        value = Label(Content(sanitize(_text(self.initial), strict=True) or "empty"), classes="value")
        value.can_focus = True
        yield value


def _allowed(info: SettingInfo) -> str:
    if info.key == "engine.tensor_split":
        return f"{info.allowed}, such as 3, 1"
    if isinstance(info.kind, VarTupleType):
        return f'{info.allowed}, such as ["END", "stop"]'
    if info.key == "sampling.logit_bias":
        return f'{info.allowed}, such as {{" indeed": -5}}, or nothing'
    optional = isinstance(info.kind, UnionType) and any(isinstance(each, NoneType) for each in info.kind.types)
    return f"{info.allowed.replace(', or ', ', ')}, or nothing" if optional else info.allowed


def _parsed(key: str, allowed: str, text: str) -> object:
    try:
        return parse_setting(key, text)
    except SettingsError:
        raise ValueError(f"Allowed: {allowed}.") from None


def _text(value: object) -> str:
    """A value as it is typed."""
    if isinstance(value, bool) or (value is None):
        return _WORDS[value] if value is not None else ""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple | dict):
        return msgspec.json.encode(value).decode() if value else ""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _theme_label(theme: Theme) -> str:
    return theme.label if isinstance(theme, NamedTheme) else theme.name
