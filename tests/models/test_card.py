from __future__ import annotations

from pathlib import Path

import pytest

from nemochat.errors import ModelFileError
from nemochat.models import inspect
from nemochat.models.catalogue import DEMO
from tests.models import raw_gguf as raw
from tests.tiny_gguf import IMAGE_SIZE, IMAGE_TOKENS, vocabulary, write_language_model, write_projector


def test_a_pair_that_llama_cpp_loads(tmp_path: Path) -> None:
    model, mmproj = write_language_model(tmp_path / "m.gguf"), write_projector(tmp_path / "p.gguf")
    card = inspect(model, mmproj)
    assert (card.architecture, card.name, card.quantisation) == ("nemotron", "tiny", "F32")
    assert (card.width, card.layers, card.heads, card.kv_heads, card.ffn_width) == (64, 2, 2, 1, 96)
    assert (card.context_length, card.vocab_size, card.kv_values) == (1024, len(vocabulary()), 2 * 1 * (32 + 32))
    assert (card.has_chat_template, card.licence, card.tied_bytes) == (False, "", 0)
    assert card.parameters == card.weights_bytes // 4
    assert card.projector is not None
    assert (card.projector.kind, card.projector.image_size, card.projector.image_tokens) == ("mlp", IMAGE_SIZE, IMAGE_TOKENS)
    assert card.projector.is_fixed_size
    assert card.size_on_disk == model.stat().st_size + mmproj.stat().st_size


def test_the_demo_pair() -> None:
    files = DEMO.files
    card = inspect(files.model_path, files.mmproj_path)
    assert card.architecture == "nemotron"
    assert card.has_chat_template
    assert card.licence
    assert card.projector is not None
    assert card.projector.is_fixed_size
    assert card.size_on_disk <= 12 * 1024 * 1024


def test_a_model_alone(tmp_path: Path) -> None:
    card = inspect(raw.write_model(tmp_path / "m.gguf"))
    assert (card.name, card.licence, card.has_chat_template, card.projector) == ("Raw Model", "apache-2.0", True, None)


@pytest.mark.parametrize(
    ("file_type", "kind", "expected"), [(2, "Q4_0", "Q4_0"), (15, "Q4_K", "Q4_K_M"), (None, "Q8_0", "Q8_0"), (0, "F16", "F16")]
)
def test_quantisation(tmp_path: Path, file_type: int | None, kind: str, expected: str) -> None:
    sizes = {"width": 256, "ffn": 512}
    metadata = raw.text_metadata(**sizes)
    if file_type is not None:
        metadata["general.file_type"] = (raw.U32, file_type)
    assert inspect(raw.write(tmp_path / "m.gguf", metadata, raw.text_tensors(**sizes, kind=kind))).quantisation == expected


def test_a_file_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    metadata = raw.text_metadata()
    del metadata["general.name"]
    assert inspect(raw.write(tmp_path / "my model.gguf", metadata, raw.text_tensors())).name == "my model"


def other_architecture(**changes: raw.Typed) -> dict[str, raw.Typed]:
    return {key.replace("nemotron.", "llama."): value for key, value in raw.text_metadata().items()} | {
        "general.architecture": (raw.STRING, "llama"),
        **changes,
    }


def test_other_architectures_need_only_what_all_have(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in raw.text_tensors().items() if not name.endswith("bias") and name != "output.weight"}
    card = inspect(raw.write(tmp_path / "m.gguf", other_architecture(), tensors))
    assert card.architecture == "llama"
    assert card.tied_bytes == 64 * 100 * 2


