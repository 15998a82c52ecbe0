"""Pictures of projectors that read them otherwise than CLIP: in both directions, in any size, with positions in two dimensions."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from nemochat.domain.images import RgbImage
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.llama.loaded import _state_folder
from nemochat.engine.protocol import LoadRequest
from nemochat.errors import EngineError
from nemochat.settings import EngineSettings
from tests.engine.llama_harness import ANSWER, HEAD, QUICK, ask, loaded
from tests.material import material
from tests.tiny_gguf import IMAGE_TOKENS, write_projector
from tests.tiny_vision import write_gemma_projector, write_qwen_model, write_qwen_projector


def noise(width: int, height: int, seed: int = 1) -> RgbImage:
    return RgbImage.from_rgb(width, height, random.Random(seed).randbytes(width * height * 3))


def logits(backend: LlamaBackend, segments: list[Segment]) -> npt.NDArray[np.float64]:
    """After the prompt, as a distribution."""
    ask(backend, segments, max_tokens=0)
    found = backend._model().evaluator.context.distribution(-1).astype(np.float64)
    return np.asarray(found - np.log(np.exp(found - found.max()).sum()) - found.max())


def divergence(truth: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Kullback-Leibler, in nats."""
    return float((np.exp(truth) * (truth - other)).sum())


def about(image: RgbImage) -> list[Segment]:
    return [HEAD, ImageSlot(image.digest), Plain("what is it"), ANSWER]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gemma_projector(tmp_path_factory.mktemp("gemma") / "mmproj.gguf")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("qwen")
    return write_qwen_model(folder / "model.gguf"), write_qwen_projector(folder / "mmproj.gguf")


def test_a_picture_read_in_both_directions_gives_the_same_at_every_batch(tiny_model: Path, gemma: Path) -> None:
    image = noise(112, 112)
    found = []
    for batch in (8, 16, 64, 100, 512):
        backend = loaded(tiny_model, gemma, replace(QUICK, batch=batch))
        backend.add_image(image)
        assert backend._model().evaluator.context.batch_size == max(64, batch)
        found.append(logits(backend, about(image)))
        backend.close()
    assert max(divergence(found[0], each) for each in found) < 1e-3


def test_a_batch_that_is_too_small_is_refused_and_not_read_wrongly(tiny_model: Path, gemma: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemochat.engine.llama.projector.Projector._tokens_of_shape", lambda *_: 16)
    backend = loaded(tiny_model, gemma, replace(QUICK, batch=16))
    image = noise(112, 112)
    backend.add_image(image)
    with pytest.raises(EngineError, match="A picture of 64 tokens is to be read at once, and a batch has 16") as caught:
        ask(backend, about(image))
    assert "picture_tokens" in caught.value.hint
    assert ask(backend, [HEAD, Plain("hello"), ANSWER]).text
    backend.close()


def test_a_picture_read_forward_needs_no_larger_batch(qwen: tuple[Path, Path]) -> None:
    found = []
    image = noise(224, 168)
    for batch in (16, 64, 256):
        backend = loaded(*qwen, replace(QUICK, batch=batch))
        assert backend._model().evaluator.context.batch_size == batch
        assert backend.add_image(image) > 48
        found.append(logits(backend, about(image)))
        backend.close()
    assert max(divergence(found[0], each) for each in found) < 1e-3


@pytest.mark.parametrize(("budget", "square", "wide"), [(0, 400, 400), (100, 100, 100), (16, 16, 16)])
def test_a_budget_bounds_the_tokens_of_a_picture(qwen: tuple[Path, Path], budget: int, square: int, wide: int) -> None:
    backend = LlamaBackend()
    backend.load(LoadRequest("q", str(qwen[0]), str(qwen[1]), QUICK, picture_tokens=budget), lambda _: None)

    def tokens(image: RgbImage) -> int:
        return sum(cell.tokens for cell in backend._model().picture(image).cells if not isinstance(cell, int))

    assert tokens(noise(560, 560)) == square
    assert 0 < tokens(noise(1120, 280)) <= wide
    assert tokens(noise(56, 112)) == 8
    backend.close()


def test_positions_in_two_dimensions_are_told_from_tokens(qwen: tuple[Path, Path]) -> None:
    """The next token's position moves on by the longer side of a picture, and a warm prompt gives what a cold one does."""
    backend = loaded(*qwen)
    image = noise(224, 168)
    counted = backend.add_image(image)
    segments = about(image)
    assert counted == backend.count(segments)[1]
    usage = ask(backend, segments, max_tokens=0).finished.usage
    assert usage.prompt_tokens == sum(backend.count(segments))
    sequence = backend._model().evaluator.cache.active
    assert sequence.ledger.tokens - sequence.ledger.position == 8 * 6 - 8
    longer = [*segments, Plain("red"), Control("\n")]
    warm = logits(backend, longer)
    assert ask(backend, longer, max_tokens=0).finished.usage.encoded_images == 0
    assert ask(backend, longer, max_tokens=0).finished.usage.reused_tokens >= usage.prompt_tokens
    backend.close()
    cold = loaded(*qwen)
    cold.add_image(image)
    assert divergence(logits(cold, longer), warm) < 1e-3
    cold.close()


def test_a_projector_with_norms_between_its_layers_is_read(tiny_model: Path, tmp_path: Path) -> None:
    backend = loaded(tiny_model, write_projector(tmp_path / "yi.gguf", with_norms=True))
    image = noise(28, 28)
    assert backend.add_image(image) == IMAGE_TOKENS
    assert ask(backend, about(image)).finished.usage.encoded_images == 1
    backend.close()


def test_states_are_kept_by_what_changes_what_they_mean(tiny_model: Path, gemma: Path, tmp_path: Path) -> None:
    plain = LoadRequest("x", str(tiny_model), str(gemma), EngineSettings(), str(tmp_path))
    kinds = [plain, replace(plain, format="template"), replace(plain, picture_tokens=64), replace(plain, mmproj_path=None)]
    folders = [_state_folder(request) for request in (*kinds, replace(plain, name="y"))]
    engines = [folder._engine for folder in folders if folder is not None]
    assert len(set(engines)) == len(kinds)
    assert engines[-1] == engines[0]


def test_gemma_sees_the_same_at_every_batch(tmp_path: Path) -> None:
    """The real language model, with a projector of random weights: 256 tokens a picture."""
    model = material("gemma-3-270m-q4_k_m.gguf")
    projector = write_gemma_projector(tmp_path / "mmproj.gguf", text_width=640, image_size=448, merge=2)
    image = noise(448, 448)
    found = []
    for batch in (64, 300, 512):
        backend = loaded(model, projector, EngineSettings(context_length=1024, spare_tokens=0, batch=batch))
        backend.add_image(image)
        assert backend._model().evaluator.context.batch_size == max(256, batch)
        found.append(logits(backend, [Control("<start_of_turn>user\n"), ImageSlot(image.digest), Plain("What is it?")]))
        backend.close()
    assert max(divergence(found[0], each) for each in found) < 1e-3
