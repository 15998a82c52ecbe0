"""Runs: whatever interrupts one, it goes on to the same result; and a chat on the same machine comes first."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.chat import ChatSession
from nemochat.domain.images import RgbImage
from nemochat.engine.protocol import LoadRequest
from nemochat.evaluation import asking
from nemochat.evaluation.asking import Asking
from nemochat.evaluation.benchmarks import benchmark_named, questions
from nemochat.evaluation.runs import Setting, Told, read_run, writing
from nemochat.images import save_png
from nemochat.settings import EngineSettings
from tests.evaluation.interrupting import Knowing, Silent, ask, number_of

COUNT, KILLS = 100, 20
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"question": f"Number {n}.", "answers": [str(n)]} for n in range(COUNT)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A small picture."""
    save_png(RgbImage.from_rgb(6, 4, b"\xff\x00\x00" * 24), tmp_path / "red.png")
    return tmp_path / "red.png"


def test_interrupted_at_twenty_random_moments_the_result_is_the_same(folder: Path) -> None:
    """SIGKILL and Ctrl+C by turns, at the start, within a question, behind one; and lines that were written in part."""
    asyncio.run(ask(folder, "whole"))
    command = [sys.executable, "-m", "tests.evaluation.interrupting", str(folder), str(KILLS), "19"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) >= KILLS // 4  # the others, on a machine that sleeps meanwhile, come too late
    whole, run = read_run(folder / "whole"), read_run(folder / "run")
    assert run.figures == whole.figures
    assert {id_: (each.text, each.score) for id_, each in run.answers.items()} == {
        id_: (each.text, each.score) for id_, each in whole.answers.items()
    }
    lines = (folder / "run/answers.jsonl").read_bytes().count(b"\n")
    assert lines <= COUNT + KILLS  # each interruption costs one question at most


def run_beside(chat: Iterator[bool], folder: Path) -> Silent:
    """All questions; chat: whether a reply is being written, each time somebody looks."""
    benchmark, watcher = benchmark_named("own"), Silent()
    items, _ = questions(benchmark, folder / "mine.jsonl")

    async def run() -> None:
        with writing(folder / "run", Told(Setting("own", {}, "fake"), str(folder), len(items), {})) as writer:
            session = ChatSession(Knowing(), LoadRequest("fake", "fake", None, EngineSettings()), {})
            session.start_loading()
            await Asking(benchmark, items, writer, watcher, lambda: next(chat, False)).run([session])
            assert len(writer.answers) == COUNT
            await session.close()

    asyncio.run(run())
    return watcher


def test_it_waits_for_a_reply_and_says_so_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LOOK_SECONDS", 0.001)
    assert run_beside(iter([False, *[True] * 9, False]), folder).waited == [True, False]


def test_who_looked_at_the_same_moment_is_no_chat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LOOK_SECONDS", 0.001)
    assert run_beside(iter([True, False, False]), folder).waited == []


def test_it_does_not_wait_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a chat that asks its user something overnight, say; the next reply is waited for again."""
    monkeypatch.setattr(asking, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(asking, "_PATIENCE_SECONDS", 0.0)
    assert run_beside(iter([*[True] * 30, False, True, True]), folder).waited == [True, False, True, False]


def test_a_picture_is_for_one_slot_and_nobody_idles(folder: Path, red: Path) -> None:
    """Asked several at a time, a server reads a picture once; when the others have nothing left, they help."""
    rows = [{"question": f"Number {n}.", "answers": ["x"], "picture": f"{n // 10}.png"} for n in range(40)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for n in range(4):
        (folder / f"{n}.png").write_bytes(red.read_bytes())
    benchmark = benchmark_named("own")
    items, _ = questions(benchmark, folder / "mine.jsonl")
    engines = [Knowing() for _ in range(3)]

    async def run() -> None:
        with writing(folder / "run", Told(Setting("own", {}, "fake"), str(folder), len(items), {})) as writer:
            sessions = [ChatSession(each, LoadRequest("fake", "fake", None, EngineSettings()), {}) for each in engines]
            for session in sessions:
                session.start_loading()
            await Asking(benchmark, items, writer, Silent(), lambda: False).run(sessions)
            for session in sessions:
                await session.close()

    asyncio.run(run())
    asked = [[number_of(request) for request in each.requests] for each in engines]
    assert sorted(number for numbers in asked for number in numbers) == list(range(40))
    assert [each[:10] for each in asked] == [list(range(first, first + 10)) for first in (0, 10, 20)]
    assert all(len(each) > 10 for each in asked)
