from __future__ import annotations

import pytest

from nemochat.models import ModelCard, estimate_memory, inspect
from nemochat.settings import EngineSettings, KvType
from tests.models import raw_gguf as raw

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def nemovision(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """The shape of Nemovision-4B-Instruct in Q4_0 with CLIP-L/14-336 in F16: real headers before gigabytes of nothing."""
    folder = tmp_path_factory.mktemp("real")
    text = {"width": 3072, "layers": 32, "heads": 24, "kv_heads": 8, "ffn": 9216, "vocabulary": 256_000}
    vision = {"image": 336, "patch": 14, "width": 1024, "layers": 24, "ffn": 4096}
    model = raw.write(folder / "m.gguf", raw.text_metadata(**text, context=4096), raw.text_tensors(**text, kind="Q4_0"))
    mmproj = raw.write(folder / "p.gguf", raw.clip_metadata(**vision, heads=16), raw.clip_tensors(**vision, text_width=3072))
    return inspect(model, mmproj)


def test_the_real_shape(nemovision: ModelCard) -> None:
    assert nemovision.parameters == pytest.approx(4.19e9, rel=0.01)
    assert nemovision.projector is not None
    assert nemovision.projector.image_tokens == 576
    assert nemovision.projector.file_bytes == pytest.approx(0.61e9, rel=0.05)
    assert nemovision.file_bytes == pytest.approx(2.36e9, rel=0.01)


@pytest.mark.parametrize(("kind", "mib"), [(KvType.F16, 512), (KvType.Q8_0, 272)])
def test_kv_cache(nemovision: ModelCard, kind: KvType, mib: int) -> None:
    assert estimate_memory(nemovision, EngineSettings(kv_type=kind)).kv_cache == mib * MIB


@pytest.mark.parametrize(
    ("settings", "measured"),
    [
        (EngineSettings(mmap=True, kv_type=KvType.F16, flash_attention=False), 5.39e9),
        (EngineSettings(mmap=True), 5.14e9),
        (EngineSettings(kv_type=KvType.F16), 3.58e9),
        (EngineSettings(), 3.33e9),
    ],
)
def test_resident_memory_as_measured_on_two_cores(nemovision: ModelCard, settings: EngineSettings, measured: float) -> None:
    """The figures of a worker with random weights of this shape, llama-cpp-python 0.3.36, after short prompts: an estimate is not below."""
    assert measured * 0.99 < estimate_memory(nemovision, settings).total < measured * 1.08


def test_the_window_counts_as_far_as_the_file_allows(nemovision: ModelCard) -> None:
    full = estimate_memory(nemovision, EngineSettings()).kv_cache
    assert estimate_memory(nemovision, EngineSettings(context_length=0)).kv_cache == full
    assert estimate_memory(nemovision, EngineSettings(context_length=100_000)).kv_cache == full
    assert estimate_memory(nemovision, EngineSettings(context_length=2048)).kv_cache == full // 2
    assert estimate_memory(nemovision, EngineSettings(context_length=2000)).kv_cache == full // 2


def test_layers_on_a_gpu_are_not_held_twice(nemovision: ModelCard) -> None:
    none = estimate_memory(nemovision, EngineSettings(mmap=True)).repacked
    assert estimate_memory(nemovision, EngineSettings(gpu_layers=-1)).repacked == 0
    assert estimate_memory(nemovision, EngineSettings(gpu_layers=33)).repacked == 0
    assert 0 < estimate_memory(nemovision, EngineSettings(gpu_layers=16)).repacked < none
    assert estimate_memory(nemovision, EngineSettings(gpu_layers=16, mmap=False)).repacked == 0


def test_total_is_the_sum_of_the_parts(nemovision: ModelCard) -> None:
    estimate = estimate_memory(nemovision, EngineSettings())
    parts = [getattr(estimate, name) for name in estimate.__struct_fields__]
    assert estimate.total == sum(parts)
    assert all(part > 0 for name, part in zip(estimate.__struct_fields__, parts, strict=True) if name != "repacked")
