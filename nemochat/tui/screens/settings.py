"""Every setting with its help and a control that fits; what was changed is handed back, and somebody else writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import ClassVar

import msgspec
from msgspec.inspect import BoolType, EnumType, NoneType, UnionType, VarTupleType
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import DescendantFocus
from textual.message import Message
from textual.theme import Theme
from textual.widget import Widget
from textual.widgets import Input, Label, Select, Static, Switch

from nemochat.domain.sampling import DEFAULT, InForce, in_words
from nemochat.domain.sanitize import sanitize
from nemochat.errors import SettingsError
from nemochat.settings import SettingInfo, Settings, describe, parse_setting
from nemochat.tui.screens.modal import Modal
from nemochat.tui.themes import NamedTheme

_GROUP_TITLES = {"interface": "Interface", "engine": "Engine", "sampling": "Sampling", "tools": "Tools and documents"}
_SHORT = {"when the model is loaded again": "↻ model reload", "at the next start": "↻ next start"}
_WORDS: dict[object, str] = {True: "on", False: "off", None: "automatic"}


class SettingsScreen(Modal[dict[str, object] | None]):
    """Returns the changes by key ("engine.threads"), or None after Esc.

    locked: the settings that cannot be changed now, by key, with what has set them (a variable of the environment, "the command line").
    sampling: what is in force of it, and who has set it, as far as that is known.
    """

    CSS_PATH = "settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="settings.save", priority=True, tooltip="Save the changes and close"),
        Binding("escape", "leave", "Cancel", id="settings.cancel", tooltip="Close without saving"),
        Binding("up", "app.focus_previous", "Previous", show=False, id="settings.previous", tooltip="The setting above"),
        Binding("down", "app.focus_next", "Next", show=False, id="settings.next", tooltip="The setting below"),
        Binding("ctrl+f", "filter", "Filter", show=False, id="settings.filter", tooltip="To the filter"),
    ]

    def __init__(self, settings: Settings, locked: Mapping[str, str], sampling: InForce | None = None) -> None:
        super().__init__()
        self._settings, self._locked, self._sampling = settings, locked, sampling
        self._filter = Input(placeholder="Type to filter", compact=True, id="settings-filter")
        self._nothing = Static(id="settings-nothing", markup=False)
        self._help = Static(id="settings-help", markup=False)
        self._hint = Static(id="settings-hint", markup=False)

    def compose(self) -> ComposeResult:
        """Title, filter, the groups, and what the keys do."""
        with Vertical(id="settings"):
            yield Label("Settings", classes="title")
            yield self._filter
            with _Scroller():
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
            rows = list(group.query(_Row))
            for row in rows:
                row.display = all(word in row.searched for word in words)
            group.display = any(row.display for row in rows)
        self._nothing.display = not any(row.display for row in self.query(_Row))
        self._nothing.update(f"No setting fits “{sanitize(event.value, strict=True)}”.")

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Explain the setting that has the focus."""
        row = next((each for each in event.widget.ancestors if isinstance(each, _Row)), None)
        about = row.help_text() if row else "Type words of its name or of its explanation."
        self._help.update(about)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the filter goes to the first setting; in a setting to the next one."""
        event.stop()
        self.focus_next()

    def action_filter(self) -> None:
        """Write the filter anew."""
        self._filter.focus()

    def action_save(self) -> None:
        """Close with the changes; a value that is not allowed keeps the screen open and gets the focus."""
        wrong = next((row for row in self._rows() if row.problem), None)
        if wrong is None:
            self.dismiss({row.info.key: row.value for row in self._rows() if row.is_changed})
            return
        self._filter.value = ""
        self.call_after_refresh(wrong.take_focus)

    def action_leave(self) -> None:
        """Close without changing anything."""
        self.dismiss(None)

    def on__row_edited(self, event: _Row.Edited) -> None:
        """Count what was changed."""
        event.stop()
        self._tell()

    def _rows(self) -> Iterator[_Row]:
        yield from self.query(_Row)

    def _row(self, info: SettingInfo) -> _Row:
        group, _, name = info.key.partition(".")
        value = getattr(getattr(self._settings, group), name)
        if info.key in self._locked:
            return _LockedRow(info, value, self._locked[info.key])
        if info.key == "interface.theme":
            return _SelectRow(info, value, [(_theme_label(theme), theme.name) for theme in self.app.available_themes.values()])
        if group == "sampling":
            return _SamplingRow(info, value, self._sampling)
        match info.kind:
            case BoolType():
                return _SwitchRow(info, value)
            case EnumType():
                return _SelectRow(info, value, [(str(member.value), member) for member in info.kind.cls])
            case UnionType() if any(isinstance(each, BoolType) for each in info.kind.types):
                return _SelectRow(info, value, [(_WORDS[each], each) for each in (None, True, False)])
            case _:
                return _InputRow(info, value)

    def _tell(self) -> None:
        rows = list(self._rows())
        changed, wrong = sum(row.is_changed for row in rows), sum(bool(row.problem) for row in rows)
        if wrong:
            first = f"✗ {wrong} not allowed: Ctrl+S goes there"
        elif changed:
            first = f"Ctrl+S saves {changed} change{'s' if changed > 1 else ''}"
        else:
            first = "Up/Down or Tab moves"
        self._hint.update(f"{first} · Esc leaves without saving")


class _Scroller(VerticalScroll, can_focus=False, inherit_bindings=False):
    """Leaves the arrow keys to the screen, which moves between settings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "page_up", "Page up", show=False, id="settings.page-up", tooltip="Scroll a page up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="settings.page-down", tooltip="Scroll a page down"),
    ]


