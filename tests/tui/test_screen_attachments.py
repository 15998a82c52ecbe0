"""The attachments pane of the real screen: order, removal and the large view, by key and by mouse, down to the message that is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.events import Paste

from nemochat.domain.images import RgbImage
from nemochat.domain.segments import ImageSlot
from nemochat.tui.panes.attachments import AttachmentCard
from nemochat.tui.screens.dialogs import PictureScreen
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import Driver, running

COLOURS = {"red.png": (220, 40, 40), "green.png": (40, 180, 60), "blue.png": (50, 80, 220)}


@pytest.fixture
def drop(tmp_path: Path) -> str:
    """Three pictures as one drop."""
    for name, colour in COLOURS.items():
        draw_circle(tmp_path / name, colour)
    return " ".join(f"'{tmp_path / name}'" for name in COLOURS)


def _card(driver: Driver, name: str) -> AttachmentCard:
    return next(card for card in driver.screen.query(AttachmentCard) if card.item.name == name)


async def _act(driver: Driver, name: str, key: str, sign: str, way: str) -> None:
    """Use a picture's key, or the sign that stands beside its name."""
    card = _card(driver, name)
    if way == "key":
        card.focus()
        await driver.pilot.pause()
        await driver.press(key)
    else:
        card.scroll_visible(animate=False)
        await driver.pilot.pause()
        row = card.region.y
        column = driver.rows[row].rindex(sign)
        await driver.click_at(column, row)
    await driver.settle()


def _figures(driver: Driver) -> list[str]:
    """Size and cost of each picture in the pane."""
    return [str(card._figures.content).rpartition(" · ")[0] for card in driver.screen.query(AttachmentCard)]


def _tokens(driver: Driver) -> list[str]:
    """The names in the prompt, in the order in which they stand."""
    text = driver.screen.prompt.area.text
    return sorted((name for name in COLOURS if name in text), key=text.index)


@pytest.mark.parametrize("way", ["key", "mouse"])
async def test_a_new_order_reaches_prompt_pane_and_message(tmp_path: Path, drop: str, way: str) -> None:
    engine = FakeEngine(reply("Blue, green, red."))
    async with running(tmp_path, engine, size=(120, 60)) as driver:
        await driver.type("before ")
        await driver.paste(drop)
        assert driver.draft == ["red.png", "green.png", "blue.png"]
        await _act(driver, "red.png", "shift+down", "↓", way)
        assert driver.draft == ["green.png", "red.png", "blue.png"]
        await _act(driver, "blue.png", "shift+up", "↑", way)
        await _act(driver, "blue.png", "shift+up", "↑", way)
        wanted = ["blue.png", "green.png", "red.png"]
        assert driver.draft == _tokens(driver) == wanted
        cards = sorted(driver.screen.query(AttachmentCard), key=lambda card: card.region.y)
        assert [card.item.name for card in cards] == wanted
        digests = [item.part.digest for item in driver.desk.draft.items if item.part]
        await driver.send("Which colours?")
        message = driver.desk.chat.entries[0].message
        assert [part.name for part in message.images] == wanted
        assert " ".join(message.text.split()) == "before Which colours?"
        assert [part.digest for part in engine.requests[0].segments if isinstance(part, ImageSlot)] == digests


