"""Writes a small vocabulary of GPT-2's kind (bytes and a few merges) without weights, for the tests."""

from __future__ import annotations

from pathlib import Path

import gguf

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|reserved_3|>")
USER_DEFINED = ("<think>", "</think>", "[PAD1]", "  ")
_MERGES = ("h e", "l l", "he ll", "hell o", "Ġ t", "Ġt h", "Ġth e", "Ċ Ċ", "< |", "| >", "Ġ a", "t h", "th e")


def write_bpe_vocabulary(path: Path) -> Path:
    """Byte tokens, merged ones, and the special ones above."""
    letters = list(_bytes_as_letters().values())
    names = [*letters, *(merge.replace(" ", "") for merge in _MERGES), *CONTROL, *USER_DEFINED]
    kinds = [gguf.TokenType.NORMAL] * (len(letters) + len(_MERGES))
    kinds += [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.USER_DEFINED] * len(USER_DEFINED)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_merges(list(_MERGES))
    writer.add_eos_token_id(names.index("<|im_end|>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _bytes_as_letters() -> dict[int, str]:
    """GPT-2's visible stand-ins for the 256 bytes."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = (byte for byte in range(256) if byte not in visible)
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}
