"""Personas on the desk: the model that one was written for is opened by any name that means it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nemochat.desk.port import ModelChoice
from nemochat.domain.personas import Persona
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine_of

SMOLLM = "/m/SmolLM2-135M-Instruct.Q4_1.gguf"
MODELS = {"demo": "", "smollm2-135m-instruct": SMOLLM, "gemma-3-270m": "/m/g0.gguf", "gemma-3-1b": "/m/g1.gguf"}


@pytest.fixture
async def sitting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sitting:
    def models(_: Bench) -> Sequence[ModelChoice]:
        return [ModelChoice(name, "a model", path) for name, path in MODELS.items()]

    monkeypatch.setattr(Bench, "models", models)
    return await Sitting(Bench(tmp_path, {name: engine_of() for name in MODELS})).begin()


@pytest.mark.parametrize("said", ["smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct.q4_1", "smol"])
async def test_a_persona_opens_the_model_that_its_name_means(sitting: Sitting, said: str) -> None:
    id_ = sitting.bench.personas.save(Persona(name="Mira", model=said))
    await sitting.desk.roles.use(id_)
    await sitting.until(lambda: sitting.desk.model.name == "smollm2-135m-instruct" and sitting.desk.model.is_loaded)
    assert not sitting.port.notices
    await sitting.close()


@pytest.mark.parametrize("said", ["gemma", "llama", "dem0", "///"])
async def test_a_name_that_means_no_model_or_several_changes_none_and_that_is_said(sitting: Sitting, said: str) -> None:
    id_ = sitting.bench.personas.save(Persona(name="Mira", model=said))
    await sitting.desk.roles.use(id_)
    assert sitting.port.notices == [f"Mira asks for the model {said}, which is not here; demo is used."]
    assert sitting.desk.model.name == "demo"
    await sitting.close()
