"""The chat screen: conversation, prompt, side panes and status line. It passes on what the user does; the presenter draws."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.geometry import Offset
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets._toast import ToastRack

from nemochat.chat.drops import Drop
from nemochat.chat.recall import PromptHistory
from nemochat.desk import commands
from nemochat.desk.completion import Completion, complete
from nemochat.desk.desk import Desk
from nemochat.desk.jobs import Jobs
from nemochat.desk.port import Answer, AskAllowed, AskEditor, Wanted, Workbench, working_folder
from nemochat.domain.messages import Role
from nemochat.domain.visible import visible
from nemochat.system.desktop import open_in_browser
from nemochat.tui import clipboard
from nemochat.tui.chat.presenter import Presenter
from nemochat.tui.panes import registry
from nemochat.tui.panes.side import SidePanes
from nemochat.tui.screens.modal import Modal
from nemochat.tui.widgets.conversations import ConversationsDrawer
from nemochat.tui.widgets.prompt import Prompt
from nemochat.tui.widgets.status import StatusLine
from nemochat.tui.widgets.transcript import Transcript
from nemochat.tui.widgets.transcript_notes import ForgottenLine
from nemochat.tui.widgets.welcome import Welcome

_LEAST_NOTICE = 24
"""Columns in which a notice can be read; where there are fewer, it stands at the bottom over everything."""
NARROW = 100
"""Below this width the side panes are a drawer."""


class ChatScreen(Screen[None]):
    """One conversation at a time with one model at a time."""

    CSS_PATH = "chat.tcss"
    AUTO_FOCUS = "PromptArea"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Stop / back", show=False, id="chat.stop", tooltip="Stop the reply; close the drawer; to the prompt"),
        Binding("ctrl+n", "command('new')", "New chat", id="chat.new", tooltip="Begin a new chat; this one stays in the list"),
        Binding("ctrl+r", "command('open')", "Chats", id="chat.open", tooltip="The list of your chats"),
        Binding("ctrl+f", "command('search')", "Search", id="chat.search", tooltip="Search in every chat"),
        Binding("ctrl+o", "command('image')", "Attach", id="chat.attach", tooltip="Choose a picture"),
        Binding("f2", "side", "Panes", id="chat.panes", tooltip="Show or hide the panes"),
        Binding("f3", "command('model')", "Model", id="chat.model", tooltip="Choose the model"),
        Binding("f4", "command('settings')", "Settings", id="chat.settings", tooltip="Change settings"),
        Binding("ctrl+enter", "command('regen')", "Another reply", show=False, id="chat.regenerate", tooltip="Another last reply"),
        Binding("ctrl+up", "command('edit')", "Edit last", False, id="chat.edit_last", tooltip="Edit your last message and send it again"),
        Binding("f5", "command('persona')", "Persona", id="chat.persona", tooltip="Choose whom the model plays"),
        Binding("ctrl+t", "command('stats')", "Figures", show=False, id="chat.stats", tooltip="Time to first token, here and in all chats"),
        *(
            # Before the text area's own: where nothing is written and nothing was said, those have nothing to do.
            Binding(f"f{5 + at}", f"command('sample', '{at}')", f"Try {at}", False, id=f"chat.try_{at}", tooltip=question, priority=True)
            for at, question in enumerate(commands.SAMPLE_QUESTIONS, 1)
        ),
        # Windows Terminal keeps Ctrl+V for texts, and some terminals F8; before the text area, to which Alt+V may be a letter.
        Binding("f8,alt+v", "command('paste')", "Paste picture", False, None, True, "Attach the clipboard's picture", "chat.paste_picture"),
    ]

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self.bench = bench
        self._leaves_with: int | None = None
        """The program's exit code, once it has been told to end."""
        self._notices_at = ("", Offset(), 0, 0)
        history = PromptHistory(bench.paths.prompt_history)
        self.welcome = Welcome(commands.SAMPLE_QUESTIONS)
        self.transcript = Transcript(empty=self.welcome)
        self.side = SidePanes(registry.PANES)
        self.drawer = ConversationsDrawer()
        self.status = StatusLine()
        self.prompt = Prompt(
            find_drops=commands.drops_in,
            take_drop=self._take_drop,
            complete=self._complete,
            judge=commands.kind_of,
            history=history,
        )
        shown = (self.transcript, self.prompt, self.side, self.drawer, self.status, self.welcome)
        self.presenter = Presenter(self, *shown, self._wanted)
        self.desk = Desk(bench, self.presenter, Jobs(self._failed), history)
        self.desk.draft.dialogs = self._typed_in_dialogs
        self.presenter.attend(self.desk)

    def compose(self) -> ComposeResult:
        """Conversation and prompt, the panes beside them, the status line below."""
        with Horizontal(id="main"):
            yield self.drawer
            with Vertical(id="talk"):
                yield self.transcript
                yield self.prompt
            yield self.side
        yield self.status

    def on_mount(self) -> None:
        """Show everything, and begin."""
        self._fit(self.app.size.width)
        self.bindings_updated_signal.subscribe(self, self._tell_keys)
        self.screen_layout_refresh_signal.subscribe(self, self._place_notices)
        self.side.display = self.bench.settings.interface.side_panes
        self._name_keys()
        self.presenter.open()
        self.desk.start()

    async def on_unmount(self) -> None:
        """The program ends: what was sent, and what came of a reply under way, is kept, and the engine ends."""
        self.presenter.close()
        typed = self.desk.draft.dialogs()
        self.desk.draft.dialogs = lambda: typed
        self.desk.draft.typed(self.prompt.plain_text)
        await self.desk.close()

    def keep_draft(self) -> bool:
        """Write what was typed so far; whether that could be done."""
        self.desk.draft.typed(self.prompt.plain_text)
        return self.desk.draft.save()

    def leave(self, code: int = 0) -> None:
        """End the program as soon as what was typed has been taken in; at once when it is told so again."""
        is_first, self._leaves_with = self._leaves_with is None, code
        if is_first and self.prompt.is_mounted:
            self.prompt.leave()
        else:
            self._left()

    @on(Prompt.Left)
    def _left(self) -> None:
        for screen in self.app.screen_stack:
            if isinstance(screen, Modal) and screen.unfinished.strip():
                self.desk.history.add(screen.unfinished)  # Up brings it in the next run
        self.desk.draft.dialogs = str
        self.app.exit(return_code=self._leaves_with or 0)

    def _typed_in_dialogs(self) -> str:
        typed = (screen.typed for screen in self.app.screen_stack if isinstance(screen, Modal))
        return "\n\n".join(each for each in typed if each.strip())

    def on_resize(self, event: Resize) -> None:
        """The panes become a drawer on a narrow screen."""
        self._fit(event.size.width)

    def _fit(self, width: int) -> None:
        self.side.set_narrow(width < NARROW)
        self.drawer.set_narrow(width < NARROW)

    # -- focus, and where notices stand

    @property
    def focus_chain(self) -> list[Widget]:
        """Where Tab goes: prompt, the last message, from which the arrows go on, panes, status line, list of chats."""
        chain = super().focus_chain
        parts = (self.prompt, self.transcript, self.side, self.status, self.drawer)
        prompt, said, side, status, drawer = ([each for each in chain if part in each.ancestors_with_self] for part in parts)
        if self.transcript.views:
            said = [each for each in said if each is self.focused] or [self.transcript.views[-1]]
        return [*prompt, *said, *side, *status, *drawer]

    def focus_next(self, selector: str | type[Widget] = "*") -> Widget | None:
        """To the next part; from the prompt to the last message, also when that is not mounted."""
        if self.prompt.has_focus_within and not self.transcript.is_last():
            self.transcript.focus_last()
            return None
        return super().focus_next(selector)

    def _tell_keys(self, _: Screen[object]) -> None:
        """The hint line says the keys of what has the focus, where that is not the prompt."""
        focused = self.focused
        if focused is None or self.prompt in focused.ancestors_with_self:
            self.prompt.keys = ()
            return
        here = [active for active in self.active_bindings.values() if active.node is not self and active.node is not self.app]
        keys = {each.binding.action: each for each in reversed(here) if each.binding.show and each.enabled and each.binding.id}
        shown = [f"{self.app.get_key_display(each.binding)} {each.binding.description.lower()}" for each in reversed(keys.values())]
        self.prompt.keys = (*shown, "Esc back")
        if self.drawer.has_focus_within:
            self.drawer.keys = self.prompt.keys

    def _place_notices(self, _: Screen[object]) -> None:
        """At the top of what is seen of the conversation: neither over the panes nor over the list of commands."""
        room, rack = self.transcript.region, next((each for each in self.children if isinstance(each, ToastRack)), None)
        if rack is None:
            return  # the screen goes
        left = max(room.x, self.drawer.region.right if self.drawer.is_open else 0)
        right = min(room.right, self.side.region.x if self.side.is_shown else self.size.width)
        is_crowded = right - left < _LEAST_NOTICE
        if is_crowded:
            left, right = room.x, room.right
        self.prompt.covered = (left - room.x, room.right - right)
        place = "bottom" if is_crowded else "top", Offset(left, 0), right - left, max(1, room.height)
        if place != self._notices_at:
            self._notices_at = place
            rack.styles.dock, rack.styles.offset, rack.styles.width, rack.styles.max_height = place

    def _failed(self, error: BaseException) -> None:
        """What nobody foresaw ends the program with its story, like an error in a handler of the screen."""
        self.app._handle_exception(error)  # type: ignore[arg-type]  # noqa: SLF001 - Textual has no public way

    # -- what the user does in the prompt

    @on(Prompt.Submitted)
    def _submitted(self, event: Prompt.Submitted) -> None:
        commands.submit(self.desk, event.text, event.tokens, event.drop)

    @on(Prompt.Changed)
    def _changed(self) -> None:
        self.transcript.typed()
        self.desk.draft.typed(self.prompt.plain_text)

    @on(Prompt.TokenRemoved)
    def _token_removed(self, event: Prompt.TokenRemoved) -> None:
        self.desk.draft.remove(event.key)

    @on(Prompt.Notice)
    def _notice(self, event: Prompt.Notice) -> None:
        self.notify(event.text, markup=False, timeout=self.bench.settings.interface.notify_seconds)

    @on(Prompt.EditInEditor)
    @work(group="editor", exclusive=True)
    async def _edit_in_editor(self, event: Prompt.EditInEditor) -> None:
        written = await self.presenter.ask(AskEditor(event.text, "prompt.md"))
        if written is not None:
            self.prompt.area.replace_plain(written)

    @on(Prompt.Swipe)
    def _swipe(self, event: Prompt.Swipe) -> None:
        last = self.desk.chat.entries[-1:]
        if last and last[0].message.role is Role.ASSISTANT and not self.desk.is_busy:
            self._act(last[0].id, "swipe_right" if event.to_right else "swipe_left")

    @on(Prompt.Unqueue)
    def _unqueue(self, event: Prompt.Unqueue) -> None:
        self.desk.turns.unqueue(event.index)

    @on(Prompt.Escape)
    def action_leave(self) -> None:
        """Esc: stop the reply, else give up an edit, else close the drawer, else go to the prompt. Nothing is ever lost by it."""
        if self.desk.stop():
            return
        if self.desk.draft.editing is not None:
            self.desk.draft.give_up_edit()
            self.presenter.draw_status()
        elif self.side.is_open:
            self.side.toggle()
        elif self.drawer.is_open:
            self.drawer.leave()
        else:
            self.prompt.area.focus()

    def _take_drop(self, drop: Drop) -> None:
        self.desk.dropping.take(drop)

    def _complete(self, text: str) -> Completion | None:
        choices: dict[str, list[str]] = {"persona": [], **self.desk.groups.choices()}
        if text.startswith("/model"):  # reading what models there are takes a file, so not for every key
            choices["model"] = [*(choice.name for choice in self.bench.models()), *self.bench.remotes.names()]
        elif text.startswith("/think"):
            choices["think"] = ["on", "off", "auto"]
        elif text.startswith("/lore"):
            choices["lore"] = ["import", "try", *(each.name for each in self.bench.lorebooks.list())]
        elif text.startswith("/preset"):
            choices["preset"] = [each.name for each in self.desk.presets.list()]
        elif text.startswith("/summary"):
            choices["summary"] = ["on", "off", "edit", "delete"]
        elif text.startswith("/theme"):
            choices["theme"] = sorted(self.app.available_themes)
        return complete(text, choices, working_folder(), Path.home())

    # -- the list of chats

    @on(ConversationsDrawer.Action)
    def _drawer_action(self, event: ConversationsDrawer.Action) -> None:
        async def act() -> None:
            chosen = await self.desk.chats.act(event.row, event.name)
            if chosen:
                self.drawer.ask(event.row.id, chosen)

        self.desk.do(act)

    @on(ConversationsDrawer.Search)
    def _drawer_search(self, event: ConversationsDrawer.Search) -> None:
        commands.run(self.desk, "search", event.words)

    @on(ConversationsDrawer.New)
    def _drawer_new(self) -> None:
        self.action_command("new")

    @on(ConversationsDrawer.Left)
    def _drawer_left(self) -> None:
        self.prompt.area.focus()

    # -- messages

    @on(ForgottenLine.Clicked)
    def _summary_clicked(self) -> None:
        self.desk.do(lambda: self.desk.memory.visit(""))

    @on(Transcript.Action)
    def _message_action(self, event: Transcript.Action) -> None:
        self._act(event.message_id, event.name)

    def _act(self, message_id: int, name: str) -> None:
        self.desk.draft.typed(self.prompt.plain_text)  # what was typed in the same burst counts
        self.desk.do(lambda: self.desk.messages.act(message_id, name))

    @on(Transcript.LinkClicked)
    def _link_clicked(self, event: Transcript.LinkClicked) -> None:
        """Show where a link leads before it is opened."""

        async def offer() -> None:
            answers = (Answer("no", "Do not open"), Answer("copy", "Copy it"), Answer("yes", "Open in the browser", allows=True))
            chosen = await self.presenter.ask(AskAllowed("A link in the conversation", "", visible(event.url), answers))
            if chosen == "copy":
                self.copy(event.url)
            elif chosen == "yes" and not await asyncio.to_thread(open_in_browser, event.url):
                self.notify("No browser could be started here. Copy the address instead.", markup=False)

        self.desk.do(offer)

    # -- keys, and what only the screen can do

    def action_command(self, name: str, argument: str = "") -> None:
        """What the slash command of that name does. What was typed in the same burst counts."""
        self.desk.draft.typed(self.prompt.plain_text)
        commands.run(self.desk, name, argument)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What there is to try belongs to an empty chat and an empty prompt."""
        return parameters[:1] != ("sample",) or not (self.transcript.entries or self.prompt.plain_text)

    @on(Welcome.Asked)
    def _try(self, event: Welcome.Asked) -> None:
        self.action_command("sample", str(event.number))

    def _name_keys(self) -> None:
        """What the welcome says of keys that the user may have changed."""
        keys = {active.binding.id: self.app.get_key_display(active.binding) for active in self.active_bindings.values()}
        self.welcome.keys = [keys.get(f"chat.try_{number}", "") for number in range(1, len(commands.SAMPLE_QUESTIONS) + 1)]

    def action_write(self, text: str) -> None:
        """Begin to write in the prompt."""
        self.prompt.write(text)

    def action_side(self) -> None:
        """Show or hide the panes."""
        self.side.toggle()

    @work(thread=True, group="copy")
    def copy(self, text: str) -> None:
        """To the clipboard, as far as the terminal allows; says what happened. The programs that copy may take a while."""
        app = self.app
        said = clipboard.copy(lambda copied: app.call_from_thread(app.copy_to_clipboard, copied), text)
        app.call_from_thread(self.notify, said, markup=False)

    def _wanted(self, wanted: Wanted) -> None:
        match wanted:
            case Wanted("copy", text):
                self.copy(text)
            case Wanted("tools"):
                self.side.open_pane("tools")
            case Wanted("theme", name) if name in self.app.available_themes:
                self.app.theme = name
                self.desk.do(lambda: self.bench.change_setting("interface.theme", name))
            case Wanted("theme", name):
                self.notify(f"There is no theme {name}. /theme lists them.", markup=False)
            case Wanted("settings"):
                self._apply_settings()
            case Wanted("help"):
                self.call_later(self.app.run_action, "help")
            case Wanted("quit"):
                self.leave()

    def _apply_settings(self) -> None:
        """Put into force what the interface shows."""
        settings = self.bench.settings
        if settings.interface.theme in self.app.available_themes:
            self.app.theme = settings.interface.theme
        else:
            self.notify(f"There is no theme {settings.interface.theme}. /theme lists them.", markup=False)
        self.app.set_keymap(settings.keys)
        self._name_keys()
        self.side.display = settings.interface.side_panes
