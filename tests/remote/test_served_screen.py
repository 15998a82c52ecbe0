"""Servers through the real screen: what is only near what the model reads is shown so, and the user is told what a server has done."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nemochat.domain.servers import RemoteModel, ServedModel
from nemochat.engine.remote import open_engine
from nemochat.tui.panes.context import ContextPane
from tests.desk.bench import Bench
from tests.remote.fakes import FakeServer, Ollama, OpenAi, Say, Vllm
from tests.remote.test_served_chat import filled
from tests.tui.bench import Driver, running


@asynccontextmanager
async def served(folder: Path, fake: FakeServer) -> AsyncGenerator[Driver, None]:
    """The app with a model of this server."""
    name = f"box/{fake.model}"
    async with fake:
        bench = Bench(folder, {name: open_engine(fake.server, fake.model, fake.key)})
        bench.served = {name: ServedModel(fake.server, RemoteModel(fake.model))}
        async with running(folder, bench=bench) as driver:
            yield driver
            session = driver.desk.model.session
        if session is not None:
            await session.close()


@pytest.mark.parametrize(("kind", "sign"), [(Vllm, ""), (Ollama, "~"), (OpenAi, "~")])
async def test_numbers_that_are_only_near_have_a_sign(tmp_path: Path, kind: type[FakeServer], sign: str) -> None:
    async with served(tmp_path, kind()) as driver:
        await driver.send("Why is the sky blue?")
        assert driver.said[-1] == "Hello there."
        await driver.type("And the sea?")
        await driver.until(lambda: " tokens · " in driver.rows[-2])
        await driver.settle()
        view = driver.desk.reading.view
        assert view is not None
        limit = f"{view.limit:,}"
        assert f"{sign}{view.used}/{limit}" in driver.rows[-1]
        assert f" {sign}{view.draft} tokens · {sign}{view.free:,} free" in driver.rows[-2]
        assert driver.screen.query_one(ContextPane).summary == f"{sign}{view.used} of {limit}"
        assert f"{sign}{view.used} of {limit} used" in driver.shown
        assert ("~" in driver.shown) is bool(sign)


async def test_what_a_server_did_until_its_first_word_is_called_the_servers(tmp_path: Path) -> None:
    async with served(tmp_path, Vllm()) as driver:
        await driver.send("Why is the sky blue?")
        driver.screen.query_one("StatusLine").focus()
        await driver.until(lambda: "server " in driver.rows[-1])
        assert "first token" not in driver.rows[-1]


async def test_the_user_is_told_that_more_was_forgotten_for_a_server(tmp_path: Path) -> None:
    async with served(tmp_path, OpenAi(Say(("Hello", " there.")), window=900)) as driver:
        driver.desk.conversation.change(lambda _: filled(), can_undo=False)
        await driver.settle()
        await driver.send("Now?")
        await driver.told("The prompt is too long for box")
        assert driver.said[-1] == "Hello there."
