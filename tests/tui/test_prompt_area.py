"""The prompt's text area: an attachment is a place in the text, and stays that one whatever is typed, pasted or undone around it."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets.text_area import Selection

from nemochat.tui.widgets.prompt_area import PromptArea

LABEL = "[image 1: cat.png 640x480, 64 tokens]"
OTHER = "[image 2: dog.png 32x32, 64 tokens]"


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.removed: list[str] = []

    def compose(self) -> ComposeResult:
        yield PromptArea(None, lambda: None, lambda _: None, lambda _: None)

    def on_prompt_area_removed(self, event: PromptArea.Removed) -> None:
        self.removed.append(event.key)


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Host, PromptArea, Pilot[None]], None]:
    host = Host()
    async with host.run_test(size=(80, 24)) as pilot:
        area = host.query_one(PromptArea)
        area.focus()
        await pilot.pause()
        yield host, area, pilot


def marked(area: PromptArea, row: int = 0) -> list[str]:
    """What is shown as a token in a line."""
    line = area.get_line(row)
    return [line.plain[span.start : span.end] for span in line.spans if "reverse" in str(span.style)]


async def test_a_copy_of_a_tokens_words_is_text() -> None:
    """Else the copy keeps an attachment alive that the user has deleted, or is sent instead of words."""
    async with opened() as (host, area, pilot):
        area.insert_token("k", LABEL)
        await pilot.press("home")
        area.insert_pasted(f"{LABEL} or ")
        assert area.plain_text == f"{LABEL} or"
        assert marked(area) == [LABEL]
        await pilot.press("end", "backspace", "backspace")
        await pilot.pause()
        assert host.removed == ["k"]
        assert area.token_keys == []
        assert area.text == f"{LABEL} or "


async def test_tokens_with_the_same_words_for_a_moment_stay_apart() -> None:
    """Renumbering gives two pictures of one name the same label until the second has its new one."""
    async with opened() as (host, area, _):
        area.insert_token("b", "[image 2: x]")
        area.insert_token("a", "[image 1: x]")
        area.replace_token("b", "[image 1: x]")
        area.replace_token("a", "[image 2: x]")
        assert area.token_keys == ["b", "a"]
        assert area.text == "[image 1: x] [image 2: x] "
        assert host.removed == []


@pytest.mark.parametrize("change", ["insert", "replace", "remove"])
async def test_undo_stops_at_the_last_change_of_a_token(change: str) -> None:
    """Else it brings back words like "[image 1: cat.png, reading]" without a picture, and they are sent to the model."""
    async with opened() as (host, area, pilot):
        await pilot.press("a", "space")
        area.insert_token("k", "[image 1: cat.png, reading]")
        if change == "replace":
            area.replace_token("k", LABEL)
        elif change == "remove":
            area.remove_token("k")
        before, keys = area.text, area.token_keys
        await pilot.press("b", *["ctrl+underscore"] * 4)
        assert (area.text, area.token_keys, host.removed) == (before, keys, [])


async def test_tokens_move_with_what_is_undone_and_redone() -> None:
    async with opened() as (host, area, pilot):
        area.insert_token("k", LABEL)
        area.insert_token("o", OTHER)
        await pilot.press("home")
        area.insert_pasted(f"{LABEL}\nsee ")
        assert marked(area, 1) == [LABEL, OTHER]
        await pilot.press("ctrl+underscore")
        assert (area.text, marked(area)) == (f"{LABEL} {OTHER} ", [LABEL, OTHER])
        await pilot.press("ctrl+y")
        assert (marked(area, 0), marked(area, 1)) == ([], [LABEL, OTHER])
        assert host.removed == []


async def test_a_selection_can_be_drawn_over_a_token() -> None:
    async with opened() as (host, area, pilot):
        await pilot.press("a")
        area.insert_token("k", LABEL)
        await pilot.press("home", "shift+right", "shift+right", "shift+right")
        assert area.selected_text == f"a {LABEL}"
        await pilot.press("backspace")
        await pilot.pause()
        assert host.removed == ["k"]
        assert area.text == " "


async def test_typing_before_and_behind_a_token_leaves_it_alone() -> None:
    async with opened() as (host, area, pilot):
        area.insert_token("k", LABEL)
        await pilot.press("home", *"see ", "ctrl+j", "end", *"now")
        assert area.text == f"see \n{LABEL} now"
        assert (area.plain_text, area.token_keys, host.removed) == ("see \nnow", ["k"], [])


async def test_a_change_within_a_token_goes_behind_it() -> None:
    async with opened() as (_, area, _pilot):
        area.insert_token("k", LABEL)
        area.insert("x", (0, 5))
        assert area.text == f"{LABEL}x "
        assert area.token_keys == ["k"]


async def test_a_label_is_one_line_of_visible_characters() -> None:
    async with opened() as (_, area, _pilot):
        area.insert_token("k", "[image 1: a\nb\x1b[31m\u202e.png]")
        area.replace_token("k", "[image 1: a\tc.png]")
        assert area.text == "[image 1: a c.png] "


async def test_replacing_the_text_keeps_the_tokens_in_their_order() -> None:
    async with opened() as (host, area, pilot):
        area.insert_token("o", OTHER)
        await pilot.press("home")
        area.insert_token("k", LABEL)
        area.replace_plain("new words")
        assert area.text == f"{LABEL} {OTHER} new words"
        assert (area.token_keys, host.removed) == (["k", "o"], [])


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_done_each_token_is_whole_or_reported(seed: int) -> None:
    """The text without the tokens' words never holds a piece of a label, and no token goes without a report."""
    dice = random.Random(seed)
    async with opened() as (host, area, pilot):
        alive: dict[str, str] = {}
        taken: set[str] = set()

        def place() -> tuple[int, int]:
            row = dice.randrange(area.document.line_count)
            return row, dice.randint(0, len(area.document.get_line(row)))

        for step in range(150):
            match dice.randrange(9):
                case 0:
                    key = f"k{step}"
                    alive[key] = f"[image {step}: p.png]"
                    area.insert_token(key, alive[key])
                case 1 if alive:
                    key = dice.choice(sorted(alive))
                    if key in area.token_keys:
                        alive[key] = f"[image {step}: q.png {dice.randrange(10**6)} tokens]"
                        area.replace_token(key, alive[key])
                case 2 if alive and dice.random() < 0.3:
                    key = dice.choice(sorted(alive))
                    area.remove_token(key)
                    taken.add(key)
                case 3 | 4:
                    area.insert(dice.choice(["x", "word ", "\n", "a\nb", "[", "]"]), place())
                case 5:
                    area.delete(place(), place())
                case 6:
                    area.move_cursor(place())
                case 7:
                    area.selection = Selection(place(), place())
                    area.insert_pasted("pasted")
                case 8:
                    (area.undo if dice.random() < 0.7 else area.redo)()
            places = [area._tokens[key] for key in area.token_keys]
            assert all(area.document.get_text_range(token.start, token.end) == token.label for token in places)
            assert "[image" not in area.plain_text
        await pilot.pause()
        assert set(area.token_keys) | set(host.removed) | taken == set(alive)
        assert not set(area.token_keys) & set(host.removed)
        assert {key: area._tokens[key].label for key in area.token_keys}.items() <= alive.items()
