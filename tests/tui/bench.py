"""The whole interface without a terminal: the real app on a bench whose engine is played (tests.chat.fake_engine)."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from rich.cells import cell_len
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Button

from nemochat.desk.desk import Desk
from nemochat.settings import Settings
from nemochat.tui.app import NemochatApp
from nemochat.tui.chat.screen import ChatScreen
from nemochat.tui.screens.approval import ApprovalScreen
from nemochat.tui.widgets.whole_text import WholeText
from tests.chat.fake_engine import FakeEngine
from tests.desk.bench import Bench
from tests.idle import until

__all__ = ["Bench", "Driver", "running"]

AnyScreen = TypeVar("AnyScreen")


class Driver:
    """A running app, with the words that a test says again and again."""

    def __init__(self, app: NemochatApp, pilot: Pilot[None], bench: Bench) -> None:
        self.app, self.pilot, self.bench = app, pilot, bench

    @property
    def screen(self) -> ChatScreen:
        """The chat screen, whatever lies above it."""
        return self.app.chat_screen

    @property
    def desk(self) -> Desk:
        """What the screen shows."""
        return self.screen.desk

    @property
    def said(self) -> list[str]:
        """The texts of the conversation."""
        return [entry.message.text for entry in self.desk.chat.entries]

    @property
    def notices(self) -> list[str]:
        """What the notices on the screen say, titles first."""
        return [f"{notice.title} {notice.message}".strip() for notice in self.app._notifications]

    @property
    def waiting(self) -> list[str]:
        """The queue."""
        return list(self.screen.prompt.queued)

    @property
    def rows(self) -> list[str]:
        """The rows of the screen, as the user reads them."""
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    @property
    def shown(self) -> str:
        """The whole screen as text."""
        return "\n".join(self.rows)

    @property
    def asked(self) -> str:
        """What a question shows of the thing to be allowed, its lines as they were before they were cut for the screen."""
        region = self.app.screen.query_one(WholeText).scrollable_content_region
        rows = [row[region.x : region.right] for row in self.rows[region.y : region.bottom]]
        return "".join(row[2:] if row.startswith("│") else f"\n{row[2:]}" for row in rows)

    async def click(self, text: str, *, button: int = 1) -> None:
        """Click on the last place of the screen where this text is read."""
        await self.until(lambda: text in self.shown)
        row, words = next((row, words) for row, words in reversed(list(enumerate(self.rows))) if text in words)
        await self.click_at(cell_len(words[: words.rindex(text)]), row, button=button)

    async def click_at(self, column: int, row: int, *, button: int = 1) -> None:
        """Click on a cell of the screen. The event names the widget there, as that of a terminal does and the pilot's alone does not."""
        widget, _ = self.app.screen.get_widget_at(column, row)
        await self.pilot.click(widget, offset=(column - widget.region.x, row - widget.region.y), button=button)
        await self.pilot.pause()

    async def dialog(self, kind: type[AnyScreen]) -> AnyScreen:
        """Wait for a screen of this kind above the conversation."""
        await self.until(lambda: isinstance(self.app.screen, kind))
        await self.pilot.pause()
        screen = self.app.screen
        assert isinstance(screen, kind)
        return screen

    async def answer(self, words: str) -> None:
        """Answer the question about something to be allowed with the keyboard, as soon as answers are taken."""
        screen = await self.dialog(ApprovalScreen)
        await self.until(lambda: screen.is_open)
        wanted = next(button for button in screen.query(Button) if str(button.label) == words)
        await self.until(lambda: not wanted.disabled)
        while screen.focused is not wanted:
            await self.press("right")
        await self.until(lambda: screen.is_open)
        await self.press("enter")

    async def back(self) -> None:
        """Wait until the conversation is on top again."""
        await self.until(lambda: self.app.screen is self.screen)
        await self.pilot.pause()

    async def told(self, words: str) -> None:
        """Wait for a notice that says this."""
        await self.until(lambda: any(words in notice for notice in self.notices))

    async def focus_message(self, index: int) -> None:
        """Put the focus on a message, counted from the first."""
        self.screen.transcript.go_to(index)
        await self.until(lambda: (view := self.screen.transcript.focused_view()) is not None and view.standing.index == index)

    async def paste(self, text: str) -> None:
        """What a terminal sends when something is dropped or pasted, and wait until its pictures are there."""
        self.screen.prompt.area.post_message(Paste(text))
        await self.pilot.pause()
        await self.attached()

    async def attached(self) -> None:
        """Wait until every picture of the draft was read."""
        await self.until(lambda: all(item.tokens for item in self.desk.draft.items))
        await self.settle()

    @property
    def draft(self) -> list[str]:
        """The names of the draft's pictures, in order."""
        return [item.name for item in self.desk.draft.items]

    async def act_on(self, id_: str, name: str) -> None:
        """What the drawer asks for with a conversation."""
        row = next(row for row in await self.desk.chats.rows() if row.id == id_)
        await self.desk.chats.act(row, name)

    async def press(self, *keys: str) -> None:
        """Keys for what can be seen."""
        await self.until(lambda: getattr(self.app.screen, "takes_keys_from", 0.0) < math.inf)
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Put text into the prompt at the cursor, as the keyboard would, but at once."""
        self.screen.prompt.area.insert(text)
        await self.pilot.pause()

    async def send(self, text: str) -> None:
        """Go to the prompt, type, press Enter, and wait until nothing runs any more."""
        self.screen.prompt.area.focus()
        await self.type(text)
        await self.press("enter")
        await self.settle()

    async def until(self, holds: Callable[[], object]) -> None:
        """Let the app work until something holds; a failure when it never does."""
        await until(holds)

    async def settle(self) -> None:
        """Wait until no turn runs and everything is drawn."""
        await self.until(lambda: not self.desk.turns.is_running)
        await self.pilot.pause()
        await self.until(lambda: not self.desk.reading.is_at_work)
        await self.pilot.pause()


@asynccontextmanager
async def running(
    folder: Path, *engines: FakeEngine, size: tuple[int, int] = (120, 40), settings: Settings | None = None, bench: Bench | None = None
) -> AsyncGenerator[Driver, None]:
    """The app on a bench with models "demo", "second" ..., its model loaded."""
    names = ("demo", "second", "third")
    bench = bench or Bench(folder, dict(zip(names, engines, strict=False)), settings)
    app = NemochatApp(bench)
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, pilot, bench)
        await driver.until(lambda: len(app.screen_stack) > 1)
        if bench.first in bench.engines:
            await driver.until(lambda: driver.screen.desk.model.is_loaded)
            await driver.settle()
        yield driver
    bench.library.close()
    bench.documents.close()
