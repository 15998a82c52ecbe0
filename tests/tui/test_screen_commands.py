"""The command palette, remapped keys, and the help of each part of the screen."""

from __future__ import annotations

from pathlib import Path

from textual.command import CommandPalette
from textual.widget import Widget

from nemochat.desk.commands import COMMANDS
from nemochat.settings import Settings
from nemochat.tui.panes.attachments import AttachLine, AttachmentCard
from nemochat.tui.panes.context import ContextPane
from nemochat.tui.panes.side import PaneTitle
from nemochat.tui.screens.help import HelpScreen
from nemochat.tui.screens.picker import Picker
from nemochat.tui.screens.settings import SettingsScreen
from nemochat.tui.screens.theme_picker import ThemePicker
from nemochat.tui.widgets.message import MessageView
from nemochat.tui.widgets.prompt_area import PromptArea
from nemochat.tui.widgets.status import StatusLine
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import Driver, running


async def _found(driver: Driver, words: str) -> None:
    """Wait until the palette has looked for all that it may find, and shows this."""
    await driver.until(lambda: words.lower() in driver.shown.lower() and all(each.is_finished for each in driver.app.workers))
    await driver.pilot.pause()


async def _palette(driver: Driver, words: str) -> None:
    """Find a command in the palette and run it."""
    await driver.press("ctrl+p")
    await driver.dialog(CommandPalette)
    await driver.press(*words)
    await _found(driver, words)
    await driver.press("enter")
    await driver.until(lambda: not isinstance(driver.app.screen, CommandPalette))
    await driver.pilot.pause()


async def test_the_palette_runs_a_command(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        await _palette(driver, "new")
        await driver.until(lambda: driver.said == [])
        await _palette(driver, "theme")
        await driver.dialog(ThemePicker)
        await driver.press("escape")
        await driver.back()
        await _palette(driver, "settings")
        await driver.dialog(SettingsScreen)


async def test_the_mouse_runs_a_command_of_the_palette(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.press("ctrl+p")
        await driver.dialog(CommandPalette)
        await driver.press(*"model")
        await _found(driver, "Change the model")
        await driver.click("Change the model")
        await driver.dialog(Picker)


async def test_every_command_is_in_the_palette(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        titles = [command.title for command in driver.app.get_system_commands(driver.app.screen)]
        names = [title.split()[0] for title in titles]
        assert [command.name for command in COMMANDS if f"/{command.name}" not in names] == []


async def test_every_key_of_the_settings_is_in_force(tmp_path: Path) -> None:
    """Another key for something of the app, the screen, the prompt and a message; the old ones do nothing any more."""
    keys = {"app.help": "f12", "chat.new": "f10,f11", "prompt.send": "ctrl+t", "message.copy": "z"}
    async with running(tmp_path, FakeEngine(reply("One.")), settings=Settings(keys=keys), size=(120, 70)) as driver:
        await driver.type("first")
        await driver.press("enter")
        assert driver.said == []
        await driver.press("ctrl+t")
        await driver.settle()
        assert driver.said == ["first", "One."]
        await driver.focus_message(1)
        await driver.press("c")
        assert driver.app.clipboard == ""
        await driver.press("z")
        await driver.until(lambda: driver.app.clipboard == "One.")
        await driver.press("f1", "ctrl+n")
        assert driver.app.screen is driver.screen
        assert driver.said == ["first", "One."]
        await driver.press("f12")
        await driver.dialog(HelpScreen)
        assert "F12" in driver.shown
        await driver.press("escape")
        await driver.back()
        await driver.press("f11")
        assert driver.said == []


HELP: list[tuple[type[Widget], list[str]]] = [
    (PromptArea, ["Prompt", "Send the message, or run the command", "Write the message in $EDITOR"]),
    (MessageView, ["A message", "Copy the text of this message", "Make another reply"]),
    (AttachmentCard, ["Picture", "Show the picture as large as the terminal allows"]),
    (AttachLine, ["Attach a picture", "Choose a picture for the next message"]),
    (PaneTitle, ["Pane", "Fold or unfold this pane"]),
    (StatusLine, ["Status line", "Show or hide where the time to first token went"]),
]


async def test_help_explains_the_part_that_has_the_focus(tmp_path: Path) -> None:
    draw_circle(tmp_path / "red.png", (220, 40, 40))
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.paste(str(tmp_path / "red.png"))
        await driver.send("first")
        for kind, words in HELP:
            part = driver.screen.query(kind).first()
            part.focus()
            await driver.pilot.pause()
            await driver.press("f1")
            await driver.dialog(HelpScreen)
            assert [each for each in [*words, "Everywhere"] if each not in driver.shown] == [], kind
            await driver.press("escape")
            await driver.back()
            assert driver.app.focused is part


async def test_a_part_without_keys_of_its_own_shows_those_that_work_everywhere(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        driver.screen.query_one(ContextPane).focus()
        await driver.press("f1")
        await driver.dialog(HelpScreen)
        assert "Everywhere" in driver.shown
        assert "Begin a new chat" in driver.shown


async def test_help_can_be_read_to_its_end_and_names_every_command(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(), size=(80, 24)) as driver:
        await driver.press("f1")
        await driver.dialog(HelpScreen)
        read = driver.shown
        for _ in range(12):
            await driver.press("pagedown")
            read += driver.shown
        assert [command.name for command in COMMANDS if f"/{command.name}" not in read] == []
        assert "Moving and editing" in read


async def test_the_palette_shows_what_may_follow_a_command(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.press("ctrl+p")
        await driver.dialog(CommandPalette)
        await driver.until(lambda: "/export" in driver.shown)
        assert "/export [FILE]" in driver.shown


async def test_the_doctor_is_asked_from_within(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send("/doctor")
        await driver.until(lambda: "ok     everything" in driver.shown)
        await driver.press("escape")
        await driver.back()
