from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from nemochat.models import (
    ModelCard,
    estimate_memory,
    fit_layers,
    inspect,
    memory_by_device,
    memory_on_cpu,
    memory_on_gpu,
    memory_warning,
    what_would_fit,
)
from nemochat.settings import EngineSettings, KvType
from tests.models import raw_gguf as raw

MIB = 1024 * 1024
BARE = EngineSettings(batch=512, spare_tokens=0)
"""Nothing beside the window, as it was when these figures were measured."""


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
    assert estimate_memory(nemovision, EngineSettings(kv_type=kind, spare_tokens=0)).kv_cache == mib * MIB


def test_the_spare_room_is_part_of_the_kv_cache(nemovision: ModelCard) -> None:
    bare = estimate_memory(nemovision, BARE).kv_cache
    assert estimate_memory(nemovision, EngineSettings(spare_tokens=1536)).kv_cache - bare == pytest.approx(104e6, rel=0.03)
    assert estimate_memory(nemovision, EngineSettings(spare_tokens=1)).kv_cache - bare == bare * 256 // 4096


def test_there_is_room_for_the_distributions_of_eight_tokens(nemovision: ModelCard) -> None:
    found = estimate_memory(nemovision, EngineSettings(batch=8)).compute - estimate_memory(nemovision, EngineSettings(batch=4)).compute
    assert found == 4 * 4 * (2 * 256_000 + 3 * 3072 + 2 * 9216)


@pytest.mark.parametrize(
    ("settings", "measured"),
    [
        (replace(BARE, mmap=True, kv_type=KvType.F16, flash_attention=False), 5.39e9),
        (replace(BARE, mmap=True), 5.14e9),
        (replace(BARE, kv_type=KvType.F16), 3.58e9),
        (BARE, 3.33e9),
        (EngineSettings(), 3.43e9),
    ],
)
def test_resident_memory_as_measured_on_two_cores(nemovision: ModelCard, settings: EngineSettings, measured: float) -> None:
    """The figures of a worker with random weights of this shape, llama-cpp-python 0.3.36, after short prompts: an estimate is not below."""
    assert measured * 0.99 < estimate_memory(nemovision, settings).total < measured * 1.085


def test_the_window_counts_as_far_as_the_file_allows(nemovision: ModelCard) -> None:
    full = estimate_memory(nemovision, BARE).kv_cache
    assert estimate_memory(nemovision, replace(BARE, context_length=0)).kv_cache == full
    assert estimate_memory(nemovision, replace(BARE, context_length=100_000)).kv_cache == full
    assert estimate_memory(nemovision, replace(BARE, context_length=2048)).kv_cache == full // 2
    assert estimate_memory(nemovision, replace(BARE, context_length=2000)).kv_cache == full // 2


def test_the_card_holds(nemovision: ModelCard) -> None:
    """3.5 GB at 4096 tokens with a picture, as the defaults are."""
    assert estimate_memory(nemovision, EngineSettings()).total <= 3.5e9


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


def test_what_stays_in_the_machines_own_memory(nemovision: ModelCard) -> None:
    total = estimate_memory(nemovision, EngineSettings()).total
    assert memory_on_cpu(nemovision, EngineSettings()) == total
    half, none = (memory_on_cpu(nemovision, EngineSettings(gpu_layers=layers)) for layers in (16, -1))
    embeddings = 256_000 * 3072 * 18 // 32
    assert embeddings < none < half < total
    assert memory_on_cpu(nemovision, EngineSettings(gpu_layers=33)) == none


def test_both_sides_are_the_whole_with_working_buffers_on_each(nemovision: ModelCard) -> None:
    settings = EngineSettings(gpu_layers=16)
    whole = estimate_memory(nemovision, settings)
    assert memory_on_cpu(nemovision, settings) + memory_on_gpu(nemovision, settings) == whole.total + whole.compute
    assert memory_on_gpu(nemovision, EngineSettings()) == 0


