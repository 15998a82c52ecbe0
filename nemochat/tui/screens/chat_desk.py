"""What the parts of the chat screen ask of it: notices, dialogs, background work, another value of the conversation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

from textual import work
from textual.screen import ModalScreen, Screen
from textual.worker import Worker

from nemochat.chat import Chat
from nemochat.domain.images import RgbImage
from nemochat.errors import NemochatError
from nemochat.tui import clipboard
from nemochat.tui.composer import Composer
from nemochat.tui.conversations import Conversations
from nemochat.tui.documents import Documents
from nemochat.tui.roleplay import Roleplay
from nemochat.tui.screens.dialogs import Choose, PictureScreen
from nemochat.tui.slash import Slash
from nemochat.tui.turns import Job, TurnRunner
from nemochat.tui.workbench import Workbench


class ChatDesk(Screen[None]):
    """The chat screen without what is on it (nemochat.tui.message_actions.Desk, nemochat.tui.dropping.Host)."""

    bench: Workbench
    turns: TurnRunner
    composer: Composer
    conversations: Conversations
    documents: Documents
    roleplay: Roleplay
    slash: Slash

    def say(self, text: str) -> None:
        """A short notice."""
        self.notify(text, markup=False, timeout=self.bench.settings.interface.notify_seconds)

    def complain(self, error: NemochatError) -> None:
        """One sentence about what failed, and what to do."""
        self.notify(error.hint or " ", title=error.message, severity="error", markup=False, timeout=12)

    def change_chat(self, chat: Chat, *, can_undo: bool = True) -> None:
        """Show, use and keep another value of the conversation."""
        self.conversations.change(chat, can_undo=can_undo)

    def begin_chat(self, chat: Chat) -> None:
        """Leave the conversation for another, new one."""
        self.conversations.begin(chat)

    def submit(self, job: Job) -> None:
        """Run a turn."""
        self.turns.submit(job)

    def refuse_while_busy(self) -> bool:
        """Whether a reply is being written; says so."""
        if self.turns.is_running:
            self.say("A reply is being written: wait for it, or stop it with Esc.")
        return self.turns.is_running

    def edit_in_prompt(self, index: int) -> None:
        """Bring the user's message back into the prompt."""
        self.composer.edit(index)

    def copy(self, text: str) -> None:
        """To the clipboard, as far as the terminal allows; says what happened."""
        self._copy(text)

    @work(thread=True, group="copy")
    def _copy(self, text: str) -> None:
        """The programs that copy may take a while."""
        said = clipboard.copy(lambda copied: self.app.call_from_thread(self.app.copy_to_clipboard, copied), text)
        self.app.call_from_thread(self.say, said)

    async def ask(self, screen: ModalScreen[str | None]) -> str | None:
        """Show a dialog and wait for its answer (call it from a worker)."""
        return await self.app.push_screen_wait(screen)

    def background(self, work: Callable[[], Coroutine[None, None, None]], group: str, *, exclusive: bool = False) -> Worker[None]:
        """Do something beside everything else; an exclusive one replaces what its group is doing.

        The function, not a coroutine made now: one that is replaced before it begins would never be awaited.
        """
        return self.run_worker(work, group=group, exclusive=exclusive)

    def in_background(self, screen: Choose, then: Callable[[str | None], None]) -> None:
        """Show a dialog; `then` gets its answer."""
        self.app.push_screen(screen, then)

    def add_document(self, path: Path) -> None:
        """Search a file for each message."""
        self.slash.in_background(partial(self.documents.add, path))

    def import_card(self, path: Path) -> None:
        """Keep the persona of a character card, and offer to use it."""
        self.slash.in_background(partial(self.roleplay.import_file, path))

    def show_picture(self, pixels: RgbImage) -> None:
        """A picture on a screen of its own."""
        self.app.push_screen(PictureScreen(pixels, self.bench.pictures))