@pytest.mark.parametrize("way", ["key", "mouse"])
async def test_a_picture_takes_fewer_tokens_and_as_many_again_and_its_cost_is_seen_before_it_is_sent(
    tmp_path: Path, drop: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(reply("Blue, green, red."))

    async def add(image: RgbImage) -> int:
        return image.width * image.height // 100

    monkeypatch.setattr(engine, "add_image", add)
    async with running(tmp_path, engine, size=(120, 60)) as driver:
        await driver.paste(drop)
        await _act(driver, "red.png", "minus", "−", way)  # noqa: RUF001
        await driver.until(lambda: _figures(driver).count("170x170 · 289 tokens") == 1)
        assert _figures(driver).count("240x240 · 576 tokens") == 2
        assert "red.png 170x170, 289 tokens" in driver.screen.prompt.area.text
        await _act(driver, "red.png", "plus", "+", way)
        await driver.until(lambda: _figures(driver).count("240x240 · 576 tokens") == 3)
        await _act(driver, "blue.png", "minus", "−", way)  # noqa: RUF001
        await driver.until(lambda: _figures(driver).count("170x170 · 289 tokens") == 1)
        await driver.send("Which colours?")
        assert [part.tokens for part in driver.desk.chat.entries[0].message.images] == [576, 576, 289]


@pytest.mark.parametrize("way", ["key", "mouse"])
async def test_a_removed_picture_is_gone_everywhere(tmp_path: Path, drop: str, way: str) -> None:
    async with running(tmp_path, FakeEngine(reply("Red and blue.")), size=(120, 60)) as driver:
        await driver.paste(drop)
        await _act(driver, "green.png", "delete", "×", way)  # noqa: RUF001
        wanted = ["red.png", "blue.png"]
        assert driver.draft == _tokens(driver) == wanted
        assert "green.png" not in driver.shown
        assert "[image 2: blue.png" in driver.screen.prompt.area.text
        await driver.send("Which colours?")
        assert [part.name for part in driver.desk.chat.entries[0].message.images] == wanted


@pytest.mark.parametrize("way", ["key", "mouse"])
async def test_a_picture_is_shown_large_before_and_after_it_was_sent(tmp_path: Path, drop: str, way: str) -> None:
    async with running(tmp_path, FakeEngine(reply("Three."))) as driver:
        await driver.paste(drop)
        for is_sent in (False, True):
            if is_sent:
                await driver.send("How many?")
            if way == "key":
                _card(driver, "red.png").focus()
                await driver.press("enter")
            else:
                for _ in range(2):
                    await driver.pilot.click(_card(driver, "red.png"), offset=(4, 1))
            await driver.dialog(PictureScreen)
            assert "as the model gets it" in driver.shown
            await driver.press("escape")
            await driver.back()
            driver.screen.prompt.area.focus()


async def test_the_ends_of_the_list_are_its_ends(tmp_path: Path, drop: str) -> None:
    """Fails when a picture jumps round, or a move beyond the end loses it."""
    async with running(tmp_path, FakeEngine(), size=(120, 60)) as driver:
        await driver.paste(drop)
        await _act(driver, "red.png", "shift+up", "↑", "key")
        await _act(driver, "blue.png", "shift+down", "↓", "key")
        assert driver.draft == ["red.png", "green.png", "blue.png"]


async def test_what_was_sent_stays_in_the_pane_and_cannot_be_removed(tmp_path: Path, drop: str) -> None:
    async with running(tmp_path, FakeEngine(reply("Three."))) as driver:
        await driver.paste(drop)
        await driver.send("How many?")
        assert "In this chat" in driver.shown
        await _act(driver, "red.png", "delete", "×", "key")  # noqa: RUF001
        assert len(driver.desk.chat.entries[0].message.images) == 3
        assert "red.png" in driver.shown


async def test_a_picture_dropped_during_a_reply_belongs_to_the_next_message(tmp_path: Path, drop: str) -> None:
    engine = FakeEngine(reply("One."), reply("Two."))
    engine.gate = asyncio.Semaphore(0)
    async with running(tmp_path, engine) as driver:
        await driver.type("first")
        await driver.press("enter")
        await driver.until(lambda: engine.requests)
        driver.screen.prompt.area.insert("second ")
        driver.screen.prompt.area.post_message(Paste(drop))
        await driver.until(lambda: len(driver.draft) == 3 and all(item.tokens for item in driver.desk.draft.items))
        await driver.press("enter")
        assert driver.waiting == ["second"]
        assert driver.draft == []
        for _ in range(2):
            engine.gate.release()
        await driver.settle()
        assert [len(entry.message.images) for entry in driver.desk.chat.entries] == [0, 0, 3, 0]
