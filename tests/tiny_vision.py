"""Writes small projectors of other kinds than CLIP's, with random weights: Gemma 3's (a picture is read in both directions) and Qwen2-VL's
(dynamic resolution, positions in two dimensions), and a small language model of Qwen2-VL's kind."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.tiny_gguf import Array, _add_vocabulary, _finish, _normal, vocabulary

PATCH = 14
_WIDTH, _FFN = 32, 48


def write_gemma_projector(path: Path, *, text_width: int = 64, image_size: int = 112, merge: int = 1, seed: int = 3) -> Path:
    """Gemma 3's: (image_size / 14 / merge) squared tokens a picture, which attend to one another."""
    writer = _clip_writer(path, "gemma3", image_size, text_width)
    writer.add_uint32("clip.vision.projector.scale_factor", merge)
    random = np.random.default_rng(seed)
    tensors = {
        "v.patch_embd.weight": _normal(random, _WIDTH, 3, PATCH, PATCH) * np.float32(0.2),
        "v.patch_embd.bias": np.zeros(_WIDTH, np.float32),
        "v.position_embd.weight": _normal(random, (image_size // PATCH) ** 2, _WIDTH),
        **_block(random),
        "mm.soft_emb_norm.weight": np.ones(_WIDTH, np.float32),
        "mm.input_projection.weight": _normal(random, _WIDTH, text_width),
    }
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    return _finish(writer, path)


def write_qwen_projector(
    path: Path, *, text_width: int = 64, width: int = _WIDTH, ffn: int = _FFN, heads: int = 2, seed: int = 4
) -> Path:
    """Qwen2-VL's: a token for each 28 x 28 pixels, from 8 to 4096 a picture."""
    writer = _clip_writer(path, "qwen2vl_merger", 560, text_width, width, ffn, heads)
    random = np.random.default_rng(seed)
    tensors = {
        "v.patch_embd.weight": _normal(random, width, 3, PATCH, PATCH) * np.float32(0.2),
        "v.patch_embd.weight.1": _normal(random, width, 3, PATCH, PATCH) * np.float32(0.2),
        **_block(random, width, ffn),
        "mm.0.weight": _normal(random, 4 * width, 4 * width) * np.float32(0.2),
        "mm.0.bias": np.zeros(4 * width, np.float32),
        "mm.2.weight": _normal(random, text_width, 4 * width) * np.float32(0.3),
        "mm.2.bias": np.zeros(text_width, np.float32),
    }
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    return _finish(writer, path)


def write_qwen_model(path: Path, *, seed: int = 5, context: int = 1024) -> Path:
    """A language model that counts the positions of pictures in two dimensions (M-RoPE); random weights, vocabulary of `tiny_gguf`."""
    width, ffn, heads = 64, 96, 2
    writer = gguf.GGUFWriter(path, "qwen2vl")
    writer.add_name("tiny qwen")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_sections([4, 6, 6, 0])
    _add_vocabulary(writer, space_prefix=False, bos=False)
    random = np.random.default_rng(seed)
    tokens = len(vocabulary())
    shapes = {"attn_q": (width, width), "attn_k": (width, width), "attn_v": (width, width), "attn_output": (width, width)}
    shapes |= {"ffn_gate": (ffn, width), "ffn_up": (ffn, width), "ffn_down": (width, ffn)}
    tensors: dict[str, Array] = {
        "token_embd.weight": _normal(random, tokens, width),
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": _normal(random, tokens, width),
        **{f"blk.0.{norm}.weight": np.ones(width, np.float32) for norm in ("attn_norm", "ffn_norm")},
        **{f"blk.0.{name}.weight": _normal(random, *shape) * np.float32(0.3) for name, shape in shapes.items()},
        **{f"blk.0.attn_{name}.bias": np.zeros(width, np.float32) for name in "qkv"},
    }
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    return _finish(writer, path)


def _clip_writer(
    path: Path, kind: str, image_size: int, text_width: int, width: int = _WIDTH, ffn: int = _FFN, heads: int = 2
) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_clip_has_vision_encoder(True)
    writer.add_string("clip.projector_type", kind)
    writer.add_bool("clip.use_gelu", True)
    figures = {"image_size": image_size, "patch_size": PATCH, "embedding_length": width, "feed_forward_length": ffn}
    figures |= {"projection_dim": text_width, "block_count": 1, "attention.head_count": heads}
    for key, value in figures.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    return writer


def _block(random: np.random.Generator, width: int = _WIDTH, ffn: int = _FFN) -> dict[str, Array]:
    """One layer of the encoder and the norm behind it."""
    tensors: dict[str, Array] = {}
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        tensors[f"v.blk.0.{name}.weight"] = _normal(random, width, width) * np.float32(0.3)
        tensors[f"v.blk.0.{name}.bias"] = np.zeros(width, np.float32)
    for name in ("v.blk.0.ln1", "v.blk.0.ln2", "v.post_ln"):
        tensors[f"{name}.weight"] = np.ones(width, np.float32)
        tensors[f"{name}.bias"] = np.zeros(width, np.float32)
    tensors["v.blk.0.ffn_up.weight"] = _normal(random, ffn, width) * np.float32(0.3)
    tensors["v.blk.0.ffn_up.bias"] = np.zeros(ffn, np.float32)
    tensors["v.blk.0.ffn_down.weight"] = _normal(random, width, ffn) * np.float32(0.3)
    tensors["v.blk.0.ffn_down.bias"] = np.zeros(width, np.float32)
    return tensors
