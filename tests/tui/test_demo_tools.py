"""The demo model and the real engine through the interface: it calls tools with the user's word, and answers from a document."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nemochat.cli.bench import Bench as RealBench
from nemochat.domain.messages import Role
from nemochat.tui.app import NemochatApp
from nemochat.tui.screens.approval import ApprovalScreen
from tests.tui.bench import Bench, Driver


@asynccontextmanager
async def demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Driver, None]:
    for kind in ("CONFIG", "DATA", "LOG", "CACHE"):
        monkeypatch.setenv(f"NEMOCHAT_{kind}_DIR", str(folder / kind.lower()))
    desk = RealBench(None, None, {"tools": {"offered": ("calculator", "current_time"), "ask": "ask"}})
    bench = Bench(folder / "bench", {})
    bench.library.close()
    bench.documents.close()
    app = NemochatApp(desk)
    async with app.run_test(size=(120, 40)) as pilot:
        driver = Driver(app, pilot, bench)
        await driver.until(lambda: len(app.screen_stack) > 1 and driver.screen.desk.model.is_loaded)
        yield driver
    desk.close()


async def say(driver: Driver, text: str) -> None:
    driver.screen.prompt.area.insert_pasted(text)
    await driver.press("enter")


async def allow(driver: Driver, shown: str) -> None:
    """The question is there with the call in full; say yes, this once."""
    screen = await driver.dialog(ApprovalScreen)
    await driver.until(lambda: screen.is_open)
    assert shown in driver.shown
    await driver.answer("Yes, once")
    await driver.until(lambda: not driver.desk.turns.is_running)


async def test_it_calculates_and_tells_the_time_by_calling_tools_that_were_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with demo(tmp_path, monkeypatch) as driver:
        await say(driver, "What is 12 * 7?")
        await allow(driver, '"expression"')
        assert "84" in driver.said[-1]
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.said == [])
        await say(driver, "What time is it?")
        await allow(driver, "current_time")
        result = next(entry.message.text for entry in driver.desk.chat.entries if entry.message.role is Role.TOOL)
        assert any(piece in driver.said[-1] for piece in result.replace("T", " ").split()), (result, driver.said[-1])


async def test_it_answers_from_a_document_and_the_source_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("The green key is under the mat.\n")
    async with demo(tmp_path, monkeypatch) as driver:
        for spec in driver.desk.chat.frame.tools:
            driver.screen.desk.toggle_tool(spec.name, enabled=False)
        await say(driver, f"/doc {tmp_path / 'notes.txt'}")
        await driver.told("1 document in this chat")
        await say(driver, "Where is the green key?")
        await driver.until(lambda: len(driver.said) == 2 and not driver.screen.desk.turns.is_running)
        assert "under the mat" in driver.said[-1]
        await driver.until(lambda: "+ notes.txt" in driver.shown)
