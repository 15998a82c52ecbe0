"""Write a GGUF pair of the full shape of Nemovision-4B with random weights: what it costs to run is right, what it says is not.

    python -m benchmarks.full_shape FOLDER [--repeats] [--seed N]

FOLDER gets full-Q4_0.gguf (or repeats-Q4_0.gguf) and mmproj-full-f16.gguf, 3 GB in all, in about half a minute. A projector that is there
already is kept: it serves both models.

The vocabulary begins with the demo model's pieces and the words of this repository, so that English costs as many tokens as it would with
the real model. Replies are made of Chinese characters, each a token of its own: read back as history they become the same tokens again, as
a real model's replies do. A character is followed by one that is fixed for it, so that a reply does not fall into a loop; with which one a
reply begins depends on the whole prompt. Nothing ends a reply but the limit of tokens.

With --repeats the blocks add next to nothing, so that a reply begins as CHAIN does, whatever was asked, and goes on like it: a text that
repeats its source where the prompt holds CHAIN. The work for a token is the same.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from nemochat.models.catalogue import DEMO

Array = npt.NDArray[Any]
Tensor = tuple[str, tuple[int, ...], float]
"""Name, shape in numpy's order and the standard deviation of its values."""

PLAIN_FILE, REPEATING_FILE, PROJECTOR_FILE = "full-Q4_0.gguf", "repeats-Q4_0.gguf", "mmproj-full-f16.gguf"
WIDTH, BLOCKS, HEADS, KV_HEADS, FFN, CONTEXT, VOCABULARY = 3072, 32, 24, 8, 9216, 4096, 256_000
HEAD = WIDTH // HEADS
VISION_WIDTH, VISION_BLOCKS, VISION_HEADS, VISION_FFN, IMAGE, PATCH = 1024, 24, 16, 4096, 336, 14
EPSILON = 1e-5

CHARACTERS = "".join(map(chr, range(0x4E00, 0x4E00 + 4096)))
"""What replies are made of."""
CHAIN = CHARACTERS[:1000]
"""What the repeating model says, over and over, beginning at the start of a reply."""

BLOCK_VALUES, BLOCK_BYTES = 32, 18
NIBBLE_SPREAD = 4.61
"""The standard deviation of -8..7, each as likely as the others: what a scale of 1 gives in Q4_0."""
NORMAL_PIECE = int(gguf.TokenType.NORMAL)


def write_language(path: Path, seed: int, *, repeats: bool = False) -> None:
    """The language model, tensor by tensor: no more than one of them is in memory."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "nemotron")
    writer.add_name("Full shape, repeating" if repeats else "Full shape, random weights")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_eps(EPSILON)
    writer.add_rope_dimension_count(HEAD // 2)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(VOCABULARY)
    pieces = _add_vocabulary(writer)
    links = CHAIN if repeats else random.permutation(list(CHARACTERS))
    rows = np.array([pieces[character] for character in links])
    tensors = list(_language_tensors(1e-4, 20 / WIDTH) if repeats else _language_tensors(0.4, 2 * WIDTH**-0.5))
    for name, shape, _spread in tensors:
        if len(shape) == 1:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * shape[0])
        else:
            stored = (shape[0], shape[1] // BLOCK_VALUES * BLOCK_BYTES)
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), stored[0] * stored[1], gguf.GGMLQuantizationType.Q4_0)
    _write_headers(writer)
    before = np.array([pieces["\n"] if repeats else rows[-1], *rows[:-1]])  # what each character follows
    linked = slice(0, None if repeats else WIDTH // BLOCK_VALUES // 3)  # how much of its row says so
    kept = np.empty(0, np.uint8)
    for name, shape, spread in tensors:
        if len(shape) == 1:
            writer.write_tensor_data(np.full(shape, 1.0 if name.endswith("weight") else 0.0, np.float32))
            continue
        blocks = _q4_0(random, shape, spread)
        if name == "token_embd.weight":
            kept = blocks[before].copy()
        elif name == "output.weight":
            _only(blocks, rows)
            blocks[rows, linked, 2:] = kept[:, linked, 2:]
        writer.write_tensor_data(blocks.reshape(shape[0], -1))
    writer.close()


def write_projector(path: Path, seed: int) -> None:
    """CLIP ViT-L/14-336 and the two layers behind it, in F16."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_name("Full shape, random projector")
    writer.add_type("mmproj")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", False)
    for key, value in {
        "image_size": IMAGE, "patch_size": PATCH, "embedding_length": VISION_WIDTH, "feed_forward_length": VISION_FFN,
        "projection_dim": WIDTH, "block_count": VISION_BLOCKS, "attention.head_count": VISION_HEADS,
    }.items():  # fmt: skip
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", EPSILON)
    writer.add_array("clip.vision.image_mean", [0.48145467, 0.45782751, 0.40821072])
    writer.add_array("clip.vision.image_std", [0.26862955, 0.26130259, 0.27577711])
    writer.add_array("clip.vision.feature_layer", [VISION_BLOCKS])
    tensors = list(_projector_tensors())
    for name, shape, _spread in tensors:
        kind = np.dtype(_projector_type(name, shape))
        writer.add_tensor_info(name, shape, kind, int(np.prod(shape)) * kind.itemsize)
    _write_headers(writer)
    for name, shape, spread in tensors:
        is_norm = name.endswith("weight") and len(shape) == 1
        values = random.standard_normal(shape, np.float32) * np.float32(spread) + np.float32(is_norm)
        writer.write_tensor_data(values.astype(_projector_type(name, shape)))
    writer.close()


