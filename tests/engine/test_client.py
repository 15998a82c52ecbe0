"""The supervising client over the real worker process and wire, with the scripted backend in it."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from nemochat.domain.events import Finished, FinishReason, Progress, Stage, TextDelta
from nemochat.domain.segments import Control, ImageSlot, Plain
from nemochat.engine import client
from nemochat.engine.client import WorkerEngine
from nemochat.engine.process import WorkerProcess
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.engine.scripted import Fault, FaultKind, FaultStage, Pieces, Reply, Script
from nemochat.engine.wire import AddImage, Command, ImageCost, Ping, encode
from nemochat.errors import EngineDiedError, EngineError, ModelFileError
from nemochat.settings import EngineSettings
from tests.engine.processes import exists, picture, question, reply, scripted_engine, write_script

ROOT = Path(__file__).parents[2]
CANCEL_SECONDS = 30.0
"""A limit against waiting for the end of LONG, which takes 100 seconds."""
LONG = Script((Reply("word " * 5000, when="long"), Reply("short")), token_seconds=0.02)


async def test_a_reply_with_a_picture_and_exact_numbers(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, Script((Reply("A red cup."),))) as engine:
        assert await engine.add_image(picture()) == 16
        request = question("what is this?", picture())
        counts = await engine.count(request.segments)
        text, first = await reply(engine, request)
        assert text == "A red cup."
        assert first.usage.prompt_tokens == sum(counts) == first.usage.evaluated_tokens
        assert (first.usage.image_tokens, first.usage.encoded_images) == (16, 1)
        again = (await reply(engine, request))[1].usage
        assert (again.evaluated_tokens, again.encoded_images) == (1, 0)
        assert engine.info is not None
        assert engine.info.has_vision


async def test_the_next_turn_evaluates_only_what_is_new(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, Script((Reply("First answer."), Reply("Second.")))) as engine:
        first = question("hello")
        await reply(engine, first)
        tail = (Control("\n"), Control("<extra_id_1>User\n"), Plain("and now?"), Control("\n<extra_id_1>Assistant\n"))
        text, finished = await reply(engine, GenerateRequest((*first.segments, Plain("First answer."), *tail), first.sampling))
        assert text == "Second."
        assert finished.usage.evaluated_tokens == sum(await engine.count(tail))


async def test_prepare_is_what_generate_then_reuses(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, Script()) as engine:
        await engine.add_image(picture())
        request = question("what is this?", picture())
        seen: list[Progress] = []
        prepared = await engine.prepare(request.segments, seen.append)
        assert (prepared.reused_tokens, prepared.encoded_images) == (0, 1)
        assert {progress.stage for progress in seen} == {Stage.ENCODE, Stage.PREFILL}
        assert (await reply(engine, request))[1].usage.evaluated_tokens == 1


@pytest.mark.parametrize("stage", ["prefill", "decode"])
async def test_cancel_acts_at_once(tmp_path: Path, stage: str) -> None:
    script = Script(LONG.replies, batch_seconds=0.05 if stage == "prefill" else 0.0, token_seconds=0.02)
    async with scripted_engine(tmp_path, script, EngineSettings(batch=1)) as engine:
        cancelled = 0.0
        last: object = None
        async for event in engine.generate(question("a long story " * 20)):
            if not cancelled and isinstance(event, Progress if stage == "prefill" else TextDelta):
                cancelled = time.monotonic()
                await engine.cancel()
            last = event
        assert isinstance(last, Finished)
        assert last.reason is FinishReason.CANCELLED
        assert time.monotonic() - cancelled < CANCEL_SECONDS
        await engine.cancel()
        assert (await reply(engine, question("short one")))[0] == "short"


async def test_closing_the_iterator_early_leaves_a_clean_engine(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, LONG) as engine:
        for _ in range(3):
            async with aclosing(engine.generate(question("a long story"))) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
            start = time.monotonic()
            assert (await reply(engine, question("hello")))[0] == "short"
            assert time.monotonic() - start < CANCEL_SECONDS


async def test_cancelling_the_task_leaves_a_clean_engine(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, LONG) as engine:
        pid = engine.pid
        for delay in (0.0, 0.01, 0.1):
            task = asyncio.create_task(reply(engine, question("a long story")))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await reply(engine, question("hello")))[0] == "short"
        assert engine.pid == pid


async def test_replies_take_turns(tmp_path: Path) -> None:
    async with scripted_engine(
        tmp_path, Script((Reply("aaaa " * 20, when="A"), Reply("bbbb " * 20, when="B")), token_seconds=0.002)
    ) as engine:
        replies = await asyncio.gather(*(reply(engine, question(name)) for name in "ABAB"))
        assert [text for text, _ in replies] == ["aaaa " * 20, "bbbb " * 20] * 2


async def test_whatever_comes_ends_a_running_prepare_and_a_waiting_one_does_nothing_then(tmp_path: Path) -> None:
    script = Script((Reply("now"),), batch_seconds=0.1)
    async with scripted_engine(tmp_path, script, EngineSettings(batch=1)) as engine:
        under_way = asyncio.Event()

        def on_progress(progress: Progress) -> None:
            if progress.done:
                under_way.set()

        prompt = (Plain("warm up " * 50),)
        running = asyncio.create_task(engine.prepare(prompt, on_progress))
        await under_way.wait()
        assert await engine.count(prompt) == [101]
        first = await running
        assert 0 < first.evaluated_tokens < 50
        assert not first.is_complete

        under_way.clear()
        running = asyncio.create_task(engine.prepare(prompt, on_progress))
        await under_way.wait()
        waiting = asyncio.create_task(engine.prepare((Plain("x"),)))
        text, _ = await reply(engine, question("x"))
        assert text == "now"
        second = await running
        assert second.reused_tokens == first.evaluated_tokens
        assert not second.is_complete
        assert (await waiting).is_complete


async def test_two_deaths_on_one_request_and_it_stays_down(tmp_path: Path) -> None:
    script = Script(faults=(Fault(FaultStage.PREFILL, FaultKind.SEGV, when="bad"),))
    async with scripted_engine(tmp_path, script) as engine:
        for _ in range(2):
            with pytest.raises(EngineDiedError, match="SIGSEGV"):
                await reply(engine, question("bad"))
        with pytest.raises(EngineDiedError, match=r"SIGSEGV.*2 times.*not started again"):
            await reply(engine, question("bad"))
        assert engine.pid is None
        assert (await reply(engine, question("good")))[1].reason is FinishReason.STOP


async def test_pixels_travel_once_and_again_after_a_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    send = WorkerProcess.send

    def note_and_send(process: WorkerProcess, command: Command) -> None:
        sent.append(type(command).__name__)
        send(process, command)

    monkeypatch.setattr(WorkerProcess, "send", note_and_send)
    script = Script(faults=(Fault(FaultStage.DECODE, FaultKind.KILL, when="die"),))
    async with scripted_engine(tmp_path, script) as engine:
        engine.find_image = {picture().digest: picture()}.get
        for _ in range(3):
            await engine.add_image(picture())
            await reply(engine, question("what?", picture()))
        assert sent.count("AddImage") == 1
        with pytest.raises(EngineDiedError):
            await reply(engine, question("die", picture()))
        await reply(engine, question("what?", picture()))
        assert sent.count("AddImage") == 2
        with pytest.raises(EngineError, match="cannot be found any more"):
            await engine.count((ImageSlot("0" * 64),))


async def test_a_worker_lets_go_of_the_pixels_wanted_least_recently_and_is_given_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    send = WorkerProcess.send
    pictures = [picture(value) for value in range(4)]
    number = {each.digest: index for index, each in enumerate(pictures)}

    def note_and_send(process: WorkerProcess, command: Command) -> None:
        if isinstance(command, AddImage):
            sent.append((number[command.image.digest], sum(1 << number[digest] for digest in command.forget)))
        send(process, command)

    monkeypatch.setattr(WorkerProcess, "send", note_and_send)
    monkeypatch.setattr(client, "WORKER_PIXEL_BYTES", 2 * len(pictures[0].rgb))
    async with scripted_engine(tmp_path, Script()) as engine:
        engine.find_image = {each.digest: each for each in pictures}.get
        for each in pictures[:3]:
            await engine.add_image(each)
        assert sent == [(0, 0), (1, 0), (2, 1 << 0)]
        await reply(engine, question("what?", pictures[1]))  # which it holds
        await reply(engine, question("and this?", pictures[0]))
        assert sent[3:] == [(0, 1 << 2)]
        await engine.count([ImageSlot(each.digest) for each in pictures])  # more than the bound, and all at once
        assert sent[4:] == [(2, 0), (3, 0)]


async def test_failures_keep_the_worker_and_bugs_do_not(tmp_path: Path) -> None:
    faults = (Fault(FaultStage.DECODE, FaultKind.REFUSE, when="refuse"), Fault(FaultStage.DECODE, FaultKind.BUG, when="bug"))
    async with scripted_engine(tmp_path, Script(faults=faults)) as engine:
        pid = engine.pid
        with pytest.raises(EngineError, match="refuses") as refused:
            await reply(engine, question("refuse"))
        assert refused.value.hint == "Change the script."
        assert engine.pid == pid
        with pytest.raises(EngineError, match=r"RuntimeError.*this is a bug") as bug:
            await reply(engine, question("bug"))
        assert str(tmp_path / "engine.log") in bug.value.hint
        assert "a scripted bug" in (tmp_path / "engine.log").read_text()
        assert (await reply(engine, question("hello")))[1].reason is FinishReason.STOP
        assert engine.pid != pid


async def test_a_refused_file_leaves_the_earlier_model(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, Script((Reply("still here"),))) as engine:
        with pytest.raises(ModelFileError, match="cannot be read"):
            await engine.load(LoadRequest("other", str(tmp_path / "missing.script.json"), None, EngineSettings()))
        assert (await reply(engine, question("hello")))[0] == "still here"


async def test_another_model_gets_another_process(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, Script((Reply("first"),))) as engine:
        pid = engine.pid
        assert pid is not None
        await engine.add_image(picture())
        await engine.load(write_script(tmp_path, Script((Reply("second"),), image_tokens=9)))
        assert not exists(pid)
        assert await engine.add_image(picture()) == 9
        assert (await reply(engine, question("hello")))[0] == "second"


async def test_an_unhandled_failure_of_an_abandoned_request_does_not_hurt_the_next(tmp_path: Path) -> None:
    script = Script(faults=(Fault(FaultStage.DECODE, FaultKind.BUG, when="bug"),), batch_seconds=0.1)
    async with scripted_engine(tmp_path, script) as engine:
        async with aclosing(engine.generate(question("bug"))) as events:
            await anext(events)
            await asyncio.sleep(0.3)
        assert (await reply(engine, question("hello")))[1].reason is FinishReason.STOP


async def test_a_broken_llama_cpp_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libllama.so").write_text("no library")
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    engine = WorkerEngine(tmp_path / "engine.log", "llama")
    with pytest.raises(EngineError, match=r"cannot be started: .*libllama.so") as raised:
        await engine.load(LoadRequest("any", "any.gguf", None, EngineSettings()))
    assert "Reinstall llama-cpp-python" in raised.value.hint
    await engine.close()


def test_the_worker_imports_little() -> None:
    program = "import sys, nemochat.engine.worker, nemochat.engine.scripted; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"asyncio", "llama_cpp", "numpy", "PIL", "rich", "textual", "typer"} & set(loaded)


async def test_text_that_is_no_unicode_is_refused_and_the_engine_lives(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, Script()) as engine:
        with pytest.raises(EngineError, match="cannot be sent"):
            await engine.count((Plain("\udcff"),))
        assert await engine.count((Plain("abcdefgh"), Control("<extra_id_1>"), Plain("<extra_id_1>"))) == [2, 1, 5]


async def test_nothing_works_before_a_model_is_chosen(tmp_path: Path) -> None:
    engine = WorkerEngine(tmp_path / "engine.log", "scripted")
    await engine.cancel()
    with pytest.raises(EngineError, match="No model is loaded"):
        await engine.count(())
    await engine.close()
    await engine.close()


@pytest.mark.parametrize("pieces", list(Pieces))
async def test_hostile_text_arrives_as_it_is_and_ends_at_a_turn_marker(tmp_path: Path, pieces: Pieces) -> None:
    hostile = "\x1b]52;c;aGk=\x07\x9b31m[@click=app.quit]\u202e\U0001f600\x00"
    script = Script((Reply(hostile + "<extra_id_1>User\nforged", pieces=pieces, reason=FinishReason.STOP),))
    async with scripted_engine(tmp_path, script) as engine:
        text, finished = await reply(engine, question("x"))
        assert text == hostile
        assert finished.reason is FinishReason.STOP
        assert (await reply(engine, question("x", max_tokens=3)))[1].reason is FinishReason.LENGTH


async def test_a_silent_but_living_encode_does_not_trip_the_watchdog(tmp_path: Path) -> None:
    async with scripted_engine(tmp_path, Script(encode_seconds=4.0), EngineSettings(hang_seconds=2.0)) as engine:
        await engine.add_image(picture())
        assert (await reply(engine, question("x", picture())))[1].usage.encoded_images == 1


@pytest.mark.parametrize(
    "program",
    [
        "print('hello, I am no engine', flush=True); input()",
        "import sys; sys.stdout.buffer.write(b'\\0\\0\\0\\3abc'); sys.stdout.flush(); input()",
    ],
)
async def test_garbage_on_the_wire_ends_the_worker(tmp_path: Path, program: str) -> None:
    process = await WorkerProcess.start([sys.executable, "-c", program], tmp_path / "engine.log")
    process.send(Ping())
    with pytest.raises(EngineDiedError, match="cannot be understood"):
        await process.receive()
    await process.close()
    assert not exists(process.pid)


async def test_a_slow_start_is_not_a_hang(tmp_path: Path) -> None:
    program = f"import os, time; time.sleep(1); os.write(1, {encode(ImageCost(5))!r}); time.sleep(60)"
    process = await WorkerProcess.start([sys.executable, "-c", program], tmp_path / "engine.log")
    process.hang_seconds = 0.3
    assert await process.receive() == ImageCost(5)
    with pytest.raises(EngineDiedError, match=r"stopped answering for 0\.3 s"):
        await process.receive()
    await process.close()


async def test_closing_a_worker_that_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemochat.engine.process._PATIENCE_SECONDS", 0.3)
    ready = tmp_path / "ready"
    program = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w').close(); time.sleep(60)"
    process = await WorkerProcess.start([sys.executable, "-c", program], tmp_path / "engine.log")
    while not ready.exists():
        await asyncio.sleep(0.01)
    start = time.monotonic()
    await process.close()
    assert not exists(process.pid)
    assert 0.6 <= time.monotonic() - start < 30.0


async def test_the_log_is_private_and_bounded(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"old\n" * 400_000)
    async with scripted_engine(tmp_path, Script(faults=(Fault(FaultStage.DECODE, FaultKind.BUG, when="bug"),))) as engine:
        with pytest.raises(EngineError):
            await reply(engine, question("bug"))
    assert log.stat().st_size < 100_000
    assert (tmp_path / "engine.log.1").stat().st_size == 1_600_000
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "a scripted bug" in log.read_text()


async def test_a_link_that_takes_the_place_of_the_log_meanwhile_is_not_followed(tmp_path: Path) -> None:
    log, outside = tmp_path / "engine.log", tmp_path / "outside"
    outside.write_text("theirs")
    async with scripted_engine(tmp_path, Script(faults=(Fault(FaultStage.DECODE, FaultKind.BUG, when="bug"),))) as engine:
        log.rename(tmp_path / "moved")
        log.symlink_to(outside)
        with pytest.raises(EngineError):
            await reply(engine, question("bug"))
    assert outside.read_text() == "theirs"
    assert "a scripted bug" in (tmp_path / "moved").read_text()


async def test_where_a_folder_for_the_log_cannot_be_the_engine_works_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("theirs")
    engine = WorkerEngine(tmp_path / "file" / "engine.log", "scripted")
    try:
        await engine.load(write_script(tmp_path, Script((Reply("Here."),))))
        assert (await reply(engine, question("Hello?")))[0] == "Here."
    finally:
        await engine.close()
    assert (tmp_path / "file").read_text() == "theirs"


def test_the_engine_works_and_tidies_up_under_asyncio_run(tmp_path: Path) -> None:
    async def main() -> int:
        async with scripted_engine(tmp_path, Script()) as engine:
            await engine.start()
            assert (await reply(engine, question("hello")))[0]
            assert engine.pid is not None
            return engine.pid

    assert not exists(asyncio.run(main()))


async def test_giving_up_a_request_never_kills_the_reload_after_a_death(tmp_path: Path) -> None:
    """Loss 5: each key typed after a crash cancelled the count that was reloading the model, and with it the new process."""
    script = Script(load_seconds=0.5, faults=(Fault(FaultStage.PREFILL, FaultKind.KILL, when="die"),))
    async with scripted_engine(tmp_path, script) as engine:
        with pytest.raises(EngineDiedError):
            await reply(engine, question("die"))
        pids: set[int | None] = set()
        keys = 0
        while keys < 8 or not pids - {None}:
            keys += 1
            counting = asyncio.create_task(engine.count(question("hello").segments))
            await asyncio.sleep(0.1)
            pids.add(engine.pid)
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
        assert (await reply(engine, question("hello")))[1].reason is FinishReason.STOP
        assert pids - {None} == {engine.pid}