class _Row(Vertical):
    """One setting: its name, its control, what is to be said of it, its help."""

    class Edited(Message):
        """The value was changed, to a good one or not."""

    def __init__(self, info: SettingInfo, initial: object) -> None:
        super().__init__()
        self.info, self.initial, self.value = info, initial, initial
        self.problem = ""
        self.label = info.key.partition(".")[2].replace("_", " ")
        self.searched = f"{info.key} {self.label} {info.help}".lower()
        self._remark = Label("", classes="remark", markup=False)
        self._problem_line = Static(classes="problem", markup=False)

    @property
    def is_changed(self) -> bool:
        """Another value, and an allowed one."""
        return not self.problem and self.value != self.initial

    def compose(self) -> ComposeResult:
        """A line, and a second one while the value is not allowed."""
        with Horizontal(classes="line"):
            yield Label(self.label, classes="name", markup=False)
            yield from self.controls()
            self._remark.update(self.remark())
            yield self._remark
        yield self._problem_line

    def controls(self) -> ComposeResult:
        """What the value is changed with."""
        yield from ()

    def remark(self) -> str:
        """A few words beside the control: whether it was changed, and when a change applies."""
        return " ".join(word for word in ("changed" if self.is_changed else "", _SHORT.get(self.info.applies, "")) if word)

    def help_text(self) -> str:
        """The help, the default, and when a change applies."""
        applies = f" A change applies {self.info.applies}." if self.info.applies else ""
        return f"{self.info.help} Default: {self.default_text()}.{applies}"

    def default_text(self) -> str:
        """The default as it is shown."""
        return _text(self.info.default) or "empty"

    def take_focus(self) -> None:
        """To the control."""
        next(widget for widget in self.query(Widget) if widget.focusable).focus()

    def accept(self, value: object, problem: str = "") -> None:
        """Take the control's value, or what is wrong with it."""
        if not problem:
            self.value = value
        self.problem = problem
        self.set_class(bool(problem), "wrong")
        self._remark.update(self.remark())
        self._problem_line.update(problem)
        if problem:
            self.call_after_refresh(self.scroll_visible, animate=False)
        self.post_message(self.Edited())


class _LockedValue(Label, can_focus=True):
    """Takes the focus, so that the setting is explained."""


class _LockedRow(_Row):
    """A setting that the environment or the command line has set: only shown."""

    def __init__(self, info: SettingInfo, initial: object, source: str) -> None:
        super().__init__(info, initial)
        self._source = source

    def controls(self) -> ComposeResult:
        """The value as text."""
        yield _LockedValue(Content(sanitize(_text(self.initial), strict=True) or "empty"), classes="value")

    def remark(self) -> str:
        """Why it cannot be changed."""
        return f"set by {self._source}"

    def help_text(self) -> str:
        """And where it can be changed."""
        return f"{super().help_text()} It is set by {self._source} and cannot be changed here."


