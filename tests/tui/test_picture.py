"""Pictures: their shape, their pixels, and that no terminal is asked where there is none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import types

import pytest
from textual.app import App, ComposeResult
from textual.color import Color
from textual.widget import Widget

from nemochat.domain.images import RgbImage
from nemochat.tui.widgets import picture
from nemochat.tui.widgets.picture import HALFBLOCKS, Picture, fit_cells, half_blocks, prepare_pictures

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


async def test_a_protocol_that_nobody_prepared_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "textual_image.widget", raising=False)
    shown = Picture(two_halves(), "kitty", max_rows=4)
    async with TerminalHost(shown).run_test():
        assert "▀" in shown.render_line(0).text
        assert "textual_image.widget" not in sys.modules


class _Stream:
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Streams that say that they are a terminal."""
    monkeypatch.setattr(sys, "__stdin__", _Stream())
    monkeypatch.setattr(sys, "__stdout__", _Stream())
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


def _pretend(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    kinds = {name: type(name, (), {}) for name in ("TGPImage", "SixelImage", "HalfcellImage", "UnicodeImage")}
    package, renderable = types.ModuleType("textual_image"), types.ModuleType("textual_image.renderable")
    renderable.__dict__.update(kinds, Image=kinds[found])
    package.__dict__.update(renderable=renderable, widget=fake_widgets())
    monkeypatch.setitem(sys.modules, "textual_image", package)
    monkeypatch.setitem(sys.modules, "textual_image.renderable", renderable)
    monkeypatch.setitem(sys.modules, "textual_image.widget", package.widget)


@pytest.mark.parametrize(
    ("setting", "found", "protocol"),
    [
        ("auto", "TGPImage", "kitty"),
        ("auto", "SixelImage", "sixel"),
        ("auto", "HalfcellImage", "halfblocks"),
        ("auto", "UnicodeImage", "halfblocks"),
        ("kitty", "HalfcellImage", "kitty"),
        ("sixel", "TGPImage", "sixel"),
    ],
)
def test_the_terminal_decides_unless_the_setting_does(setting: str, found: str, protocol: str, terminal: pytest.MonkeyPatch) -> None:
    _pretend(terminal, found)
    assert prepare_pictures(setting) == protocol


@pytest.mark.parametrize("setting", ["halfblocks", "none"])
def test_a_setting_that_needs_no_terminal_asks_none(setting: str, terminal: pytest.MonkeyPatch) -> None:
    terminal.setattr(picture, "_can_be_asked", lambda: pytest.fail("asked"))
    assert prepare_pictures(setting) == setting


_IN_A_TERMINAL = """
import sys
from nemochat.tui.widgets.picture import prepare_pictures
print("RESULT", prepare_pictures("auto"), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("answer", "columns", "protocol"),
    [
        (b"\x1b[?62;4c", 80, "sixel"),
        (b"\x1b[?62;4c", 0, "halfblocks"),  # a terminal without a size
        (b"\xff\xfe", 80, "halfblocks"),  # rubbish
    ],
)
def test_a_real_terminal_is_asked_and_may_answer_anything(answer: bytes, columns: int, protocol: str) -> None:
    import fcntl
    import struct
    import termios

    main, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 480, columns * 10))
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"}
    # The answer is there before the question, so that no time-out of the library is in play.
    os.write(main, answer)
    command = [sys.executable, "-c", _IN_A_TERMINAL]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as child:
        os.close(terminal)
        said = b""
        with contextlib.suppress(OSError):  # the end of a pseudo-terminal on Linux
            while piece := os.read(main, 4096):
                said += piece
        assert child.wait(30) == 0, said
    os.close(main)
    assert f"RESULT {protocol}".encode() in said


@pytest.mark.parametrize("missing", ["streams", "stdin", "TERM", "colour", "library"])
def test_half_blocks_where_nothing_can_be_asked(missing: str, terminal: pytest.MonkeyPatch) -> None:
    _pretend(terminal, "TGPImage")
    match missing:
        case "streams":
            terminal.setattr(sys, "__stdout__", None)
        case "stdin":
            terminal.setattr(sys, "__stdin__", types.SimpleNamespace(isatty=lambda: False))
        case "TERM":
            terminal.setenv("TERM", "dumb")
        case "colour":
            terminal.setenv("NO_COLOR", "1")
        case "library":
            terminal.setitem(sys.modules, "textual_image", None)
    assert prepare_pictures("auto") == "halfblocks"
    assert prepare_pictures("kitty") == "halfblocks"
