"""Pictures: their shape, their pixels, and that no terminal is asked where there is none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import types

import pytest
from textual import constants
from textual.app import App, ComposeResult
from textual.color import Color
from textual.events import Key
from textual.widget import Widget

from nemochat.domain.images import RgbImage
from nemochat.tui.graphics import HALFBLOCKS, told_protocol
from nemochat.tui.terminal import _PIECE_SECONDS, TerminalAnswered, _AnswerParser
from nemochat.tui.widgets.picture import Picture, fit_cells, half_blocks

RED, BLUE = (255, 0, 0), (0, 0, 255)


def two_halves(width: int = 8, height: int = 8) -> RgbImage:
    """Red above, blue below."""
    half = height // 2
    return RgbImage.from_rgb(width, height, bytes(RED) * width * half + bytes(BLUE) * width * (height - half))


class Host(App[None]):
    def __init__(self, shown: Picture) -> None:
        super().__init__()
        self.shown = shown

    def compose(self) -> ComposeResult:
        yield self.shown


class TerminalHost(Host):
    """Behaves as if there were a terminal."""

    @property
    def is_headless(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("size", "bounds", "cells"),
    [
        ((336, 336), (34, 30), (34, 17)),  # the width is what limits
        ((336, 336), (34, 8), (16, 8)),  # the height is
        ((640, 320), (40, 30), (40, 10)),
        ((100, 800), (34, 16), (4, 16)),
        ((1000, 1), (34, 16), (34, 1)),  # never nothing
        ((1, 1000), (34, 16), (1, 16)),
        ((10, 10), (0, 0), (1, 1)),
    ],
)
def test_a_picture_keeps_its_shape_within_the_bounds(size: tuple[int, int], bounds: tuple[int, int], cells: tuple[int, int]) -> None:
    width, height = size
    assert fit_cells(RgbImage.from_rgb(width, height, bytes(width * height * 3)), *bounds) == cells


def test_half_blocks_show_the_very_pixels_two_to_a_cell() -> None:
    lines = half_blocks(RgbImage.from_rgb(1, 2, bytes(RED) + bytes(BLUE)), 1, 1)
    [segment] = list(lines[0])
    assert segment.text == "▀"
    assert segment.style is not None
    assert segment.style.color is not None
    assert segment.style.bgcolor is not None
    assert segment.style.color.triplet == RED
    assert segment.style.bgcolor.triplet == BLUE


async def test_the_widget_takes_the_lines_it_needs_and_is_drawn_in_colour() -> None:
    shown = Picture(two_halves(), HALFBLOCKS, max_rows=4)
    async with Host(shown).run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        assert shown.size.height == 4
        assert [segment.text for segment in shown.render_line(0)][:8] == ["▀"] * 8
        assert shown.app.screen.get_style_at(0, 0).color is not None
        first, last = shown.app.screen.get_style_at(3, 0), shown.app.screen.get_style_at(3, 3)
        assert Color.from_rich_color(first.color).rgb == RED
        assert Color.from_rich_color(last.bgcolor).rgb == BLUE
        shown.max_rows = 2
        await pilot.pause()
        assert shown.size.height == 2


@pytest.mark.parametrize("protocol", ["kitty", "sixel", "auto", "halfblocks"])
async def test_without_a_terminal_half_blocks_are_drawn_whatever_was_asked_for(protocol: str) -> None:
    shown = Picture(two_halves(), protocol, max_rows=3)
    async with Host(shown).run_test():
        assert not shown.children
        assert "▀" in shown.render_line(0).text


async def test_the_setting_none_shows_one_line_of_words() -> None:
    shown = Picture(two_halves(), "none", max_rows=9)
    async with Host(shown).run_test():
        assert shown.size.height == 1
        assert shown.render_line(0).text.strip() == "picture, 8x8"


@pytest.mark.parametrize("protocol", ["halfblocks", "kitty"])
async def test_without_colours_a_picture_is_words(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = Picture(two_halves(), protocol, max_rows=9)
    async with Host(shown).run_test():
        assert shown.size.height == 1
        assert shown.render_line(0).text.strip() == "picture (no colours), 8x8"


class FakeGraphics(Widget):
    def __init__(self, image: object) -> None:
        super().__init__()
        self.image = image


def fake_widgets(cell: tuple[int, int] = (10, 20)) -> types.ModuleType:
    module = types.ModuleType("textual_image.widget")
    size = types.SimpleNamespace(width=cell[0], height=cell[1])
    module.__dict__.update(TGPImage=FakeGraphics, SixelImage=FakeGraphics, get_cell_size=lambda: size)
    return module


@pytest.mark.parametrize(("protocol", "used"), [("kitty", True), ("sixel", True), ("halfblocks", False), ("none", False)])
async def test_the_terminals_graphics_get_exact_cells(protocol: str, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual_image.widget", fake_widgets(cell=(10, 10)))
    shown = Picture(two_halves(), protocol, max_rows=4)
    async with TerminalHost(shown).run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        graphics = list(shown.query(FakeGraphics))
        assert bool(graphics) is used
        if used:  # square cells: as many columns as rows
            assert graphics[0].size == (4, 4)


async def test_where_the_library_is_missing_half_blocks_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "textual_image.widget", raising=False)
    monkeypatch.setitem(sys.modules, "textual_image", None)
    shown = Picture(two_halves(), "kitty", max_rows=4)
    async with TerminalHost(shown).run_test():
        assert "▀" in shown.render_line(0).text


@pytest.mark.parametrize(
    ("setting", "environment", "protocol"),
    [
        ("auto", {"TERM": "xterm-kitty"}, "kitty"),
        ("auto", {"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ("auto", {"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ("auto", {"TERM": "dumb"}, "halfblocks"),
        ("auto", {}, "halfblocks"),
        ("auto", {"TERM": "xterm-kitty", "NO_COLOR": "1"}, "halfblocks"),
        ("kitty", {"TERM": "dumb"}, "halfblocks"),
        ("kitty", {"TERM": "xterm"}, "kitty"),
        ("sixel", {"TERM": "xterm"}, "sixel"),
        ("halfblocks", {"TERM": "xterm-kitty"}, "halfblocks"),
        ("none", {"TERM": "xterm-kitty"}, "none"),
        ("auto", {"TERM": "xterm-256color"}, None),
    ],
)
def test_settings_and_environment_tell_how_pictures_are_shown(setting: str, environment: dict[str, str], protocol: str | None) -> None:
    """None: the terminal has to be asked."""
    assert told_protocol(setting, environment) == protocol


@pytest.mark.parametrize(
    ("answer", "has_sixel"),
    [("\x1b[?62;4c", True), ("\x1b[?62;22c", False), ("\x1b[?4c", False), ("\x1b[?64;1;2;4;6;9;15;16;17;18;21;22c", True)],
)
def test_the_answer_of_a_terminal_is_taken_out_of_what_is_typed_wherever_it_is_cut(answer: str, has_sixel: bool) -> None:
    typed = f"a{answer}b"
    for cut in range(len(typed)):
        parser = _AnswerParser()
        messages = [message for piece in (typed[:cut], typed[cut:]) if piece for message in parser.feed(piece)]
        keys = [message.character for message in messages if isinstance(message, Key)]
        answers = [message.has_sixel for message in messages if isinstance(message, TerminalAnswered)]
        assert (keys, answers) == (["a", "b"], [has_sixel])


def test_what_begins_like_an_answer_and_is_none_is_what_was_pressed() -> None:
    parser = _AnswerParser()
    messages = [*parser.feed("a\x1b")]
    time.sleep(_PIECE_SECONDS + 0.02)
    messages += [*parser.tick()]
    time.sleep(constants.ESCAPE_DELAY + 0.02)
    messages += [*parser.tick()]
    assert [message.key for message in messages if isinstance(message, Key)] == ["a", "escape"]


def test_the_terminals_graphics_are_used_without_asking_the_terminal() -> None:
    """In a process of its own, whose terminal would be asked while the library is imported."""
    code = (
        "import sys; from nemochat.tui.widgets.picture import _widget_of; "
        "print(_widget_of('sixel').__module__, _widget_of('kitty').__module__, _widget_of('halfblocks'))"
    )
    main, terminal = os.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal) as child:
        os.close(terminal)
        said = b""
        with contextlib.suppress(OSError):  # the end of a pseudo-terminal on Linux
            while piece := os.read(main, 4096):
                said += piece
        assert child.wait(30) == 0, said
    os.close(main)
    assert said.strip() == b"textual_image.widget.sixel textual_image.widget None"
