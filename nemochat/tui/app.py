"""The application: the first frame, themes, keys, quitting; everything else is on its screens.

Little is imported here, because a frame with a prompt comes first. What the chat needs is imported behind it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec
from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.events import Event, Key, Paste
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import Button, Input, TextArea

from nemochat.settings import Settings
from nemochat.system import ending, terminal
from nemochat.tui.graphics import terminal_answered, told_protocol
from nemochat.tui.screens.modal import Modal
from nemochat.tui.screens.opening import KEEP_SECONDS, Opening, keep_typed
from nemochat.tui.themes import built_in_folder, load_theme, load_themes

if TYPE_CHECKING:
    from textual.driver import Driver

    from nemochat.desk.port import Workbench
    from nemochat.tui.chat.screen import ChatScreen
    from nemochat.tui.terminal import TerminalAnswered

_AGAIN_SECONDS = 2.0
_KEY_SECONDS = 3.0
"""How long a key may keep those behind it waiting."""
_EDITS = frozenset({"backspace", "delete", "left", "right"})
"""Keys that do nothing but change a text, where one is written. They repeat."""
_NAMED = ("enter", "space", "tab", "up", "down", "left", "right", "home", "end", "delete", "insert", "backspace")
_KEY_NAMES = {
    **{name: name.title() for name in _NAMED},
    "escape": "Esc", "pageup": "Page Up", "pagedown": "Page Down", "slash": "/", "full_stop": ".", "underscore": "_",
}
"""What is said of a key; letters are said as they are, others (F2) in capitals."""
_AT_ONCE = ("quit", "interrupt", "suspend_process")
"""What keys do even while the chat is not there yet."""


class Early(msgspec.Struct, frozen=True):
    """What the first frame needs, and how to get the rest: `make` is called in a thread. drafts: the folder for what is typed there."""

    settings: Settings
    themes: Path
    make: Callable[[], Workbench]
    drafts: Path | None = None


class Palette(CommandPalette, Modal[None]):
    """The commands by Ctrl+P; the one that was chosen runs once, however often Enter was pressed."""

    @on(Input.Submitted)
    @on(Button.Pressed)
    def _only_once(self, event: Input.Submitted | Button.Pressed) -> None:
        if self.has_answered:
            event.prevent_default()


class NemochatApp(App[None]):
    """nemochat in the terminal, on a workbench or on what will make one."""

    TITLE = "nemochat"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", id="app.quit", priority=True, tooltip="Quit at once"),
        Binding("ctrl+c", "interrupt", "Copy/quit", False, id="app.interrupt", priority=True, tooltip="Copy the selection; twice quits"),
        Binding("f1", "help", "Help", id="app.help", priority=True, tooltip="Keys of what has the focus"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, id="app.suspend", priority=True, tooltip="To the shell; fg returns"),
    ]

    def __init__(self, bench: Workbench | Early) -> None:
        self._early = bench if isinstance(bench, Early) else None
        super().__init__()
        if not isinstance(bench, Early):
            self.bench = bench
        self.crash: Exception | None = None
        """Why the interface ended when it should not have."""
        self._chat: ChatScreen | None = None
        self._held: deque[Key | Paste] = deque()
        """What was typed and dropped, and waits: for the chat, while that is not there; then for what the key before it does."""
        self._is_opening = self._early is not None
        self._keeping: asyncio.Task[None] | None = None
        """Keeps what is typed before the chat is there."""
        self._key: Key | Paste | None = None
        """The key that is still doing what it does."""
        self._question_comes = False
        """Whether that is to ask something, as soon as what it shows has been read."""
        self._ends_with: int | None = None
        """The exit code, once the program has been told to end."""
        self._interrupted_at = 0.0

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where there is no shell to go to, Ctrl+Z is left to what has the focus: in a text it undoes."""
        return False if action == "suspend_process" and not terminal.CAN_SUSPEND else super().check_action(action, parameters)

    def get_driver_class(self) -> type[Driver]:
        """In a terminal, one that keeps what was typed already; it asks what the terminal is where nothing else tells."""
        usual = super().get_driver_class()
        if usual.__name__ != "LinuxDriver" or self._early is None:
            return usual
        from nemochat.tui.terminal import AskingDriver, EarlyDriver

        return EarlyDriver if told_protocol(self._early.settings.interface.pictures) else AskingDriver

    def on_mount(self) -> None:
        """Themes and keys as the settings say, then the chat, or before it what looks like it."""
        ending.when_asked(self._end)
        if self._early is None:
            self._open(self.bench, *load_themes(built_in_folder(), self.bench.paths.config_dir / "themes"))
            return
        self.set_keymap(self._early.settings.keys)
        if theme := load_theme(self._early.settings.interface.theme, built_in_folder(), self._early.themes):
            self.register_theme(theme)
            self.theme = theme.name
        opening = Opening()
        self.push_screen(opening)
        opening.call_after_refresh(self._prepare, self._early)

    def _prepare(self, early: Early) -> None:
        """Import and read everything in a thread; the chat follows."""

        def prepare() -> None:
            try:
                bench = early.make()
                found = load_themes(built_in_folder(), early.themes)
            except Exception as error:  # noqa: BLE001  # told when the terminal is as it was
                self.call_later(self._fail, error)
            else:
                self.call_later(self._open, bench, *found)

        self.run_worker(prepare, thread=True, group="opening")

    def _fail(self, error: Exception) -> None:
        self.crash = error
        self.exit(return_code=1)

    def _open(self, bench: Workbench, themes: list[Theme], notices: list[str]) -> None:
        """The chat, with all themes; what was typed meanwhile comes to it when it has been drawn."""
        from nemochat.tui.chat.screen import ChatScreen

        self.bench = bench
        for theme in themes:
            self.register_theme(theme)
        wanted = bench.settings.interface.theme
        if wanted in {theme.name for theme in themes}:
            self.theme = wanted
        else:
            self.theme = themes[0].name
            notices.append(f"There is no theme {wanted}; {self.theme} is used.")
        for name in set(self.available_themes) - {theme.name for theme in themes}:
            self.unregister_theme(name)
        self.set_keymap(bench.settings.keys)
        self._chat = chat = ChatScreen(bench)
        if self._is_opening:
            self.switch_screen(chat)
            chat.call_after_refresh(self.call_later, self._opened)
        else:
            self.push_screen(chat)
        for notice in notices:
            self.notify(notice, severity="warning", markup=False)

    # -- what is typed: one key after the other

    async def on_event(self, event: Event) -> None:
        """Keys and drops wait for the chat while it is not there, and then for the key before them, in their order."""
        if isinstance(event, Key) and event.key.startswith("alt+"):
            event.character = None  # older terminals send the letter with it, and it is none
        if not isinstance(event, Key | Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._is_opening and not self._acts_at_once(event):
            self._held.append(event)
            if isinstance(self.screen, Opening):
                self.screen.echo(event)
            if self._keeping is None and self._early is not None and self._early.drafts is not None:
                self._keeping = asyncio.create_task(self._keep_typed(self._early.drafts))
        elif self._key is not None:
            self._held.append(event)
        else:
            await self._take(event)

    @property
    def has_keys_waiting(self) -> bool:
        """Whether something that was typed has not come to where it belongs."""
        return bool(self._held) or self._key is not None

    def _acts_at_once(self, event: Event) -> bool:
        active = self.screen.active_bindings.get(event.key) if isinstance(event, Key) else None
        return active is not None and active.node is self and active.binding.action in _AT_ONCE

    async def _take(self, event: Key | Paste) -> None:
        """Give a key or a drop to whom it is for.

        Textual hands a burst of keys to what has the focus at its beginning, although one of them moves the focus, opens a dialog or begins
        another chat. So the next one is looked at when this one has done what it does, unless it only changed a text.
        """
        screen, focused = self.screen, self.focused
        takes_text = focused is not None and focused.check_consume_key("a", "a")
        is_text = takes_text and isinstance(event, Key) and (event.is_printable or event.key in _EDITS)
        if isinstance(screen, Modal) and event.time < screen.takes_keys_from and self._chat is not None:
            self._chat.prompt.take_event(event)
        else:
            await super().on_event(event)
            if isinstance(screen, Modal) and self._chat is not None:
                self._chat.desk.draft.save_soon()
        if not is_text and not self._is_opening:
            self._key, self._question_comes = event, False
            asyncio.get_running_loop().call_later(_KEY_SECONDS, self.call_later, self._next_key, event)
            await self._follow(event)

    async def _keep_typed(self, drafts: Path) -> None:
        """What is typed before the chat is there is on the disk soon, until the chat has taken it and its own draft is there."""
        n_kept = 0
        while self.has_keys_waiting or self._is_opening or self._chat is None:
            await asyncio.sleep(KEEP_SECONDS)
            if self._is_opening and n_kept != len(self._held):
                n_kept = len(self._held)
                await asyncio.to_thread(keep_typed, drafts, tuple(self._held))
        if self._chat.keep_draft():
            await asyncio.to_thread(keep_typed, drafts, ())
            self._keeping = None

    def keep_what_was_typed(self) -> None:
        """The program has ended: what was typed and did not come to the chat is kept for the next one; what came there is in its draft."""
        if self._keeping is None or self._early is None or self._early.drafts is None:
            return
        if self._is_opening:
            keep_typed(self._early.drafts, self._held)
        elif self._chat is not None and self._chat.desk.draft.save():
            keep_typed(self._early.drafts, ())

    async def _follow(self, key: Event, laps: int = 2, way: Iterable[DOMNode] = ()) -> None:
        """Go the way of a key behind it, and behind what is told on that way: up to here, where bindings are run, and once more."""
        for node in way:
            if node.call_later(self._follow, key, laps, way):
                return
        if laps:
            start = self.focused or self.screen
            await self._follow(key, laps - 1, iter([node for node in start.ancestors_with_self for _ in range(2)]))
        elif not self._question_comes:
            await self._next_key(key)

    def on_question_comes(self) -> None:
        """The key that is under way has not done yet what it does."""
        self._question_comes = self._key is not None

    async def on_question_stands(self) -> None:
        """Or will not come."""
        if self._question_comes and self._key is not None:
            self._question_comes = False
            await self._follow(self._key)

    async def _next_key(self, key: Event | None = None) -> None:
        """This key has done what it does, or takes too long: those behind it follow."""
        if key is not self._key:
            return
        self._key = None
        while self._held and self._key is None:
            await self._take(self._held.popleft())
        if self._ends_with is not None and self._key is None:
            self._end(self._ends_with)

    async def _opened(self) -> None:
        """The chat takes what was typed."""
        gc.freeze()  # what was imported stays for good; looking through it for garbage held keys up by 0.3 s now and then
        gc.set_threshold(10_000, 20, 20)  # and through what is new by 50 ms
        self._is_opening = False
        await self._next_key()

    def on_key(self, event: Key) -> None:
        """A letter that means nothing where the focus is belongs to a text, and no text is thrown away: it is for the prompt."""
        keys = [bindings.key_to_bindings for _, bindings in self.screen._modal_binding_chain]  # noqa: SLF001
        usual = getattr(self.focused, "_merged_bindings", None)  # a key that the user gave another meaning is no letter either
        is_bound = any(event.key in each for each in (*keys, usual.key_to_bindings if usual is not None else {}))
        if not event.is_printable or not event.character or is_bound or self._chat is None:
            return
        if not event.character.isspace() or self._chat.prompt.plain_text:
            self._chat.prompt.write(event.character)

    def on_terminal_answered(self, event: TerminalAnswered) -> None:
        """The terminal has said what it is."""
        terminal_answered(has_sixel=event.has_sixel)

    # -- the chat

    @property
    def chat_screen(self) -> ChatScreen:
        """The conversation's screen, whatever lies above it."""
        assert self._chat is not None, "it opens behind the first frame"
        return self._chat

    @property
    def last_words(self) -> list[str]:
        """What the user has to be told when the terminal is as it was."""
        return self._chat.desk.last_words if self._chat is not None else []

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every slash command, and what has only a key."""
        if self._chat is not None and screen is self._chat:
            from nemochat.desk.commands import COMMANDS

            for command in COMMANDS:
                name = command.usage.replace("[", r"\[")  # the palette reads titles as markup
                yield SystemCommand(name, command.help, partial(self._chat.action_command, command.name))
            yield SystemCommand("Side panes", "Show or hide the panes", self._chat.action_side)
        yield SystemCommand("Keys", "Keys of what has the focus (F1)", self.action_help)
        yield SystemCommand("Quit", "Leave nemochat", self.action_quit)

    def watch_theme(self, theme_name: str) -> None:
        """A persona's colour is made readable on each theme."""
        if self._chat is not None and self._chat.is_mounted:
            self._chat.presenter.faces.show_accents()

    def get_key_display(self, binding: Binding) -> str:
        """As keys are written everywhere: Ctrl+O, Shift+Up, Page Down, F2, r."""
        modifiers, key = binding.parse_key()
        name = binding.key_display or _KEY_NAMES.get(key) or (key.upper() if len(key) > 1 or modifiers else key)
        return "+".join([*(modifier.title() for modifier in modifiers), name])

    def action_command_palette(self) -> None:
        """Every command, to choose from."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(id="--command-palette"))

    def action_help(self) -> None:
        """Explain the focused part."""
        from nemochat.tui.screens.help import HelpScreen, help_for

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(help_for(self.screen, self))

    def on_paste(self, event: Paste) -> None:
        """A paste that nothing on the present screen takes is for the prompt: a file dropped while a question is open is not lost."""
        if not isinstance(self.focused, TextArea):  # it takes a paste and lets it pass on
            self.chat_screen.prompt.paste(event.text)

    async def action_quit(self) -> None:
        """Quit, with what was typed before."""
        self._end()

    def _end(self, code: int = 0) -> None:
        """As soon as what was typed is where it belongs; at once when that is told again."""
        is_first, self._ends_with = self._ends_with is None, code
        if self._held and is_first:
            return  # `_next_key` goes on
        if self._chat is None or self._held:
            self.exit(return_code=code)
        else:
            self._chat.leave(code)

    def action_interrupt(self) -> None:
        """Ctrl+C: copy what is selected; with nothing selected, the second press within two seconds quits."""
        focused = self.focused
        selected = focused.selected_text if isinstance(focused, TextArea) else ""
        selected = selected or self.screen.get_selected_text() or ""
        if selected and self._chat is not None:
            self._chat.copy(selected)
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
