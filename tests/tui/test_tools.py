"""The tools pane: what is on, every call with all of its arguments, and results of any length."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from nemochat.chat import ToolRun, ToolState
from nemochat.tui.panes.tools import RunView, ToolInfo, ToolLine, ToolsPane, argument_lines, gate_line, shorten
from tests.idle import until

WEATHER = ToolInfo("get_weather", "The weather at a place.", True, 132)
SHELL = ToolInfo("shell", "Runs a command.", False)
RUN = ToolRun("get_weather", {"city": "Paris"}, "21 degrees", ToolState.DONE, 1234.0)


class Host(App[None]):
    def __init__(self, tools: tuple[ToolInfo, ...] = (), runs: tuple[ToolRun, ...] = ()) -> None:
        super().__init__()
        self.pane = ToolsPane()
        self.pane.show(tools, runs)
        self.toggled: list[tuple[str, bool]] = []

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_tools_pane_toggled(self, event: ToolsPane.Toggled) -> None:
        self.toggled.append((event.name, event.enabled))

    def shown(self) -> str:
        return "\n".join(str(each.content) for each in self.query(Static) if each.display)


async def test_tools_say_in_sign_and_word_whether_they_are_on() -> None:
    host = Host((WEATHER, SHELL))
    async with host.run_test():
        assert "☑ on  get_weather  132 tokens\nThe weather at a place." in host.shown()
        assert "☐ off shell\nRuns a command." in host.shown()
        assert host.pane.summary == "1 of 2 on"


async def test_space_and_a_click_ask_for_the_other_state_and_only_show_changes_it() -> None:
    host = Host((WEATHER, SHELL))
    async with host.run_test() as pilot:
        line = host.query(ToolLine).first()
        line.focus()
        await pilot.press("space")
        await pilot.click(host.query(ToolLine).last())
        assert host.toggled == [("get_weather", False), ("shell", True)]
        assert "☑ on  get_weather" in host.shown()
        host.pane.show((ToolInfo("get_weather", "", False), SHELL), ())
        await pilot.pause()
        assert "☐ off get_weather" in host.shown()
        assert host.query(ToolLine).first() is line


async def test_other_tools_replace_the_lines() -> None:
    host = Host((WEATHER,))
    async with host.run_test() as pilot:
        host.pane.show((SHELL,), ())
        await pilot.pause()
        assert [line.tool.name for line in host.query(ToolLine)] == ["shell"]
        host.pane.show((), ())
        await pilot.pause()
        assert not host.query(ToolLine)


async def test_what_the_gate_has_decided_is_one_quiet_line() -> None:
    host = Host((WEATHER,))
    async with host.run_test() as pilot:
        for gate, line in (((0.12, 0.5), "no tool: 12 % (gate 50 %)"), ((0.83, 0.5), "tool: 83 % (gate 50 %)")):
            host.pane.show((WEATHER,), (), gate)
            await pilot.pause()
            await until(lambda: line in host.shown().splitlines())  # noqa: B023
        host.pane.show((WEATHER,), ())
        await until(lambda: "gate" not in host.shown())


@pytest.mark.parametrize(("chance", "threshold", "line"), [
    (0.0, 0.0, "tool: 0 % (gate 0 %)"), (1.0, 1.0, "no tool: 100 % (gate 100 %)"), (0.5, 0.5, "tool: 50 % (gate 50 %)"),
    (0.00001, 0.0123, "no tool: under 0.01 % (gate 1.2 %)"), (0.99999, 0.9987, "tool: over 99.99 % (gate 99.87 %)"),
    (0.0999, 0.1, "no tool: 10 % (gate 10 %)"),
])  # fmt: skip
def test_the_line_tells_small_and_large_probabilities_apart(chance: float, threshold: float, line: str) -> None:
    assert gate_line(chance, threshold) == line


async def test_the_empty_pane_says_what_will_be_here() -> None:
    host = Host()
    async with host.run_test() as pilot:
        assert "No tools yet. Calls that the model makes appear here." in host.shown()
        assert host.pane.is_idle
        host.pane.show((), (RUN,))
        await pilot.pause()
        assert "No tools yet" not in host.shown()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ToolState.ASKED, "? asked"),
        (ToolState.RUNNING, "… running"),
        (ToolState.DONE, "✓ done"),
        (ToolState.FAILED, "✗ failed"),
        (ToolState.REFUSED, "⊘ refused"),
    ],
)
async def test_a_call_says_its_state_name_and_time(state: ToolState, words: str) -> None:
    host = Host((), (ToolRun("get_weather", {}, None, state, 1234.0),))
    async with host.run_test():
        assert f"{words}  get_weather  1.2 s" in host.shown()
        assert "no arguments" in host.shown()


async def test_a_call_is_updated_in_place_and_the_newest_is_on_top() -> None:
    host = Host((), (ToolRun("get_weather", {"city": "Paris"}, None, ToolState.RUNNING),))
    async with host.run_test() as pilot:
        [first] = host.query(RunView)
        second = ToolRun("shell", {"command": "ls"}, None, ToolState.ASKED)
        host.pane.show((), (RUN, second))
        await pilot.pause()
        assert [view.tool_run for view in host.query(RunView)] == [second, RUN]
        assert host.query(RunView).last() is first
        assert "21 degrees" in host.shown()
        host.pane.show((), ())
        await pilot.pause()
        assert not host.query(RunView)


def test_all_arguments_are_shown_and_nothing_in_them_can_hide() -> None:
    run = ToolRun("shell", {"command": "rm -rf /\n\x1b[8m# safe\u202e", "a\nb": [1, {"x": None}]}, None, ToolState.ASKED)
    assert argument_lines(run) == 'command: "rm -rf /\\n\\u001b[8m# safe"\na b: [1, {"x": null}]'


def test_endless_arguments_say_how_much_is_not_shown() -> None:
    words = argument_lines(ToolRun("x", {"text": "y" * 20_000}, None, ToolState.ASKED))
    assert len(words) < 5000
    assert words.endswith("… 16,008 more characters")


async def test_a_result_is_three_lines_until_it_is_opened() -> None:
    text = "\n".join(f"line {number}" for number in range(9))
    host = Host((), (ToolRun("x", {}, text, ToolState.DONE),))
    async with host.run_test(size=(38, 40)) as pilot:
        view = host.query_one(RunView)
        assert "line 2\n… 42 more characters (Enter)" in host.shown()
        assert "line 3" not in host.shown()
        view.focus()
        await pilot.press("enter")
        assert "line 8" in host.shown()
        assert "more characters" not in host.shown()
        await pilot.press("enter")
        assert "line 3" not in host.shown()
        await pilot.click(view)
        assert "line 8" in host.shown()


async def test_a_huge_result_lays_out_little_and_says_how_much_is_left() -> None:
    host = Host((), (ToolRun("x", {}, "z" * 16_000, ToolState.DONE),))
    async with host.run_test(size=(38, 40)) as pilot:
        result = host.query_one(".result")
        assert result.size.height <= 3
        host.query_one(RunView).focus()
        await pilot.press("enter")
        assert "… 12,000 more characters" in host.shown()
        assert result.size.height < 150


async def test_only_the_latest_calls_are_laid_out() -> None:
    runs = tuple(ToolRun("x", {"number": number}, None, ToolState.DONE) for number in range(80))
    host = Host((), runs[:60])
    async with host.run_test() as pilot:
        assert [view.tool_run for view in host.query(RunView)] == list(reversed(runs[10:60]))
        assert "… 10 earlier calls" in host.shown()
        host.pane.show((), runs)
        await pilot.pause()
        assert [view.tool_run for view in host.query(RunView)] == list(reversed(runs[30:]))
        assert host.pane.summary == "80 calls"


async def test_hostile_texts_are_shown_harmlessly() -> None:
    tool = ToolInfo("[red]t\x1b]52;c;x\x07", "about\n[b]it[/b]", True)
    host = Host((tool,), (ToolRun("[u]n\x9b", {}, "\x1b[2J[link]r\tx", ToolState.DONE),))
    async with host.run_test():
        text = host.shown()
        assert "[red]t]52;c;x" in text
        assert "about [b]it[/b]" in text
        assert "[u]n" in text
        assert "[2J[link]r" in text
        assert not any(sign in text for sign in "\x1b\x07\x9b\t")


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", ("abc", 0)), ("abcdef", ("abcd", 2)), ("a\nb\nc", ("a\nb", 2)), ("", ("", 0)), ("a\nb\n", ("a\nb", 1))]
)
def test_shorten(text: str, expected: tuple[str, int]) -> None:
    assert shorten(text, 4, 2) == expected
