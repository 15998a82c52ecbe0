"""Servers through the real screen: what is only near what the model reads is shown so, and the user is told what a server has done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
        assert ("learnt from earlier replies" in driver.shown) is bool(sign)


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


async def test_what_is_typed_is_read_ahead_by_vllm_one_at_a_time_and_never_beside_a_reply(tmp_path: Path) -> None:
    class Watched(Vllm):
        """Knows how many requests it has at once, with a reply among them or not."""

        at_once, beside = 0, 0
        running: list[bool]

        async def reply(self, path: str, body: Any) -> AsyncGenerator[bytes, None]:
            is_reply = bool(body.get("stream"))
            self.running.append(is_reply)
            self.at_once = max(self.at_once, len(self.running))
            self.beside += len(self.running) > 1 and any(self.running)
            try:
                await asyncio.sleep(0.05)
                async for line in super().reply(path, body):
                    yield line
            finally:
                self.running.remove(is_reply)

    fake = Watched(Say(("Hello", " there.")))
    fake.running = []
    async with served(tmp_path, fake) as driver:
        await driver.send("word " * 300)
        for word in ("What ", "do ", "you ", "think ", "of ", "that "):
            await driver.type(word)
            await asyncio.sleep(0.06)
        await driver.until(lambda: any(not body.get("stream") and "What do" in json.dumps(body) for body in fake.bodies()))
        await driver.press("enter")
        await driver.settle()
        assert driver.said[-1] == "Hello there."
        reply = driver.desk.chat.entries[-1].record
        assert reply is not None
        assert reply.result.usage.reused_tokens > 300
        assert (fake.at_once, fake.beside) == (1, 0)
