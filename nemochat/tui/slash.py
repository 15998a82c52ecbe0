"""The slash commands: each a method of `Slash`, named after its command."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.chat import Chat
from nemochat.chat.commands import Invoke, Unknown, parse
from nemochat.chat.drops import find_drops
from nemochat.chat.import_file import read_conversation
from nemochat.chat.toolbox import with_tools
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Role
from nemochat.errors import NemochatError
from nemochat.tui import message_actions
from nemochat.tui.applying import apply_settings
from nemochat.tui.screens.dialogs import Answer, Choose, Write
from nemochat.tui.screens.picker import Picker, PickerItem

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen


_WIDE = 110


class Slash:
    """Runs commands on the chat screen."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self._handlers: dict[str, Callable[[str], object]] = {
            "image": self._image,
            "doc": self._doc,
            "clear": self._clear,
            "new": self._new,
            "open": self._open,
            "search": self._search,
            "model": self._model,
            "persona": self._persona,
            "me": lambda _: screen.roleplay.profile(),
            "note": screen.roleplay.note,
            "impersonate": lambda _: screen.roleplay.impersonate(),
            "undo": lambda _: screen.conversations.undo(),
            "system": self._system,
            "tools": self._tools,
            "mcp": screen.servers.choose,
            "regen": lambda _: self._on_last("regenerate"),
            "continue": lambda _: self._on_last("continue"),
            "edit": lambda _: screen.action_edit_last(),
            "fork": lambda _: self._on_last("fork"),
            "pin": lambda _: self._on_last("pin"),
            "exclude": lambda _: self._on_last("exclude"),
            "rename": self._rename,
            "export": self._export,
            "theme": self._theme,
            "settings": self._settings,
            "stats": self._stats,
            "copy": lambda _: self._on_last("copy"),
            "paste": self._paste,
            "help": lambda _: screen.app.run_action("help"),
            "quit": lambda _: screen.app.exit(),
        }

    @property
    def names(self) -> frozenset[str]:
        """The commands that are served."""
        return frozenset(self._handlers)

    def run(self, text: str) -> bool:
        """Whether `text` was a command, known or not, and so was dealt with."""
        parsed = parse(text, _is_file)
        match parsed:
            case Invoke(command, argument):
                self.invoke(command.name, argument)
                return True
            case Unknown(name, nearest):
                hint = f" Did you mean /{nearest}?" if nearest else " F1 lists the commands."
                self._screen.say(f"There is no command /{name}.{hint} To send it as text, begin with //.")
                return True
            case _:
                return False

    def invoke(self, name: str, argument: str = "") -> None:
        """Run a command by name."""
        self.in_background(partial(self._handlers[name], argument))

    def in_background(self, handler: Callable[[], object]) -> None:
        """Do something that may wait, and say what went wrong with it."""

        async def run() -> None:
            try:
                done = handler()
                if hasattr(done, "__await__"):
                    await done
            except NemochatError as error:
                self._screen.complain(error)

        self._screen.run_worker(run(), group="commands")

    # -- pictures and documents

    async def _image(self, argument: str) -> None:
        if argument:
            self._screen.dropping.picture(str(_path(argument)))
            return
        from nemochat.tui.screens.file_picker import PictureFile

        # The dialog has no room for the choice of a filter on a narrow screen.
        picker = PictureFile(Path.cwd(), has_filter=self._screen.app.size.width >= _WIDE)
        chosen = await self._screen.app.push_screen_wait(picker)
        if chosen is not None:
            self._screen.dropping.picture(str(chosen))

    def _paste(self, _: str) -> None:
        self._screen.dropping.clipboard()

    async def _doc(self, argument: str) -> None:
        if argument:
            await self._screen.documents.add(_path(argument))
        else:
            await self._screen.documents.choose()

    # -- conversations

    def _new(self, _: str) -> None:
        if not self._screen.refuse_while_busy():
            chat = self._screen.chat
            roleplay = self._screen.roleplay
            fresh = Chat().framed(chat.frame.system) if chat.persona is None else roleplay.opened(chat.persona, chat.frame.system)
            self._screen.begin_chat(with_tools(fresh, chat.frame.tools))

    def _clear(self, argument: str) -> None:
        self._new(argument)

    async def _open(self, argument: str) -> None:
        if not argument:
            drawer = self._screen.conversations.drawer
            if drawer.is_open and drawer.has_focus_within:
                drawer.toggle()
                return
            drawer.open()
            await self._screen.conversations.list()
            return
        if self._screen.refuse_while_busy():
            return
        path = _path(argument)
        if path.is_file():
            chat, pictures = await asyncio.to_thread(read_conversation, path)
            self._screen.conversations.begin(chat, pictures)
        else:
            await self._screen.conversations.resume(argument)

    async def _search(self, argument: str) -> None:
        await self._screen.conversations.search(argument)

    async def _rename(self, argument: str) -> None:
        name = argument or await self._screen.ask(Write("Name of this chat", self._screen.chat.title, one_line=True))
        if name and name.strip():
            self._screen.change_chat(self._screen.chat.named(name.strip()))

    async def _export(self, argument: str) -> None:
        await self.export_chat(self._screen.chat, self._screen.holder.pictures, argument)

    async def export_chat(self, chat: Chat, pictures: Mapping[str, RgbImage], name: str) -> None:
        """Write a conversation to a file, which is asked for when it is not named. Raises NemochatError."""
        if not chat.entries:
            self._screen.say("There is nothing to export yet.")
            return
        asks = Write("Export to which file?", "chat.md", hint="The ending decides: .md, .json (OpenAI messages) or .html.", one_line=True)
        name = name or await self._screen.ask(asks) or ""
        if not name:
            return
        path = Path(name).expanduser()
        replace = False
        if path.exists():
            answers = (Answer("no", "Keep the old file"), Answer("yes", "Replace it"))
            replace = await self._screen.ask(Choose(f"{path.name} exists", "Shall it be replaced?", answers)) == "yes"
            if not replace:
                return
        from nemochat.chat.export import export

        export(path, chat.entries, chat.frame.system, pictures, replace=replace)
        self._screen.say(f"Written to {path}.")

    # -- the model and what it is told

    async def _model(self, argument: str) -> None:
        if self._screen.refuse_while_busy():
            return
        name: str | None = argument
        if not argument:
            name = await self._screen.app.push_screen_wait(self._model_picker("Choose a model"))
        if name:
            self._screen.open_model(name)

    def _model_picker(self, title: str) -> Picker:
        current = self._screen.holder.model_name
        items = [
            PickerItem(choice.name, choice.name, f"{choice.detail}{' · in use' if choice.name == current else ''}")
            for choice in self._screen.bench.models()
        ]
        return Picker(title, items, empty="No model.")

    async def offer_models(self, error: NemochatError) -> None:
        """The model could not be loaded: say why, and what can be done."""
        demo = self._screen.bench.demo_model
        answers = (Answer("demo", "Use the demo model"), Answer("other", "Choose another"), Answer("later", "Not now"))
        chosen = await self._screen.ask(Choose("The model cannot be loaded", error.message, answers, hint=error.hint))
        if chosen == "demo":
            self._screen.open_model(demo)
        elif chosen == "other":
            name = await self._screen.app.push_screen_wait(self._model_picker("Choose another model"))
            if name:
                self._screen.open_model(name)

    async def _persona(self, argument: str) -> None:
        """``/persona NAME``, ``/persona import FILE``, ``/persona off``; alone it opens the list."""
        word, _, rest = argument.partition(" ")
        if word == "import" and rest.strip():
            await self._screen.roleplay.import_file(_path(rest.strip()))
        elif word == "off" and not rest:
            self._screen.roleplay.give_up()
        else:
            await self._screen.roleplay.choose(argument)

    async def _system(self, argument: str) -> None:
        if self._screen.refuse_while_busy():
            return
        chat = self._screen.chat
        asks = Write("System text", chat.frame.system, hint="What the model is told before everything else.")
        text = argument or await self._screen.ask(asks)
        if text is not None:
            self._screen.change_chat(chat.framed(text.strip()))

    def _tools(self, _: str) -> None:
        self._screen.side.open_pane("tools")

    def _on_last(self, action: str) -> object:
        """What a message's own key does, with the last message that it fits."""
        entries = self._screen.chat.entries
        wanted = {Role.USER, Role.ASSISTANT} if action in ("fork", "pin", "exclude", "regenerate") else {Role.ASSISTANT}
        at = next((index for index in range(len(entries) - 1, -1, -1) if entries[index].message.role in wanted), None)
        if at is None:
            self._screen.say("There is no message yet." if len(wanted) > 1 else "There is no reply yet.")
            return None
        if action == "continue" and at != len(entries) - 1:
            self._screen.say("There is no reply to continue.")
            return None
        return message_actions.act(self._screen, at, action)

    # -- the program

    async def _stats(self, _: str) -> None:
        from nemochat.domain.ttft import rows_of
        from nemochat.tui.screens.stats import StatsScreen

        library = self._screen.bench.library
        screen = StatsScreen(rows_of(self._screen.chat), lambda: asyncio.to_thread(library.replies), copy=self._screen.copy)
        await self._screen.app.push_screen_wait(screen)

    async def _theme(self, argument: str) -> None:
        from nemochat.tui.screens.theme_picker import ThemePicker

        name: str | None = argument
        if not argument:
            name = await self._screen.app.push_screen_wait(ThemePicker())
        if not name:
            return
        if name not in self._screen.app.available_themes:
            self._screen.say(f"There is no theme {name}. /theme alone shows all.")
            return
        self._screen.app.theme = name
        self._screen.bench.change_setting("interface.theme", name)

    async def _settings(self, _: str) -> None:
        from nemochat.tui.screens.settings import SettingsScreen

        changes = await self._screen.app.push_screen_wait(SettingsScreen(self._screen.bench.settings, self._screen.bench.locked))
        if changes:
            apply_settings(self._screen, changes)

    def open_link(self, url: str) -> None:
        """Show where a link leads before it is opened."""

        async def run() -> None:
            answers = (Answer("no", "Do not open"), Answer("copy", "Copy it"), Answer("yes", "Open in the browser"))
            chosen = await self._screen.ask(Choose("A link in the conversation", url, answers))
            if chosen == "copy":
                self._screen.copy(url)
            elif chosen == "yes":
                webbrowser.open(url)

        self.in_background(run)


def _path(argument: str) -> Path:
    """The file that an argument names in any of the ways of a dropped path; as it stands when there is none."""
    found = find_drops(argument, Path.cwd(), Path.home()).files
    return found[0].path if found else Path(argument).expanduser()


def _is_file(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False

