"""Trials on the real process: the demo pair, and a scripted engine that crashes, is slow or says nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

import nemochat.models
from nemochat.engine import trials
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.scripted import Fault, FaultKind, FaultStage, Reply, Script
from nemochat.engine.trials import Bench, look_at_hardware, peak_memory, read_through
from nemochat.engine.tuning import Failed, Measured, Outcome, Trial
from nemochat.settings import EngineSettings, KvType
from tests.engine.processes import write_script

DEMO = Path(nemochat.models.__file__).parent / "demo"
SPEAKS = Script((Reply("one two three four five six seven eight"),), batch_seconds=0.001, token_seconds=0.002)


def trial(seconds: float = 30, **settings: object) -> Trial:
    return Trial(EngineSettings(threads=1, **settings), "a trial", seconds)  # type: ignore[arg-type]


async def scripted(folder: Path, script: Script, tried: Trial) -> Outcome:
    return await Bench(write_script(folder, script), folder / "engine.log", seconds=0.05, backend="scripted").run(tried)


async def test_the_demo_pair_is_measured_with_any_settings(tmp_path: Path) -> None:
    request = LoadRequest("demo", str(DEMO / "nemochat-demo.gguf"), str(DEMO / "nemochat-demo-mmproj.gguf"), EngineSettings())
    bench = Bench(request, tmp_path / "engine.log", seconds=0.05)
    first = await bench.run(trial())
    second = await bench.run(trial(flash_attention=False, kv_type=KvType.F16, batch=128))
    for found in (first, second):
        assert isinstance(found, Measured), found
        assert found.prefill_per_second > 0
        assert found.decode_per_second > 0
        assert 30e6 < found.memory < 500e6
        assert found.load_ms > 0
    assert isinstance(first, Measured)
    assert isinstance(second, Measured)
    assert abs(first.prompt_tokens - second.prompt_tokens) <= 2, "all trials read and write the same"
    assert 32 <= first.prompt_tokens <= 2048


async def test_the_rates_are_those_of_the_script(tmp_path: Path) -> None:
    found = await scripted(tmp_path, SPEAKS, trial())
    assert isinstance(found, Measured)
    assert found.decode_per_second == pytest.approx(500), "2 ms a token"
    assert found.prefill_per_second > 10_000, "1 ms for every 256 tokens"


@pytest.mark.parametrize("layers", [0, -1])
async def test_what_a_device_compiles_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: int) -> None:
    """Fails when the first prompt of a length, for which a device gets its programs, is among those that are measured."""
    lengths: list[int] = []
    read = trials._Talk.read

    async def counted(self: trials._Talk, words: int) -> trials._Run:
        lengths.append(words)
        run = await read(self, words)
        return run._replace(milliseconds=60_000.0) if layers and lengths.count(words) == 1 else run

    monkeypatch.setattr(trials._Talk, "read", counted)
    monkeypatch.setattr(trials.Bench, "_sizes", lambda *_: _size())
    found = await scripted(tmp_path, SPEAKS, trial(gpu_layers=layers))
    assert isinstance(found, Measured)
    assert found.prefill_per_second > 100
    assert lengths[:2] == [24, 64]


async def _size() -> trials._Size:
    return trials._Size(64, 16)


async def test_a_crash_while_loading_or_reading_is_an_outcome(tmp_path: Path) -> None:
    for stage in (FaultStage.LOAD, FaultStage.PREFILL):
        found = await scripted(tmp_path, Script(faults=(Fault(stage, FaultKind.SEGV),)), trial())
        assert isinstance(found, Failed)
        assert "crashed (SIGSEGV)" in found.reason


async def test_a_refusal_is_an_outcome(tmp_path: Path) -> None:
    missing = LoadRequest("gone", str(tmp_path / "gone.script.json"), None, EngineSettings())
    found = await Bench(missing, tmp_path / "engine.log", seconds=0.05, backend="scripted").run(trial())
    assert isinstance(found, Failed)
    assert found.was_tried


async def test_a_trial_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    found = await scripted(tmp_path, Script(batch_seconds=60.0), trial(seconds=2))
    assert found == Failed("too slow: given up after 2 s")


async def test_a_model_with_nothing_to_say_cannot_be_measured(tmp_path: Path) -> None:
    found = await scripted(tmp_path, Script((Reply(""),)), trial())
    assert isinstance(found, Failed)
    assert "ends every reply at once" in found.reason


async def test_a_short_window_is_no_obstacle(tmp_path: Path) -> None:
    found = await scripted(tmp_path, Script(SPEAKS.replies, context_length=64, token_seconds=0.001), trial())
    assert isinstance(found, Measured), found


async def test_no_process_stays_behind_when_it_is_interrupted(tmp_path: Path) -> None:
    task = asyncio.create_task(scripted(tmp_path, Script(load_seconds=30), trial(seconds=60)))
    await asyncio.sleep(0.5)
    task.cancel()
    done = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)


async def test_the_hardware_is_told_by_a_process_of_its_own() -> None:
    found = await look_at_hardware()
    assert 1 <= found.cores <= found.logical
    assert found.small_model > 0, "llama.cpp was asked, this is not the fallback"


def test_peak_memory() -> None:
    assert peak_memory(os.getpid()) > 10_000_000
    assert peak_memory(None) == 0
    assert peak_memory(2**22 + 1) == 0


async def test_files_are_read_through_as_far_as_they_can_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    await read_through([tmp_path / "a", tmp_path / "missing", tmp_path])
