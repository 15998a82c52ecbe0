"""How the desk's questions look on the screen: one screen for each, shown one above the other and answered once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from textual.app import App, SuspendNotSupported
from textual.screen import Screen

from nemochat.desk import port
from nemochat.desk.editor import write_in_editor
from nemochat.desk.port import Answer, Leave, working_folder
from nemochat.errors import NemochatError
from nemochat.system import terminal
from nemochat.tui.screens.approval import ApprovalScreen
from nemochat.tui.screens.dialogs import Choose, Menu, PictureScreen, Read, Write
from nemochat.tui.screens.picker import Picker

_WIDE = 110
"""The file dialog has no room for the choice of a filter on a narrower screen."""

_WHAT_LEAVES = (
    "So does all else that the model reads: passages of documents, what tools bring, and your words already while you type. "
    "Who runs that machine can keep it."
)
_ASKED_ONCE = "You are asked once. The line at the bottom shows ↗ for as long as it is in use."


def screen_for(ask: port.Ask, app: App[None], pictures: str, copy: Callable[[str], None]) -> Screen[Any]:
    """The screen that asks. What is seldom needed is imported here, so that the program starts quickly."""
    match ask:
        case port.AskOne():
            return Choose(ask.title, ask.text, ask.answers, hint=ask.hint)
        case port.AskMenu():
            return Menu(ask.title, ask.answers)
        case port.AskText():
            return Write(ask.title, ask.text, hint=ask.hint, one_line=ask.one_line)
        case port.AskItem():
            return Picker(ask.title, ask.items, current=ask.current, empty=ask.empty, later=ask.later)
        case port.AskLeave(served):
            answers = Answer(Leave.NO, "Not now"), Answer(Leave.ALWAYS, f"Use {served.server.name}")
            return Choose("Another machine", f"{served.leaving}\n\n{_WHAT_LEAVES}", answers, hint=_ASKED_ONCE)
        case port.ShowText():
            return Read(ask.title, ask.text)
        case port.ShowPicture():
            return PictureScreen(ask.pixels, pictures)
        case port.AskAllowed():
            return ApprovalScreen(ask)
        case port.AskFile():
            from nemochat.tui.screens.file_picker import FilePicker

            return FilePicker(ask, working_folder(), has_filter=app.size.width >= _WIDE)
        case port.AskTheme():
            from nemochat.tui.screens.theme_picker import ThemePicker

            return ThemePicker()
        case port.AskSettings():
            from nemochat.tui.screens.settings import SettingsScreen

            return SettingsScreen(ask.settings, ask.locked, ask.sampling, ask.presets, ask.misplaced)
        case port.AskFound():
            from nemochat.tui.screens.search import SearchScreen

            return SearchScreen(ask.find, ask.preview, personas=ask.personas, models=ask.models, words=ask.words)
        case port.AskPersona():
            from nemochat.tui.screens.persona_picker import PersonaPicker

            return PersonaPicker(ask.personas, ask.load, current=ask.current, user=ask.user)
        case port.AskPersonaEdited():
            from nemochat.tui.screens.persona_form import PersonaForm

            return PersonaForm(ask.persona, saved=ask.saved, lorebooks=ask.lorebooks, presets=ask.presets)
        case port.ShowPersona():
            from nemochat.tui.screens.persona_card import PersonaCard

            return PersonaCard(ask.persona, ask.portrait)
        case port.AskLore():
            from nemochat.tui.screens.lorebook_picker import LorebookPicker

            return LorebookPicker(ask.lorebooks, ask.load, current=ask.current, persona=ask.persona)
        case port.AskLorebook():
            from nemochat.tui.screens.lorebook import LorebookScreen

            return LorebookScreen(ask.book, ask.attempt, ask.save)
        case port.ShowFigures():
            from nemochat.tui.screens.stats import StatsScreen

            return StatsScreen(ask.chat, ask.library, copy=copy)
        case port.AskEditor():
            raise AssertionError("the editor is no screen")


def edit_in_editor(screen: Screen[None], ask: port.AskEditor) -> str | None:
    """Let the user write in an editor; None when that failed (the user is told) or nothing was changed."""
    try:
        # Where no program can be left for another, the editor is a window of its own, and this one waits for it.
        return write_in_editor(ask, screen.app.suspend() if terminal.CAN_SUSPEND else nullcontext())
    except SuspendNotSupported:
        screen.notify("This terminal cannot be left for an editor.", severity="warning", markup=False)
    except NemochatError as error:
        screen.notify(error.message, severity="error", markup=False)
    return None
