"""Whatever a widget is told, and whenever, nothing ends the program: before it is mounted, while it is, when it has gone, when all has."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual._context import active_app
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from nemochat.chat import Entry, ToolRun, ToolState
from nemochat.desk.completion import Candidate, Completion
from nemochat.desk.port import PreviewLine
from nemochat.domain.library import ConversationRow
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import Persona
from nemochat.personas.index import PersonaSummary
from nemochat.tui.panes.attachments import AttachmentItem, AttachmentsPane
from nemochat.tui.panes.context import ContextPane
from nemochat.tui.panes.side import SidePanes
from nemochat.tui.panes.tools import ToolInfo, ToolsPane
from nemochat.tui.screens.persona_picker import PersonaPreview
from nemochat.tui.widgets.completion_list import CompletionList
from nemochat.tui.widgets.conversations import ConversationsDrawer
from nemochat.tui.widgets.form_fields import ChoiceField, ColourField, LineField, SwitchField, TextField
from nemochat.tui.widgets.form_lists import ListField
from nemochat.tui.widgets.hint_line import Hint, HintLine, PromptState
from nemochat.tui.widgets.portrait import Portrait
from nemochat.tui.widgets.prompt import Prompt
from nemochat.tui.widgets.reply_text import ReplyText
from nemochat.tui.widgets.search_results import PreviewPane, Results
from nemochat.tui.widgets.status import StatusLine, StatusView
from nemochat.tui.widgets.transcript import Transcript
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import running

TUI = Path(__file__).parents[2] / "nemochat" / "tui"
_NOT_OURS = {"approval.py"}
"""Screens whose look-ups belong to the layer of the desk."""

Told = Callable[[Any], Awaitable[None]]


async def _transcript(widget: Transcript) -> None:
    entries = [Entry(Message(Role.USER, (TextPart("A question"),))), Entry(Message(Role.ASSISTANT, (TextPart("# Answer\n\n- one\n"),)))]
    widget.show(entries[:1], None, "model", system="Be kind.")
    widget.begin_reply("model")
    widget.waiting("reading")
    widget.append([TextPart("Some **text** that streams,\n\n```python\nx = 1\n")])
    await asyncio.sleep(0)
    widget.append([TextPart("```\n\n<toolcall>")])
    widget.typed()
    widget.end_reply()
    widget.show(entries, None, "model")
    widget.focus_last()
    widget.go_to(0)
    widget.show_portraits = True
    widget.accents = {"Mira": "#ff0000"}


async def _reply_text(widget: ReplyText) -> None:
    await widget.add("One.\n\n", "two")
    await widget.add("", "```\nx = 1", is_fence=True)
    await widget.close("two\n")
    await widget.replace("All anew.\n\n- a list\n")
    await widget.add("", "open")


async def _attachments(widget: AttachmentsPane) -> None:
    items = [AttachmentItem(str(n), f"{n}.png", 8, 8, 4, "encoded", None, in_draft=n < 2) for n in range(3)]
    for shown in (items, items[::-1], items[:1], []):
        widget.show(shown)


async def _tools(widget: ToolsPane) -> None:
    for count in (2, 1, 0):
        widget.show([ToolInfo("add", "Adds.", True)] * min(count, 1), [ToolRun("add", {}, None, ToolState.RUNNING)] * count)


async def _side(widget: SidePanes) -> None:
    for pane in widget.panes:
        match pane:
            case AttachmentsPane():
                await _attachments(pane)
            case ToolsPane():
                await _tools(pane)
            case ContextPane():
                await _context(pane)
    widget.set_narrow(True)
    widget.active = "tools"
    widget.set_narrow(False)


async def _prompt(widget: Prompt) -> None:
    widget.state = PromptState.QUEUES
    widget.token_count, widget.room = 5, -3
    widget.queued = ("one", "two")
    widget.area.insert_pasted("text")
    widget.area.insert_token("1", "[image 1]")
    widget.area.replace_token("1", "[image 1: a.png]")
    widget.area.remove_token("1")
    widget.area.put_back("before", [("2", "[image 2]")])
    widget.load_text("")
    widget.paste("pasted")
    widget.queued = ()


async def _preview(widget: PersonaPreview) -> None:
    widget.say("A sentence.")
    widget.show(Persona(name="Mira"), None, PersonaSummary("mira", "Mira"), "User")


async def _search_preview(widget: PreviewPane) -> None:
    await widget.say("A sentence.")
    await widget.show([PreviewLine(Role.USER, "", "words", is_hit=True)], ("words",))
    await widget.clear()


async def _drawer(widget: ConversationsDrawer) -> None:
    rows = [ConversationRow(id=str(n), title=f"Chat {n}", updated=float(n)) for n in range(3)]
    widget.show(rows, "1", 5.0)
    widget.set_narrow(True)
    widget.show(rows[:1], "", 5.0)


async def _status(widget: StatusLine) -> None:
    for state in ("loading", "ready"):
        widget.view = StatusView("model", state, 1, 2, None)
    widget.opened = True


async def _field(widget: Any) -> None:
    widget.accept(widget.initial)
    widget.refuse("Not allowed.")


async def _list(widget: ListField[str]) -> None:
    widget.put(0, "one")
    widget.action_remove()
    widget.action_restore()


async def _portrait(widget: Portrait) -> None:
    widget.show(None, "Mira")


async def _hint(widget: HintLine) -> None:
    widget.hint = Hint(PromptState.SENDS, 5, -1, is_empty=False)


async def _completion(widget: CompletionList) -> None:
    widget.show(Completion(0, (Candidate("/new", "/new"),)))
    widget.move(1)
    widget.show(None)


async def _context(widget: ContextPane) -> None:
    widget.show(None)


async def _results(widget: Results) -> None:
    widget.show([], 0.0)


WIDGETS: dict[str, tuple[Callable[[], Widget], Told]] = {
    "Transcript": (Transcript, _transcript),
    "ReplyText": (ReplyText, _reply_text),
    "AttachmentsPane": (AttachmentsPane, _attachments),
    "ToolsPane": (ToolsPane, _tools),
    "ContextPane": (ContextPane, _context),
    "SidePanes": (SidePanes, _side),
    "Prompt": (Prompt, _prompt),
    "HintLine": (HintLine, _hint),
    "StatusLine": (StatusLine, _status),
    "CompletionList": (CompletionList, _completion),
    "PersonaPreview": (PersonaPreview, _preview),
    "PreviewPane": (PreviewPane, _search_preview),
    "Results": (Results, _results),
    "ConversationsDrawer": (ConversationsDrawer, _drawer),
    "Portrait": (Portrait, _portrait),
    "LineField": (lambda: LineField("a", "A", "x"), _field),
    "TextField": (lambda: TextField("a", "A", "x"), _field),
    "SwitchField": (lambda: SwitchField("a", "A", True), _field),
    "ColourField": (lambda: ColourField("a", "A", "#ffffff"), _field),
    "ChoiceField": (lambda: ChoiceField("a", "A", 1, (("one", 1),)), _field),
    "ListField": (lambda: ListField[str]("a", "A", (), line=lambda text: (text, ""), add="one"), _list),
}


class _Host(App[None]):
    def compose(self) -> ComposeResult:
        yield Vertical()


@pytest.mark.parametrize("name", WIDGETS)
async def test_a_widget_can_be_told_anything_at_any_time(name: str) -> None:
    make, tell = WIDGETS[name]
    app = _Host()
    async with app.run_test() as pilot:
        active_app.set(app)  # as for everything that runs in the program
        home = app.query_one(Vertical)
        early = make()
        await tell(early)  # before it is mounted
        mounting = home.mount(early)
        await tell(early)  # while it is being composed and mounted
        await mounting
        await tell(early)
        await pilot.pause()
        removing = early.remove()
        await tell(early)  # while it goes
        await removing
        await tell(early)  # when it has gone
        await pilot.pause()
        inner = make()
        await home.mount(inner)
        gone = home.remove()
        await tell(inner)  # when what it lies in has gone
        await gone
        last = make()
        await app.mount(last)
        app.exit()
        await tell(last)  # when the program ends
    active_app.set(app)
    await tell(last)
    assert app.return_code == 0


async def test_what_a_reply_was_told_before_it_was_mounted_is_shown() -> None:
    app = _Host()
    async with app.run_test() as pilot:
        text = ReplyText()
        await text.add("One.\n\n", "")
        mounting = app.query_one(Vertical).mount(text)
        await text.add("Two.\n\n", "three")
        await mounting
        await pilot.pause()
        shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert [word for word in ("One.", "Two.", "three") if shown.count(word) == 1] == ["One.", "Two.", "three"]


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1, 0.3])
async def test_quitting_at_any_moment_after_sending_ends_without_a_crash(tmp_path: Path, after: float) -> None:
    engine = FakeEngine(reply(*(f"Some **words** of a reply, {n}.\n\n" for n in range(40))))
    async with running(tmp_path, engine) as driver:
        await driver.type("a question")
        await driver.pilot.press("enter")
        await asyncio.sleep(after)
        driver.app.exit()
    assert driver.app.crash is None
    assert driver.app.return_code == 0


@pytest.mark.parametrize(
    "path",
    [path for folder in ("widgets", "panes", "screens") for path in sorted((TUI / folder).glob("*.py")) if path.name not in _NOT_OURS],
    ids=lambda path: path.name,
)
def test_nothing_is_looked_up_while_a_widget_draws_and_children_are_mounted_by_what_may_come_late(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert list(_lookups(tree)) == []
    assert not list(_mounts(tree)) or path.name == "late.py" or "Late" in path.read_text(encoding="utf-8") or _is_child_of_late(tree)


def test_the_rules_can_fail() -> None:
    assert list(_lookups(ast.parse("self.query_one('#a').update('x')\n"))) == [1]
    assert list(_mounts(ast.parse("x = 1\nawait_me = self.home.mount(widget)\n"))) == [2]


def _calls(tree: ast.Module, *names: str) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield node.lineno


def _lookups(tree: ast.Module) -> Iterator[int]:
    """Lines that look a widget up, which raises where it is not there."""
    yield from _calls(tree, "query_one", "query_exactly_one", "get_child_by_id", "get_child_by_type", "get_widget_by_id")


def _mounts(tree: ast.Module) -> Iterator[int]:
    """Lines that mount."""
    yield from _calls(tree, "mount", "mount_all", "move_child")


_LATE = {"SteadyScroll", "SteadyItem", "MessageWindow", "MessageView", "ReplyText"}
"""Classes that derive from `Late`."""


def _is_child_of_late(tree: ast.Module) -> bool:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return not names.isdisjoint(_LATE)
