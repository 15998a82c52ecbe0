"""The GGUF pair: the language model and the projector file with the vision tower; matrices in F16, the rest in F32.

Q8_0 would halve the language model's file, but llama.cpp then rounds the activations to eight bits as well, which changes about one first
choice in forty of a model as small as this one; F16 changes next to none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from torch import Tensor

from training.language import LanguageModel, Projector
from training.tokenizer import CONTROL_TOKENS, TURN, Tokenizer
from training.vision import IMAGE_MEAN, IMAGE_STD, VisionTower

Array = npt.NDArray[Any]
NAME = "nemochat demo"
LANGUAGE_FILE, PROJECTOR_FILE = "nemochat-demo.gguf", "nemochat-demo-mmproj.gguf"
LANGUAGE_LAYERS = {
    "attn_norm": "attn_norm", "attention.q": "attn_q", "attention.k": "attn_k", "attention.v": "attn_v",
    "attention.output": "attn_output", "ffn_norm": "ffn_norm", "up": "ffn_up", "down": "ffn_down",
}  # fmt: skip
"""The names of a block's parts here and in a GGUF."""


def card() -> str:
    """What the files say of themselves."""
    return (Path(__file__).parent / "card.txt").read_text(encoding="utf-8").strip()


def chat_template() -> str:
    """Nemotron's prompt format as a jinja template, for other programs that load the file."""
    return (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").rstrip("\n")


def export_pair(folder: Path, model: LanguageModel, projector: Projector, tower: VisionTower, tokenizer: Tokenizer) -> None:
    """Write both files into `folder`; each replaces its predecessor in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    language_part, projector_part = (folder / f"{name}.part" for name in (LANGUAGE_FILE, PROJECTOR_FILE))
    write_language(language_part, model, tokenizer)
    write_projector(projector_part, projector, tower)
    language_part.replace(folder / LANGUAGE_FILE)
    projector_part.replace(folder / PROJECTOR_FILE)


def write_language(path: Path, model: LanguageModel, tokenizer: Tokenizer) -> None:
    """The language model with its vocabulary."""
    shape = model.shape
    writer = gguf.GGUFWriter(path, "nemotron")
    _add_general(writer, NAME, _parameters(model))
    writer.add_float32("general.sampling.temp", 0.0)  # so small a model is best where it is surest
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.blocks)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.rotary)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(tokenizer.size)
    _add_vocabulary(writer, tokenizer)
    for name, tensor in _language_tensors(model):
        values = _array(tensor)
        writer.add_tensor(name, values.astype(np.float16) if values.ndim == 2 else values)
    _finish(writer)


def write_projector(path: Path, projector: Projector, tower: VisionTower) -> None:
    """The vision tower and the projector in llama.cpp's CLIP layout."""
    config = tower.config
    writer = gguf.GGUFWriter(path, "clip")
    _add_general(writer, f"{NAME} projector", _parameters(tower) + _parameters(projector))
    writer.add_type("mmproj")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", False)
    for key, value in {
        "image_size": config.image_size, "patch_size": config.patch_size, "embedding_length": config.width,
        "feed_forward_length": config.ffn, "projection_dim": projector.second.out_features, "block_count": config.layers,
        "attention.head_count": config.heads,
    }.items():  # fmt: skip
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", config.eps)
    writer.add_array("clip.vision.image_mean", list(IMAGE_MEAN))
    writer.add_array("clip.vision.image_std", list(IMAGE_STD))
    # Without this key llama.cpp takes the features one block before the last.
    writer.add_array("clip.vision.feature_layer", [config.layers])
    tensors = {f"v.{name}": tensor for name, tensor in tower.state_dict().items()}
    tensors |= {"mm.0.weight": projector.first_weight, "mm.0.bias": projector.first.bias}
    tensors |= {"mm.2.weight": projector.second.weight, "mm.2.bias": projector.second.bias}
    for name, tensor in tensors.items():
        values = _array(tensor)
        # llama.cpp adds the positions as F32.
        matrix = values.ndim > 1 and "position_embd" not in name
        writer.add_tensor(name, values.astype(np.float16) if matrix else values)
    _finish(writer)


def _add_general(writer: gguf.GGUFWriter, name: str, parameters: int) -> None:
    writer.add_name(name)
    writer.add_basename("nemochat-demo")
    writer.add_author("the nemochat authors")
    writer.add_license("apache-2.0")
    writer.add_description(card())
    writer.add_size_label(f"{parameters / 1e6:.1f}M")
    writer.add_tags(["nemochat", "demo", "nemotron", "vision"])
    writer.add_languages(["en"])


def _add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    pieces = tokenizer.pieces
    texts, scores, types = [], [], []
    for token in range(tokenizer.size):
        text = pieces.id_to_piece(token)
        if pieces.is_unknown(token):
            kind = gguf.TokenType.UNKNOWN
        elif pieces.is_control(token) or text in CONTROL_TOKENS:
            kind = gguf.TokenType.CONTROL
        elif pieces.is_byte(token):
            kind = gguf.TokenType.BYTE
        else:
            kind = gguf.TokenType.NORMAL
        texts.append(text.encode())
        scores.append(pieces.get_score(token))
        types.append(kind)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_pad_token_id(pieces.pad_id())
    writer.add_unk_token_id(pieces.unk_id())
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_eot_token_id(tokenizer.control[TURN])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(chat_template())


def _language_tensors(model: LanguageModel) -> Iterator[tuple[str, Tensor]]:
    yield "token_embd.weight", model.embedding.weight
    yield "output_norm.weight", model.norm.weight
    yield "output_norm.bias", model.norm.bias
    yield "output.weight", model.output.weight
    for index, block in enumerate(model.blocks):
        for name, tensor in block.named_parameters():
            part, kind = name.rsplit(".", 1)
            yield f"blk.{index}.{LANGUAGE_LAYERS[part]}.{kind}", tensor


def _parameters(module: LanguageModel | Projector | VisionTower) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().cpu().float().contiguous().numpy()
    return array


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
