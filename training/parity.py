"""Does llama.cpp compute what torch computes? Logits, token ids and image embeddings of an exported pair against its modules."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt
import torch
from llama_cpp import mtmd_cpp

from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt import nemotron
from training import corpus, scenes
from training.tokenizer import Tokenizer, to_conversation
from training.train import DemoModel
from training.vision import VisionTower

_ODD_TEXTS = ("<extra_id_1>User", "two  spaces, ", "\u00e9 \u00fc \u6f22\u5b57 \U0001f600", "a\nb\n\nc", " </tool> 1234567890", "")
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """Largest differences, and how much of what was compared was the same."""

    logits: float
    logits_scale: float
    same_choice: float
    strings: int
    strings_same: int
    embedding: float
    embedding_scale: float

    @property
    def sound(self) -> bool:
        """Whether what differs is no more than what F16 rounds away."""
        near = self.logits < 0.1 * self.logits_scale and self.embedding < 0.05 * self.embedding_scale
        return near and self.same_choice > 0.99 and self.strings_same == self.strings

    def __str__(self) -> str:
        return (
            f"logits differ by {self.logits:.4f} at most (their deviation is {self.logits_scale:.2f}), the same first choice at "
            f"{self.same_choice:.1%} of the places; {self.strings_same} of {self.strings} segments tokenised alike; image embeddings "
            f"differ by {self.embedding:.4f} at most (their deviation is {self.embedding_scale:.2f})"
        )


class NativePair:
    """The exported files in llama.cpp, on the CPU, for one prompt at a time."""

    def __init__(self, language: Path, projector: Path, context: int = 1024) -> None:
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = llama_cpp.llama_load_model_from_file(str(language).encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {language.name}")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = context
        settings.n_threads = settings.n_threads_batch = 1
        self.context = llama_cpp.llama_new_context_with_model(self.model, settings)
        vision = mtmd_cpp.mtmd_context_params_default()
        vision.use_gpu, vision.n_threads, vision.warmup, vision.print_timings = False, 1, False, False
        self.vision = mtmd_cpp.mtmd_init_from_file(str(projector).encode(), self.model, vision)
        if not self.vision:
            raise RuntimeError(f"llama.cpp does not load {projector.name}")

    def tokenise(self, segment: Control | Plain) -> list[int]:
        """The ids of one segment, as the product's engine asks for them."""
        raw = segment.text.encode()
        ids = (ctypes.c_int32 * (len(raw) + 8))()
        count = llama_cpp.llama_tokenize(self.vocabulary, raw, len(raw), ids, len(ids), False, isinstance(segment, Control))
        return list(ids[:count])

    def logits(self, ids: Sequence[int]) -> Floats:
        """``[length, vocabulary]``"""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for at, token in enumerate(ids):
            batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.logits[at] = token, at, 1, 1
            batch.seq_id[at][0] = 0
        if llama_cpp.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        rows = [np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, at), (size,)).copy() for at in range(len(ids))]
        llama_cpp.llama_batch_free(batch)
        return np.stack(rows)

    def embed(self, pixels: npt.NDArray[np.uint8], width: int) -> Floats:
        """``[tokens, width]`` of a picture uint8 ``[side, side, 3]``."""
        data = (ctypes.c_uint8 * pixels.size).from_buffer_copy(np.ascontiguousarray(pixels).tobytes())
        bitmap = mtmd_cpp.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], data)
        part = mtmd_cpp.mtmd_input_part()
        part.bitmap = bitmap
        pointers = (ctypes.POINTER(mtmd_cpp.mtmd_input_part) * 1)(ctypes.pointer(part))
        chunks: Any = mtmd_cpp.mtmd_input_chunks_init()
        if mtmd_cpp.mtmd_tokenize_from_parts(self.vision, chunks, pointers, 1, False) != 0:
            raise RuntimeError("mtmd_tokenize_from_parts failed")
        for index in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
            chunk: Any = mtmd_cpp.mtmd_input_chunks_get(chunks, index)
            if mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                tokens = mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk)
                if mtmd_cpp.mtmd_encode_chunk(self.vision, chunk) != 0:
                    raise RuntimeError("mtmd_encode_chunk failed")
                values: Any = mtmd_cpp.mtmd_get_output_embd(self.vision)
                embedding: Floats = np.ctypeslib.as_array(values, (tokens, width)).copy()
        mtmd_cpp.mtmd_input_chunks_free(chunks)
        mtmd_cpp.mtmd_bitmap_free(bitmap)
        return embedding

    def close(self) -> None:
        mtmd_cpp.mtmd_free(self.vision)
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_free_model(self.model)


def compare(language: Path, projector: Path, model: DemoModel, tower: VisionTower, tokenizer: Tokenizer, seed: int = 11) -> Parity:
    """Compare on fresh conversations (three for logits, about 400 segments for token ids) and one picture."""
    rng = random.Random(seed)
    native = NativePair(language, projector)
    try:
        segments: list[Segment] = []
        while len(segments) < 400:
            segments += nemotron.render(to_conversation(corpus.sample(rng))[0])
        segments += [Plain(text) for text in _ODD_TEXTS]
        texts = [segment for segment in segments if not isinstance(segment, ImageSlot)]
        alike = sum(native.tokenise(segment) == tokenizer.segment(segment) for segment in texts)

        differences, scales, choices = [], [], []
        for _ in range(3):
            ids = tokenizer.encode(corpus.sample(rng, pictures="none")).ids[:300]
            with torch.no_grad():
                hidden = model.language.hidden(torch.tensor([ids]), torch.arange(len(ids))[None])
                expected = model.language.output(hidden)[0].float().numpy()
            got = native.logits(ids)
            differences.append(float(np.abs(got - expected).max()))
            scales.append(float(expected.std()))
            choices.append(float((got.argmax(-1) == expected.argmax(-1)).mean()))

        pixels = scenes.to_pixels(scenes.draw(scenes.random_scene(rng), rng))
        with torch.no_grad():
            expected = model.projector(tower(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]))[0].float().numpy()
        embedding = native.embed(pixels, model.language.shape.width)
        return Parity(
            max(differences), float(np.mean(scales)), float(np.mean(choices)), len(texts), alike,
            float(np.abs(embedding - expected).max()), float(expected.std()),
        )  # fmt: skip
    finally:
        native.close()
