"""The application: themes, keys, quitting; everything else is on its screens."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable
from functools import partial
from io import TextIOWrapper
from typing import ClassVar, cast

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.screen import Screen
from textual.widgets import TextArea

from nemochat.desk.commands import COMMANDS
from nemochat.desk.port import Workbench
from nemochat.system import ending
from nemochat.tui.chat.screen import ChatScreen
from nemochat.tui.screens.help import help_for
from nemochat.tui.themes import built_in_folder, load_themes

_AGAIN_SECONDS = 2.0


class _Outlet:
    """The terminal as a file. What a terminal that has hung up does not take is dropped: an error here would end the thread that writes,
    and with it whoever waits for that."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


class NemochatApp(App[None]):
    """nemochat in the terminal."""

    TITLE = "nemochat"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", id="app.quit", priority=True, tooltip="Quit at once"),
        Binding("ctrl+c", "interrupt", "Copy/quit", False, id="app.interrupt", priority=True, tooltip="Copy the selection; twice quits"),
        Binding("f1", "help", "Help", id="app.help", priority=True, tooltip="The keys of the focused part"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, id="app.suspend", priority=True, tooltip="To the shell; fg comes back"),
    ]

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self.bench = bench
        self.crash: Exception | None = None
        """Why the interface ended when it should not have."""
        self._interrupted_at = 0.0

    def on_mount(self) -> None:
        """Themes and keys as the settings say, then the chat."""
        themes, notices = load_themes(built_in_folder(), self.bench.paths.config_dir / "themes")
        for theme in themes:
            self.register_theme(theme)
        wanted = self.bench.settings.interface.theme
        if wanted in {theme.name for theme in themes}:
            self.theme = wanted
        else:
            self.theme = themes[0].name
            notices.append(f"There is no theme {wanted}; {self.theme} is used.")
        for name in set(self.available_themes) - {theme.name for theme in themes}:
            self.unregister_theme(name)
        self.set_keymap(self.bench.settings.keys)
        ending.when_asked(self._end)
        self.push_screen(ChatScreen(self.bench))
        for notice in notices:
            self.notify(notice, severity="warning", markup=False)

    def get_driver_class(self) -> type[Driver]:
        """The platform's, which survives the end of its terminal."""
        wanted = super().get_driver_class()
        if sys.platform == "win32":
            return wanted
        from textual.drivers.linux_driver import LinuxDriver

        class Lasting(LinuxDriver):
            def __init__(self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None) -> None:
                super().__init__(app, debug=debug, mouse=mouse, size=size)
                if self._file is not None:
                    self._file = cast("TextIOWrapper", _Outlet(self._file))

        return Lasting if wanted is LinuxDriver else wanted

    @property
    def chat_screen(self) -> ChatScreen:
        """The conversation's screen, whatever lies above it."""
        return next(screen for screen in self.screen_stack if isinstance(screen, ChatScreen))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every slash command, and what has only a key."""
        if isinstance(screen, ChatScreen):
            for command in COMMANDS:
                name = command.usage.replace("[", r"\[")  # the palette reads titles as markup
                yield SystemCommand(name, command.help, partial(screen.action_command, command.name))
            yield SystemCommand("Side panes", "Show or hide attachments, tools and context", screen.action_side)
        yield SystemCommand("Keys", "The keys of the focused part (F1)", self.action_help)
        yield SystemCommand("Quit", "Leave nemochat", self.action_quit)

    def watch_theme(self, theme_name: str) -> None:
        """A persona's colour is made readable on each theme."""
        for screen in self.screen_stack:
            if isinstance(screen, ChatScreen) and screen.is_mounted:
                screen.presenter.faces.show_accents()

    def action_help(self) -> None:
        """Explain the focused part."""
        self.push_screen(help_for(self.screen, self))

    async def action_quit(self) -> None:
        """Quit, with what was typed before."""
        self._end()

    def _end(self, code: int = 0) -> None:
        for screen in self.screen_stack:  # without one the program is ending already
            if isinstance(screen, ChatScreen):
                screen.leaves_with = code
                screen.leave()

    def action_interrupt(self) -> None:
        """Ctrl+C: copy what is selected; with nothing selected, the second press within two seconds quits."""
        focused = self.focused
        selected = focused.selected_text if isinstance(focused, TextArea) else ""
        selected = selected or self.screen.get_selected_text() or ""
        if selected:
            self.chat_screen.copy(selected)
            return
        now = time.monotonic()
        if now - self._interrupted_at < _AGAIN_SECONDS:
            self._end()
            return
        self._interrupted_at = now
        self.notify("Press Ctrl+C again to quit.", timeout=_AGAIN_SECONDS, markup=False)

    def _handle_exception(self, error: Exception) -> None:
        # Textual prints its own traceback, locals and all, over the restored terminal; nemochat writes a log and one sentence instead.
        # There is no public hook for it.
        self.crash = self.crash or error
        super()._handle_exception(error)
        self._exit_renderables.clear()
