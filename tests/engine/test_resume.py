"""What a conversation has read survives the program: with the real worker, its death included."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nemochat.domain.events import Usage
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Plain, Segment
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import GenerateRequest, LoadRequest, Place
from nemochat.settings import EngineSettings
from tests.engine.llama_harness import ANSWER, HEAD
from tests.engine.processes import reply

PROMPT: tuple[Segment, ...] = (HEAD, Plain("hello word " * 20), ANSWER)


@asynccontextmanager
async def running(model: Path, folder: Path, resume_mb: int = 100) -> AsyncIterator[WorkerEngine]:
    """A worker with the model, whose states lie in a folder of `folder`."""
    engine = WorkerEngine(folder / "engine.log", "llama")
    try:
        settings = EngineSettings(threads=1, context_length=512, resume_mb=resume_mb)
        await engine.load(LoadRequest("tiny", str(model), None, settings, str(folder / "states")))
        yield engine
    finally:
        await engine.close()


async def ask(engine: WorkerEngine, conversation: str = "chat") -> tuple[str, Usage]:
    text, finished = await reply(engine, GenerateRequest(PROMPT, Sampling(temperature=0.0, max_tokens=8), conversation=conversation))
    return text, finished.usage


async def test_a_new_process_goes_on_where_the_last_one_ended(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path) as engine:
        said, first = await ask(engine)
    assert first.reused_tokens == 0
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "states").iterdir()} == {0o600}
    async with running(tiny_model, tmp_path) as engine:
        again, second = await ask(engine)
    assert (again, second.evaluated_tokens) == (said, 2)


async def test_without_a_budget_nothing_is_on_the_disk(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path, resume_mb=0) as engine:
        await ask(engine)
    assert not (tmp_path / "states").exists()


async def test_a_chat_that_is_kept_nowhere_leaves_nothing_on_the_disk(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path) as engine:
        await ask(engine, "")
    assert not (tmp_path / "states").exists()


async def test_what_is_forgotten_is_neither_in_the_cache_nor_on_the_disk(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path) as engine:
        await ask(engine)
        await engine.prepare((HEAD, Plain("another")), place=Place("other"))
        assert len(list((tmp_path / "states").glob("*.kv"))) == 1
        await engine.forget("chat")
        assert not list((tmp_path / "states").iterdir())
        _, usage = await ask(engine)
        assert usage.reused_tokens == (await engine.count((HEAD,)))[0]
        await engine.forget("chat")
        await engine.forget("other")
    assert not list((tmp_path / "states").iterdir())


async def test_a_worker_that_is_killed_costs_only_time(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path) as engine:
        said, _ = await ask(engine)
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
    async with running(tiny_model, tmp_path) as engine:
        again, usage = await ask(engine)
    assert (again, usage.reused_tokens) == (said, 0)


async def test_a_folder_full_of_rubbish_is_no_failure(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path) as engine:
        said, _ = await ask(engine)
    for path in (tmp_path / "states").iterdir():
        path.write_bytes(b"\xff" * 5000)
    async with running(tiny_model, tmp_path) as engine:
        again, usage = await ask(engine)
    assert (again, usage.reused_tokens) == (said, 0)