class _SwitchRow(_Row):
    """On or off, also in words."""

    def __init__(self, info: SettingInfo, initial: object) -> None:
        super().__init__(info, initial)
        self._word = Label(_WORDS[initial], classes="word", markup=False)

    def controls(self) -> ComposeResult:
        """A switch and its word."""
        with Horizontal(classes="control"):
            yield Switch(bool(self.initial), animate=False)
            yield self._word

    def on_switch_changed(self, event: Switch.Changed) -> None:
        """Switched."""
        event.stop()
        self._word.update(_WORDS[event.value])
        self.accept(event.value)


class _Menu(Select[object], inherit_bindings=False):
    """Opens on Enter or Space; the arrow keys are left to move between settings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "show_overlay", "Open", show=False, id="settings.open-menu", tooltip="Show the values"),
    ]


class _SelectRow(_Row):
    """One of a few values."""

    def __init__(self, info: SettingInfo, initial: object, options: list[tuple[str, object]]) -> None:
        super().__init__(info, initial)
        if initial not in [value for _, value in options]:
            options = [*options, (f"{_text(initial)} (not there)", initial)]
        self._options = [(sanitize(label, strict=True), value) for label, value in options]

    def controls(self) -> ComposeResult:
        """A menu. Its own values are positions, because None could not be one of them."""
        at = [value for _, value in self._options].index(self.initial)
        # `Text` and not `Content`: typing a letter in the open menu looks for it in texts of that kind only.
        prompts = [(Text(label), index) for index, (label, _) in enumerate(self._options)]
        yield _Menu(prompts, value=at, allow_blank=False, compact=True, classes="control")

    def default_text(self) -> str:
        """As in the menu."""
        return next((label for label, value in self._options if value == self.info.default), super().default_text())

    def on_select_changed(self, event: Select.Changed) -> None:
        """Chosen."""
        event.stop()
        if isinstance(event.value, int):
            self.accept(self._options[event.value][1])


class _InputRow(_Row):
    """A number, a text or a list to type."""

    def controls(self) -> ComposeResult:
        """A line to type in."""
        example = "empty" if isinstance(self.info.kind, UnionType | VarTupleType) else ""
        yield Input(_text(self.initial), placeholder=example, compact=True, classes="control")

    def help_text(self) -> str:
        """With the range in words."""
        return f"{super().help_text()} Allowed: {self._allowed()}."

    def _allowed(self) -> str:
        if isinstance(self.info.kind, VarTupleType):
            return f'{self.info.allowed}, such as ["END", "stop"]'
        if self.info.key == "sampling.logit_bias":
            return f'{self.info.allowed}, such as {{" indeed": -5}}, or nothing'
        optional = isinstance(self.info.kind, UnionType) and any(isinstance(each, NoneType) for each in self.info.kind.types)
        return f"{self.info.allowed.replace(', or ', ', ')}, or nothing" if optional else self.info.allowed

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look at each letter, so that the sentence is there while it is typed."""
        event.stop()
        if event.value == _text(self.initial):
            self.accept(self.initial)
            return
        try:
            self.accept(parse_setting(self.info.key, event.value))
        except SettingsError:
            self.accept(None, f"✗ Allowed: {self._allowed()}.")


class _SamplingRow(_InputRow):
    """A value that several may set: what is in force is said beside it, and who has set that."""

    def __init__(self, info: SettingInfo, initial: object, sampling: InForce | None) -> None:
        super().__init__(info, initial)
        name = info.key.partition(".")[2]
        self._default = in_words(name, getattr(DEFAULT, name))
        self._in_force = sampling.value(name) if sampling is not None else ""
        self._source = sampling.sources[name] if sampling is not None else None

    def remark(self) -> str:
        """What is in force, until it was changed here."""
        return super().remark() or (f"{self._in_force} · {self._source}" if self._source is not None else "")

    def default_text(self) -> str:
        """What holds where nobody says anything."""
        return self._default

    def help_text(self) -> str:
        """With what is in force."""
        return f"{super().help_text()}{f' In force: {self._in_force} ({self._source}).' if self._source is not None else ''}"


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
