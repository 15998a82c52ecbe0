from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.engine.llama import LlamaBackend
from tests.engine.llama_harness import loaded
from tests.tiny_gguf import write_language_model, write_projector


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("tiny") / "model.gguf")


@pytest.fixture(scope="session")
def tiny_projector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_projector(tmp_path_factory.mktemp("tiny") / "mmproj.gguf")


@pytest.fixture
def tiny_backend(tiny_model: Path, tiny_projector: Path) -> Iterator[LlamaBackend]:
    backend = loaded(tiny_model, tiny_projector)
    yield backend
    backend.close()
