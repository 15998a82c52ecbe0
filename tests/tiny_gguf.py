"""Writes small GGUF pairs of the real architecture (nemotron and a CLIP tower with an mlp projector) for the tests. No trained weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

CONTROL_TOKENS = (
    "<s>", "</s>", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>",
    "<tool>", "</tool>", "<toolcall>", "</toolcall>", "<context>", "</context>",
)  # fmt: skip
USER_DEFINED_TOKENS = ("<note>",)
WORDS = ("he", "ll", "hell", "hello", "th", "the", "an", "and", "re", "red", "ed", "</", "s>", "Us", "er", "User", "▁the", "▁a", "▁and")
"""Pieces that merging can arrive at. ``</`` and ``s>`` are there to lead plain text astray, to the control token ``</s>``."""
IMAGE_SIZE = 28
IMAGE_TOKENS = 4
_WIDTH = 64
_VISION_WIDTH = 32
_LAYERS = 2


def vocabulary() -> list[tuple[str, float, gguf.TokenType]]:
    """Names, scores and types, in the order of the ids."""
    tokens = [("<unk>", 0.0, gguf.TokenType.UNKNOWN)]
    tokens += [(name, 0.0, gguf.TokenType.CONTROL) for name in CONTROL_TOKENS]
    tokens += [(name, 0.0, gguf.TokenType.USER_DEFINED) for name in USER_DEFINED_TOKENS]
    tokens += [(f"<0x{byte:02X}>", 0.0, gguf.TokenType.BYTE) for byte in range(256)]
    letters = ["▁", *(chr(code) for code in range(0x21, 0x7F))]
    names = [*letters, *WORDS]
    return tokens + [(name, -1.0 - index / 100, gguf.TokenType.NORMAL) for index, name in enumerate(names)]


def token_ids() -> dict[str, int]:
    """The id of each name."""
    return {name: index for index, (name, _, _) in enumerate(vocabulary())}


def write_language_model(
    path: Path,
    *,
    seed: int = 1,
    heads: int = 2,
    context: int = 1024,
    script: Sequence[str] = (),
    space_prefix: bool = False,
    bos: bool = False,
    name: str = "tiny",
    template: str = "",
) -> Path:
    """A nemotron GGUF. With a `script` of distinct token names, greedy replies after a newline are exactly that sequence; without
    one the weights are random, replies depend on everything before them, and hold neither control tokens nor white space.
    """
    writer = gguf.GGUFWriter(path, "nemotron")
    writer.add_name(name)
    if template:
        writer.add_chat_template(template)
    writer.add_context_length(context)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(96)
    writer.add_head_count(heads)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // heads // 2)
    writer.add_rope_freq_base(10000.0)
    _add_vocabulary(writer, space_prefix=space_prefix, bos=bos)
    random = np.random.default_rng(seed)
    for tensor, array in _language_tensors(random, heads, script).items():
        writer.add_tensor(tensor, array)
    return _finish(writer, path)


def write_recurrent_model(path: Path, *, seed: int = 6) -> Path:
    """A mamba GGUF with random weights: a state that cannot be taken back."""
    inner, state, rank, conv = 2 * _WIDTH, 4, 4, 4
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_name("tiny mamba")
    writer.add_context_length(1024)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_ssm_conv_kernel(conv)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    _add_vocabulary(writer, space_prefix=False, bos=False)
    random = np.random.default_rng(seed)
    shapes = {"ssm_in": (2 * inner, _WIDTH), "ssm_conv1d": (inner, conv), "ssm_x": (rank + 2 * state, inner), "ssm_dt": (inner, rank)}
    tensors = {f"blk.0.{name}.weight": _normal(random, *shape) * np.float32(0.3) for name, shape in shapes.items()}
    tensors |= {f"blk.0.{name}.bias": np.zeros(inner, np.float32) for name in ("ssm_conv1d", "ssm_dt")}
    tensors |= {"blk.0.ssm_a": -np.ones((inner, state), np.float32), "blk.0.ssm_d": np.ones(inner, np.float32)}
    tensors["blk.0.ssm_out.weight"] = _normal(random, _WIDTH, inner) * np.float32(0.3)
    tensors |= {f"{name}.weight": np.ones(_WIDTH, np.float32) for name in ("blk.0.attn_norm", "output_norm")}
    tensors |= {"token_embd.weight": _normal(random, len(vocabulary()), _WIDTH), "output.weight": _random_output(random)}
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    return _finish(writer, path)


def write_projector(path: Path, *, seed: int = 2, width: int = _WIDTH, with_norms: bool = False) -> Path:
    """A CLIP tower and mlp projector onto embeddings of `width`, with random weights. `with_norms`: as Yi-VL's."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_clip_has_vision_encoder(True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", False)
    for key, value in {
        "image_size": IMAGE_SIZE,
        "patch_size": 14,
        "embedding_length": _VISION_WIDTH,
        "feed_forward_length": 48,
        "projection_dim": width,
        "block_count": 1,
        "attention.head_count": 2,
    }.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.25, 0.25, 0.25])
    writer.add_array("clip.vision.feature_layer", [1])
    random = np.random.default_rng(seed)
    for name, array in _vision_tensors(random, width).items():
        writer.add_tensor(name.replace("mm.2.", "mm.3.") if with_norms else name, array)
    for norm in ("mm.1", "mm.4") if with_norms else ():
        writer.add_tensor(f"{norm}.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{norm}.bias", np.zeros(width, np.float32))
    return _finish(writer, path)