def _language_tensors(share: float, output_spread: float) -> Iterator[Tensor]:
    """`share`: how much the blocks add to what goes past them; at 0.4 all of them together add about as much as the embedding."""
    yield "token_embd.weight", (VOCABULARY, WIDTH), 1.0
    for block in range(BLOCKS):
        at = f"blk.{block}."
        yield from ((f"{at}attn_norm.{part}", (WIDTH,), 0.0) for part in ("weight", "bias"))
        yield f"{at}attn_q.weight", (WIDTH, WIDTH), WIDTH**-0.5
        yield f"{at}attn_k.weight", (KV_HEADS * HEAD, WIDTH), WIDTH**-0.5
        yield f"{at}attn_v.weight", (KV_HEADS * HEAD, WIDTH), WIDTH**-0.5
        yield f"{at}attn_output.weight", (WIDTH, WIDTH), share * WIDTH**-0.5
        yield from ((f"{at}ffn_norm.{part}", (WIDTH,), 0.0) for part in ("weight", "bias"))
        yield f"{at}ffn_up.weight", (FFN, WIDTH), WIDTH**-0.5
        yield f"{at}ffn_down.weight", (WIDTH, FFN), share * 0.25 * FFN**-0.5
    yield from ((f"output_norm.{part}", (WIDTH,), 0.0) for part in ("weight", "bias"))
    yield "output.weight", (VOCABULARY, WIDTH), output_spread


