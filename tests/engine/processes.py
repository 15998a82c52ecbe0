"""Helpers for tests that hurt a real worker process; they know nothing of the backend in it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from nemochat.domain.events import Finished, Progress, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, ImageSlot, Plain
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.engine.scripted import Script
from nemochat.errors import EngineDiedError
from nemochat.settings import EngineSettings

SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGSTOP)
STAGES = ("load", "encode", "prefill", "decode")
REPORT_SECONDS = 20.0
"""A limit against waiting, on a busy machine: how soon a death must be reported; a stopped process has the watchdog's time in addition."""


@dataclass(frozen=True)
class Subject:
    """What is run until the signal comes: a load, then a request about the image."""

    load: LoadRequest
    image: RgbImage
    request: GenerateRequest


def picture(value: int = 0) -> RgbImage:
    return RgbImage.from_rgb(8, 8, bytes([value]) * 192)


def question(text: str, image: RgbImage | None = None, max_tokens: int = 512) -> GenerateRequest:
    slots = (ImageSlot(image.digest), Control("\n")) if image else ()
    segments = (Control("<extra_id_1>User\n"), *slots, Plain(text), Control("\n<extra_id_1>Assistant\n"))
    return GenerateRequest(segments, Sampling(temperature=0.0, max_tokens=max_tokens))


def write_script(folder: Path, script: Script, settings: EngineSettings | None = None) -> LoadRequest:
    path = folder / "test.script.json"
    path.write_bytes(msgspec.json.encode(script))
    return LoadRequest("scripted", str(path), None, settings or EngineSettings())


@asynccontextmanager
async def scripted_engine(folder: Path, script: Script, settings: EngineSettings | None = None) -> AsyncIterator[WorkerEngine]:
    """A WorkerEngine with the script loaded."""
    engine = WorkerEngine(folder / "engine.log", "scripted")
    try:
        await engine.load(write_script(folder, script, settings))
        yield engine
    finally:
        await engine.close()


async def reply(engine: WorkerEngine, request: GenerateRequest) -> tuple[str, Finished]:
    """The whole text of a reply and its last event."""
    events = [event async for event in engine.generate(request)]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]


async def signal_at(engine: WorkerEngine, subject: Subject, stage: str, number: signal.Signals) -> tuple[EngineDiedError, float]:
    """Run the subject, send the signal to the worker at the first sign of `stage`; the error and the seconds until it was raised."""
    sent: list[float] = []

    def strike() -> None:
        if not sent:
            assert engine.pid is not None
            sent.append(time.monotonic())
            os.kill(engine.pid, number)

    def on_load(_: Progress) -> None:
        if stage == "load":
            strike()

    async def run() -> None:
        await engine.load(subject.load, on_load)
        await engine.add_image(subject.image)
        async for event in engine.generate(subject.request):
            at = "decode" if isinstance(event, TextDelta) else event.stage if isinstance(event, Progress) else ""
            if at == stage:
                strike()

    with pytest.raises(EngineDiedError) as raised:
        await run()
    return raised.value, time.monotonic() - sent[0]


def is_running(pid: int) -> bool:
    """Whether a process exists that is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def exists(pid: int) -> bool:
    """Whether the process table holds it, as a zombie or alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(pid: int, seconds: float = REPORT_SECONDS) -> bool:
    """Wait until a process has ended (as a child of somebody else it may stay a zombie)."""
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return not is_running(pid)