def test_figures_per_layer_and_recurrent_models(tmp_path: Path) -> None:
    metadata = other_architecture() | {"llama.attention.head_count_kv": (raw.ARRAY, (raw.I32, (2, 0)))}
    card = inspect(raw.write(tmp_path / "m.gguf", metadata, raw.text_tensors()))
    assert (card.kv_heads, card.kv_values) == (2, 2 * 64)
    metadata = {key: value for key, value in other_architecture().items() if "attention" not in key}
    assert inspect(raw.write(tmp_path / "r.gguf", metadata, raw.text_tensors())).kv_values == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"general.architecture": (raw.STRING, "")}, "does not say what kind of model"),
        ({"general.architecture": (raw.STRING, "x" * 10_000)}, "does not say what kind of model"),
        ({"general.architecture": (raw.STRING, "bert")}, "is a bert file, which does not write text"),
        ({"general.type": (raw.STRING, "adapter")}, "does not write text"),
        ({"split.count": (raw.U32, 3)}, "is one of 3 parts"),
        ({"tokenizer.ggml.model": (raw.STRING, "t5")}, "cannot give text back as it was"),
        ({"tokenizer.ggml.model": (raw.STRING, "no_vocab")}, "has no tokenizer"),
        ({"tokenizer.ggml.tokens": (raw.STRING, "x")}, "has no vocabulary"),
        ({"tokenizer.ggml.tokens": (raw.ARRAY, (raw.STRING, ("a", "b")))}, "token_embd.weight of 64 x 100 instead of 64 x 2"),
        ({"nemotron.block_count": (raw.U32, 0)}, "says that nemotron.block_count is 0"),
        ({"nemotron.block_count": (raw.U32, 3)}, "lacks the tensors of its layer 2"),
        ({"nemotron.block_count": (raw.STRING, "2")}, "lacks the metadata nemotron.block_count"),
        ({"nemotron.embedding_length": (raw.U32, 128)}, "token_embd.weight of 64 x 100 instead of 128 x 100"),
        ({"nemotron.attention.head_count": (raw.U32, 0)}, "head_count is 0"),
        ({"nemotron.attention.head_count": (raw.U32, 3)}, "do not go together"),
        ({"nemotron.attention.head_count_kv": (raw.U32, 0)}, "head_count_kv is 0"),
        ({"nemotron.attention.head_count_kv": (raw.U32, 2)}, "blk.0.attn_k.weight of 64 x 32 instead of 64 x 64"),
        ({"nemotron.rope.dimension_count": (raw.U32, 64)}, "do not go together"),
        ({"nemotron.attention.layer_norm_epsilon": (raw.STRING, "x")}, "lacks the metadata nemotron.attention.layer_norm_epsilon"),
        ({"nemotron.attention.layer_norm_epsilon": (raw.F32, -1e-5)}, "layer_norm_epsilon is -1e-05"),
        ({"nemotron.attention.layer_norm_epsilon": (raw.F32, float("nan"))}, "layer_norm_epsilon is nan"),
        ({"tokenizer.ggml.tokens": (raw.ARRAY, (raw.STRING, (*map(str, range(99)), "5")))}, "a token comes twice"),
        ({"tokenizer.ggml.tokens": (raw.ARRAY, (raw.STRING, (*map(str, range(99)), "5\0x")))}, "a token comes twice"),
        ({"nemotron.feed_forward_length": (raw.U32, 97)}, "blk.0.ffn_up.weight of 64 x 96 instead of 64 x 97"),
        ({"nemotron.context_length": (raw.U32, 0)}, "context_length is 0"),
    ],
)
def test_bad_metadata(tmp_path: Path, changes: dict[str, raw.Typed], words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        inspect(raw.write_model(tmp_path / "m.gguf", changes))
    assert words in caught.value.message
    assert caught.value.hint


REQUIRED = [name for name in raw.text_tensors() if not name.startswith("blk.0.")]


@pytest.mark.parametrize("name", REQUIRED)
def test_each_tensor_of_a_nemotron_is_needed(tmp_path: Path, name: str) -> None:
    tensors = raw.text_tensors()
    del tensors[name]
    with pytest.raises(ModelFileError, match=f"lacks the tensor {name}"):
        inspect(raw.write(tmp_path / "m.gguf", raw.text_metadata(), tensors))


def test_tokens_without_text_may_repeat(tmp_path: Path) -> None:
    """llama.cpp gives them names of their own."""
    tokens = (*map(str, range(98)), "", "\0")
    assert inspect(raw.write_model(tmp_path / "m.gguf", {"tokenizer.ggml.tokens": (raw.ARRAY, (raw.STRING, tokens))})).vocab_size == 100


def test_the_two_files_swapped(tmp_path: Path) -> None:
    model, mmproj = raw.write_model(tmp_path / "m.gguf"), raw.write_mmproj(tmp_path / "p.gguf")
    with pytest.raises(ModelFileError, match="is a projector for pictures, not a language model"):
        inspect(mmproj, model)
    with pytest.raises(ModelFileError, match="is a nemotron model, not a projector"):
        inspect(model, model)


def test_a_projector_for_another_width(tmp_path: Path) -> None:
    model, mmproj = raw.write_model(tmp_path / "m.gguf"), raw.write_mmproj(tmp_path / "p.gguf", text_width=96)
    with pytest.raises(ModelFileError, match="language model of width 96, but this one has width 64"):
        inspect(model, mmproj)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clip.has_vision_encoder": (raw.BOOL, False)}, "without a vision encoder"),
        ({"clip.projector_type": (raw.STRING, "mlp_downsample")}, "projector of type mlp_downsample, which llama.cpp cannot run"),
        ({"clip.projector_type": (raw.STRING, "\x1b[2Jx")}, "projector of type [2Jx"),
        ({"clip.vision.image_size": (raw.U32, 42)}, "v.position_embd.weight of 32 x 5 instead of 32 x 10"),
        ({"clip.vision.image_size": (raw.U32, 30)}, "do not divide its image size 30"),
        ({"clip.vision.patch_size": (raw.U32, 0)}, "patch_size is 0"),
        ({"clip.vision.patch_size": (raw.U32, 29)}, "patch_size is 29"),
        ({"clip.vision.block_count": (raw.U32, 2)}, "lacks the tensor v.blk.1.attn_q.weight and"),
        ({"clip.vision.attention.layer_norm_epsilon": (raw.F32, -1.0)}, "layer_norm_epsilon is -1"),
        ({"clip.vision.attention.head_count": (raw.U32, 5)}, "width 32 with 5 heads"),
        ({"clip.vision.image_mean": (raw.ARRAY, (raw.F32, (0.5,)))}, "three values of clip.vision.image_mean"),
        ({"clip.vision.feature_layer": (raw.ARRAY, (raw.I32, (2,)))}, "from a layer that it does not have"),
        ({"clip.vision.feature_layer": (raw.ARRAY, (raw.I32, (0, 1)))}, "layers do not fit together"),
    ],
)
def test_bad_projectors(tmp_path: Path, changes: dict[str, raw.Typed], words: str) -> None:
    mmproj = raw.write(tmp_path / "p.gguf", raw.clip_metadata() | changes, raw.clip_tensors())
    with pytest.raises(ModelFileError) as caught:
        inspect(raw.write_model(tmp_path / "m.gguf"), mmproj)
    assert words in caught.value.message
    assert caught.value.hint


