"""The picker: filter, keys, mouse, what it returns; and the theme picker's preview."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static

from nemochat.desk.port import Item
from nemochat.tui.screens.picker import Picker, rank
from nemochat.tui.screens.theme_picker import ThemePicker
from nemochat.tui.themes import built_in_folder, load_themes
from tests.idle import until

ITEMS = [
    Item("a", "alpha model", "first"),
    Item("b", "beta", "second, [red]not markup[/]"),
    Item("c", "gamma \x1b[31m\u202ered", "third"),
]
UNANSWERED = "not answered"


class Host(App[None]):
    """Shows one screen and keeps its answer."""

    def __init__(self, make: Callable[[], ModalScreen[str | None]]) -> None:
        super().__init__()
        self.make = make
        self.answer: str | None = UNANSWERED

    def on_mount(self) -> None:
        for theme in load_themes(built_in_folder(), Path("/nonexistent"))[0]:
            self.register_theme(theme)
        self.theme = "nemochat-light"
        self.push_screen(self.make(), self.keep)

    def keep(self, answer: str | None) -> None:
        self.answer = answer


def lines(app: Host) -> list[str]:
    return [str(option.prompt) for option in app.screen.query_one(OptionList).options]


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.pause()
    await pilot.press(*keys)
    await pilot.pause()


async def test_on_a_narrow_screen_names_leave_room_for_what_is_said_of_them() -> None:
    app = Host(lambda: Picker("Models", [Item("a", "gpu/a-model-with-a-very-long-name-indeed", "↗ 4,096 tokens")]))
    async with app.run_test(size=(50, 20)) as pilot:
        await until(lambda: isinstance(app.screen, Picker) and "…  ↗ 4,096 tokens" in lines(app)[0])
        assert len(lines(app)[0]) <= app.screen.query_one(OptionList).content_size.width - 2
        await pilot.resize_terminal(100, 20)
        await until(lambda: "gpu/a-model-with-a-very-long-name-i" in lines(app)[0])


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["enter"], "a"),
        (["down", "enter"], "b"),
        (["up", "enter"], "c"),
        (["pagedown", "enter"], "c"),
        (["pagedown", "pageup", "enter"], "a"),
        ([*"beta", "enter"], "b"),
        ([*"bt", "enter"], "b"),
        ([*"THIRD", "enter"], "c"),
        ([*"model al", "enter"], "a"),
        (["escape"], None),
        ([*"zzz", "enter", "escape"], None),
        ([*"zzz", "backspace", "backspace", "backspace", "down", "enter"], "b"),
    ],
)
async def test_keys(keys: list[str], answer: str | None) -> None:
    app = Host(lambda: Picker("Pick", ITEMS))
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, *["space" if key == " " else key for key in keys])
        assert app.answer == answer


async def test_nothing_chosen_stays_open() -> None:
    app = Host(lambda: Picker("Pick", ITEMS))
    async with app.run_test() as pilot:
        await press(pilot, *"zzz", "enter")
        assert app.answer == UNANSWERED
        assert "Nothing fits “zzz”" in str(app.screen.query_one("#picker-empty", Static).content)
        assert str(app.screen.query_one("#picker-count", Label).content) == "0 of 3"


async def test_the_mouse_chooses_and_the_filter_keeps_the_focus() -> None:
    app = Host(lambda: Picker("Pick", ITEMS))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(app.focused, Input)
        await pilot.click(OptionList, offset=(3, 1))
        await pilot.pause()
        assert app.answer == "b"


async def test_hostile_text_is_shown_as_it_is() -> None:
    app = Host(lambda: Picker("Pick [bold]", ITEMS))
    async with app.run_test() as pilot:
        await pilot.pause()
        assert "[red]not markup[/]" in lines(app)[1]
        assert "\x1b" not in lines(app)[2]
        assert "\u202e" not in lines(app)[2]


async def test_the_current_one_is_highlighted_and_each_move_is_told() -> None:
    told: list[str | None] = []

    class Telling(Picker):
        CSS_PATH = None

        def reached(self) -> None:
            told.extend([self.highlighted] if [self.highlighted] != told[-1:] else [])

    app = Host(lambda: Telling("Pick", ITEMS, current="b"))
    async with app.run_test() as pilot:
        await press(pilot, "down")
        assert told == ["b", "c"]
        await press(pilot, *"al")
        assert told[-1] == "a"


@pytest.mark.parametrize("current", ["0", "25", "49"])
async def test_the_current_one_is_in_sight(current: str) -> None:
    app = Host(lambda: Picker("Pick", [Item(str(number), f"chat {number}") for number in range(50)], current=current))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.resize_terminal(80, 20)
        await pilot.pause()
        choices = app.screen.query_one(OptionList)
        assert choices.highlighted == int(current)
        assert choices.scroll_offset.y <= int(current) < choices.scroll_offset.y + choices.size.height


async def test_an_empty_list_says_why() -> None:
    app = Host(lambda: Picker("Pick", [], empty="No model [yet]."))
    async with app.run_test() as pilot:
        await press(pilot, "enter", "down")
        assert str(app.screen.query_one("#picker-empty", Static).content) == "No model [yet]."
        await press(pilot, "escape")
        assert app.answer is None


async def test_the_height_stays_while_the_list_is_filtered() -> None:
    app = Host(lambda: Picker("Pick", ITEMS))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        before = app.screen.query_one("#picker").region
        for key in "zz":
            await press(pilot, key)
            assert app.screen.query_one("#picker").region == before


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 12)])
async def test_a_long_list_fits(size: tuple[int, int]) -> None:
    app = Host(lambda: Picker("Pick", [Item(str(number), f"chat {number}", "x" * 300) for number in range(2000)]))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert app.screen.region.contains_region(app.screen.query_one("#picker-count").region)
        assert app.screen.query_one(OptionList).option_count == 500
        assert "2,000, the first 500 shown" in str(app.screen.query_one("#picker-count", Label).content)
        await press(pilot, *"1999", "enter")
        assert app.answer == "1999"


def test_the_best_comes_first_and_equals_stay_in_order() -> None:
    items = [Item(label, label) for label in ("a nemo", "xnemo", "n e m o", "nemo", "other", "nemo two")]
    assert [item.label for item, _ in rank("nemo", items)] == ["nemo", "nemo two", "a nemo", "xnemo", "n e m o"]
    assert rank("n e o", items[3:4])[0][1] == (0, 1, 3)
    assert rank("  ", items) == [(item, ()) for item in items]


def test_odd_letters_mark_the_right_places() -> None:
    ((_, marks),) = rank("x", [Item("", "İİx")])
    assert marks == (2,)


def test_a_title_of_one_letter_is_not_endless() -> None:
    assert rank("a" * 60 + "b", [Item("", "a" * 100_000)]) == []


async def test_the_theme_under_the_cursor_is_put_on_and_taken_off_again() -> None:
    app = Host(ThemePicker)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, *"nvidia")
        assert app.theme == "nvidia-green"
        await press(pilot, "escape")
        assert app.theme == "nemochat-light"
        assert app.answer is None


async def test_the_chosen_theme_stays() -> None:
    app = Host(ThemePicker)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.theme == "nemochat-light"
        assert any("in use" in line and "nemochat light" in line for line in lines(app))
        await press(pilot, *"ember", "enter")
        assert (app.theme, app.answer) == ("ember", "ember")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_sample_is_seen(size: tuple[int, int]) -> None:
    app = Host(ThemePicker)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        sample = app.screen.query_one("#theme-sample", Static)
        assert sample.region.height == 5
        assert app.screen.query_one("#picker").region.contains_region(sample.region)
        assert app.screen.region.contains_region(app.screen.query_one("#picker-count").region)
        before = [segment.style for segment in sample.render_line(0)]
        await press(pilot, *"phosphor")
        assert [segment.style for segment in sample.render_line(0)] != before
