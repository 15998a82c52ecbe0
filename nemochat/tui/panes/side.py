"""The panes beside the conversation: a column of them that fold, or a drawer with tabs on a narrow screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Click, Resize
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from nemochat.desk.desk import Desk
from nemochat.desk.port import Event
from nemochat.tui.panes.base import Pane, Sign
from nemochat.tui.panes.registry import PANES

_TALL = 32
"""Lines from which on every pane gets enough of them to scroll by itself."""
_AROUND = 2
"""Lines of a pane that is not folded besides its body: the title, and the blank line below."""


class PaneTitle(Static, can_focus=True):
    """The title line of a pane, with the sign that folds it."""

    help_title = "Pane"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "fold", "Fold", id="pane.fold", tooltip="Fold or unfold this pane"),
    ]
    DEFAULT_CSS = """
    PaneTitle { height: 1; padding: 0 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; pointer: pointer; }
    PaneTitle:hover { background: $boost; }
    PaneTitle:focus { text-style: bold reverse; }
    """

    class Folded(Message):
        """The user wants the pane folded, or unfolded."""

    def action_fold(self) -> None:
        """Ask for it."""
        self.post_message(self.Folded())

    def on_click(self) -> None:
        """The same by mouse."""
        self.action_fold()


class PaneFrame(Vertical):
    """A title line and the pane below it."""

    DEFAULT_CSS = """
    PaneFrame { height: auto; margin: 0 0 1 0; }
    PaneFrame.-folded { margin: 0; }
    PaneFrame.-folded > Pane { display: none; }
    PaneFrame:focus-within > PaneTitle { color: $text-accent; }
    """

    folded: reactive[bool] = reactive(False)

    def __init__(self, body: Pane) -> None:
        super().__init__(id=body.title.lower())
        self.body = body
        self._line = PaneTitle(markup=False)
        self._is_chosen = False
        """Whether the user has folded or unfolded it."""

    def compose(self) -> ComposeResult:
        """Title and body."""
        yield self._line
        yield self.body

    def on_mount(self) -> None:
        """The title says what the body holds."""
        self.watch(self.body, "summary", self._write)
        self.watch(self.body, "is_idle", self._rest)

    def watch_folded(self, folded: bool) -> None:
        """Show or hide the body."""
        self.set_class(folded, "-folded")
        self._write()

    def on_pane_title_folded(self, event: PaneTitle.Folded) -> None:
        """The title was used."""
        event.stop()
        self.fold(not self.folded)

    def fold(self, folded: bool) -> None:
        """Fold or unfold it as the user wants it: from now on it stays so."""
        self._is_chosen, self.folded = True, folded

    def focus_first(self) -> bool:
        """Put the focus on the first thing in it that takes it, else on the title; whether anything but a hidden title did."""
        for widget in (self.body, *self.body.query(Widget)):
            if widget.focusable and all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget)):
                widget.focus()
                return True
        if self._line.display:
            self._line.focus()
        return self._line.display

    def _rest(self, is_idle: bool) -> None:
        if not self._is_chosen:
            self.folded = is_idle

    def _write(self) -> None:
        summary = (f" · {self.body.summary}", "not bold $text-muted") if self.folded else ""
        self._line.update(Content.assemble("▸ " if self.folded else "▾ ", self.body.title, summary))


class PaneTab(Static, can_focus=True):
    """A tab of the drawer."""

    help_title = "Tabs"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Previous pane", id="pane.previous", tooltip="The pane to the left"),
        Binding("right", "step(1)", "Next pane", id="pane.next", tooltip="The pane to the right"),
        Binding("enter,down", "enter", "Into the pane", id="pane.enter", tooltip="Go into the pane"),
    ]
    DEFAULT_CSS = """
    PaneTab { width: auto; height: 1; padding: 0 1; color: $text-muted; pointer: pointer; }
    PaneTab:hover { background: $boost; }
    PaneTab.-active { color: $foreground; text-style: bold underline; }
    PaneTab:focus { text-style: bold reverse; }
    """

    @dataclass
    class Chosen(Message):
        """The user wants this pane, `offset` tabs further; `enters` puts the focus into it."""

        name: str
        offset: int = 0
        enters: bool = False

    def __init__(self, name: str) -> None:
        super().__init__(Content(name), id=f"tab-{name.lower()}")
        self._pane = name.lower()

    def action_step(self, offset: int) -> None:
        """To a neighbour."""
        self.post_message(self.Chosen(self._pane, offset))

    def action_enter(self) -> None:
        """Into the pane."""
        self.post_message(self.Chosen(self._pane, enters=True))

    def on_click(self, event: Click) -> None:
        """Show the pane."""
        event.stop()
        self.post_message(self.Chosen(self._pane))


class SidePanes(Vertical):
    """The panes of these kinds. Each takes the height that it needs; where that is too much, the largest give way and scroll."""

    DEFAULT_CSS = """
    SidePanes {
        width: 38; max-width: 34%; height: 100%; background: $surface; padding: 0 0 0 1; overflow-y: auto; scrollbar-size-vertical: 1;
        #tabs { display: none; height: 1; margin: 0 0 1 0; }
        #tabs .gap { width: 1fr; height: 1; }
        &.-narrow {
            layer: drawer; dock: right; width: 46; max-width: 100%; border-left: vkey $primary; overflow-y: hidden;
            #tabs { display: block; }
            PaneTitle { display: none; }
            PaneFrame { display: none; height: 1fr; margin: 0; }
            PaneFrame.-active { display: block; }
            PaneFrame > Pane, PaneFrame.-folded > Pane { display: block; height: 1fr; }
        }
        &.-hidden, &.-hidden.-narrow { width: 0; padding: 0; border: none; }
        &.-hidden > *, &.-hidden > #tabs, &.-hidden > PaneFrame, &.-hidden > PaneFrame.-active { display: none; }
    }
    """

    is_narrow: reactive[bool] = reactive(False)
    """Whether the panes are a drawer."""
    active: reactive[str] = reactive("", init=False)
    """The pane that the drawer shows."""

    def __init__(self, kinds: Sequence[type[Pane]] = PANES) -> None:
        super().__init__()
        self.panes = tuple(kind() for kind in kinds)
        self._frames = tuple(PaneFrame(pane) for pane in self.panes)
        self._tabs = tuple(PaneTab(pane.title) for pane in self.panes)
        self.set_reactive(SidePanes.active, self._names[0])
        self._is_tall = False
        self._has_column = True
        self._has_drawer = False
        self._came_from: Widget | None = None

    def compose(self) -> ComposeResult:
        """Tabs for the drawer, and the panes."""
        with Horizontal(id="tabs"):
            yield from self._tabs
            yield Static(classes="gap")
            yield Sign("×", "close", "Close the drawer")  # noqa: RUF001
        yield from self._frames

    def on_mount(self) -> None:
        """What a pane needs changes with what it holds, and with its folding."""
        for frame in self._frames:
            self.watch(frame.body, "virtual_size", self._share_out)
            self.watch(frame, "folded", self._share_out)

    def attend(self, desk: Desk) -> None:
        """Know the desk that is shown."""
        for pane in self.panes:
            pane.attend(desk)

    def tell(self, event: Event) -> None:
        """Something happened on the desk."""
        for pane in self.panes:
            pane.tell(event)

    def draw(self, desk: Desk) -> None:
        """Show what the desk has."""
        for pane in self.panes:
            pane.draw(desk)

    def on_resize(self, event: Resize) -> None:
        """In a tall column each pane scrolls by itself, in a low one all of them together."""
        self._is_tall = event.size.height >= _TALL
        self._apply()

    @property
    def is_open(self) -> bool:
        """Whether the drawer is open; a column is no drawer."""
        return self.is_narrow and self.is_shown

    @property
    def is_shown(self) -> bool:
        """Whether the panes can be seen, as column or drawer."""
        return self.display and (self._has_drawer if self.is_narrow else self._has_column)

    def set_narrow(self, narrow: bool) -> None:
        """Column or drawer; a drawer begins closed."""
        if narrow and not self.is_narrow:
            self._has_drawer = False
        self.is_narrow = narrow

    def toggle(self) -> None:
        """Show or hide the column, open or close the drawer; an opened drawer takes the focus."""
        self._set_shown(not self.is_shown)
        if self.is_open:
            self._tab(self.active).focus()

    def open_pane(self, name: str) -> None:
        """Show the pane of this name, whatever that takes, and put the focus into it."""
        frame = self._frame(name)
        self._set_shown(True)
        self.active = name
        frame.fold(False)
        self.call_after_refresh(self._enter)

    def watch_is_narrow(self, narrow: bool) -> None:
        """One class switches between both forms."""
        self.set_class(narrow, "-narrow")
        self._apply()

    def watch_active(self, active: str) -> None:
        """Another tab."""
        self._apply()

    def on_pane_tab_chosen(self, event: PaneTab.Chosen) -> None:
        """A tab was used. A step goes on from what is shown: a key may come before the focus has followed the one before it."""
        event.stop()
        names = self._names
        self.active = names[(names.index(self.active) + event.offset) % len(names)] if event.offset else event.name
        if event.enters:
            self._enter()
        else:
            self._tab(self.active).focus()

    def on_sign_pressed(self, event: Sign.Pressed) -> None:
        """The sign that closes the drawer."""
        event.stop()
        self._set_shown(False)

    def _enter(self) -> None:
        if not self._frame(self.active).focus_first():
            self._tab(self.active).focus()

    def _set_shown(self, shown: bool) -> None:
        focused = self.screen.focused
        is_inside = focused is not None and self in focused.ancestors
        if shown:
            self.display = True
            if not is_inside:
                self._came_from = focused
        elif is_inside and self._came_from is not None and self._came_from.is_attached:
            self._came_from.focus()  # before the panes go: what is hidden loses the focus to nobody
        if self.is_narrow:
            self._has_drawer = shown
        else:
            self._has_column = shown
        self._apply()

    def _apply(self) -> None:
        """Put classes and the tabs' focus in order."""
        shown = self._has_drawer if self.is_narrow else self._has_column
        self.set_class(not shown, "-hidden")
        self.set_class(self._is_tall and not self.is_narrow, "-tall")
        for frame in self._frames:
            frame.set_class(frame.id == self.active, "-active")
        for tab in self._tabs:
            is_active = tab.id == f"tab-{self.active}"
            tab.set_class(is_active, "-active")
            tab.can_focus = is_active
        self._share_out()

    def _share_out(self) -> None:
        """Bound the heights of the panes where they do not all fit; each of them has some lines even then."""
        open_frames = [frame for frame in self._frames if not frame.folded]
        room = self.size.height - _AROUND * len(open_frames) - (len(self._frames) - len(open_frames))
        left = len(open_frames)
        for frame in sorted(open_frames, key=lambda frame: frame.body.virtual_size.height):
            share = max(1, room // left)
            frame.body.styles.max_height = share if self._is_tall and not self.is_narrow else None
            room -= min(share, frame.body.virtual_size.height)
            left -= 1

    @property
    def _names(self) -> list[str]:
        return [pane.title.lower() for pane in self.panes]

    def _frame(self, name: str) -> PaneFrame:
        return self._frames[self._names.index(name)]

    def _tab(self, name: str) -> PaneTab:
        return self._tabs[self._names.index(name)]