OPTIONAL = {"v.class_embd"} | {f"v.blk.0.{name}.bias" for name in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down")}
NEEDED = [name for name in raw.clip_tensors() if name not in OPTIONAL]


@pytest.mark.parametrize("name", NEEDED)
def test_each_tensor_of_a_projector_is_needed(tmp_path: Path, name: str) -> None:
    """Some of them end llama.cpp with SIGSEGV when they are missing."""
    tensors = raw.clip_tensors()
    del tensors[name]
    with pytest.raises(ModelFileError, match=f"lacks the tensor {name}"):
        inspect(raw.write_model(tmp_path / "m.gguf"), raw.write(tmp_path / "p.gguf", raw.clip_metadata(), tensors))


def yi_tensors() -> raw.Tensors:
    """A second layer under another name, and a norm behind each."""
    tensors = {name.replace("mm.2.", "mm.3."): tensor for name, tensor in raw.clip_tensors().items()}
    return tensors | {f"mm.{layer}.{part}": ((64,), "F32") for layer in (1, 4) for part in ("weight", "bias")}


def test_a_projector_with_norms_between_its_layers(tmp_path: Path) -> None:
    model = raw.write_model(tmp_path / "m.gguf")
    card = inspect(model, raw.write(tmp_path / "yi.gguf", raw.clip_metadata(), yi_tensors()))
    assert card.projector is not None
    assert card.projector.image_tokens == 4
    for name in ("mm.1.weight", "mm.3.bias", "mm.4.bias", "mm.0.weight"):
        tensors = yi_tensors()
        del tensors[name]
        with pytest.raises(ModelFileError, match=f"lacks the tensor {name}"):
            inspect(model, raw.write(tmp_path / "cut.gguf", raw.clip_metadata(), tensors))


@pytest.mark.parametrize(
    ("kind", "said", "tokens", "of_64", "least_batch"),
    [
        ("gemma3", {}, 256, 256, 256),
        ("gemma3", {"projector.scale_factor": 8}, 64, 64, 64),
        ("gemma4v", {}, 1120, 70, 1120),
        ("deepseek4v", {"projector.scale_factor": 2}, 384, 64, 384),
        ("qwen2vl_merger", {}, 4096, 64, 1),
        ("pixtral", {"spatial_merge_size": 2}, 1024, 64, 1),
        ("hunyuanvl", {}, 16_384, 256, 1),
        ("internvl", {"projector.scale_factor": 2}, 1024, 1024, 1),
    ],
)
def test_what_a_picture_may_take(tmp_path: Path, kind: str, said: dict[str, int], tokens: int, of_64: int, least_batch: int) -> None:
    metadata = raw.clip_metadata(image=896) | {f"clip.vision.{key}": (raw.U32, value) for key, value in said.items()}
    metadata["clip.projector_type"] = (raw.STRING, kind)
    mmproj = raw.write(tmp_path / "p.gguf", metadata, raw.clip_tensors())
    projector = inspect(raw.write_model(tmp_path / "m.gguf"), mmproj).projector
    assert projector is not None
    assert (projector.tokens(), projector.tokens(64), projector.least_batch()) == (tokens, of_64, least_batch)
    assert projector.budget(64) in (0, of_64)
    assert projector.budget(0) == 0


def test_image_tokens_are_known_only_for_one_fixed_square(tmp_path: Path) -> None:
    model = raw.write_model(tmp_path / "m.gguf")
    tiled = raw.clip_metadata() | {"clip.vision.mm_patch_merge_type": (raw.STRING, "spatial_unpad")}
    other = raw.clip_metadata() | {"clip.projector_type": (raw.STRING, "pixtral")}
    for name, metadata in {"tiled": tiled, "other": other}.items():
        projector = inspect(model, raw.write(tmp_path / f"{name}.gguf", metadata, raw.clip_tensors())).projector
        assert projector is not None
        assert (projector.image_tokens, projector.is_fixed_size) == (None, False)
