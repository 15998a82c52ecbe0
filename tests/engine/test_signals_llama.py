"""The same signals with the real llama.cpp in the worker: a random model whose replies are long enough to be hit in the middle."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from nemochat.domain.images import RgbImage
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, ImageSlot, Plain
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.settings import EngineSettings
from tests.engine.processes import REPORT_SECONDS, SIGNALS, STAGES, Subject, reply, signal_at

HANG_SECONDS = 2.0


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
async def test_llama_dies_and_is_started_again(
    tmp_path: Path, tiny_model: Path, tiny_projector: Path, stage: str, number: signal.Signals
) -> None:
    hang_seconds = HANG_SECONDS if number is signal.SIGSTOP else EngineSettings().hang_seconds
    settings = EngineSettings(hang_seconds=hang_seconds, batch=32, context_length=0)
    image = RgbImage.from_rgb(2, 1, bytes(range(6)))
    segments = (Control("<extra_id_1>User\n"), Plain("abc " * 100), ImageSlot(image.digest), Control("\n<extra_id_1>Assistant\n"))
    request = GenerateRequest(segments, Sampling(temperature=0.0, max_tokens=400))
    subject = Subject(LoadRequest("tiny", str(tiny_model), str(tiny_projector), settings), image, request)
    engine = WorkerEngine(tmp_path / "engine.log", "llama")
    try:
        death, seconds = await signal_at(engine, subject, stage, number)
        assert death.hint
        assert seconds < REPORT_SECONDS + (2 * HANG_SECONDS if number is signal.SIGSTOP else 0)
        await engine.add_image(image)
        _, finished = await reply(engine, GenerateRequest(segments, Sampling(temperature=0.0, max_tokens=3)))
        assert finished.usage.encoded_images == 1
        assert finished.usage.evaluated_tokens == finished.usage.prompt_tokens
    finally:
        await engine.close()