def _add_vocabulary(writer: gguf.GGUFWriter, *, space_prefix: bool, bos: bool) -> None:
    names, scores, types = zip(*vocabulary(), strict=True)
    ids = token_ids()
    writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(names))
    writer.add_token_scores(list(scores))
    writer.add_token_types([int(kind) for kind in types])
    writer.add_unk_token_id(ids["<unk>"])
    writer.add_bos_token_id(ids["<s>"])
    writer.add_eos_token_id(ids["</s>"])
    writer.add_add_bos_token(bos)
    writer.add_add_space_prefix(space_prefix)


def _language_tensors(random: np.random.Generator, heads: int, script: Sequence[str]) -> dict[str, Array]:
    vocab = vocabulary()
    embeddings = _normal(random, len(vocab), _WIDTH)
    tensors = {
        "token_embd.weight": embeddings,
        "output_norm.weight": np.ones(_WIDTH, np.float32),
        "output_norm.bias": np.zeros(_WIDTH, np.float32),
        "output.weight": _scripted_output(embeddings, script) if script else _random_output(random),
    }
    # With a script the blocks add nothing, so that the next token depends on the last one alone.
    strength = 0.0 if script else 1.0
    for layer in range(_LAYERS):
        prefix = f"blk.{layer}."
        for norm in ("attn_norm", "ffn_norm"):
            tensors[f"{prefix}{norm}.weight"] = np.ones(_WIDTH, np.float32)
            tensors[f"{prefix}{norm}.bias"] = np.zeros(_WIDTH, np.float32)
        tensors[f"{prefix}attn_q.weight"] = _normal(random, _WIDTH, _WIDTH)
        for name in ("attn_k", "attn_v"):
            tensors[f"{prefix}{name}.weight"] = _normal(random, _WIDTH // heads, _WIDTH)
        tensors[f"{prefix}attn_output.weight"] = _normal(random, _WIDTH, _WIDTH) * np.float32(strength * 0.5)
        tensors[f"{prefix}ffn_up.weight"] = _normal(random, 96, _WIDTH) * np.float32(0.2)
        tensors[f"{prefix}ffn_down.weight"] = _normal(random, _WIDTH, 96) * np.float32(strength * 0.2)
    return tensors


def _random_output(random: np.random.Generator) -> Array:
    """Rows that can win only for visible characters and words."""
    vocab = vocabulary()
    visible = [kind is gguf.TokenType.NORMAL and not name.startswith("▁") for name, _, kind in vocab]
    return _normal(random, len(vocab), _WIDTH) * np.array(visible, np.float32)[:, None]


def _scripted_output(embeddings: Array, script: Sequence[str]) -> Array:
    """The row of each token of the script points where the embedding of the one before it does."""
    ids = token_ids()
    if len(set(script)) != len(script):
        raise ValueError("a token can stand only once in a script")
    output = np.zeros_like(embeddings)
    for before, after in zip(["<0x0A>", *script], script, strict=False):
        output[ids[after]] += embeddings[ids[before]]
    return output


def _vision_tensors(random: np.random.Generator, width: int) -> dict[str, Array]:
    hidden = _VISION_WIDTH
    tensors = {
        "v.class_embd": _normal(random, hidden),
        "v.patch_embd.weight": _normal(random, hidden, 3, 14, 14) * np.float32(0.2),
        "v.position_embd.weight": _normal(random, IMAGE_TOKENS + 1, hidden),
        "v.pre_ln.weight": np.ones(hidden, np.float32),
        "v.pre_ln.bias": np.zeros(hidden, np.float32),
        "mm.0.weight": _normal(random, width, hidden) * np.float32(0.3),
        "mm.0.bias": np.zeros(width, np.float32),
        "mm.2.weight": _normal(random, width, width) * np.float32(0.3),
        "mm.2.bias": np.zeros(width, np.float32),
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        tensors[f"v.blk.0.{name}.weight"] = _normal(random, hidden, hidden) * np.float32(0.3)
        tensors[f"v.blk.0.{name}.bias"] = np.zeros(hidden, np.float32)
    for name in ("ln1", "ln2"):
        tensors[f"v.blk.0.{name}.weight"] = np.ones(hidden, np.float32)
        tensors[f"v.blk.0.{name}.bias"] = np.zeros(hidden, np.float32)
    tensors["v.blk.0.ffn_up.weight"] = _normal(random, 48, hidden) * np.float32(0.3)
    tensors["v.blk.0.ffn_up.bias"] = np.zeros(48, np.float32)
    tensors["v.blk.0.ffn_down.weight"] = _normal(random, hidden, 48) * np.float32(0.3)
    tensors["v.blk.0.ffn_down.bias"] = np.zeros(hidden, np.float32)
    return tensors


def _normal(random: np.random.Generator, *shape: int) -> Array:
    array: Array = random.standard_normal(shape, dtype=np.float32)
    return array


def _finish(writer: gguf.GGUFWriter, path: Path) -> Path:
    steps: list[Callable[[], None]] = [
        writer.write_header_to_file,
        writer.write_kv_data_to_file,
        writer.write_tensors_to_file,
        writer.close,
    ]
    for step in steps:
        step()
    return path
