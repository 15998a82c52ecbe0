"""The tools that the model may call, and every call with what came of it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from nemochat.chat import ToolRun, ToolState
from nemochat.desk.desk import Desk
from nemochat.desk.port import Event, ToolsChanged
from nemochat.desk.tools import gated
from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import lets_call
from nemochat.numbers import count, duration, plural, share
from nemochat.tui.panes.base import Pane
from nemochat.tui.widgets.late import LateVertical

_EMPTY = "No tools yet. Calls that the model makes appear here."
_SIGNS = {ToolState.ASKED: "?", ToolState.RUNNING: "…", ToolState.DONE: "✓", ToolState.FAILED: "✗", ToolState.REFUSED: "⊘"}
_COLOURS = {
    ToolState.ASKED: "$text-warning",
    ToolState.RUNNING: "$text-primary",
    ToolState.DONE: "$text-success",
    ToolState.FAILED: "$text-error",
    ToolState.REFUSED: "$text-muted",
}
_PREVIEW_LINES, _PREVIEW_CHARACTERS = 3, 90
_MOST_CHARACTERS = 4000
"""Laying out more than this would be felt."""
_MOST_LINES = 200
_MOST_RUNS = 50
_SENTENCE = re.compile(r"(?<=[.!?])\s")
_LONGEST_DESCRIPTION = 100


class ToolInfo(msgspec.Struct, frozen=True):
    """A tool that can be offered to the model. tokens: what offering it costs in every prompt, None when not known, or as near as it is
    known (`is_exact`)."""

    name: str
    description: str
    enabled: bool
    tokens: int | None = None
    is_exact: bool = True


def shorten(text: str, characters: int, lines: int) -> tuple[str, int]:
    """The beginning of a text, within both bounds, and how many characters were left out."""
    shown = text[:characters]
    if shown.count("\n") >= lines:
        shown = "\n".join(shown.split("\n")[:lines])
    return shown, len(text) - len(shown)


def argument_lines(run: ToolRun) -> str:
    """The arguments as one line each, nothing hidden: control characters are spelled out, and what is cut says how much it was."""
    lines = [sanitize(f"{name}: {json.dumps(value, ensure_ascii=False)}", strict=True) for name, value in run.arguments.items()]
    shown, rest = shorten("\n".join(lines), _MOST_CHARACTERS, _MOST_LINES)
    return f"{shown}\n… {count(rest)} more characters" if rest else shown or "no arguments"


def gate_line(chance: float, threshold: float) -> str:
    """What a gate has decided, by how likely a call was: ``no tool: 12 % (gate 50 %)``."""
    return f"{'tool' if lets_call(chance, threshold) else 'no tool'}: {share(chance)} (gate {share(threshold)})"


def _first_sentence(description: str) -> str:
    """What a line has room for; `nemochat tools show` has all of it."""
    return textwrap.shorten(_SENTENCE.split(description, maxsplit=1)[0], _LONGEST_DESCRIPTION, placeholder="…")


class ToolLine(Static, can_focus=True):
    """A tool with its check box."""

    help_title = "Tool"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "switch", "On / off", id="tools.switch", tooltip="Offer this tool to the model, or not"),
    ]
    DEFAULT_CSS = """
    ToolLine { height: auto; padding: 0 1 0 0; border-left: blank; pointer: pointer; }
    ToolLine:focus { border-left: thick $accent; background: $foreground 6%; }
    """

    def __init__(self, tool: ToolInfo) -> None:
        super().__init__()
        self.tool = tool
        self.show(tool)

    def show(self, tool: ToolInfo) -> None:
        """Show another state of the tool."""
        self.tool = tool
        box, word = ("☑", "on ") if tool.enabled else ("☐", "off")
        cost = f"  {plural(tool.tokens, 'token', is_exact=tool.is_exact)}" if tool.tokens is not None else ""
        description = _first_sentence(sanitize(tool.description[:500], strict=True))
        self.update(
            Content.assemble(
                f"{box} {word} ",
                (sanitize(tool.name, strict=True), "bold" if tool.enabled else ""),
                (cost, "$text-muted"),
                (f"\n{description}" if description else "", "$text-muted"),
            )
        )

    def action_switch(self) -> None:
        """Ask for the other state."""
        self.post_message(ToolsPane.Toggled(self.tool.name, not self.tool.enabled))

    def on_click(self) -> None:
        """The same by mouse."""
        self.action_switch()


class RunView(Vertical, can_focus=True):
    """A call: state, name and time, the arguments, and the result, short until it is opened."""

    help_title = "Tool call"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "open", "Whole result", id="tools.open", tooltip="Show the whole result, or its first lines"),
    ]
    DEFAULT_CSS = """
    RunView {
        height: auto; padding: 0 1 0 0; margin: 0 0 1 0; border-left: blank; pointer: pointer;
        &:focus { border-left: thick $accent; background: $foreground 6%; }
        Static { height: auto; }
        .arguments, .result { padding: 0 0 0 2; }
        .arguments { color: $text-muted; }
        .result { max-height: 3; }
        .rest { padding: 0 0 0 2; color: $text-muted; }
        &.-open .result { max-height: 100000; }
    }
    """

    def __init__(self, run: ToolRun) -> None:
        super().__init__()
        self.tool_run = run
        self._head = Static(classes="head", markup=False)
        self._arguments = Static(classes="arguments", markup=False)
        self._result = Static(classes="result", markup=False)
        self._rest = Static(classes="rest", markup=False)
        self._write()

    def compose(self) -> ComposeResult:
        """Its four parts."""
        yield self._head
        yield self._arguments
        yield self._result
        yield self._rest

    def show(self, run: ToolRun) -> None:
        """Show another state of the call."""
        if run == self.tool_run:
            return
        if (run.name, run.arguments) != (self.tool_run.name, self.tool_run.arguments):
            self.remove_class("-open")
        self.tool_run = run
        self._write()

    def action_open(self) -> None:
        """Show all of the result, or little."""
        self.toggle_class("-open")
        self._write()

    def on_click(self) -> None:
        """The same by mouse, unless text was being selected."""
        if not self.screen.selections:
            self.action_open()

    def _write(self) -> None:
        run = self.tool_run
        time = f"  {duration(run.elapsed_ms)}" if run.elapsed_ms is not None else ""
        self._head.update(
            Content.assemble(
                (f"{_SIGNS[run.state]} {run.state.value}", _COLOURS[run.state]),
                "  ",
                (sanitize(run.name, strict=True), "bold"),
                (time, "$text-muted"),
            )
        )
        self._arguments.update(Content(argument_lines(run)))
        # Cut before it is made safe: a result may have megabytes.
        is_open = self.has_class("-open")
        limits = (_MOST_CHARACTERS, _MOST_LINES) if is_open else (_PREVIEW_CHARACTERS, _PREVIEW_LINES)
        shown, rest = shorten(run.result or "", *limits)
        self._result.update(Content(sanitize(shown).expandtabs(4)))
        self._result.display = bool(shown)
        more = f"… {plural(rest, 'more character')}" if rest else ""
        self._rest.update(Content(more if is_open or not more else f"{more} (Enter)"))
        self._rest.display = bool(more)


class ToolsPane(Pane, can_focus=False):
    """Tools and calls, the newest call first."""

    title = "Tools"
    follows: ClassVar[tuple[type[Event], ...]] = (ToolsChanged,)

    @dataclass
    class Toggled(Message):
        """The user wants this tool to be offered, or not."""

        name: str
        enabled: bool

    DEFAULT_CSS = """
    ToolsPane {
        .note { height: auto; padding: 0 1; color: $text-muted; }
        .list { height: auto; }
        .gate { margin: 0 0 1 0; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_reactive(ToolsPane.is_idle, True)
        self._tools: tuple[ToolInfo, ...] = ()
        self._runs: tuple[ToolRun, ...] = ()
        self._tool_lines: dict[str, ToolLine] = {}
        self._run_views: dict[int, RunView] = {}
        self._tool_list = LateVertical(classes="list")
        self._run_list = LateVertical(classes="list")
        self._gate = Static(classes="note gate")
        self._gated = ""
        self._note = Static(Content(_EMPTY), classes="note")

    def compose(self) -> ComposeResult:
        """What the gate has decided, the calls, which are what is looked for, then the tools, and a note."""
        yield self._gate
        yield self._run_list
        yield self._tool_list
        yield self._note

    def on_mount(self) -> None:
        """Show what was given before."""
        self.is_up = True
        self._arrange()

    def draw(self, desk: Desk) -> None:
        """The tools that there are, and the calls of the conversation."""
        chat, tools = desk.chat, desk.tools
        on = {spec.name for spec in chat.frame.tools}
        infos = [
            ToolInfo(each.name, each.spec.description, each.name in on, tools.costs.get(each.fingerprint), desk.model.counts_exactly)
            for each in tools.offered
        ]
        self.show(infos, tools.runs(chat), gated(chat.entries))

    @on(Toggled)
    def _toggle(self, event: Toggled) -> None:
        self.act(lambda desk: desk.toggle_tool(event.name, enabled=event.enabled))

    def show(self, tools: Sequence[ToolInfo], runs: Sequence[ToolRun], gate: tuple[float, float] | None = None) -> None:
        """Show these tools and calls (in the order in which they were made), and what the gate has decided last (see `gate_line`)."""
        line = gate_line(*gate) if gate is not None else ""
        if (tuple(tools), tuple(runs), line) == (self._tools, self._runs, self._gated):
            return
        self._tools, self._runs, self._gated = tuple(tools), tuple(runs), line
        on = sum(tool.enabled for tool in tools)
        self.is_idle = not on and not runs
        words = [f"{on} of {len(tools)} on"] if tools else []
        words += [plural(len(runs), "call")] if runs else []
        self.summary = ", ".join(words) or "none"
        if self.can_draw:
            self._arrange()

    def _arrange(self) -> None:
        if [tool.name for tool in self._tools] == list(self._tool_lines):
            for tool in self._tools:
                self._tool_lines[tool.name].show(tool)
        else:
            self._tool_list.remove_children()
            self._tool_lines = {tool.name: ToolLine(tool) for tool in self._tools}
            self._tool_list.mount(*self._tool_lines.values())
        first = max(0, len(self._runs) - _MOST_RUNS)
        for index in [index for index in self._run_views if not first <= index < len(self._runs)]:
            self._run_views.pop(index).remove()
        for index in range(first, len(self._runs)):
            if index in self._run_views:
                self._run_views[index].show(self._runs[index])
            else:
                view = self._run_views[index] = RunView(self._runs[index])
                self._run_list.mount(view, before=0) if self._run_list.children else self._run_list.mount(view)
        self._gate.update(Content(self._gated))
        self._gate.display = bool(self._gated)
        is_empty = not self._tools and not self._runs
        self._note.display = is_empty or first > 0
        self._note.update(Content(_EMPTY if is_empty else f"… {plural(first, 'earlier call')}"))
