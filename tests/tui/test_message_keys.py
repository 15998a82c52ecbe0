"""Keys while a message has the focus: a command begins there, and what is typed on destroys nothing."""

from __future__ import annotations

from pathlib import Path

from textual.events import Key

from nemochat.errors import EngineDiedError
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Driver, running


async def _talked(driver: Driver) -> None:
    """Three turns, the focus on the last message."""
    for text in ("first", "second", "third"):
        await driver.send(text)
    await driver.focus_message(5)


def _type_at_once(driver: Driver, text: str) -> None:
    for letter in text:
        key = {"/": "slash", "\r": "enter"}.get(letter, letter)
        driver.app.post_message(Key(key, letter))


async def test_a_command_typed_on_a_message_is_a_command_and_nothing_else_happens(tmp_path: Path) -> None:
    """All letters in one burst: d deletes, u undoes and e edits where a message has the focus."""
    async with running(tmp_path, FakeEngine(*(reply(f"{n}.") for n in range(5)))) as driver:
        await _talked(driver)
        _type_at_once(driver, "/delude")
        await driver.until(lambda: driver.screen.prompt.plain_text == "/delude")
        assert len(driver.said) == 6


async def test_a_message_is_deleted_and_slash_undo_typed_at_once_brings_it_back(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(*(reply(f"{n}.") for n in range(5)))) as driver:
        await _talked(driver)
        before = driver.said
        await driver.press("d")
        await driver.until(lambda: len(driver.said) == 5)
        await driver.press(*"/undo", "enter")
        await driver.until(lambda: len(driver.said) == 6)
        assert driver.said == before


async def test_after_a_deletion_letters_go_into_the_prompt(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(*(reply(f"{n}.") for n in range(5)))) as driver:
        await _talked(driver)
        await driver.press("d")
        await driver.until(lambda: len(driver.said) == 5)
        await driver.pilot.pause()
        await driver.press(*"dred")
        assert driver.screen.prompt.plain_text == "dred"
        assert len(driver.said) == 5


async def test_two_presses_of_d_in_a_burst_delete_one_message(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(*(reply(f"{n}.") for n in range(5)))) as driver:
        await _talked(driver)
        _type_at_once(driver, "ddd")
        await driver.until(lambda: len(driver.said) == 5)
        await driver.settle()
        assert len(driver.said) == 5


async def test_u_on_a_message_takes_the_last_change_back(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(*(reply(f"{n}.") for n in range(5)))) as driver:
        await _talked(driver)
        before = driver.said
        await driver.press("d")
        await driver.until(lambda: len(driver.said) == 5)
        await driver.focus_message(0)
        await driver.press("u")
        await driver.until(lambda: driver.said == before)


async def test_a_new_chat_says_nothing_of_the_reply_that_failed_in_the_one_before(tmp_path: Path) -> None:
    engine = FakeEngine([EngineDiedError("The engine was killed.", "Send the message again.")])
    async with running(tmp_path, engine) as driver:
        await driver.send("a question")
        assert "stopped: the reply failed" in driver.shown
        await driver.press("ctrl+n")
        await driver.settle()
        assert "stopped" not in driver.shown
