"""A real llama-server through the real interface, as the program puts it together: added, found with F3, talked with, there again."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.widgets import OptionList

from nemochat.cli.bench import Bench
from nemochat.engine.remote import finding
from nemochat.tui.app import NemochatApp
from nemochat.tui.screens.picker import Picker
from tests.idle import PATIENCE
from tests.remote.llama_server import LlamaServer
from tests.tui.bench import Driver


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "DATA", "LOG", "CACHE"):
        monkeypatch.setenv(f"NEMOCHAT_{kind}_DIR", str(tmp_path / kind.lower()))
    monkeypatch.setattr(finding, "USUAL_PORTS", ())
    monkeypatch.setattr(finding.discover, "__defaults__", ((),))  # nothing else that runs on this machine


@asynccontextmanager
async def program(*, model: str | None = None) -> AsyncGenerator[Driver, None]:
    """The interface with all that stands behind it; it ends with the block."""
    bench = Bench(model, None, {})
    app = NemochatApp(bench)
    async with app.run_test(size=(100, 30)) as pilot:
        driver = Driver(app, pilot, bench)  # type: ignore[arg-type]  # what of the bench is used here both have
        await driver.until(lambda: len(app.screen_stack) > 1 and driver.desk.model.is_loaded)
        await driver.settle()
        yield driver
    bench.close()


async def answered(driver: Driver, n_messages: int) -> str:
    end = time.monotonic() + PATIENCE
    while len(driver.said) < n_messages or driver.desk.turns.is_running:
        assert time.monotonic() < end
        await driver.pilot.pause(0.01)
    return driver.said[-1]


async def test_a_server_is_chosen_with_f3_and_is_there_again_at_the_next_start(demo_server: LlamaServer) -> None:
    async with program() as driver:
        driver.desk.bench.remotes.servers.add("here", demo_server.url)
        await driver.send("Hello")
        local = await answered(driver, 2)
        await driver.press("f3")
        await driver.dialog(Picker)
        choices = driver.app.screen.query_one(OptionList)
        await driver.until(lambda: any("here/nemochat-demo" in str(option.prompt) for option in choices.options))
        await driver.press(*"here/", "enter")
        await driver.back()
        await driver.until(lambda: driver.desk.model.name == "here/nemochat-demo" and driver.desk.model.is_loaded)
        await driver.settle()
        assert "here/nemochat-demo · ready" in driver.rows[-1]
        await driver.send("What is your name?")
        assert await answered(driver, 4)
        assert driver.said[1] == local
        records = [entry.record for entry in driver.desk.chat.entries if entry.record is not None]
        assert [str(record.model) for record in records] == ["nemochat-demo", "here/nemochat-demo"]
    async with program() as driver:
        assert driver.desk.model.name == "here/nemochat-demo"
        assert (session := driver.desk.model.session) is not None
        assert session.served is not None
        assert not session.served.leaves


async def test_a_model_of_a_server_is_opened_by_the_command_line(demo_server: LlamaServer) -> None:
    bench = Bench(None, None, {})
    bench.remotes.servers.add("here", demo_server.url)
    bench.close()
    async with program(model="he/nemo") as driver:
        assert driver.desk.model.name == "here/nemochat-demo"
        await driver.send("Hello")
        assert await answered(driver, 2)