def _projector_tensors() -> Iterator[Tensor]:
    width, ffn = VISION_WIDTH, VISION_FFN
    yield "v.class_embd", (width,), 0.5
    yield "v.patch_embd.weight", (width, 3, PATCH, PATCH), (3 * PATCH**2) ** -0.5
    yield "v.position_embd.weight", ((IMAGE // PATCH) ** 2 + 1, width), 0.5
    yield from ((f"v.pre_ln.{part}", (width,), 0.0) for part in ("weight", "bias"))
    for block in range(VISION_BLOCKS):
        at = f"v.blk.{block}."
        yield from ((f"{at}{norm}.{part}", (width,), 0.0) for norm in ("ln1", "ln2") for part in ("weight", "bias"))
        for name, rows, columns, spread in (
            ("attn_q", width, width, 1.0), ("attn_k", width, width, 1.0), ("attn_v", width, width, 1.0), ("attn_out", width, width, 0.3),
            ("ffn_up", ffn, width, 1.0), ("ffn_down", width, ffn, 0.3),
        ):  # fmt: skip
            yield f"{at}{name}.weight", (rows, columns), spread * columns**-0.5
            yield f"{at}{name}.bias", (rows,), 0.0
    yield "mm.0.weight", (WIDTH, width), 0.6 * width**-0.5
    yield "mm.0.bias", (WIDTH,), 0.0
    yield "mm.2.weight", (WIDTH, WIDTH), 1.6 * WIDTH**-0.5
    yield "mm.2.bias", (WIDTH,), 0.0


def _projector_type(name: str, shape: tuple[int, ...]) -> type[np.floating[Any]]:
    """llama.cpp adds the positions as F32."""
    return np.float16 if len(shape) > 1 and "position_embd" not in name else np.float32


def _q4_0(random: np.random.Generator, shape: tuple[int, ...], spread: float) -> Array:
    """Blocks of one scale and random values: rows x blocks x bytes."""
    blocks = np.empty((shape[0], shape[1] // BLOCK_VALUES, BLOCK_BYTES), np.uint8)
    blocks[:, :, :2] = _scale(spread)
    for start in range(0, shape[0], 8192):
        part = blocks[start : start + 8192, :, 2:]
        part[:] = np.frombuffer(random.bytes(part.size), np.uint8).reshape(part.shape)
    return blocks


def _scale(spread: float) -> Array:
    return np.array([spread / NIBBLE_SPREAD], np.float16).view(np.uint8)


def _only(blocks: Array, rows: Array) -> None:
    """Take every other row's weight: those tokens get the score 0, which is never the highest."""
    others = np.ones(len(blocks), bool)
    others[rows] = False
    blocks[others, :, :2] = 0


def _add_vocabulary(writer: gguf.GGUFWriter) -> dict[str, int]:
    """The demo model's tokenizer, then words, characters and pieces that no text is cut into. Returns the tokens by piece."""
    demo = gguf.GGUFReader(DEMO.model_path)
    values = {name: field.contents() for name, field in demo.fields.items() if name.startswith("tokenizer.")}
    pieces = dict.fromkeys(values["tokenizer.ggml.tokens"])
    own = len(pieces)
    pieces |= dict.fromkeys(f"▁{word[:length]}" for word in _words() for length in range(1, len(word) + 1))
    pieces |= dict.fromkeys(CHARACTERS)
    pieces |= dict.fromkeys(f"▁unused{number:06}" for number in range(VOCABULARY - len(pieces)))
    added = range(own, VOCABULARY)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(pieces))
    writer.add_token_scores([*values["tokenizer.ggml.scores"], *(float(-number) for number in added)])
    writer.add_token_types([*values["tokenizer.ggml.token_type"], *(NORMAL_PIECE for _ in added)])
    writer.add_pad_token_id(values["tokenizer.ggml.padding_token_id"])
    writer.add_unk_token_id(values["tokenizer.ggml.unknown_token_id"])
    writer.add_bos_token_id(values["tokenizer.ggml.bos_token_id"])
    writer.add_eos_token_id(values["tokenizer.ggml.eos_token_id"])
    writer.add_eot_token_id(values["tokenizer.ggml.eot_token_id"])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(values["tokenizer.chat_template"])
    return {piece: token for token, piece in enumerate(pieces)}


def _words() -> list[str]:
    """The words of this repository's own English. With all its beginnings in the vocabulary, a word always becomes one token."""
    root = Path(__file__).parent.parent
    patterns = ("README.md", "docs/*.md", "benchmarks/**/*.py", "training/corpus/*.py")
    files = [file for pattern in patterns for file in sorted(root.glob(pattern))]
    return sorted({word for file in files for word in re.findall(r"[A-Za-z]{2,14}", file.read_text(encoding="utf-8"))})


def _write_headers(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()


def main() -> None:
    """Write what is missing under another name first, so that a file that is there is whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", action="store_true", help="the model that continues CHAIN")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.perf_counter()
    options.folder.mkdir(parents=True, exist_ok=True)
    language = options.folder / (REPEATING_FILE if options.repeats else PLAIN_FILE)
    projector = options.folder / PROJECTOR_FILE
    if not projector.exists():
        write_projector(part := projector.with_suffix(".part"), options.seed)
        part.replace(projector)
    write_language(part := language.with_suffix(".part"), options.seed, repeats=options.repeats)
    part.replace(language)
    for path in (language, projector):
        print(f"{path}: {path.stat().st_size / 1e9:.2f} GB")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