def test_each_device_gets_its_part_and_all_parts_are_the_whole(nemovision: ModelCard) -> None:
    """As llama.cpp shares them: the first layers to the first device, the output matrix as the last layer, the projector to the first."""
    assert nemovision.projector is not None
    settings = EngineSettings(gpu_layers=-1)
    whole = estimate_memory(nemovision, settings)
    own, first, second = memory_by_device(nemovision, settings, (3, 1))
    assert (own.weights, own.kv_cache, own.projector) == (nemovision.embedding_bytes, 0, 0)
    assert first.weights + second.weights == pytest.approx(whole.weights - nemovision.embedding_bytes, abs=2)
    assert first.kv_cache + second.kv_cache == whole.kv_cache
    assert first.kv_cache == whole.kv_cache * 25 // 32, "24.75 of 33 layers"
    assert second.weights > nemovision.output_bytes
    assert (first.projector, second.projector) == (nemovision.projector.weights_bytes, 0)
    assert (first.process, first.repacked, own.process) == (0, 0, whole.process)
    assert first.compute > second.compute > 0, "pictures are encoded on the first"


def test_the_last_layer_on_a_device_is_the_output_matrix(nemovision: ModelCard) -> None:
    own, only = memory_by_device(nemovision, EngineSettings(gpu_layers=1))
    assert (only.weights, only.kv_cache) == (nemovision.output_bytes, 0)
    assert own.weights + only.weights == estimate_memory(nemovision, EngineSettings(gpu_layers=1)).weights


def test_a_device_that_gets_no_layer_needs_nothing_for_text(nemovision: ModelCard) -> None:
    _, none, everything = memory_by_device(nemovision, EngineSettings(gpu_layers=-1), (0, 1))
    assert (none.weights, none.kv_cache) == (0, 0)
    assert none.projector > 0
    assert everything.kv_cache == estimate_memory(nemovision, EngineSettings(gpu_layers=-1)).kv_cache


def test_layers_are_fewer_where_one_of_two_devices_is_small(nemovision: ModelCard) -> None:
    even, uneven = replace(EngineSettings(), tensor_split=(1.0, 1.0)), replace(EngineSettings(), tensor_split=(5.0, 1.0))
    free = (4_000_000_000, 1_000_000_000)
    assert fit_layers(nemovision, uneven, free) > fit_layers(nemovision, even, free) > 0


@pytest.mark.parametrize(
    ("settings", "available", "free", "says"),
    [
        (EngineSettings(gpu_layers=-1), 8.0, (3.0,), "It would fit with gpu_layers = 28, or choose a smaller model"),
        (EngineSettings(gpu_layers=-1), 8.0, (0.3,), "It would fit with gpu_layers = 0, or choose"),
        (EngineSettings(gpu_layers=20), 8.0, (8.0,), "By the estimate it fits: close other programs, lift a limit on memory, or choose"),
        (EngineSettings(gpu_layers=0), 16.0, (), "By the estimate it fits"),
        (
            EngineSettings(gpu_layers=0, kv_type=KvType.F16),
            3.55,
            (),
            'It would fit with kv_type = "q8_0", or with context_length = 2048, or choose a smaller model or a smaller quantisation of it.',
        ),
        (EngineSettings(gpu_layers=0, kv_type=KvType.F16, flash_attention=False), 3.34, (), "together, or choose"),
        (EngineSettings(gpu_layers=0), 3.43, (), "It would fit with spare_tokens = 0, or with context_length = 2048, or choose"),
        (EngineSettings(gpu_layers=0), 2.0, (), "It needs about 3.46 GB, and no setting makes it fit: choose a smaller model"),
    ],
)
def test_what_would_fit(nemovision: ModelCard, settings: EngineSettings, available: float, free: tuple[float, ...], says: str) -> None:
    assert says in what_would_fit(nemovision, settings, int(available * 1e9), [int(each * 1e9) for each in free])


def test_what_is_said_to_fit_does(nemovision: ModelCard) -> None:
    """Every way by itself, over the whole range of what there may be."""
    for tenths in range(5, 40):
        free = (tenths * 100_000_000,)
        told = what_would_fit(nemovision, EngineSettings(gpu_layers=-1), 8_000_000_000, free)
        if "gpu_layers = " in told:
            layers = int(told.partition("gpu_layers = ")[2].partition(",")[0])
            assert memory_on_gpu(nemovision, EngineSettings(gpu_layers=layers)) < free[0]


