"""Run as a program: own questions are asked of an engine in this process, which is killed at random moments and begins again each time.

``python -m tests.evaluation.interrupting FOLDER KILLS SEED`` expects the questions in FOLDER/mine.jsonl, and prints at how many moments the
run was interrupted while it had answers to give.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from nemochat.chat import ChatSession
from nemochat.domain.events import EngineEvent
from nemochat.domain.segments import Plain
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.evaluation.asking import Asking
from nemochat.evaluation.benchmarks import benchmark_named, questions
from nemochat.evaluation.runs import Answer, Setting, Told, writing
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply

LONGEST = 0.015
"""Seconds between a new answer, or the start, and the end."""


def number_of(request: GenerateRequest) -> int:
    """Of the question."""
    words = next(segment.text for segment in reversed(request.segments) if isinstance(segment, Plain) and "Number" in segment.text)
    return int(words.partition("Number ")[2].partition(".")[0])


class Knowing(FakeEngine):
    """Says the number of a question that three divides, and "no" to the others."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        await asyncio.sleep(0.002)
        number = number_of(request)
        self.replies = [reply(str(number) if number % 3 == 0 else "no")]
        async for event in super().generate(request):
            yield event


class Silent:
    """A watcher that has nothing to say. waited: what it was told about waiting."""

    def __init__(self) -> None:
        self.waited: list[bool] = []

    def see(self, answer: Answer) -> None:
        pass

    def wait(self, *, waits: bool) -> None:
        self.waited.append(waits)


async def ask(folder: Path, name: str = "run") -> None:
    """Begin the run, or go on with it, to its end."""
    benchmark = benchmark_named("own")
    items, _ = questions(benchmark, folder / "mine.jsonl")
    with writing(folder / name, Told(Setting("own", {}, "fake", seed=5), str(folder), len(items), {})) as writer:
        session = ChatSession(Knowing(), LoadRequest("fake", "fake", None, EngineSettings()), {})
        session.start_loading()
        await Asking(benchmark, items, writer, Silent(), lambda: False).run([session])
        await session.close()


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def interrupt(folder: Path, kind: signal.Signals, rng: random.Random) -> bool:
    """One life of the run, and its end; whether it was interrupted."""
    file = folder / "run" / "answers.jsonl"
    before = _size(file)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the child is where it can answer to it
    pid = os.fork()
    if pid == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            asyncio.run(ask(folder))
        except KeyboardInterrupt:
            os._exit(130)
        finally:
            os._exit(0)
    wanted = rng.choice((0, 1, 1, 400, 800))  # of bytes: none, an answer, some answers
    while _size(file) < before + wanted and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    time.sleep(rng.random() * LONGEST)
    try:
        os.kill(pid, kind)
        _, status = os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return False
    if rng.random() < 0.3 and _size(file) > before:  # a machine that fails may leave a part of the last line
        os.truncate(file, _size(file) - rng.randrange(1, 60))
    return os.waitstatus_to_exitcode(status) in (130, -kind)


def main() -> None:
    """Interrupt it so often, and let it end."""
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    kinds = [signal.SIGKILL, signal.SIGINT]
    sys.stdout.write(str(sum(interrupt(folder, kinds[number % 2], rng) for number in range(kills))))
    asyncio.run(ask(folder))


if __name__ == "__main__":
    main()
