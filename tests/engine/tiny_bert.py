"""Writes a small GGUF of the kind that embedding models are: a BERT that looks both ways and pools. No trained weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WINDOW = 64
WIDTH = 32
_FEED_FORWARD = 64
_MARKERS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = tuple(f"▁{word}" for word in ("slugs", "eat", "lettuce", "apple", "trees"))
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_bert(path: Path, pooling: gguf.PoolingType | None) -> Path:
    """The model; it does not say how to pool where `pooling` is None."""
    names = [*_MARKERS, *_WORDS, *(f"▁{letter}" for letter in _LETTERS), *_LETTERS]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_vocab_size(len(names))
    writer.add_token_list(names)
    writer.add_token_types([int(gguf.TokenType.CONTROL)] * len(_MARKERS) + [int(gguf.TokenType.NORMAL)] * (len(names) - len(_MARKERS)))
    writer.add_token_type_count(2)
    for token, add in enumerate(
        (writer.add_pad_token_id, writer.add_unk_token_id, writer.add_bos_token_id, writer.add_sep_token_id, writer.add_mask_token_id)
    ):
        add(token)
    writer.add_eos_token_id(_MARKERS.index("[SEP]"))
    for name, shape in _shapes(len(names)).items():
        random = np.random.default_rng(len(name))
        is_norm = "norm.weight" in name
        array = np.ones(shape, np.float32) if is_norm else random.standard_normal(shape, dtype=np.float32) * np.float32(0.3)
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(n_words: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (n_words, WIDTH),
        "token_types.weight": (2, WIDTH),
        "position_embd.weight": (WINDOW, WIDTH),
        "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
        "blk.0.ffn_up.weight": (_FEED_FORWARD, WIDTH),
        "blk.0.ffn_up.bias": (_FEED_FORWARD,),
        "blk.0.ffn_down.weight": (WIDTH, _FEED_FORWARD),
        "blk.0.ffn_down.bias": (WIDTH,),
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes |= {f"blk.0.{name}.weight": (WIDTH, WIDTH), f"blk.0.{name}.bias": (WIDTH,)}
    for name in ("attn_output_norm", "layer_output_norm"):
        shapes |= {f"blk.0.{name}.weight": (WIDTH,), f"blk.0.{name}.bias": (WIDTH,)}
    return shapes