def test_a_device_with_the_machines_memory_is_part_of_it(nemovision: ModelCard) -> None:
    settings = EngineSettings(gpu_layers=-1)
    assert "no setting makes it fit" in what_would_fit(nemovision, settings, 2_000_000_000, (8_000_000_000,), is_shared=True)


@pytest.mark.parametrize(
    ("free", "least", "most"),
    [((), 0, 0), ((500_000_000,), 0, 0), ((2_500_000_000,), 5, 31), ((1_500_000_000, 1_500_000_000), 5, 31), ((8_000_000_000,), -1, -1)],
)
def test_as_many_layers_as_fit_into_what_devices_have_free(nemovision: ModelCard, free: tuple[int, ...], least: int, most: int) -> None:
    settings = EngineSettings()
    layers = fit_layers(nemovision, settings, free)
    assert least <= layers <= most
    if layers > 0:
        assert memory_on_gpu(nemovision, replace(settings, gpu_layers=layers)) < sum(free)
        assert layers <= fit_layers(nemovision, replace(settings, context_length=1024), free)


def test_no_warning_where_it_fits(nemovision: ModelCard) -> None:
    needs = estimate_memory(nemovision, EngineSettings()).total
    assert memory_warning("vision", nemovision, EngineSettings(), needs) is None
    assert memory_warning("vision", nemovision, EngineSettings(), needs - 1) is not None


def test_a_warning_names_both_figures_and_what_saves_how_much(nemovision: ModelCard) -> None:
    assert memory_warning("vision", nemovision, EngineSettings(), 2_100_000_000) == (
        "vision will need about 3.46 GB of memory and 2.10 GB are available: it may be ended by the system or make the machine slow. "
        "Less is needed with spare_tokens = 0 (saves 0.04 GB), context_length = 2048 (saves 0.14 GB) or a smaller quantisation of the "
        "model."
    )
    greedy = EngineSettings(mmap=True, kv_type=KvType.F16, flash_attention=False)
    told = memory_warning("vision", nemovision, greedy, 2_100_000_000) or ""
    assert "mmap = false (saves 1.91 GB)" in told
    assert 'kv_type = "q8_0" with flash_attention (saves' in told
    bare = memory_warning("vision", nemovision, replace(BARE, context_length=1024), 2_100_000_000) or ""
    assert bare.endswith("Less is needed with a smaller quantisation of the model.")


def test_layers_on_a_gpu_need_less_here_unless_it_shares_the_memory(nemovision: ModelCard) -> None:
    on_gpu = EngineSettings(gpu_layers=-1)
    assert memory_warning("vision", nemovision, on_gpu, 1_000_000_000) is None
    assert memory_warning("vision", nemovision, on_gpu, 1_000_000_000, is_shared=True) is not None


def test_pictures_of_dynamic_resolution_count_by_their_tokens(tmp_path: Path) -> None:
    vision = {"image": 560, "patch": 14, "width": 1280, "ffn": 5120}
    model = raw.write_model(tmp_path / "m.gguf")
    for kind, ffns, mask in (("qwen2vl_merger", 1.5, 0), ("qwen2.5vl_merger", 2, 6)):
        metadata = raw.clip_metadata(**vision, heads=16) | {"clip.projector_type": (raw.STRING, kind)}
        card = inspect(model, raw.write(tmp_path / "p.gguf", metadata, raw.clip_tensors(**vision)))
        text = estimate_memory(replace(card, projector=None), BARE).compute
        for tokens in (256, 1024):
            patches = tokens * 4
            expected = 40_000_000 + 4 * patches * (3 * 1280 + ffns * 5120) + mask * patches * patches
            assert estimate_memory(card, BARE, tokens).compute - text == expected
        assert estimate_memory(card, BARE).compute > estimate_memory(card, BARE, 1024).compute


def test_a_picture_that_is_read_at_once_makes_the_batch_larger(tmp_path: Path) -> None:
    metadata = raw.clip_metadata(image=896) | {"clip.projector_type": (raw.STRING, "gemma3")}
    card = inspect(raw.write_model(tmp_path / "m.gguf"), raw.write(tmp_path / "p.gguf", metadata, raw.clip_tensors(image=896)))
    small, large = (estimate_memory(card, replace(BARE, batch=batch)).compute for batch in (64, 256))
    assert small == large < estimate_memory(card, BARE).compute
