"""Signals to the worker at every stage, over the real process and wire (issue 2, section 7, point 5)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nemochat.domain.events import FinishReason
from nemochat.engine.client import WorkerEngine
from nemochat.engine.scripted import Fault, FaultKind, FaultStage, Reply, Script
from nemochat.settings import EngineSettings
from tests.engine.processes import (
    REPORT_SECONDS,
    SIGNALS,
    STAGES,
    Subject,
    exists,
    picture,
    question,
    reply,
    scripted_engine,
    signal_at,
    until_gone,
    write_script,
)

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 2.0
SLOW = {
    "load": Script(load_seconds=1.0),
    "encode": Script(encode_seconds=0.5),
    "prefill": Script(batch_seconds=0.5),
    "decode": Script(token_seconds=0.5),
}
FAST = Script((Reply("fine again"),))
CAUSES = {
    signal.SIGKILL: "was killed, most likely because the machine ran out of memory",
    signal.SIGSEGV: "crashed (SIGSEGV)",
    signal.SIGABRT: "stopped on a failed check inside llama.cpp",
    signal.SIGSTOP: "stopped answering",
}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
async def test_a_death_is_reported_and_the_next_request_works(tmp_path: Path, stage: str, number: signal.Signals) -> None:
    settings = EngineSettings(hang_seconds=HANG_SECONDS) if number is signal.SIGSTOP else EngineSettings()
    subject = Subject(write_script(tmp_path, SLOW[stage], settings), picture(), question("what is this?", picture()))
    engine = WorkerEngine(tmp_path / "engine.log", "scripted")
    try:
        death, seconds = await signal_at(engine, subject, stage, number)
        assert CAUSES[number] in death.message
        assert death.hint
        assert seconds < REPORT_SECONDS + (2 * HANG_SECONDS if number is signal.SIGSTOP else 0)
        write_script(tmp_path, FAST, settings)
        await engine.add_image(subject.image)
        text, finished = await reply(engine, subject.request)
        assert (text, finished.reason) == ("fine again", FinishReason.STOP)
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FaultKind.EXIT, "exit code 3"),
        (FaultKind.DEAF, "stopped answering"),
        (FaultKind.ABORT, "failed check"),
        (FaultKind.STOP, "stopped answering"),
    ],
)
async def test_a_worker_that_fails_by_itself(tmp_path: Path, kind: FaultKind, words: str) -> None:
    script = Script(faults=(Fault(FaultStage.DECODE, kind, after=2, when="now"),))
    async with scripted_engine(tmp_path, script, EngineSettings(hang_seconds=HANG_SECONDS)) as engine:
        with pytest.raises(Exception, match=words):
            await reply(engine, question("fail now"))
        assert (await reply(engine, question("go on")))[1].reason is FinishReason.STOP


async def test_an_idle_death_is_noticed_and_reaped(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, FAST) as engine:
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert await until_gone(pid)
        for _ in range(2000):
            if engine.pid is None and not exists(pid):
                break
            await asyncio.sleep(0.02)
        assert engine.pid is None
        assert not exists(pid), "a zombie is left"
        assert (await reply(engine, question("hello")))[0] == "fine again"
        assert engine.pid not in (None, pid)


@pytest.mark.parametrize("stage", ["idle", "encode"])
async def test_the_worker_ends_when_its_parent_is_killed(tmp_path: Path, stage: str) -> None:
    """The parent is killed with no chance to tidy up, while the worker is idle or deep in one native call."""
    write_script(tmp_path, Script(encode_seconds=60.0))
    parent = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from nemochat.engine.protocol import LoadRequest
        from nemochat.engine.client import WorkerEngine
        from nemochat.settings import EngineSettings
        from tests.engine.processes import picture, question

        async def main():
            folder = Path(sys.argv[1])
            engine = WorkerEngine(folder / "engine.log", "scripted")
            await engine.load(LoadRequest("scripted", str(folder / "test.script.json"), None, EngineSettings()))
            await engine.add_image(picture())
            if sys.argv[2] == "encode":
                await anext(engine.generate(question("what?", picture())))
            print(engine.pid, flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
    """)
    with subprocess.Popen(
        [sys.executable, "-c", parent, str(tmp_path), stage], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert exists(pid)
        process.kill()
    assert await until_gone(pid)
