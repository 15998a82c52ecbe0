"""A GGUF writer that writes whatever it is told, wrong things included. Tensor data is a hole in the file: only the header takes space."""

from __future__ import annotations

import struct
from pathlib import Path

from nemochat.models.ggml_types import TENSOR_TYPES

Typed = tuple[int, object]
"""A GGUF value type and a value; arrays are (9, (element type, elements))."""
Shape = tuple[int, ...]
Tensors = dict[str, tuple[Shape, str]]
"""Shape and type name by tensor name, in file order."""

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TYPE_IDS = {kind.name: number for number, kind in TENSOR_TYPES.items()}


def text(content: str) -> bytes:
    encoded = content.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def typed(kind: int, value: object) -> bytes:
    if kind == STRING:
        assert isinstance(value, str)
        return text(value)
    if kind == ARRAY:
        assert isinstance(value, tuple)
        element, elements = value
        return struct.pack("<IQ", element, len(elements)) + b"".join(typed(element, item) for item in elements)
    return struct.pack("<" + _CODES[kind], value)


def header(metadata: dict[str, Typed], tensors: Tensors, version: int = 3) -> tuple[bytes, int]:
    """The header, padded, and the size of the data behind it."""
    parts = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(metadata))]
    parts += [text(key) + struct.pack("<I", kind) + typed(kind, value) for key, (kind, value) in metadata.items()]
    offset = end = 0
    for name, (shape, kind) in tensors.items():
        parts += [text(name), struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _TYPE_IDS[kind], offset)]
        values = 1
        for side in shape:
            values *= side
        block = TENSOR_TYPES[_TYPE_IDS[kind]]
        end = offset + values // block.block * block.size
        offset = -(-end // 32) * 32
    content = b"".join(parts)
    return content + bytes(-len(content) % 32), end


def write(path: Path, metadata: dict[str, Typed], tensors: Tensors, version: int = 3) -> Path:
    content, n_data = header(metadata, tensors, version)
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + n_data)
    return path


def text_metadata(
    *, width: int = 64, layers: int = 2, heads: int = 2, kv_heads: int = 1, ffn: int = 96, context: int = 1024, vocabulary: int = 100
) -> dict[str, Typed]:
    """The metadata of a nemotron model."""
    return {
        "general.architecture": (STRING, "nemotron"),
        "general.name": (STRING, "Raw Model"),
        "general.license": (STRING, "apache-2.0"),
        "nemotron.context_length": (U32, context),
        "nemotron.embedding_length": (U32, width),
        "nemotron.block_count": (U32, layers),
        "nemotron.feed_forward_length": (U32, ffn),
        "nemotron.attention.head_count": (U32, heads),
        "nemotron.attention.head_count_kv": (U32, kv_heads),
        "nemotron.attention.layer_norm_epsilon": (F32, 1e-5),
        "nemotron.rope.dimension_count": (U32, width // heads // 2),
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tuple(f"t{i}" for i in range(vocabulary)))),
        "tokenizer.chat_template": (STRING, "{{ messages }}"),
    }


def text_tensors(
    *, width: int = 64, layers: int = 2, heads: int = 2, kv_heads: int = 1, ffn: int = 96, vocabulary: int = 100, kind: str = "F16"
) -> Tensors:
    """The tensors of a nemotron model; norms in F32."""
    keys = width // heads * kv_heads
    tensors: Tensors = {"token_embd.weight": ((width, vocabulary), kind)}
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors |= {f"{block}{norm}.{part}": ((width,), "F32") for norm in ("attn_norm", "ffn_norm") for part in ("weight", "bias")}
        tensors |= {f"{block}attn_q.weight": ((width, width), kind), f"{block}attn_output.weight": ((width, width), kind)}
        tensors |= {f"{block}attn_k.weight": ((width, keys), kind), f"{block}attn_v.weight": ((width, keys), kind)}
        tensors |= {f"{block}ffn_up.weight": ((width, ffn), kind), f"{block}ffn_down.weight": ((ffn, width), kind)}
    tensors |= {f"output_norm.{part}": ((width,), "F32") for part in ("weight", "bias")}
    return tensors | {"output.weight": ((width, vocabulary), kind)}


def clip_metadata(*, image: int = 28, patch: int = 14, width: int = 32, layers: int = 1, heads: int = 2, ffn: int = 48) -> dict[str, Typed]:
    """The metadata of a CLIP encoder with an mlp projector."""
    figures = {
        "image_size": image,
        "patch_size": patch,
        "embedding_length": width,
        "feed_forward_length": ffn,
        "projection_dim": 768,
        "block_count": layers,
        "attention.head_count": heads,
    }
    return {
        "general.architecture": (STRING, "clip"),
        "clip.has_vision_encoder": (BOOL, True),
        "clip.projector_type": (STRING, "mlp"),
        **{f"clip.vision.{key}": (U32, figure) for key, figure in figures.items()},
        "clip.vision.attention.layer_norm_epsilon": (F32, 1e-5),
        "clip.vision.image_mean": (ARRAY, (F32, (0.5, 0.5, 0.5))),
        "clip.vision.image_std": (ARRAY, (F32, (0.25, 0.25, 0.25))),
        "clip.vision.feature_layer": (ARRAY, (I32, (layers,))),
    }


def clip_tensors(*, image: int = 28, patch: int = 14, width: int = 32, layers: int = 1, ffn: int = 48, text_width: int = 64) -> Tensors:
    """The tensors of a CLIP encoder with an mlp projector; vectors in F32."""
    vector = ((width,), "F32")
    tensors: Tensors = {
        "v.class_embd": vector,
        "v.patch_embd.weight": ((patch, patch, 3, width), "F16"),
        "v.position_embd.weight": ((width, (image // patch) ** 2 + 1), "F16"),
    }
    for layer in range(layers):
        block = f"v.blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors |= {f"{block}{name}.weight": ((width, width), "F16"), f"{block}{name}.bias": vector}
        tensors |= {f"{block}{norm}.{part}": vector for norm in ("ln1", "ln2") for part in ("weight", "bias")}
        tensors |= {f"{block}ffn_up.weight": ((width, ffn), "F16"), f"{block}ffn_up.bias": ((ffn,), "F32")}
        tensors |= {f"{block}ffn_down.weight": ((ffn, width), "F16"), f"{block}ffn_down.bias": vector}
    for name, shape in {"mm.0": (width, text_width), "mm.2": (text_width, text_width)}.items():
        tensors |= {f"{name}.weight": (shape, "F16"), f"{name}.bias": ((text_width,), "F32")}
    return tensors


def write_model(path: Path, metadata: dict[str, Typed] | None = None) -> Path:
    """A whole nemotron model whose weights are zero; `metadata` is put over its own."""
    return write(path, text_metadata() | (metadata or {}), text_tensors())


def write_mmproj(path: Path, *, text_width: int = 64) -> Path:
    """A whole projector whose weights are zero."""
    return write(path, clip_metadata(), clip_tensors(text_width=text_width))
