"""The real screen with the mouse alone: panes, drawer, messages, jumps, queue, status line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nemochat.tui.panes.side import SidePanes
from nemochat.tui.screens.dialogs import Menu
from nemochat.tui.widgets.message import MessageView
from nemochat.tui.widgets.prompt import Prompt
from nemochat.tui.widgets.prompt_area import PromptArea
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import running


@pytest.mark.parametrize(
    ("title", "body"), [("Attachments", "Attach… (Ctrl+O)"), ("Tools", "No tools yet"), ("Context", "43 of 4,096 used")]
)
async def test_a_click_on_its_title_folds_a_pane_and_another_one_unfolds_it(tmp_path: Path, title: str, body: str) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        if title == "Tools":  # folded until there is something in it
            await driver.click(f"▸ {title} ·")
        assert body in driver.shown
        await driver.click(f"▾ {title}")
        assert body not in driver.shown
        await driver.click(f"▸ {title} ·")
        assert body in driver.shown


async def test_a_folded_pane_still_counts_its_pictures(tmp_path: Path) -> None:
    draw_circle(tmp_path / "red.png", (220, 40, 40))
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.click("▾ Attachments")
        assert "▸ Attachments · none" in driver.shown
        await driver.paste(str(tmp_path / "red.png"))
        assert "▸ Attachments · 1 picture, 5 tokens" in driver.shown


async def test_the_drawer_of_a_narrow_screen(tmp_path: Path) -> None:
    """Opened by its key; tabs and the sign that closes it by mouse; the conversation keeps its whole width."""
    async with running(tmp_path, FakeEngine(reply("One.")), size=(80, 24)) as driver:
        await driver.send("first")
        width = driver.screen.transcript.size.width
        await driver.press("f2")
        assert "No pictures yet" in driver.shown
        assert driver.screen.transcript.size.width == width
        await driver.click("Tools")
        assert "No tools yet" in driver.shown
        assert "No pictures yet" not in driver.shown
        await driver.click("Context")
        await driver.until(lambda: "used" in driver.shown)
        assert "of 4,096" in driver.shown
        await driver.click("×")  # noqa: RUF001
        assert "Context" not in driver.shown
        await driver.type("second")
        assert driver.screen.prompt.plain_text == "second"


async def test_the_column_becomes_a_drawer_when_the_screen_gets_narrow_and_back(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        assert "▾ Attachments" in driver.shown
        for width, is_column in ((99, False), (100, True), (60, False), (140, True)):
            await driver.pilot.resize_terminal(width, 30)
            await driver.pilot.pause()
            assert ("▾ Attachments" in driver.shown) is is_column
            assert driver.screen.query_one(SidePanes).is_open is False


async def test_a_click_on_a_message_focuses_it_and_one_on_the_prompt_goes_back(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("first")
        await driver.send("second")
        await driver.click("One.")
        focused = driver.app.focused
        assert isinstance(focused, MessageView)
        assert focused.standing.index == 1
        await driver.press("k")
        assert driver.screen.transcript.focused_view() is driver.screen.transcript.views[0]
        await driver.click("Ask something")
        assert isinstance(driver.app.focused, PromptArea)


async def test_a_click_on_the_name_opens_the_menu(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        await driver.click("You")
        await driver.dialog(Menu)
        assert "Your message" in driver.shown
        await driver.press("escape")
        await driver.back()
        assert driver.said == ["first", "One."]


async def test_new_text_below_is_announced_and_a_click_goes_there(tmp_path: Path) -> None:
    engine = FakeEngine(reply(*(f"old line {n}\n\n" for n in range(60))), reply(*(f"new line {n}\n\n" for n in range(60))))
    async with running(tmp_path, engine, size=(100, 24)) as driver:
        await driver.send("first")
        engine.gate = asyncio.Semaphore(0)
        await driver.type("second")
        await driver.press("enter")
        await driver.until(lambda: len(engine.requests) == 2)
        driver.screen.transcript.scroll_home(animate=False)
        await driver.until(lambda: not driver.screen.transcript.is_following)
        for _ in range(60):
            engine.gate.release()
        await driver.until(lambda: "new text below" in driver.shown)
        await driver.click("new text below")
        await driver.settle()
        await driver.until(lambda: "new line 59" in driver.shown)


async def test_a_click_on_the_status_line_splits_the_time_to_the_first_token(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        assert "first token" not in driver.rows[-1]
        await driver.click("demo · ready")
        assert "prompt" in driver.rows[-1]
        assert "first token" in driver.rows[-1]
        assert "(7 of 7 tokens read, 0 reused)" in driver.rows[-1]
        await driver.click("Ask something")
        await driver.until(lambda: "demo · ready" in driver.rows[-1])


@pytest.mark.parametrize("way", ["f9", "click"])
async def test_a_message_of_the_queue_is_taken_back_as_it_was(tmp_path: Path, way: str) -> None:
    """With its picture and its words; a click takes the one that was clicked, the key the last one."""
    draw_circle(tmp_path / "red.png", (220, 40, 40))
    engine = FakeEngine(reply("One."), reply("Two."))
    engine.gate = asyncio.Semaphore(0)
    async with running(tmp_path, engine) as driver:
        await driver.type("first")
        await driver.press("enter")
        await driver.until(lambda: engine.requests)
        for text in ("second", "third"):
            await driver.type(f"'{tmp_path / 'red.png'}' {text}")
            await driver.until(lambda: driver.draft == ["red.png"])
            await driver.until(lambda: all(item.tokens for item in driver.desk.draft.items))
            await driver.press("enter")
        assert driver.waiting == ["second", "third"]
        assert "queued second" in driver.shown
        taken, left = ("third", "second") if way == "f9" else ("second", "third")
        await (driver.press("f9") if way == "f9" else driver.click("queued second"))
        await driver.until(lambda: driver.waiting == [left])
        assert f"queued {taken}" not in driver.shown
        assert driver.screen.query_one(Prompt).plain_text == taken
        assert driver.draft == ["red.png"]
        for _ in range(2):
            engine.gate.release()
        await driver.settle()
        assert driver.said == ["first", "One.", left, "Two."]
        assert [len(entry.message.images) for entry in driver.desk.chat.entries] == [0, 0, 1, 0]
